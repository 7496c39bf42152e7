/**
 * What services are given: streams to names, and servers on destinations of our own. `RouterHost` makes it out of a router in a
 * pump; a service knows only `Host`.
 */
import type { Millis } from '../base/clock.ts'
import type { Sink } from '../base/core.ts'
import { RefusedError } from '../base/errors.ts'
import type { Ports, StreamId, StreamSetEvent } from '../protocol/streaming/events.ts'
import type { Hash } from '../protocol/structures/hash.ts'
import { fromB32, toB32 } from '../protocol/structures/identity.ts'
import { I2pServer, type I2pServerOptions } from './i2p-server.ts'
import { I2pSocket } from './i2p-socket.ts'
import type { Runner } from './pump.ts'
import type { StreamPort } from './stream-port.ts'

/** A destination of ours in one router. */
export type DestinationId = number

/** What a router tells of its destinations' streams. */
export type StreamEvent = Exclude<StreamSetEvent, { readonly kind: 'send' }>

/** What RouterHost asks of a router: the commands of a StreamSet, with the destination in front. */
export interface RouterPort<E> {
  connect(destination: DestinationId, remote: Hash, ports: Ports, now: Millis, out: Sink<E>): StreamId
  accept(destination: DestinationId, stream: StreamId, now: Millis, out: Sink<E>): void
  write(destination: DestinationId, stream: StreamId, bytes: Uint8Array, now: Millis, out: Sink<E>): number
  end(destination: DestinationId, stream: StreamId, now: Millis, out: Sink<E>): void
  release(destination: DestinationId, stream: StreamId, now: Millis, out: Sink<E>): void
  reset(destination: DestinationId, stream: StreamId, now: Millis, out: Sink<E>): void
  consumed(destination: DestinationId, stream: StreamId, bytes: number, now: Millis, out: Sink<E>): void
  /** Whether others may connect to it. */
  listen(destination: DestinationId, listening: boolean, now: Millis, out: Sink<E>): void
}

/** Names other than b32 ones: the address book. Undefined when it does not have it. */
export type Resolver = (name: string) => Promise<Hash | undefined>

export interface ConnectOptions {
  /** Our own destination to connect from; without, the host's client destination. */
  readonly from?: DestinationId
  readonly allowHalfOpen?: boolean
}

export interface Host {
  /** The hash that a `.b32.i2p` or address book name stands for. Rejects with a RefusedError. */
  resolve(name: string): Promise<Hash>
  /**
   * A stream to a name or hash, once the far side has answered. Rejects with a RefusedError, whose code is 'timeout',
   * 'unreachable', 'refused', 'reset', 'limit', 'unknown-name' or 'not-ready'.
   */
  connect(to: Hash | string, port: number, options?: ConnectOptions): Promise<I2pSocket>
  /**
   * The same at once: the socket is `connecting`, and what is written before the answer travels with the first packet, which
   * saves a round trip. Fails by an 'error' event with the RefusedError that `connect` would reject with.
   */
  open(to: Hash, port: number, options?: ConnectOptions): I2pSocket
  /** Serves a destination of ours that the router has. @throws {RefusedError} when the port has a server. */
  createServer(
    destination: DestinationId,
    options?: I2pServerOptions,
    onConnection?: (socket: I2pSocket) => void,
  ): I2pServer
}

export interface RouterHostOptions<E> {
  readonly router: RouterPort<E>
  readonly runner: Runner<E>
  readonly resolver?: Resolver
}

interface OwnDestination {
  readonly b32: string
  readonly sockets: Map<StreamId, I2pSocket>
  /** By port. */
  readonly servers: Map<number, I2pServer>
}

export class RouterHost<E> implements Host {
  readonly #router: RouterPort<E>
  readonly #runner: Runner<E>
  readonly #resolver: Resolver | undefined
  readonly #destinations = new Map<DestinationId, OwnDestination>()
  #client: DestinationId | undefined

  constructor(options: RouterHostOptions<E>) {
    this.#router = options.router
    this.#runner = options.runner
    this.#resolver = options.resolver
  }

  /** A destination was added to the router. With `client`, it is what `connect` uses unless told otherwise. */
  addDestination(id: DestinationId, hash: Hash, options: { readonly client: boolean }): void {
    this.#destinations.set(id, { b32: toB32(hash), sockets: new Map(), servers: new Map() })
    if (options.client) this.#client = id
  }

