/**
 * Where pure cores meet Node: the sockets of the process and its one timer. Everything a core is told happens in a turn; what it
 * asks for is done at once, but what it wrote leaves in one system call per socket, and its events are handed on, after the turn.
 */
import { createServer, isIP, connect as netConnect, type Server, type Socket } from 'node:net'
import type { Millis } from '../base/clock.ts'
import type { Datagram, Endpoint, LinkId, Sink, TcpCore, TimedCore, UdpCore } from '../base/core.ts'
import { earliest } from '../base/deadlines.ts'
import type { Log } from '../base/log.ts'
import { askProxy, type ProxyServer } from './proxy.ts'
import { UdpSockets } from './udp-sockets.ts'

// Implementation constants

/** A deadline further away than this may be late by up to a tick: deadlines then fall together and wake us up once. */
const NEAR: Millis = 1_000
const TICK: Millis = 250
/** Longest sleep, so that a timer never overflows what Node can wait for. */
const MAX_SLEEP: Millis = 3_600_000
/** A peer that takes no more loses its link when so much waits for it: several frames of every transport. */
const MAX_UNSENT = 8 << 20
/** A link that we ended is cut when the far side has not closed it by then. */
const CLOSE_TIMEOUT: Millis = 5_000
/** Links that others made to one listening core; beyond them the system's backlog fills. */
const MAX_ACCEPTED = 1_024

/** A core that a pump drives; one without TCP or UDP leaves that half out. */
export type PumpedCore<E> = TimedCore<E> & Partial<TcpCore<E> & UdpCore<E>>

export interface DriveOptions<E> {
  readonly core: PumpedCore<E>
  /** Called after the turn in which the core said it; may run further turns. */
  readonly onEvent: (e: E) => void
  /** The address that a link to `to` leaves from; undefined lets the system choose. */
  readonly localAddress?: (to: Endpoint) => string | undefined
  /** All links that the core opens go through it: none is made directly. */
  readonly proxy?: ProxyServer | undefined
}

/** Runs commands on one core. */
export interface Runner<E> {
  /** A turn: `work` calls one core with what it gets. What that throws, this throws. */
  run<T>(work: (now: Millis, out: Sink<E>) => T): T
}

interface Link {
  readonly socket: Socket
  /** Who is told of it; changes when a link is handed over. */
  owner: Driven<unknown>
  /** Until the core is told that it is connected. */
  opening: boolean
  ended: boolean
  corked: boolean
}

export class Pump {
  readonly log: Log
  readonly #driven = new Set<Driven<unknown>>()
  readonly #links = new Map<LinkId, Link>()
  /** Links with writes of this turn. */
  readonly #corked: LinkId[] = []
  readonly #events: (() => void)[] = []
  #nextLink: LinkId = 1
  #depth = 0
  #timer: NodeJS.Timeout | undefined
  #timerAt: Millis | undefined
  #closed = false

  constructor(options: { readonly log: Log }) {
    this.log = options.log
  }

  /** The monotonic clock that every core of this pump is driven by. */
  now(): Millis {
    return performance.now()
  }

  /** Links there are, for tests and status pages. */
  get links(): number {
    return this.#links.size
  }

  drive<E>(options: DriveOptions<E>): Driven<E> {
    const driven = new Driven(this, options)
    this.#driven.add(driven as Driven<unknown>)
    this.turn(() => {})
    return driven
  }

