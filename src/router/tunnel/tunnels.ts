/** All tunnels of one router: those it takes part in, and its own, in pools. */

import { Reader, sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { TimedCore } from '../../base/core.ts'
import { earliest } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { jitter, type Random } from '../../base/random.ts'
import type { TokenBucket } from '../../base/token-bucket.ts'
import { type I2npMessage, isExpired, MessageType } from '../../protocol/i2np/message.ts'
import { readTunnelGateway } from '../../protocol/i2np/tunnel-gateway.ts'
import { type Hash, hashKey } from '../../protocol/structures/hash.ts'
import type { LocalIdentity } from '../../protocol/structures/identity.ts'
import { Builder, type BuildOwner, type NotStarted } from './builder.ts'
import { type InboundTunnel, OutboundTunnel, type OwnTunnel } from './own-tunnel.ts'
import { Pool, type Side, type SideKeeper, Usage } from './pool.ts'
import { TUNNEL_DATA_PAYLOAD, TunnelTable, tunnelIdOf } from './table.ts'
import { Transit } from './transit.ts'
import type {
  Due,
  HopSelector,
  InboundView,
  OutboundDelivery,
  PoolId,
  PoolOptions,
  TransitLimits,
  TunnelEvent,
  TunnelSink,
} from './tunnel-event.ts'
import { type TestOwner, TunnelTests } from './tunnel-test.ts'

// Implementation constants
/** When there were no hops: news of routers come as `peersChanged`, this is for what changes by time alone. */
const RETRY_WITHOUT_HOPS: Millis = 5_000
/** Choosing hops looks at every router we know, and news of routers come in crowds. */
const MIN_BETWEEN_CHOICES: Millis = 50
/** For the rates that hold a build back. */
const RETRY_THROTTLED: Millis = 250
const RETRY_JITTER = 0.2

export interface TunnelsParameters {
  readonly local: LocalIdentity
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  readonly limits: TransitLimits
  /** The account of everything that comes in, kept by who reads it. */
  readonly inbound: TokenBucket
  readonly selectHops: HopSelector
}

/** For status pages. */
export interface TunnelCounts {
  readonly transit: number
  /** Tunnel messages carried for others. */
  readonly transitBytes: number
  /** Working tunnels, both directions. */
  readonly exploratory: number
  readonly client: number
  readonly buildsTried: number
  readonly buildsSucceeded: number
}

export class Tunnels implements TimedCore<TunnelEvent>, SideKeeper, BuildOwner, TestOwner {
  readonly #table: TunnelTable
  readonly #transit: Transit
  readonly #builder: Builder
  readonly #tests: TunnelTests
  readonly #usage = new Usage()
  readonly #pools = new Map<PoolId, Pool>()
  /** Ends and replacements. */
  readonly #lives = new Map<OwnTunnel, Due>()
  #nextPool: PoolId = 1
  #started = false

  constructor(p: TunnelsParameters) {
    const { random, clock, log } = p
    this.#table = new TunnelTable({ self: p.local.identity.hash, random, clock, log })
    this.#transit = new Transit(this.#table, p.local.encryption, p.limits, p.inbound)
    this.#builder = new Builder({
      table: this.#table,
      selectHops: p.selectHops,
      exploratory: () => this.#exploratory(),
      owner: this,
    })
    this.#tests = new TunnelTests(this.#table, this)
  }

  /** Builds from now on. */
  start(now: Millis, out: TunnelSink): void {
    this.#started = true
    this.#tendAll(now, out)
  }

  /** Messages of types 18, 19 and 25 from a neighbour. Owns their payloads. */
  handle(from: Hash, message: I2npMessage, now: Millis, out: TunnelSink): void {
    if (isExpired(message, this.#table.clock.wall(now))) return
    switch (message.type) {
      case MessageType.TunnelData: {
        if (message.payload.length !== TUNNEL_DATA_PAYLOAD) return
        this.#table.get(tunnelIdOf(message.payload)!)?.data(from, message, now, out)
        return
      }
      case MessageType.TunnelGateway:
        this.#gateway(message.payload, now, out)
        return
      case MessageType.ShortTunnelBuild:
        if (!this.#builder.reply(from, message, now, out)) this.#transit.build(from, message, now, out)
        return
      default:
        return
    }
  }

  /**
   * Messages whose sender is nobody in particular: type 26 out of a tunnel of `pool`, type 25 out of garlic, or of somebody's
   * tunnel that ends here.
   */
  handleUnwrapped(message: I2npMessage, pool: PoolId | undefined, now: Millis, out: TunnelSink): void {
    if (isExpired(message, this.#table.clock.wall(now))) return
    if (pool !== undefined) {
      if (message.type === MessageType.OutboundTunnelBuildReply) this.#builder.reply(pool, message, now, out)
    } else if (message.type === MessageType.ShortTunnelBuild)
      this.#transit.build(undefined, message, now, out)
  }

  /** True when the DeliveryStatus, out of a tunnel of `pool`, answers one of our tests. */
  deliveryStatus(message: I2npMessage, pool: PoolId, out: TunnelSink): boolean {
    return this.#tests.answered(message, pool, out)
  }

  /** Its tunnels are built from the next `timeout` on, which is due at once. */
  addPool(options: PoolOptions): PoolId {
    const id = this.#nextPool++
    const pool = new Pool(id, options, this.#usage, this.#table.random, this)
    this.#pools.set(id, pool)
    for (const side of sides(pool)) this.#table.deadlines.set(side, 0)
    return id
  }

  /** Its inbound tunnels are silent from now on; hops forget them in their time. */
  removePool(id: PoolId): void {
    const pool = this.#pools.get(id)
    if (pool === undefined) return
    pool.removed = true
    this.#pools.delete(id)
    this.#builder.forget(pool)
    this.#tests.remove(pool)
    for (const side of sides(pool)) {
      this.#table.deadlines.clear(side)
      for (const tunnel of [...side.tunnels]) this.#close(side, tunnel)
    }
  }

  /** Fewer: tunnels are not replaced. More: they are built now. Lengths stay. */
  setQuantity(id: PoolId, inbound: number, outbound: number, now: Millis, out: TunnelSink): void {
    const pool = this.#pools.get(id)
    if (pool === undefined) return
    pool.inbound.quantity = inbound
    pool.outbound.quantity = outbound
    for (const side of sides(pool)) this.tend(side, now, out)
  }

  /** Tunnels of another length get successors now and work until their end. */
  setLength(id: PoolId, inbound: number, outbound: number, now: Millis, out: TunnelSink): void {
    const pool = this.#pools.get(id)
    if (pool === undefined) return
    for (const [side, length] of [
      [pool.inbound, inbound],
      [pool.outbound, outbound],
    ] as const) {
      if (side.length === length) continue
      side.length = length
      for (const tunnel of side.tunnels) tunnel.retiring ||= tunnel.hops.length !== length
      side.succeeded() // what failed was another length
      this.tend(side, now, out)
    }
  }

  setLimits(limits: TransitLimits): void {
    this.#transit.limits = limits
  }

  /** Working inbound tunnels, newest first: for leases and reply paths. */
  inbound(id: PoolId): readonly InboundView[] {
    return this.#pools.get(id)?.leases() ?? []
  }

  /** Whom our inbound tunnels run through, from the gateway to us. For the owner's eyes only. */
  inboundHops(id: PoolId): readonly (InboundView & { readonly hops: readonly Hash[] })[] {
    const tunnels = this.#pools.get(id)?.inbound.tunnels ?? []
    return tunnels.map((t) => ({ ...t.view(), hops: t.hops.map((hop) => hop.hash) }))
  }

  /** Whom a conversation's messages go through, from us to the endpoint. For the owner's eyes only. */
  outboundHops(id: PoolId, conversation: Hash): readonly Hash[] {
    return (
      this.#pools
        .get(id)
        ?.anyOutbound(conversation)
        ?.hops.map((hop) => hop.hash) ?? []
    )
  }

  outboundCount(id: PoolId): number {
    return this.#pools.get(id)?.outbound.tunnels.length ?? 0
  }

  /**
   * Through an outbound tunnel of the pool. Messages of one conversation keep to one tunnel while it works. False when there
   * is none, or the message is too long.
   */
  send(
    id: PoolId,
    to: OutboundDelivery,
    message: I2npMessage,
    now: Millis,
    out: TunnelSink,
    conversation?: Hash,
  ): boolean {
    return this.#pools.get(id)?.anyOutbound(conversation)?.send(to, message, now, out) ?? false
  }

  /** A conversation goes unanswered: it takes another tunnel from now on. */
  conversationLost(id: PoolId, conversation: Hash): void {
    this.#pools.get(id)?.leave(conversation)
  }

  /** There are other routers than before, or new connections: sides that lack tunnels try again. */
  peersChanged(now: Millis, out: TunnelSink): void {
    for (const pool of this.#pools.values()) {
      for (const side of sides(pool)) {
        if (!side.wanting || side.missing(now) <= 0) continue
        const at = side.triedAt + MIN_BETWEEN_CHOICES
        side.retryAt = Math.min(side.retryAt, at)
        if (at > now) this.#table.deadlines.set(side, at)
        else this.tend(side, now, out)
      }
    }
  }

  /** No connection to `peer` can be had. */
  unreachable(peer: Hash, now: Millis, out: TunnelSink): void {
    this.#builder.unreachable(peer, now, out)
    for (const pool of this.#pools.values()) {
      for (const tunnel of [...pool.outbound.tunnels]) {
        const first = tunnel.hops[0]
        if (first !== undefined && sameBytes(first.hash, peer)) this.#drop(pool.outbound, tunnel, now, out)
      }
    }
  }

  /** `peer` is no more, which only a neighbour of it can know: every tunnel through it is dead, wherever it stands there. */
  gone(peer: Hash, now: Millis, out: TunnelSink): void {
    this.#builder.unreachable(peer, now, out)
    for (const pool of this.#pools.values())
      for (const side of sides(pool))
        for (const tunnel of [...side.tunnels])
          if (tunnel.hops.some((hop) => sameBytes(hop.hash, peer))) this.#drop(side, tunnel, now, out)
  }

  counts(): TunnelCounts {
    let exploratory = 0
    let client = 0
    for (const pool of this.#pools.values()) {
      const count = pool.inbound.tunnels.length + pool.outbound.tunnels.length
      if (pool.kind === 'exploratory') exploratory += count
      else client += count
    }
    const { tried, succeeded } = this.#builder
    return {
      transit: this.#transit.count,
      transitBytes: this.#transit.bytes,
      exploratory,
      client,
      buildsTried: tried,
      buildsSucceeded: succeeded,
    }
  }

  /** Completes what messages have begun: until this, or `timeout`, their blocks wait for others to be layered with. */
  flush(now: Millis, out: TunnelSink): void {
    this.#table.flush(now, out)
  }

  timeout(now: Millis, out: TunnelSink): void {
    const { deadlines } = this.#table
    for (let due = deadlines.due(now); due !== undefined; due = deadlines.due(now)) due.due(now, out)
    this.flush(now, out)
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#table.waitingSince, this.#table.deadlines.next())
  }

  // SideKeeper

  tend(side: Side, now: Millis, out: TunnelSink): void {
    if (!this.#started || side.pool.removed) return
    if (now < side.retryAt) {
      if (side.missing(now) > 0) this.#table.deadlines.set(side, side.retryAt)
      return
    }
    this.#tests.add(side.pool, now)
    let obstacle: NotStarted | undefined
    while (obstacle === undefined && side.missing(now) > 0) obstacle = this.#builder.start(side, now, out)
    const again = obstacle === undefined ? side.impatientAt() : now + this.#pause(obstacle)
    if (again !== undefined) this.#table.deadlines.set(side, Math.max(again, now + 1))
  }

  // BuildOwner

  outboundBuilt(side: Side<OutboundTunnel>, tunnel: OutboundTunnel, now: Millis, out: TunnelSink): void {
    this.#live(side, tunnel, tunnel.expiresAt)
    side.tunnels.push(tunnel)
    this.#built(side, tunnel, now, out)
  }

  inboundBuilt(side: Side<InboundTunnel>, tunnel: InboundTunnel, now: Millis, out: TunnelSink): void {
    this.#live(side, tunnel, tunnel.closeAt)
    side.tunnels.push(tunnel)
    this.#built(side, tunnel, now, out)
  }

  buildFailed(side: Side, now: Millis, out: TunnelSink): void {
    side.failed(now, this.#table.random)
    this.tend(side, now, out)
  }

  // TestOwner

  testFailed(pool: Pool, tunnel: OwnTunnel, now: Millis, out: TunnelSink): void {
    if (tunnel instanceof OutboundTunnel) this.#drop(pool.outbound, tunnel, now, out)
    else this.#drop(pool.inbound, tunnel, now, out)
  }

  #gateway(payload: Uint8Array, now: Millis, out: TunnelSink): void {
    try {
      const { tunnelId, message } = readTunnelGateway(new Reader(payload))
      this.#table.get(tunnelId)?.gateway(message, now, out)
    } catch (e) {
      if (!(e instanceof MalformedError)) throw e
    }
  }

  #exploratory(): Pool | undefined {
    for (const pool of this.#pools.values()) if (pool.kind === 'exploratory') return pool
    return undefined
  }

  #built(side: Side, tunnel: OwnTunnel, now: Millis, out: TunnelSink): void {
    // The length may have changed while it was built.
    tunnel.retiring = tunnel.hops.length !== side.length
    side.succeeded()
    this.#changed(side, out)
    // The path that other pools waited for.
    if (side.pool.kind === 'exploratory' && side.tunnels.length === 1) this.#tendAll(now, out)
  }

  #tendAll(now: Millis, out: TunnelSink): void {
    for (const pool of this.#pools.values()) for (const side of sides(pool)) this.tend(side, now, out)
  }

  /** Retires the tunnel, then takes it from its pool, then forgets it. */
  #live(side: Side, tunnel: OwnTunnel, closeAt: Millis): void {
    const { deadlines } = this.#table
    const life: Due = {
      due: (now, out) => {
        if (now >= tunnel.expiresAt) {
          this.#drop(side, tunnel, now, out)
          if (now < closeAt) deadlines.set(life, closeAt)
          else this.#close(side, tunnel)
        } else {
          deadlines.set(life, tunnel.expiresAt)
          tunnel.retiring = true
          this.tend(side, now, out)
        }
      },
    }
    this.#lives.set(tunnel, life)
    deadlines.set(life, tunnel.replaceAt)
  }

  /** It works no more, or should not be used: out of its pool. What is under way in it may still arrive. */
  #drop(side: Side, tunnel: OwnTunnel, now: Millis, out: TunnelSink): void {
    if (!this.#release(side, tunnel)) return
    this.#changed(side, out)
    this.tend(side, now, out)
  }

  #close(side: Side, tunnel: OwnTunnel): void {
    this.#release(side, tunnel)
    const life = this.#lives.get(tunnel)
    if (life !== undefined) this.#table.deadlines.clear(life)
    this.#lives.delete(tunnel)
    tunnel.close()
  }

  #release(side: Side, tunnel: OwnTunnel): boolean {
    if (!side.remove(tunnel)) return false
    this.#usage.add(
      tunnel.hops.map((hop) => hashKey(hop.hash)),
      -1,
    )
    return true
  }

  #changed(side: Side, out: TunnelSink): void {
    out.event({ kind: 'pool-changed', pool: side.pool.id, direction: side.direction })
  }

  #pause(obstacle: NotStarted): Millis {
    const pause = obstacle === 'throttled' || obstacle === 'busy' ? RETRY_THROTTLED : RETRY_WITHOUT_HOPS
    return jitter(this.#table.random, pause, RETRY_JITTER)
  }
}

function sides(pool: Pool): readonly Side[] {
  return [pool.inbound, pool.outbound]
}
