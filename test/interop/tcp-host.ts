/** Puts a TcpCore on real sockets: what the interop tests drive a bare Transport with. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Millis } from '../../src/base/clock.ts'
import type { Endpoint, LinkId, Sink, TcpCore, TimedCore } from '../../src/base/core.ts'

export class TcpHost<E> implements Sink<E> {
  readonly core: TcpCore<E> & TimedCore<E> & { flush(now: Millis, out: Sink<E>): void }
  readonly #address: string
  readonly #onEvent: (e: E) => void
  readonly #sockets = new Map<LinkId, Socket>()
  #server: Server | undefined
  #timer: NodeJS.Timeout | undefined
  #nextLink = 1

  constructor(core: TcpHost<E>['core'], address: string, onEvent: (e: E) => void) {
    this.core = core
    this.#address = address
    this.#onEvent = onEvent
  }

  get now(): Millis {
    return performance.now()
  }

  async listen(port: number): Promise<void> {
    const server = createServer((socket) => {
      const id = this.#nextLink++
      this.#attach(id, socket)
      const from = { address: socket.remoteAddress!, port: socket.remotePort! }
      this.turn(() => this.core.accepted(id, from, this.now, this))
    })
    this.#server = server
    await new Promise<void>((resolve) => server.listen(port, this.#address, resolve))
  }

  /** Runs `work`, flushes what it queued and re-arms the one timer. */
  turn(work: () => void): void {
    work()
    this.core.flush(this.now, this)
    clearTimeout(this.#timer)
    const next = this.core.nextTimeout()
    if (next === undefined) return
    this.#timer = setTimeout(
      () => this.turn(() => this.core.timeout(this.now, this)),
      Math.max(0, next - this.now),
    )
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#server?.close()
    for (const socket of this.#sockets.values()) socket.destroy()
  }

  udp(): void {
    throw new Error('no UDP here')
  }

  tcpOpen(to: Endpoint): LinkId {
    const id = this.#nextLink++
    const socket = connect({ host: to.address, port: to.port, localAddress: this.#address })
    this.#attach(id, socket)
    socket.on('connect', () => this.turn(() => this.core.connected(id, this.now, this)))
    return id
  }

  tcpData(id: LinkId, bytes: Uint8Array): void {
    const socket = this.#sockets.get(id)
    if (socket === undefined || !socket.writable) return
    socket.write(bytes, () => {
      if (socket.writableLength === 0) this.turn(() => this.core.writable(id, this.now, this))
    })
  }

  tcpEnd(id: LinkId, reset?: boolean): void {
    const socket = this.#sockets.get(id)
    if (reset === true) socket?.resetAndDestroy()
    else socket?.end()
  }

  event(e: E): void {
    this.#onEvent(e)
  }

  #attach(id: LinkId, socket: Socket): void {
    socket.setNoDelay(true)
    this.#sockets.set(id, socket)
    socket.on('data', (bytes) => this.turn(() => this.core.received(id, bytes, this.now, this)))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#sockets.delete(id)
      this.turn(() => this.core.closed(id, this.now, this))
    })
  }
}
