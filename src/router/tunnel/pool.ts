/** The tunnels of one destination, or of the router itself (tunnel-implementation, "Tunnel Pools"). */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { jitter, type Random } from '../../base/random.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { InboundTunnel, OutboundTunnel, OwnTunnel } from './own-tunnel.ts'
import type {
  Direction,
  Due,
  InboundView,
  PoolId,
  PoolOptions,
  PoolView,
  SideOptions,
  TunnelSink,
  TunnelUsage,
} from './tunnel-event.ts'

// Implementation constants
/** Attempts under way for one direction: its quantity, and as many again to replace slow ones. */
const MAX_BUILDS_PER_SIDE = 8
/** A side that has nothing of its length does not wait for a build's time-out before it tries elsewhere. */
const IMPATIENT_AFTER: Millis = 1500
/** Pauses after failures: from this, doubled each time, up to a bound; shorter for a side that has nothing. */
const FIRST_PAUSE: Millis = 500
const MAX_PAUSE: Millis = 60_000
const MAX_PAUSE_EMPTY: Millis = 8_000
const PAUSE_JITTER = 0.3
/** Conversations whose tunnel is remembered. */
const MAX_CONVERSATIONS = 1024

/** Counts routers over all pools of a router. */
export class Usage implements TunnelUsage {
  tunnels = 0
  readonly #counts = new Map<HashKey, number>()

  count(router: HashKey): number {
    return this.#counts.get(router) ?? 0
  }

  add(routers: Iterable<HashKey>, by: 1 | -1): void {
    this.tunnels += by
    for (const key of routers) {
      const count = this.count(key) + by
      if (count > 0) this.#counts.set(key, count)
      else this.#counts.delete(key)
    }
  }
}

/** A build under way. */
export interface Building {
  readonly startedAt: Millis
  readonly routers: readonly HashKey[]
}

export interface SideKeeper {
  /** Builds what is missing. */
  tend(side: Side, now: Millis, out: TunnelSink): void
}

/** One direction of a pool. */
export class Side<T extends OwnTunnel = OwnTunnel> implements Due {
  readonly pool: Pool
  readonly direction: Direction
  length: number
  quantity: number
  /** Working ones, oldest first. */
  readonly tunnels: T[] = []
  readonly building: Set<Building> = new Set()
  /** Not to be tended before. */
  retryAt: Millis = Number.NEGATIVE_INFINITY
  /** When it last looked for hops. */
  triedAt: Millis = Number.NEGATIVE_INFINITY
  #failures = 0
  readonly #keeper: SideKeeper

  constructor(pool: Pool, direction: Direction, options: SideOptions, keeper: SideKeeper) {
    this.pool = pool
    this.direction = direction
    this.length = options.length
    this.quantity = options.quantity
    this.#keeper = keeper
  }

  due(now: Millis, out: TunnelSink): void {
    this.#keeper.tend(this, now, out)
  }

  /** Tunnels that need no successor yet. */
  fresh(): T[] {
    return this.tunnels.filter((t) => !t.retiring)
  }

  /** Whether it has no tunnel of its length, as at first and when that has changed. */
  get wanting(): boolean {
    return !this.tunnels.some((t) => t.hops.length === this.length)
  }

  /** How many builds to start. Those under way for another length do not count. */
  missing(now: Millis): number {
    const { wanting } = this
    let expected = 0
    for (const b of this.building) {
      if (b.routers.length === this.length && (!wanting || b.startedAt + IMPATIENT_AFTER > now)) expected++
    }
    const missing = this.quantity - this.fresh().length - expected
    return Math.min(missing, MAX_BUILDS_PER_SIDE - this.building.size)
  }

  /** When a side that is wanting gives up waiting for its youngest build. */
  impatientAt(): Millis | undefined {
    if (!this.wanting || this.building.size >= MAX_BUILDS_PER_SIDE) return undefined
    let latest: Millis | undefined
    for (const b of this.building) if (latest === undefined || b.startedAt > latest) latest = b.startedAt
    return latest === undefined ? undefined : latest + IMPATIENT_AFTER
  }

