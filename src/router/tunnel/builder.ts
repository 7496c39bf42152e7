/** Builds our own tunnels: hops, request, reply (tunnel-creation-ecies, "Message Flow"). */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { randomId } from '../../base/random.ts'
import { Throttle } from '../../base/throttle.ts'
import {
  type BuildStatuses,
  createBuild,
  type Hop,
  readBuildReplies,
  type TunnelBuild,
  type TunnelHop,
} from '../../protocol/build/creator.ts'
import { ACCEPTED, buildMinutes } from '../../protocol/build/record.ts'
import { writeGarlic } from '../../protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../protocol/i2np/message.ts'
import { LOCAL_DELIVERY } from '../../protocol/ratchet/clove.ts'
import { wrapForRouter } from '../../protocol/ratchet/router-garlic.ts'
import { type Hash, type HashKey, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import { FragmentBudget } from '../../protocol/tunnel-data/reassembler.ts'
import { InboundTunnel, OutboundTunnel } from './own-tunnel.ts'
import type { Building, Pool, Side } from './pool.ts'
import type { TunnelTable } from './table.ts'
import type { Due, HopSelector, PeerResult, PoolId, TunnelSink } from './tunnel-event.ts'

// Implementation constants
/** Through eight hops and two tunnels on slow links; most answers take under a second. */
const BUILD_TIMEOUT: Millis = 9_000
/** All pools together: more would be noticed as a flood by the routers that carry them. */
const MAX_BUILDS = 32
/** Requests that we hand to one neighbour, a second and at once: others drop what exceeds 5 a second. */
const NEIGHBOUR_BUILDS = { perSecond: 4, burst: 5 } as const
const MAX_NEIGHBOURS = 1024
/** Bytes of unfinished messages in all our inbound tunnels: a few hundred of the longest. */
const OWN_FRAGMENT_BYTES = 16 << 20

/** Why a build did not start. */
export type NotStarted = 'busy' | 'no-hops' | 'no-path' | 'throttled'

export interface BuilderParameters {
  readonly table: TunnelTable
  readonly selectHops: HopSelector
  readonly exploratory: () => Pool | undefined
  readonly owner: BuildOwner
}

export interface BuildOwner {
  outboundBuilt(side: Side<OutboundTunnel>, tunnel: OutboundTunnel, now: Millis, out: TunnelSink): void
  inboundBuilt(side: Side<InboundTunnel>, tunnel: InboundTunnel, now: Millis, out: TunnelSink): void
  buildFailed(side: Side, now: Millis, out: TunnelSink): void
}

interface Pending extends Building, Due {
  readonly side: Side
  readonly hops: readonly Hop[]
  readonly build: TunnelBuild
  /** The router to which the request went, when it went straight. */
  readonly neighbour: HashKey | undefined
  readonly replyId: number
  /** Outbound: out of whose tunnel the reply comes. */
  readonly replyPool: PoolId
  /** Inbound: where the tunnel shall reach us. Outbound: the receiver for a reply that comes straight to us. */
  readonly tunnelId: number | undefined
}

export class Builder {
  tried = 0
  succeeded = 0
  readonly #table: TunnelTable
  readonly #selectHops: HopSelector
  readonly #exploratory: () => Pool | undefined
  readonly #owner: BuildOwner
  readonly #byReplyId = new Map<number, Pending>()
  readonly #neighbours = new Throttle({ each: NEIGHBOUR_BUILDS }, MAX_NEIGHBOURS)
  readonly #fragments = new FragmentBudget(OWN_FRAGMENT_BYTES)

  constructor(p: BuilderParameters) {
    this.#table = p.table
    this.#selectHops = p.selectHops
    this.#exploratory = p.exploratory
    this.#owner = p.owner
  }

  /** Starts one build, or says why not. A tunnel without hops stands at once. */
  start(side: Side, now: Millis, out: TunnelSink): NotStarted | undefined {
    if (side.length === 0) {
      this.#stand(side, [], this.#table.freeId(), now, now, out)
      return undefined
    }
    if (this.#byReplyId.size >= MAX_BUILDS) return 'busy'
    // The path first: choosing hops looks at every router we know.
    const path = side.direction === 'outbound' ? this.#replyPath(side.pool) : this.#requestPath(side.pool)
    if (path === undefined) return 'no-path'
    side.triedAt = now
    const hops = this.#selectHops(side.pool, side.direction, side.length, now)
    if (hops === undefined || hops.length !== side.length) return 'no-hops'
    const straight = side.direction === 'outbound' || path === 'straight'
    const neighbour = straight ? hashKey(hops[0]!.hash) : undefined
    if (neighbour !== undefined && !this.#neighbours.take(neighbour, now)) return 'throttled'
    const tunnelId = path === 'straight' || side.direction === 'inbound' ? this.#table.freeId() : undefined
    const replyId = this.#freeReplyId()
    const build = this.#create(side, hops, path, tunnelId, replyId, now)
    if (build === undefined) return 'no-hops'
    const routers = hops.map((hop) => hashKey(hop.hash))
    const pending: Pending = {
      side,
      hops,
      build,
      neighbour,
      replyId,
      replyPool: path instanceof InboundTunnel ? path.pool : side.pool.id,
      tunnelId,
      routers,
      startedAt: now,
      due: (at, sink) => this.#timedOut(pending, at, sink),
    }
    this.#byReplyId.set(replyId, pending)
    side.building.add(pending)
    side.pool.usage.add(routers, 1)
    this.tried++
    this.#table.deadlines.set(pending, now + BUILD_TIMEOUT)
    if (side.direction === 'outbound') this.#requestOutbound(pending, path, now, out)
    else this.#requestInbound(pending, path, now, out)
    return undefined
  }

  /**
   * A message that may end one of our builds: a ShortTunnelBuild from the last hop of an inbound tunnel, or an
   * OutboundTunnelBuildReply out of a tunnel of the pool that was to bring it. An endpoint that could send it any other way
   * would find out who built the tunnel. True when it did.
   */
  reply(from: Hash | PoolId, message: I2npMessage, now: Millis, out: TunnelSink): boolean {
    const pending = this.#byReplyId.get(message.id)
    if (pending === undefined) return false
    const inbound = pending.side.direction === 'inbound'
    if (inbound !== (message.type === MessageType.ShortTunnelBuild)) return false
    const expected = inbound
      ? typeof from !== 'number' && sameBytes(from, pending.hops.at(-1)!.hash)
      : from === pending.replyPool
    if (!expected) return false
    this.#end(pending)
    const statuses = readBuildReplies(pending.build, message.payload)
    this.#log(pending, statuses?.join(' ') ?? 'unreadable', now)
    if (statuses?.every((s) => s === ACCEPTED)) {
      this.succeeded++
      this.#results(pending, statuses, out)
      this.#stand(pending.side, pending.build.hops, pending.tunnelId, pending.startedAt, now, out)
    } else {
      if (statuses !== undefined) this.#results(pending, statuses, out)
      this.#owner.buildFailed(pending.side, now, out)
    }
    return true
  }

  /** No connection to `peer` can be had: what was handed to it is lost. */
  unreachable(peer: Hash, now: Millis, out: TunnelSink): void {
    const key = hashKey(peer)
    for (const pending of [...this.#byReplyId.values()]) {
      if (pending.neighbour !== key) continue
      this.#end(pending)
      this.#owner.buildFailed(pending.side, now, out)
    }
  }

  /** Forgets the builds of a pool that is gone. */
  forget(pool: Pool): void {
    for (const pending of [...this.#byReplyId.values()]) if (pending.side.pool === pool) this.#end(pending)
  }

  /** The inbound tunnel that brings the reply of an outbound build. */
  #replyPath(pool: Pool): InboundTunnel | 'straight' | undefined {
    return this.#viaExploratory(pool)?.anyInbound() ?? pool.anyInbound() ?? this.#withoutTunnel(pool)
  }

  /** The outbound tunnel that takes the request of an inbound build. */
  #requestPath(pool: Pool): OutboundTunnel | 'straight' | undefined {
    const tunnel = this.#viaExploratory(pool)?.anyOutbound(undefined) ?? pool.anyOutbound(undefined)
    return tunnel ?? this.#withoutTunnel(pool)
  }

  #viaExploratory(pool: Pool): Pool | undefined {
    return pool.kind === 'exploratory' ? pool : this.#exploratory()
  }

  /** The first tunnels of a router cannot hide who builds them; a client's wait until those stand. */
  #withoutTunnel(pool: Pool): 'straight' | undefined {
    return pool.kind === 'exploratory' || this.#exploratory() === undefined ? 'straight' : undefined
  }

  #create(
    side: Side,
    hops: readonly Hop[],
    path: InboundTunnel | OutboundTunnel | 'straight',
    tunnelId: number | undefined,
    replyId: number,
    now: Millis,
  ): TunnelBuild | undefined {
    const { self, random, clock } = this.#table
    const minutes = buildMinutes(clock.wall(now))
    if (side.direction === 'inbound') {
      return createBuild(hops, { direction: 'inbound', self, tunnelId: tunnelId! }, replyId, minutes, random)
    }
    const reply =
      path instanceof InboundTunnel
        ? { gateway: path.gatewayHash, tunnelId: path.gatewayTunnelId }
        : { gateway: self, tunnelId: tunnelId! }
    return createBuild(hops, { direction: 'outbound', ...reply }, replyId, minutes, random)
  }

  #requestOutbound(pending: Pending, path: unknown, now: Millis, out: TunnelSink): void {
    const { build, side, hops } = pending
    const table = this.#table
    if (path === 'straight') {
      // Stands only until the reply is there.
      const id = pending.tunnelId!
      table.add(id, new InboundTunnel(table, side.pool.id, id, [], now, this.#fragments))
    }
    const endpoint = hops.at(-1)!.hash
    // An endpoint that is itself the reply's gateway does not encrypt it.
    const bare = path instanceof InboundTunnel && sameBytes(path.gatewayHash, endpoint)
    if (build.garlicReply !== undefined && !bare) {
      const { key, tag } = build.garlicReply
      out.event({ kind: 'reply-key', pool: pending.replyPool, key, tag })
    }
    const message = table.envelope(MessageType.ShortTunnelBuild, build.payload, now)
    out.event({ kind: 'send', to: hops[0]!.hash, message, traffic: 'own' })
  }

  #requestInbound(pending: Pending, path: unknown, now: Millis, out: TunnelSink): void {
    const table = this.#table
    const gateway = pending.hops[0]!
    const message = table.envelope(MessageType.ShortTunnelBuild, pending.build.payload, now)
    const tunnel = path instanceof OutboundTunnel ? path : undefined
    // Garlic hides the request from the endpoint of the tunnel that brings it, unless that is the gateway.
    const bare = tunnel !== undefined && sameBytes(tunnel.endpoint, gateway.hash)
    const wrapped = bare ? message : this.#wrapped(gateway, message, now)
    if (wrapped === undefined) return
    if (tunnel === undefined) out.event({ kind: 'send', to: gateway.hash, message: wrapped, traffic: 'own' })
    else tunnel.send({ kind: 'router', hash: gateway.hash }, wrapped, now, out)
  }

  #wrapped(gateway: Hop, message: I2npMessage, now: Millis): I2npMessage | undefined {
    const { random, clock } = this.#table
    const cloves = [{ delivery: LOCAL_DELIVERY, message }]
    const garlic = wrapForRouter(gateway.encryptionKey, cloves, random, clock.wall(now))
    return garlic && this.#table.envelope(MessageType.Garlic, writeGarlic(garlic), now)
  }

  #stand(
    side: Side,
    hops: readonly TunnelHop[],
    tunnelId: number | undefined,
    startedAt: Millis,
    now: Millis,
    out: TunnelSink,
  ): void {
    const { pool } = side
    pool.usage.add(
      hops.map((hop) => hashKey(hop.hash)),
      1,
    )
    if (side.direction === 'outbound') {
      this.#owner.outboundBuilt(pool.outbound, new OutboundTunnel(this.#table, hops, startedAt), now, out)
      return
    }
    const tunnel = new InboundTunnel(this.#table, pool.id, tunnelId!, hops, startedAt, this.#fragments)
    this.#table.add(tunnel.tunnelId, tunnel)
    this.#owner.inboundBuilt(pool.inbound, tunnel, now, out)
  }

  /** Nobody knows which hop is at fault. */
  #timedOut(pending: Pending, now: Millis, out: TunnelSink): void {
    this.#end(pending)
    this.#log(pending, 'no answer', now)
    for (const hop of pending.hops) out.event({ kind: 'peer-result', peer: hop.hash, what: 'timeout' })
    this.#owner.buildFailed(pending.side, now, out)
  }

  #results(pending: Pending, statuses: BuildStatuses, out: TunnelSink): void {
    for (const [i, status] of statuses.entries()) {
      if (status === undefined) continue
      const what: PeerResult = status === ACCEPTED ? 'accepted' : 'declined'
      out.event({ kind: 'peer-result', peer: pending.hops[i]!.hash, what })
    }
  }

  #end(pending: Pending): void {
    this.#byReplyId.delete(pending.replyId)
    this.#table.deadlines.clear(pending)
    pending.side.building.delete(pending)
    pending.side.pool.usage.add(pending.routers, -1)
    if (pending.side.direction === 'outbound' && pending.tunnelId !== undefined)
      this.#table.remove(pending.tunnelId)
  }

  #log({ side, hops, startedAt }: Pending, answer: string, now: Millis): void {
    const { log } = this.#table
    if (!log.enabled('debug')) return
    const path = hops.map((hop) => shortHash(hop.hash)).join(' ')
    const took = Math.round(now - startedAt)
    log.write('debug', `${side.pool.name}: ${side.direction} build through ${path}: ${answer}, ${took} ms`)
  }

  #freeReplyId(): number {
    for (;;) {
      const id = randomId(this.#table.random)
      if (!this.#byReplyId.has(id)) return id
    }
  }
}
