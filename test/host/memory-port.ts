/** Two ends of a stream in memory, with a bounded amount under way, for sockets without a router. */

import { I2pSocket } from '../../src/host/i2p-socket.ts'
import type { StreamListener, StreamPort } from '../../src/host/stream-port.ts'

const MOST = 64_000

export class MemoryPort implements StreamPort {
  readonly calls: string[] = []
  listener!: StreamListener
  peer!: MemoryPort
  /** Given to the far side and not consumed there. */
  unread = 0
  most = 0
  #blocked = false
  #ended = false
  #gone = false

  write(bytes: Uint8Array): number {
    const n = Math.min(bytes.length, MOST - this.unread)
    if (n < bytes.length) this.#blocked = true
    if (n <= 0) return 0
    this.unread += n
    this.most = Math.max(this.most, this.unread)
    const copied = new Uint8Array(bytes.subarray(0, n))
    setImmediate(() => this.peer.#gone || this.peer.listener.streamData(copied))
    return n
  }

  consumed(bytes: number): void {
    const { peer } = this
    peer.unread -= bytes
    if (!peer.#blocked) return
    peer.#blocked = false
    setImmediate(() => peer.#gone || peer.listener.streamDrain())
  }

  end(): void {
    this.calls.push('end')
    this.#ended = true
    setImmediate(() => {
      if (!this.peer.#gone) this.peer.listener.streamEnd()
      if (!this.peer.#ended) return
      for (const end of [this, this.peer]) {
        if (end.#gone) continue
        end.#gone = true
        end.listener.streamClosed('closed')
      }
    })
  }

  release(): void {
    this.calls.push('release')
    this.#gone = true
  }

  reset(): void {
    this.calls.push('reset')
    this.#gone = true
    setImmediate(() => {
      if (this.peer.#gone) return
      this.peer.#gone = true
      this.peer.listener.streamClosed('reset')
    })
  }
}

export interface SocketPair {
  readonly a: I2pSocket
  readonly b: I2pSocket
  readonly portA: MemoryPort
  readonly portB: MemoryPort
}

export function socketPair(options: { readonly allowHalfOpen?: boolean } = {}): SocketPair {
  const [portA, portB] = [new MemoryPort(), new MemoryPort()]
  const addresses = ['a.b32.i2p', 'b.b32.i2p'] as const
  const make = (port: MemoryPort, local: string, remote: string): I2pSocket => {
    const socket = new I2pSocket({
      port,
      localAddress: local,
      remoteAddress: remote,
      localPort: 0,
      remotePort: 80,
      connecting: false,
      ...options,
    })
    port.listener = socket
    return socket
  }
  portA.peer = portB
  portB.peer = portA
  const a = make(portA, addresses[0], addresses[1])
  const b = make(portB, addresses[1], addresses[0])
  return { a, b, portA, portB }
}