  /** It is about to leave the router: its servers close, its sockets fail. */
  removeDestination(id: DestinationId): void {
    const own = this.#destinations.get(id)
    if (own === undefined) return
    for (const server of own.servers.values()) server.close()
    for (const socket of own.sockets.values()) socket.resetAndDestroy()
    this.#destinations.delete(id)
    if (this.#client === id) this.#client = undefined
  }

  /** Sockets there are, for tests and status pages. */
  get sockets(): number {
    let n = 0
    for (const { sockets } of this.#destinations.values()) n += sockets.size
    return n
  }

  async resolve(name: string): Promise<Hash> {
    const hash = fromB32(name) ?? (await this.#resolver?.(name.toLowerCase()))
    if (hash === undefined) throw new RefusedError('unknown-name', 'the name is not known')
    return hash
  }

  async connect(to: Hash | string, port: number, options: ConnectOptions = {}): Promise<I2pSocket> {
    const socket = this.open(typeof to === 'string' ? await this.resolve(to) : to, port, options)
    return new Promise((resolve, reject) => {
      const failed = (e: Error): void => reject(e)
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.removeListener('error', failed)
        resolve(socket)
      })
    })
  }

  open(to: Hash, port: number, options: ConnectOptions = {}): I2pSocket {
    const destination = options.from ?? this.#client
    const own = destination === undefined ? undefined : this.#destinations.get(destination)
    if (destination === undefined || own === undefined)
      throw new RefusedError('not-ready', 'there is no destination to connect from')
    // Inside the turn, so that no event comes before the socket is there for it.
    return this.#runner.run((now, out) => {
      const ports = { sourcePort: 0, destinationPort: port }
      const id = this.#router.connect(destination, to, ports, now, out)
      return this.#socket(destination, own, id, toB32(to), ports, true, options.allowHalfOpen === true)
    })
  }

  createServer(
    destination: DestinationId,
    options: I2pServerOptions = {},
    onConnection?: (socket: I2pSocket) => void,
  ): I2pServer {
    const own = this.#destinations.get(destination)
    if (own === undefined) throw new RefusedError('not-ready', 'there is no such destination')
    const port = options.port ?? 0
    if (own.servers.has(port)) throw new RefusedError('port-in-use', `port ${port} has a server`)
    const server = new I2pServer(own.b32, options, () => {
      own.servers.delete(port)
      if (own.servers.size === 0) this.#listen(destination, false)
    })
    if (onConnection !== undefined) server.on('connection', onConnection)
    own.servers.set(port, server)
    this.#listen(destination, true)
    return server
  }

  /** To be called with what the router says of streams. */
  handle(destination: DestinationId, e: StreamEvent): void {
    const own = this.#destinations.get(destination)
    if (own === undefined) return
    if (e.kind === 'incoming') {
      this.#incoming(destination, own, e)
      return
    }
    const socket = own.sockets.get(e.id)
    if (socket === undefined) return
    if (e.kind === 'data') socket.streamData(e.bytes)
    else if (e.kind === 'drain') socket.streamDrain()
    else if (e.kind === 'end') socket.streamEnd()
    else if (e.kind === 'open') socket.streamOpen()
    else if (e.kind === 'closed') {
      own.sockets.delete(e.id)
      socket.streamClosed(e.reason)
    }
  }

  #listen(destination: DestinationId, listening: boolean): void {
    this.#runner.run((now, out) => this.#router.listen(destination, listening, now, out))
  }

  #incoming(destination: DestinationId, own: OwnDestination, e: StreamEvent & { kind: 'incoming' }): void {
    const server = own.servers.get(e.ports.sourcePort) ?? own.servers.get(0)
    if (server === undefined || !server.admits()) {
      this.#runner.run((now, out) => this.#router.reset(destination, e.id, now, out))
      return
    }
    const remote = toB32(e.from.hash)
    const socket = this.#socket(destination, own, e.id, remote, e.ports, false, server.allowHalfOpen)
    this.#runner.run((now, out) => this.#router.accept(destination, e.id, now, out))
    server.connection(socket)
  }

  #socket(
    destination: DestinationId,
    own: OwnDestination,
    id: StreamId,
    remoteAddress: string,
    ports: Ports,
    connecting: boolean,
    allowHalfOpen: boolean,
  ): I2pSocket {
    const socket = new I2pSocket({
      port: new RouterStream(this.#router, this.#runner, destination, id),
      remoteAddress,
      localAddress: own.b32,
      remotePort: ports.destinationPort,
      localPort: ports.sourcePort,
      connecting,
      allowHalfOpen,
    })
    own.sockets.set(id, socket)
    return socket
  }
}

/** One stream of one destination of a router. */
class RouterStream<E> implements StreamPort {
  readonly #router: RouterPort<E>
  readonly #runner: Runner<E>
  readonly #destination: DestinationId
  readonly #id: StreamId

  constructor(router: RouterPort<E>, runner: Runner<E>, destination: DestinationId, id: StreamId) {
    this.#router = router
    this.#runner = runner
    this.#destination = destination
    this.#id = id
  }

  write(bytes: Uint8Array): number {
    return this.#runner.run((now, out) => this.#router.write(this.#destination, this.#id, bytes, now, out))
  }

  end(): void {
    this.#runner.run((now, out) => this.#router.end(this.#destination, this.#id, now, out))
  }

  release(): void {
    this.#runner.run((now, out) => this.#router.release(this.#destination, this.#id, now, out))
  }

  reset(): void {
    this.#runner.run((now, out) => this.#router.reset(this.#destination, this.#id, now, out))
  }

  consumed(bytes: number): void {
    this.#runner.run((now, out) => this.#router.consumed(this.#destination, this.#id, bytes, now, out))
  }
}
