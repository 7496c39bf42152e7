/**
 * A seeded virtual network for whole cores: TCP connections with latency, jitter and bandwidth, connections that break,
 * partitions, nodes that crash and come back, wall clocks that are wrong. One process, virtual time, the same events in the
 * same order for the same seed; `trace` sums them up in one number.
 *
 * Any log line of level `error`, any exception of a core and any timer that goes round without progress fails the run, with
 * the seed and the last log lines of the node.
 */
import { type Clock, type Millis, WallClock, type WallMillis } from '../../src/base/clock.ts'
import type { Endpoint, LinkId, Sink, TcpCore, TimedCore } from '../../src/base/core.ts'
import type { Log, LogLevel } from '../../src/base/log.ts'
import { LOG_LEVELS } from '../../src/base/log.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { EventQueue } from './event-queue.ts'

/** A turn that wakes itself this often at one instant makes no progress. */
const MAX_WAKES_AT_ONCE = 1000
/** Log lines kept of each node for the report of a failure. */
const KEPT_LINES = 40
/** A connection held up by a partition gives up after this, as TCP does after some retransmissions. */
const HELD_LIMIT: Millis = 30_000
/** How often what is held up is tried again. */
const HELD_RETRY: Millis = 500
/** A connection attempt into nowhere. */
const CONNECT_TIMEOUT: Millis = 20_000

export interface SimOptions {
  /** One way, drawn once for each pair of nodes. */
  readonly latency: readonly [Millis, Millis]
  /** Added to each piece of data, never reordering it. */
  readonly jitter: Millis
  /** Of each direction of each connection, bytes a second. */
  readonly bandwidth: number
  /** Share of connections that break by themselves, and when after their beginning. */
  readonly breaking: number
  readonly breakAfter: readonly [Millis, Millis]
  /** Share of connection attempts that fail though the other is there. */
  readonly refusing: number
  readonly wall: WallMillis
  readonly logLevel: LogLevel
}

const DEFAULTS: SimOptions = {
  latency: [5, 60],
  jitter: 5,
  bandwidth: Number.POSITIVE_INFINITY,
  breaking: 0,
  breakAfter: [1_000, 600_000],
  refusing: 0,
  wall: 1_760_000_000_000,
  logLevel: 'warn',
}

export interface SimCore<E> extends TcpCore<E>, TimedCore<E> {}

/** What a core is made with. Its random numbers go on over a restart. */
export interface NodeContext {
  readonly now: Millis
  readonly random: Random
  readonly log: Log
  readonly clock: Clock
}

export interface NodeOptions<C, E> {
  /** The node's wall clock against the true one, ms. */
  readonly clockOffset?: Millis
  /** Called with each new core, also after a restart. */
  readonly boot?: (core: C, now: Millis, out: Sink<E>) => void
}

export interface SimEvent<E> {
  readonly at: Millis
  readonly node: string
  readonly event: E
}

/** One direction of a connection. */
interface Pipe {
  readonly queue: { readonly bytes: Uint8Array | undefined; readonly due: Millis }[]
  /** When the last byte handed over will be on its way. */
  busyUntil: Millis
  lastDue: Millis
  /** `writable` will be called. */
  promised: boolean
  heldSince: Millis | undefined
  pumping: boolean
}

interface End<C, E> {
  readonly node: Node<C, E>
  readonly id: LinkId
  /** The core knows this id: it may be told of data and of the end. */
  known: boolean
  /** The core has ended it: it is told nothing more but `closed`. */
  ended: boolean
  readonly pipe: Pipe
}

interface Link<C, E> {
  readonly dialler: End<C, E>
  readonly listener: End<C, E>
  readonly latency: Millis
  broken: boolean
}

interface Node<C, E> {
  readonly name: string
  readonly address: string
  readonly factory: (context: NodeContext) => C
  readonly options: NodeOptions<C, E>
  readonly random: Random
  readonly clock: WallClock
  readonly lines: string[]
  core: C | undefined
  /** Counts up with each crash, so that what was meant for an earlier life is dropped. */
  life: number
  readonly links: Map<LinkId, Link<C, E>>
  nextId: LinkId
  wakeAt: Millis
  wakes: number
  wokenAt: Millis
  group: number
}

