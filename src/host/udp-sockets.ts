/** The datagram sockets of one core: which of them a datagram leaves by, and what comes in handed on burst by burst. */
import { createSocket, type Socket } from 'node:dgram'
import { isIP } from 'node:net'
import type { Datagram, Endpoint } from '../base/core.ts'
import type { Log } from '../base/log.ts'

// Implementation constants

/** Asked of the system, which may give less: a burst of a whole window waits here while a turn runs. */
const SOCKET_BUFFER: number = 1 << 20
/** Datagrams that wait for one turn: what libuv reads in one go from several sockets. The rest is lost, as on a full link. */
const MAX_BURST = 1_024

export class UdpSockets {
  readonly #receive: (burst: readonly Datagram[]) => void
  readonly #log: Log
  /** By `key`. */
  readonly #sockets = new Map<string, Socket>()
  #burst: Datagram[] = []

  /** `receive` gets what came in one round of the event loop. */
  constructor(receive: (burst: readonly Datagram[]) => void, log: Log) {
    this.#receive = receive
    this.#log = log
  }

  /** `address` may be scoped; port 0 takes a free one. Resolves to where it listens, rejects when that cannot be had. */
  bind(address: string, port: number): Promise<Endpoint> {
    const type = isIP(address) === 6 ? 'udp6' : 'udp4'
    const socket = createSocket({
      type,
      ipv6Only: type === 'udp6',
      recvBufferSize: SOCKET_BUFFER,
      sendBufferSize: SOCKET_BUFFER,
      // Nothing here may ever ask the DNS.
      lookup: (host, _options, callback) => callback(null, host, type === 'udp6' ? 6 : 4),
    })
    const key = keyOf(address)
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.bind({ address, port, exclusive: true }, () => {
        socket.off('error', reject)
        socket.on('error', (e) => this.#log.write('debug', `datagram socket: ${e.message}`))
        socket.on('message', (bytes, { address: from, port: fromPort }) =>
          this.#received({ address: from, port: fromPort }, bytes),
        )
        this.#sockets.get(key)?.close()
        this.#sockets.set(key, socket)
        resolve({ address, port: socket.address().port })
      })
    })
  }

  /** By the socket of the same interface, or of the same family; lost when there is none. */
  send(to: Endpoint, bytes: Uint8Array): void {
    this.#sockets.get(keyOf(to.address))?.send(bytes, to.port, to.address, ignore)
  }

  unbind(address: string): void {
    const key = keyOf(address)
    this.#sockets.get(key)?.close()
    this.#sockets.delete(key)
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close()
    this.#sockets.clear()
    this.#burst = []
  }

  #received(from: Endpoint, bytes: Buffer): void {
    if (this.#burst.length >= MAX_BURST) return
    if (this.#burst.length === 0) setImmediate(() => this.#handOn())
    this.#burst.push({ from, bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) })
  }

  #handOn(): void {
    const burst = this.#burst
    this.#burst = []
    if (burst.length > 0) this.#receive(burst)
  }
}

/** One socket for each scoped interface, and one for each family besides. */
function keyOf(address: string): string {
  const zone = address.indexOf('%')
  if (zone >= 0) return address.slice(zone)
  return address.includes(':') ? '6' : '4'
}

/** A datagram that cannot be sent is a lost one; the transport above notices. */
function ignore(): void {}