  /** Closes everything at once. */
  close(): void {
    this.#closed = true
    for (const driven of this.#driven) driven.close()
    clearTimeout(this.#timer)
  }

  // For Driven

  /** Work on cores; afterwards, unless inside another turn, events are handed on, writes leave and the timer is set. */
  turn<T>(work: () => T): T {
    this.#depth++
    try {
      return work()
    } finally {
      this.#depth--
      if (this.#depth === 0) this.#settle()
    }
  }

  /** A turn that the world outside began: what goes wrong in it is our bug and must not end the process. */
  guarded(what: string, work: () => void): void {
    try {
      this.turn(work)
    } catch (e) {
      this.#bug(what, e)
    }
  }

  later(event: () => void): void {
    this.#events.push(event)
  }

  forget(driven: Driven<unknown>): void {
    this.#driven.delete(driven)
    for (const link of this.#links.values()) if (link.owner === driven) link.socket.destroy()
  }

  open(
    to: Endpoint,
    localAddress: DriveOptions<unknown>['localAddress'],
    proxy: ProxyServer | undefined,
    owner: Driven<unknown>,
  ): LinkId {
    const id = this.#nextLink++
    // The zone stays a name: `fe80::1%wlan0`. Never a host name: that would ask the DNS.
    if (isIP(to.address) === 0 || this.#closed) {
      this.later(() => this.#tell(owner, 'closed', id))
      return id
    }
    try {
      const { address, port } = proxy?.endpoint ?? to
      const from = localAddress?.({ address, port })
      const where = { host: address, port, noDelay: true }
      const socket = netConnect(from === undefined ? where : { ...where, localAddress: from })
      const link = this.#watch(id, socket, owner, true)
      if (proxy === undefined) socket.once('connect', () => this.#opened(id, link, NOTHING))
      else askProxy(socket, proxy, to, (rest) => this.#opened(id, link, rest))
    } catch (e) {
      this.log.write('debug', `link ${id} cannot be opened: ${(e as Error).message}`)
      this.later(() => this.#tell(owner, 'closed', id))
    }
    return id
  }

  accept(socket: Socket, owner: Driven<unknown>): void {
    const { remoteAddress, remotePort } = socket
    if (remoteAddress === undefined || remotePort === undefined) {
      socket.destroy()
      return
    }
    const id = this.#nextLink++
    const from = { address: remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''), port: remotePort }
    this.#read(id, this.#watch(id, socket, owner, false))
    this.guarded('accepted', () => owner.core.accepted?.(id, from, this.now(), owner.sink))
  }

  write(id: LinkId, bytes: Uint8Array): void {
    const link = this.#links.get(id)
    if (link === undefined || link.opening || link.ended) return
    const { socket } = link
    if (socket.writableLength > MAX_UNSENT) {
      this.log.write('debug', `link ${id}: the far side takes nothing`)
      socket.destroy()
      return
    }
    if (!link.corked) {
      link.corked = true
      this.#corked.push(id)
      socket.cork()
    }
    socket.write(bytes)
  }

  end(id: LinkId, reset: boolean): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    if (link.opening) link.socket.destroy()
    else if (reset) {
      link.ended = true
      link.socket.resetAndDestroy()
    } else if (!link.ended) {
      link.ended = true
      link.socket.end()
      const cut = setTimeout(() => link.socket.destroy(), CLOSE_TIMEOUT)
      link.socket.once('close', () => clearTimeout(cut))
    }
  }

  /** All of a burst in one turn: answered, acknowledged and flushed together. */
  datagrams(owner: Driven<unknown>, burst: readonly Datagram[]): void {
    this.guarded('datagrams', () => owner.core.datagrams?.(burst, this.now(), owner.sink))
  }

  /** From now on `owner` is told of a link that another core of this pump had. */
  handOver(id: LinkId, owner: Driven<unknown>): void {
    const link = this.#links.get(id)
    if (link !== undefined) link.owner = owner
  }

  #watch(id: LinkId, socket: Socket, owner: Driven<unknown>, opening: boolean): Link {
    const link: Link = { socket, owner, opening, ended: false, corked: false }
    this.#links.set(id, link)
    socket.on('error', (e) => this.log.write('debug', `link ${id}: ${e.message}`))
    socket.once('close', () => {
      this.#links.delete(id)
      this.#tell(link.owner, 'closed', id)
    })
    return link
  }

  /** `rest`: what the far side has sent already. */
  #opened(id: LinkId, link: Link, rest: Uint8Array): void {
    link.opening = false
    this.#tell(link.owner, 'connected', id)
    this.#read(id, link)
    if (rest.length > 0) this.#received(id, link, rest)
  }

  #read(id: LinkId, link: Link): void {
    link.socket.on('data', (bytes: Buffer) => this.#received(id, link, view(bytes)))
  }

  #received(id: LinkId, link: Link, bytes: Uint8Array): void {
    this.guarded('received', () => link.owner.core.received?.(id, bytes, this.now(), link.owner.sink))
  }

  #tell(owner: Driven<unknown>, what: 'connected' | 'closed' | 'writable', id: LinkId): void {
    if (this.#driven.has(owner)) this.guarded(what, () => owner.core[what]?.(id, this.now(), owner.sink))
  }

  /** Hands on events until there are none, then lets the writes go. */
  #settle(): void {
    this.#depth++
    for (let i = 0; i < this.#events.length; i++) {
      try {
        this.#events[i]!()
      } catch (e) {
        this.#bug('event', e)
      }
    }
    this.#events.length = 0
    this.#depth--
    for (const id of this.#corked) this.#uncork(id)
    this.#corked.length = 0
    this.#arm()
  }

  #uncork(id: LinkId): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    link.corked = false
    // The empty write is called back once everything before it is with the system.
    if (!link.ended && !link.socket.destroyed) link.socket.write(NOTHING, () => this.#written(id))
    link.socket.uncork()
  }

  #written(id: LinkId): void {
    const link = this.#links.get(id)
    if (link !== undefined && !link.ended && link.socket.writableLength === 0)
      this.#tell(link.owner, 'writable', id)
  }

  #arm(): void {
    let next: Millis | undefined
    for (const driven of this.#driven) next = earliest(next, driven.core.nextTimeout())
    if (this.#closed) next = undefined
    const now = this.now()
    const at = next === undefined ? undefined : tick(next, now)
    if (at === this.#timerAt) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    if (at !== undefined)
      this.#timer = setTimeout(() => this.#wake(), Math.min(MAX_SLEEP, Math.max(0, Math.ceil(at - now))))
  }

  #wake(): void {
    this.#timerAt = undefined
    const now = this.now()
    this.turn(() => {
      for (const driven of this.#driven) {
        const at = driven.core.nextTimeout()
        if (at !== undefined && at <= now)
          this.guarded('timeout', () => driven.core.timeout(now, driven.sink))
      }
    })
  }

  #bug(what: string, e: unknown): void {
    this.log.write('error', `${what}: ${e instanceof Error ? e.stack : String(e)}`)
  }
}

const NOTHING = new Uint8Array(0)

/** A Buffer's `slice` shares memory; cores see plain bytes. */
function view(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** When to wake up for a deadline: near ones exactly, others on the shared grid. */
export function tick(at: Millis, now: Millis): Millis {
  return at - now <= NEAR ? at : Math.ceil(at / TICK) * TICK
}

/** One core in a pump, its listening sockets and its links. */
export class Driven<E> implements Runner<E> {
  readonly core: PumpedCore<E>
  readonly sink: Sink<E>
  readonly #pump: Pump
  /** By what was asked for, its port resolved. */
  readonly #servers = new Map<string, Server>()
  readonly #udp: UdpSockets
  #closed = false

  constructor(pump: Pump, options: DriveOptions<E>) {
    const { core, onEvent, localAddress, proxy } = options
    this.core = core
    this.#pump = pump
    const self = this as Driven<unknown>
    this.#udp = new UdpSockets((burst) => pump.datagrams(self, burst), pump.log)
    this.sink = {
      udp: (to, bytes) => this.#udp.send(to, bytes),
      tcpOpen: (to) => pump.open(to, localAddress, proxy, self),
      tcpData: (id, bytes) => pump.write(id, bytes),
      tcpEnd: (id, reset) => pump.end(id, reset === true),
      event: (e) => pump.later(() => onEvent(e)),
    }
  }

  run<T>(work: (now: Millis, out: Sink<E>) => T): T {
    return this.#pump.turn(() => work(this.#pump.now(), this.sink))
  }

  /**
   * Accepts links for this core. `address` may be scoped; port 0 takes a free one. Resolves to where it listens, or would have had
   * it not been given up, and rejects when that cannot be had.
   */
  listen(address: string, port: number): Promise<Endpoint> {
    const server = createServer({ noDelay: true }, (socket) =>
      this.#pump.accept(socket, this as Driven<unknown>),
    )
    server.maxConnections = MAX_ACCEPTED
    const asked = serverKey(address, port)
    // At once, as it may be given up before it listens.
    if (port !== 0 && !this.#servers.has(asked)) this.#servers.set(asked, server)
    return new Promise((resolve, reject) => {
      server.once('error', (e) => {
        if (this.#servers.get(asked) === server) this.#servers.delete(asked)
        reject(e)
      })
      server.once('close', () => resolve({ address, port }))
      // With ipv6Only another socket may have the same port for IPv4.
      server.listen({ host: address, port, ipv6Only: isIP(address) === 6 }, () => {
        const bound = server.address()
        const at = { address, port: bound !== null && typeof bound === 'object' ? bound.port : port }
        if (port === 0 && !this.#closed) this.#servers.set(serverKey(address, at.port), server)
        if (this.#servers.get(serverKey(address, at.port)) !== server) server.close()
        resolve(at)
      })
    })
  }

  /** Stops listening there; links that were accepted stay. */
  unlisten(address: string, port: number): void {
    const key = serverKey(address, port)
    this.#servers.get(key)?.close()
    this.#servers.delete(key)
  }

  /** Datagrams for this core; as `listen` otherwise. */
  bindUdp(address: string, port: number): Promise<Endpoint> {
    return this.#udp.bind(address, port)
  }

  unbindUdp(address: string): void {
    this.#udp.unbind(address)
  }

  /** Takes over a link that another core of the same pump had: what comes now comes here. */
  adopt(id: LinkId): void {
    this.#pump.handOver(id, this as Driven<unknown>)
  }

  /** The core is driven no more: its links are cut, its listening sockets closed. */
  close(): void {
    this.#closed = true
    for (const server of this.#servers.values()) server.close()
    this.#servers.clear()
    this.#udp.close()
    this.#pump.forget(this as Driven<unknown>)
  }
}

function serverKey(address: string, port: number): string {
  return `${address} ${port}`
}