  /** A build failed: several that fail together count once. */
  failed(now: Millis, random: Random): void {
    if (now < this.retryAt) return
    const bound = this.wanting ? MAX_PAUSE_EMPTY : MAX_PAUSE
    const pause = Math.min(FIRST_PAUSE * 2 ** Math.min(this.#failures, 20), bound)
    this.#failures++
    this.retryAt = now + jitter(random, pause, PAUSE_JITTER)
  }

  succeeded(): void {
    this.#failures = 0
    this.retryAt = Number.NEGATIVE_INFINITY
  }

  remove(tunnel: T): boolean {
    const i = this.tunnels.indexOf(tunnel)
    if (i < 0) return false
    this.tunnels.splice(i, 1)
    return true
  }
}

export class Pool implements PoolView {
  readonly id: PoolId
  readonly name: string
  readonly kind: 'exploratory' | 'client'
  readonly disjoint: boolean
  readonly trusted: readonly Hash[] | undefined
  readonly key: Uint8Array
  readonly usage: Usage
  readonly inbound: Side<InboundTunnel>
  readonly outbound: Side<OutboundTunnel>
  removed = false
  readonly #random: Random
  readonly #conversations = new Lru<HashKey, OutboundTunnel>(MAX_CONVERSATIONS)

  constructor(id: PoolId, options: PoolOptions, usage: Usage, random: Random, keeper: SideKeeper) {
    this.id = id
    this.name = options.name
    this.kind = options.kind
    this.disjoint = options.disjoint
    this.trusted = options.trusted
    this.key = random.bytes(32)
    this.usage = usage
    this.#random = random
    this.inbound = new Side<InboundTunnel>(this, 'inbound', options.inbound, keeper)
    this.outbound = new Side<OutboundTunnel>(this, 'outbound', options.outbound, keeper)
  }

  routers(direction: Direction): ReadonlySet<HashKey> {
    const side: Side = direction === 'inbound' ? this.inbound : this.outbound
    const routers = new Set<HashKey>()
    for (const tunnel of side.tunnels) for (const hop of tunnel.hops) routers.add(hashKey(hop.hash))
    for (const building of side.building) for (const key of building.routers) routers.add(key)
    return routers
  }

  /** Inbound tunnels that others may be told of, newest first. Those of a length no longer wanted only when there is no other. */
  leases(): InboundView[] {
    const { tunnels, length } = this.inbound
    const good = tunnels.filter((t) => !t.retiring || t.hops.length === length)
    const offered = good.some((t) => !t.retiring) ? good : tunnels
    return offered.map((t) => t.view()).reverse()
  }

  anyInbound(): InboundTunnel | undefined {
    return this.#best(this.inbound)
  }

  /** One conversation keeps to one tunnel, while that works: messages keep their order. */
  anyOutbound(conversation: Hash | undefined): OutboundTunnel | undefined {
    if (conversation === undefined) return this.#best(this.outbound)
    const key = hashKey(conversation)
    const kept = this.#conversations.get(key)
    if (kept !== undefined && this.#usable(kept)) return kept
    const chosen = this.#best(this.outbound)
    if (chosen !== undefined) this.#conversations.set(key, chosen)
    return chosen
  }

  /** A conversation goes unanswered: its next message takes another tunnel. */
  leave(conversation: Hash): void {
    const key = hashKey(conversation)
    const left = this.#conversations.get(key)
    if (left === undefined) return
    const other = this.#best(this.outbound, left)
    if (other !== undefined) this.#conversations.set(key, other)
  }

  #usable(tunnel: OutboundTunnel): boolean {
    return !tunnel.retiring && tunnel.failures === 0 && this.outbound.tunnels.includes(tunnel)
  }

  /** Any that neither retires nor failed a test; else any that does not retire; else any. */
  #best<T extends OwnTunnel>(side: Side<T>, except?: T): T | undefined {
    const all = side.tunnels.filter((t) => t !== except)
    const fresh = all.filter((t) => !t.retiring)
    const sound = fresh.filter((t) => t.failures === 0)
    const choice = sound.length > 0 ? sound : fresh.length > 0 ? fresh : all
    return choice.length === 0 ? undefined : choice[this.#random.below(choice.length)]
  }
}
