/** Incoming streams, in the way of net.Server: events 'listening', 'connection' (an I2pSocket), 'error' and 'close'. */
import { EventEmitter } from 'node:events'
import type { I2pSocket } from './i2p-socket.ts'

// Implementation constants

/** Connections at once, for a small machine; a service that wants fewer says so. */
const MAX_CONNECTIONS = 512

export interface I2pServerOptions {
  /** The port of our destination that it serves; 0 for every port that no other server has. */
  readonly port?: number
  readonly maxConnections?: number
  readonly allowHalfOpen?: boolean
}

export interface I2pServerAddress {
  /** 'xxxx.b32.i2p' */
  readonly address: string
  readonly port: number
  readonly family: 'I2P'
}

export class I2pServer extends EventEmitter {
  readonly port: number
  readonly allowHalfOpen: boolean
  maxConnections: number
  readonly #address: string
  readonly #onClose: (server: I2pServer) => void
  readonly #connections = new Set<I2pSocket>()
  #listening = true

  /** Made by a Host; `onClose` gives its port free. */
  constructor(address: string, options: I2pServerOptions, onClose: (server: I2pServer) => void) {
    super()
    this.#address = address
    this.port = options.port ?? 0
    this.maxConnections = options.maxConnections ?? MAX_CONNECTIONS
    this.allowHalfOpen = options.allowHalfOpen === true
    this.#onClose = onClose
    queueMicrotask(() => {
      if (this.#listening) this.emit('listening')
    })
  }

  get listening(): boolean {
    return this.#listening
  }

  get connections(): number {
    return this.#connections.size
  }

  address(): I2pServerAddress {
    return { address: this.#address, port: this.port, family: 'I2P' }
  }

  getConnections(done: (e: Error | null, count: number) => void): void {
    queueMicrotask(() => done(null, this.connections))
  }

  /** Stops accepting; 'close' follows when the last connection has gone. */
  close(done?: () => void): this {
    if (done !== undefined) this.once('close', done)
    if (!this.#listening) return this
    this.#listening = false
    this.#onClose(this)
    this.#closedWhenEmpty()
    return this
  }

  /** False when there are too many already. */
  admits(): boolean {
    return this.#listening && this.#connections.size < this.maxConnections
  }

  connection(socket: I2pSocket): void {
    this.#connections.add(socket)
    socket.once('close', () => {
      this.#connections.delete(socket)
      if (!this.#listening) this.#closedWhenEmpty()
    })
    this.emit('connection', socket)
  }

  #closedWhenEmpty(): void {
    if (this.#connections.size === 0) queueMicrotask(() => this.emit('close'))
  }
}