export class SimNetwork<C extends SimCore<E>, E> {
  readonly seed: number
  readonly events: SimEvent<E>[] = []
  now: Millis = 0
  readonly #options: SimOptions
  readonly #random: Random
  readonly #queue = new EventQueue()
  readonly #nodes = new Map<string, Node<C, E>>()
  readonly #byAddress = new Map<string, Node<C, E>>()
  readonly #latencies = new Map<string, Millis>()
  readonly #listeners: ((e: SimEvent<E>) => void)[] = []
  readonly #fresh: SimEvent<E>[] = []
  #delivering = false
  #traceHigh = 0x811c9dc5
  #traceLow = 0x01000193
  #links = 0

  constructor(seed: number, options: Partial<SimOptions> = {}) {
    this.seed = seed
    this.#options = { ...DEFAULTS, ...options }
    this.#random = seededRandom(seed)
  }

  /** Depends on every event so far, its time and its bytes: equal for two runs that did the same. */
  get trace(): string {
    const word = (n: number): string => (n >>> 0).toString(16).padStart(8, '0')
    return word(this.#traceHigh) + word(this.#traceLow)
  }

  /** Connections made so far. */
  get linkCount(): number {
    return this.#links
  }

  /** Connections that are up. */
  get openLinks(): number {
    let ends = 0
    for (const node of this.#nodes.values()) ends += node.links.size
    return ends / 2
  }

  get names(): string[] {
    return [...this.#nodes.keys()]
  }

  /** Adds a node and starts it. It hears at every port of `address`. */
  add(
    name: string,
    address: string,
    factory: (context: NodeContext) => C,
    options: NodeOptions<C, E> = {},
  ): C {
    const node: Node<C, E> = {
      name,
      address,
      factory,
      options,
      random: seededRandom(this.#random.below(2 ** 32)),
      clock: new WallClock(this.#options.wall + this.now + (options.clockOffset ?? 0), this.now),
      lines: [],
      core: undefined,
      life: 0,
      links: new Map(),
      nextId: 1,
      wakeAt: Number.POSITIVE_INFINITY,
      wakes: 0,
      wokenAt: -1,
      group: 0,
    }
    this.#nodes.set(name, node)
    this.#byAddress.set(address, node)
    this.#start(node)
    return node.core!
  }

  /** The core of a node that is up. */
  core(name: string): C {
    const { core } = this.#node(name)
    if (core === undefined) throw new Error(`${name} is down`)
    return core
  }

  clock(name: string): Clock {
    return this.#node(name).clock
  }

  isUp(name: string): boolean {
    return this.#node(name).core !== undefined
  }

  /** A command to a node: what its host would call. */
  do<T>(name: string, command: (core: C, now: Millis, out: Sink<E>) => T): T {
    const node = this.#node(name)
    let result: T | undefined
    this.#turn(node, 'command', (core, out) => {
      result = command(core, this.now, out)
    })
    return result as T
  }

  /** Called after the turn in which an event came; may give commands. */
  on(listener: (e: SimEvent<E>) => void): void {
    this.#listeners.push(listener)
  }

  /** Runs `action` at a time of its own. */
  at(time: Millis, action: () => void): void {
    this.#queue.push(time, action)
  }

  /** The process ends: its connections are reset. `silent`: the machine ends, and nobody is told. */
  crash(name: string, silent = false): void {
    const node = this.#node(name)
    if (node.core === undefined) return
    this.#record('crash', node, 0, undefined)
    node.core = undefined
    node.life++
    node.wakeAt = Number.POSITIVE_INFINITY
    for (const link of [...node.links.values()]) this.#cut(link, silent ? HELD_LIMIT : link.latency)
    node.links.clear()
  }

  /** A new core from the same factory; what it remembers is the factory's business. */
  restart(name: string): C {
    this.crash(name)
    const node = this.#node(name)
    this.#start(node)
    return node.core!
  }

  /** Moves a node's wall clock. */
  stepClock(name: string, by: Millis): void {
    this.#node(name).clock.step(by)
  }

  /** Nodes of different groups cannot reach each other; unnamed ones are together in a group of their own. */
  partition(...groups: readonly (readonly string[])[]): void {
    for (const node of this.#nodes.values()) node.group = 0
    for (const [i, group] of groups.entries()) for (const name of group) this.#node(name).group = i + 1
  }

  heal(): void {
    this.partition()
  }

  /** Breaks this share of the connections that are up. */
  breakLinks(share: number): void {
    for (const node of this.#nodes.values()) {
      for (const link of [...node.links.values()]) {
        if (link.dialler.node === node && this.#chance(share)) this.#cut(link, 0)
      }
    }
  }

  /** Goes on until nothing is left to do before `until`; then it is `until`. */
  run(until: Millis): void {
    for (let next = this.#queue.peek(); next !== undefined && next <= until; next = this.#queue.peek()) {
      this.now = Math.max(this.now, next)
      this.#queue.pop()()
    }
    this.now = Math.max(this.now, until)
  }

  /** As `run`, but stops when `done` says so. True when it did. */
  runUntil(done: () => boolean, until: Millis): boolean {
    while (!done()) {
      const next = this.#queue.peek()
      if (next === undefined || next > until) {
        this.now = Math.max(this.now, until)
        return done()
      }
      this.now = Math.max(this.now, next)
      this.#queue.pop()()
    }
    return true
  }

  #node(name: string): Node<C, E> {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`no node ${name}`)
    return node
  }

  #start(node: Node<C, E>): void {
    this.#record('start', node, 0, undefined)
    node.core = node.factory({ now: this.now, random: node.random, log: this.#log(node), clock: node.clock })
    const { boot } = node.options
    this.#turn(node, 'boot', (core, out) => boot?.(core, this.now, out))
  }

  #log(node: Node<C, E>): Log {
    const lowest = LOG_LEVELS.indexOf(this.#options.logLevel)
    return {
      enabled: (level) => LOG_LEVELS.indexOf(level) >= lowest,
      write: (level, message) => {
        if (LOG_LEVELS.indexOf(level) < lowest) return
        node.lines.push(`${this.now} ${level} ${message}`)
        if (node.lines.length > KEPT_LINES) node.lines.shift()
        if (level === 'error') throw this.#failure(node, `logged an error: ${message}`)
      },
    }
  }

  #failure(node: Node<C, E>, what: string, cause?: unknown): Error {
    const lines = node.lines.map((l) => `\n  ${l}`).join('')
    return new Error(`seed ${this.seed}, ${this.now} ms, node ${node.name}: ${what}${lines}`, { cause })
  }

  /** One call into a core, then its events, then its timer. */
  #turn(node: Node<C, E>, what: string, work: (core: C, out: Sink<E>) => void): void {
    const { core } = node
    if (core === undefined) return
    try {
      work(core, this.#sink(node))
    } catch (e) {
      if (e instanceof Error && e.message.startsWith('seed ')) throw e
      throw this.#failure(node, `${what} threw ${e instanceof Error ? e.stack : e}`, e)
    }
    this.#arm(node)
    this.#deliverEvents()
  }

  #deliverEvents(): void {
    if (this.#delivering) return
    this.#delivering = true
    try {
      for (let e = this.#fresh.shift(); e !== undefined; e = this.#fresh.shift()) {
        this.events.push(e)
        for (const listener of this.#listeners) listener(e)
      }
    } finally {
      this.#delivering = false
    }
  }

  #arm(node: Node<C, E>): void {
    const next = node.core?.nextTimeout()
    if (next === undefined || next >= node.wakeAt) return
    node.wakeAt = Math.max(next, this.now)
    const { life } = node
    const at = node.wakeAt
    this.#queue.push(at, () => {
      if (node.life !== life || node.wakeAt !== at) return
      node.wakeAt = Number.POSITIVE_INFINITY
      const due = node.core?.nextTimeout()
      if (due === undefined || due > this.now) {
        this.#arm(node)
        return
      }
      node.wakes = node.wokenAt === this.now ? node.wakes + 1 : 0
      node.wokenAt = this.now
      if (node.wakes > MAX_WAKES_AT_ONCE) throw this.#failure(node, 'its timer goes round')
      this.#record('timeout', node, 0, undefined)
      this.#turn(node, 'timeout', (core, out) => core.timeout(this.now, out))
    })
  }

  #sink(node: Node<C, E>): Sink<E> {
    const { life } = node
    const alive = (): boolean => node.life === life
    return {
      udp: () => {
        throw this.#failure(node, 'sent a datagram; this network has TCP only')
      },
      tcpOpen: (to) => (alive() ? this.#open(node, to) : 0),
      tcpData: (id, bytes) => {
        if (alive()) this.#data(node, id, bytes)
      },
      tcpEnd: (id, reset) => {
        if (alive()) this.#end(node, id, reset === true)
      },
      event: (event) => {
        if (alive()) this.#fresh.push({ at: this.now, node: node.name, event })
      },
    }
  }

  #open(node: Node<C, E>, to: Endpoint): LinkId {
    const id = node.nextId++
    const target = this.#byAddress.get(to.address)
    const { life } = node
    const fail = (after: Millis): void =>
      this.#queue.push(this.now + after, () => {
        if (node.life !== life) return
        this.#record('failed', node, id, undefined)
        this.#turn(node, 'closed', (core, out) => core.closed(id, this.now, out))
      })
    if (target === undefined || target.group !== node.group) {
      fail(CONNECT_TIMEOUT)
      return id
    }
    const latency = this.#latency(node, target)
    if (target === node || target.core === undefined || this.#chance(this.#options.refusing)) {
      fail(2 * latency)
      return id
    }
    const link: Link<C, E> = {
      dialler: end(node, id),
      listener: end(target, target.nextId++),
      latency,
      broken: false,
    }
    const targetLife = target.life
    node.links.set(id, link)
    this.#queue.push(this.now + latency, () => {
      if (link.broken) return
      if (target.life !== targetLife) {
        this.#cut(link, latency)
        return
      }
      target.links.set(link.listener.id, link)
      link.listener.known = true
      this.#links++
      const from = { address: node.address, port: 30_000 + (id % 30_000) }
      this.#record('accepted', target, link.listener.id, undefined)
      this.#turn(target, 'accepted', (core, out) => core.accepted(link.listener.id, from, this.now, out))
    })
    this.#queue.push(this.now + 2 * latency, () => {
      if (link.broken || node.life !== life) return
      link.dialler.known = true
      this.#record('connected', node, id, undefined)
      if (!link.dialler.ended) this.#turn(node, 'connected', (core, out) => core.connected(id, this.now, out))
      this.#pump(link, link.listener, link.dialler)
    })
    if (this.#chance(this.#options.breaking)) {
      const [from, until] = this.#options.breakAfter
      this.#queue.push(this.now + 2 * latency + from + this.#random.below(until - from + 1), () =>
        this.#cut(link, 0),
      )
    }
    return id
  }

  #data(node: Node<C, E>, id: LinkId, bytes: Uint8Array): void {
    const link = node.links.get(id)
    if (link === undefined || link.broken || bytes.length === 0) return
    const [from, to] = sides(link, node, id)
    if (from.ended) return
    // TCP keeps no message boundaries: some writes arrive in two pieces.
    const cut =
      bytes.length > 1 && this.#chance(0.1) ? 1 + this.#random.below(bytes.length - 1) : bytes.length
    this.#enqueue(link, from, bytes.subarray(0, cut))
    if (cut < bytes.length) this.#enqueue(link, from, bytes.subarray(cut))
    this.#pump(link, from, to)
    this.#promise(link, from)
  }

  #enqueue(link: Link<C, E>, from: End<C, E>, bytes: Uint8Array | undefined): void {
    const { pipe } = from
    const size = bytes?.length ?? 0
    pipe.busyUntil = Math.max(pipe.busyUntil, this.now) + (size * 1000) / this.#options.bandwidth
    const jitter = this.#options.jitter > 0 ? this.#random.below(this.#options.jitter + 1) : 0
    pipe.lastDue = Math.max(pipe.lastDue, Math.ceil(pipe.busyUntil) + link.latency + jitter)
    pipe.queue.push({ bytes, due: pipe.lastDue })
  }

  /** Says `writable` once the link has taken all bytes, in a turn of its own. */
  #promise(link: Link<C, E>, from: End<C, E>): void {
    const { pipe, node } = from
    if (pipe.promised) return
    pipe.promised = true
    this.#queue.push(Math.max(this.now, Math.ceil(pipe.busyUntil)), () => {
      pipe.promised = false
      if (link.broken || from.ended) return
      if (pipe.busyUntil > this.now) this.#promise(link, from)
      else this.#turn(node, 'writable', (core, out) => core.writable(from.id, this.now, out))
    })
  }

  /** Delivers what is due at the head of one direction and comes back for the rest. */
  #pump(link: Link<C, E>, from: End<C, E>, to: End<C, E>): void {
    const { pipe } = from
    const head = pipe.queue[0]
    if (head === undefined || pipe.pumping || link.broken || !to.known) return
    pipe.pumping = true
    this.#queue.push(Math.max(head.due, this.now), () => {
      pipe.pumping = false
      if (link.broken) return
      if (from.node.group !== to.node.group) {
        pipe.heldSince ??= this.now
        if (this.now >= pipe.heldSince + HELD_LIMIT) {
          this.#cut(link, 0)
          return
        }
        pipe.pumping = true
        this.#queue.push(this.now + HELD_RETRY, () => {
          pipe.pumping = false
          this.#pump(link, from, to)
        })
        return
      }
      pipe.heldSince = undefined
      pipe.queue.shift()
      this.#deliver(link, from, to, head.bytes)
      this.#pump(link, from, to)
    })
  }

  #deliver(link: Link<C, E>, from: End<C, E>, to: End<C, E>, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) {
      link.broken = true
      this.#close(to)
      this.#close(from)
      return
    }
    if (to.ended) return
    this.#record('received', to.node, to.id, bytes)
    this.#turn(to.node, 'received', (core, out) => core.received(to.id, bytes, this.now, out))
  }

  #end(node: Node<C, E>, id: LinkId, reset: boolean): void {
    const link = node.links.get(id)
    if (link === undefined || link.broken) return
    const [from, to] = sides(link, node, id)
    if (from.ended) return
    from.ended = true
    if (reset || !from.known) {
      this.#cut(link, link.latency)
      return
    }
    this.#enqueue(link, from, undefined)
    this.#pump(link, from, to)
  }

  /** Ends a connection with all that is under way: its ends hear of it after `delay`, the one that ended it at once. */
  #cut(link: Link<C, E>, delay: Millis): void {
    if (link.broken) return
    link.broken = true
    for (const end of [link.dialler, link.listener]) {
      const { life } = end.node
      this.#queue.push(this.now + (end.ended ? 0 : delay), () => {
        if (end.node.life === life) this.#close(end)
      })
    }
  }

  #close(end: End<C, E>): void {
    const { node, id } = end
    if (!node.links.delete(id) || node.core === undefined) return
    this.#record('closed', node, id, undefined)
    this.#turn(node, 'closed', (core, out) => core.closed(id, this.now, out))
  }

  #latency(a: Node<C, E>, b: Node<C, E>): Millis {
    const key = a.name < b.name ? `${a.name} ${b.name}` : `${b.name} ${a.name}`
    const known = this.#latencies.get(key)
    if (known !== undefined) return known
    const [least, most] = this.#options.latency
    const latency = least + this.#random.below(most - least + 1)
    this.#latencies.set(key, latency)
    return latency
  }

  #chance(share: number): boolean {
    return share > 0 && this.#random.below(1_000_000) < share * 1_000_000
  }

  #record(what: string, node: Node<C, E>, id: LinkId, bytes: Uint8Array | undefined): void {
    this.#mix(this.now)
    for (let i = 0; i < what.length; i++) this.#mix(what.charCodeAt(i))
    for (let i = 0; i < node.name.length; i++) this.#mix(node.name.charCodeAt(i))
    this.#mix(id)
    if (bytes === undefined) return
    this.#mix(bytes.length)
    for (let i = 0; i < bytes.length && i < 16; i++) this.#mix(bytes[i]!)
  }

  #mix(n: number): void {
    this.#traceHigh = Math.imul(this.#traceHigh ^ n, 0x01000193)
    this.#traceLow = Math.imul((this.#traceLow << 5) ^ (this.#traceLow >>> 27) ^ n, 0x9e3779b1)
  }
}

function end<C, E>(node: Node<C, E>, id: LinkId): End<C, E> {
  const pipe: Pipe = {
    queue: [],
    busyUntil: 0,
    lastDue: 0,
    promised: false,
    heldSince: undefined,
    pumping: false,
  }
  return { node, id, known: false, ended: false, pipe }
}

/** The end that `node` calls `id`, and the other. */
function sides<C, E>(link: Link<C, E>, node: Node<C, E>, id: LinkId): [End<C, E>, End<C, E>] {
  const { dialler, listener } = link
  return dialler.node === node && dialler.id === id ? [dialler, listener] : [listener, dialler]
}
