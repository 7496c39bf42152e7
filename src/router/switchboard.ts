/**
 * Where the parts of a router meet. Transport, tunnels, netDb and destinations know nothing of each other: each emits what
 * should happen, and here every event is handed to the part that does it. Events are queued and settled at the end of a turn,
 * so no part is called while it is still working.
 */
import { Reader, sameBytes } from '../base/bytes.ts'
import type { Clock, Millis } from '../base/clock.ts'
import type { Sink } from '../base/core.ts'
import { MalformedError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { type Random, randomId } from '../base/random.ts'
import type { Traffic } from '../protocol/blocks/output-queue.ts'
import { TerminationReason } from '../protocol/blocks/termination.ts'
import { readGarlic, writeGarlic } from '../protocol/i2np/garlic.ts'
import { type I2npMessage, isExpired, MessageType, writeMessage } from '../protocol/i2np/message.ts'
import { writeTunnelGateway } from '../protocol/i2np/tunnel-gateway.ts'
import { type Clove, LOCAL_DELIVERY } from '../protocol/ratchet/clove.ts'
import { unwrapForRouter, wrapForRouter } from '../protocol/ratchet/router-garlic.ts'
import { type Hash, type HashKey, hashKey } from '../protocol/structures/hash.ts'
import type { LocalIdentity } from '../protocol/structures/identity.ts'
import type { RouterInfo } from '../protocol/structures/router-info.ts'
import type { Destination, DestinationEvent, StreamEvent } from './destination/destination.ts'
import type { Introductions } from './introductions.ts'
import type { Arrival, NetDbEvent } from './netdb/events.ts'
import type { NetDb } from './netdb/netdb.ts'
import { ReplyKeys } from './reply-keys.ts'
import type { TransportEvent } from './transport/events.ts'
import type { Transport } from './transport/transport.ts'
import type { PoolId, TunnelEvent } from './tunnel/tunnel-event.ts'
import type { Tunnels } from './tunnel/tunnels.ts'

// Specification constants

/** Life of the garlic we send for the netDb, ms (i2np, "Expiration"). */
const GARLIC_LIFETIME = 15_000

// Implementation constants

/** Events settled in one turn; more means two parts answer each other for ever, which is a bug. */
const MAX_SETTLED = 100_000

/** A destination of ours, its pool, and the number its owner knows it by. */
export interface LocalDestination {
  readonly id: number
  readonly pool: PoolId
  readonly destination: Destination
}

/** What a router tells the node around it. */
export type RouterEvent =
  | { readonly kind: 'stream'; readonly destination: number; readonly event: StreamEvent }
  | { readonly kind: 'peer-open'; readonly routerInfo: RouterInfo; readonly linkName: string | undefined }
  | { readonly kind: 'peer-closed'; readonly peer: Hash }
  /** What a peer's clock says, ms ahead of ours. */
  | { readonly kind: 'clock'; readonly peer: Hash; readonly offset: number }
  | { readonly kind: 'leases'; readonly destination: number }
  /** Ours is another one: to be kept, and told to neighbours. */
  | { readonly kind: 'router-info'; readonly routerInfo: RouterInfo }

export interface Parts {
  readonly local: LocalIdentity
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  readonly transport: Transport
  readonly tunnels: Tunnels
  readonly netdb: NetDb
  readonly exploratory: PoolId
  readonly mesh: boolean
  /** Told what a peer did with our builds and tests. */
  readonly peerResult: (e: Extract<TunnelEvent, { kind: 'peer-result' }>, now: Millis) => void
}

export class Switchboard {
  readonly byPool: Map<PoolId, LocalDestination> = new Map()
  /** Connected peers by hash, and the address each has. */
  readonly #connected = new Map<HashKey, string>()
  #reachable = 0
  /** Set once, where there is SSU2 and a NAT may be in the way. */
  introductions: Introductions | undefined
  readonly transportSink: Sink<TransportEvent>
  readonly tunnelSink: { event(e: TunnelEvent): void }
  readonly netdbSink: { event(e: NetDbEvent): void }
  readonly #parts: Parts
  readonly #replyKeys = new ReplyKeys()
  readonly #fromTransport: TransportEvent[] = []
  readonly #fromTunnels: TunnelEvent[] = []
  readonly #fromNetdb: NetDbEvent[] = []
  readonly #fromDestinations: { readonly at: LocalDestination; readonly event: DestinationEvent }[] = []
  #out: Sink<RouterEvent> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    const out = (): Sink<RouterEvent> => this.#out!
    this.transportSink = {
      udp: (to, bytes) => out().udp(to, bytes),
      tcpOpen: (to) => out().tcpOpen(to),
      tcpData: (id, bytes) => out().tcpData(id, bytes),
      tcpEnd: (id, reset) => out().tcpEnd(id, reset),
      event: (e) => void this.#fromTransport.push(e),
    }
    this.tunnelSink = { event: (e) => void this.#fromTunnels.push(e) }
    this.netdbSink = { event: (e) => void this.#fromNetdb.push(e) }
  }

  /** A sink for one destination's events. */
  sinkOf(at: LocalDestination): { event(e: DestinationEvent): void } {
    return { event: (event) => void this.#fromDestinations.push({ at, event }) }
  }

  /** Reachable routers, several identities behind one address counted as one (wireless: a laptop can invent twenty). */
  get reachable(): number {
    return this.#reachable
  }

  /** Runs `work` with `out` in place, then hands over all that came of it. */
  turn(now: Millis, out: Sink<RouterEvent>, work: () => void): void {
    this.#out = out
    try {
      work()
    } finally {
      // What `work` did before it threw has happened all the same.
      this.#finish(now)
    }
  }

  #finish(now: Millis): void {
    try {
      this.#settle(now)
      this.#parts.transport.flush(now, this.transportSink)
      this.#settle(now)
    } finally {
      // Not empty after a bug only: then the next turn does not begin where this one broke off.
      for (const queue of this.#queues()) queue.length = 0
      this.#out = undefined
    }
  }

  #queues(): readonly unknown[][] {
    return [this.#fromTransport, this.#fromTunnels, this.#fromNetdb, this.#fromDestinations]
  }

  /** To the node, from within a turn. */
  tell(e: RouterEvent): void {
    this.#out!.event(e)
  }

  #settle(now: Millis): void {
    let settled = 0
    for (;;) {
      settled += drain(this.#fromTransport, (e) => this.#onTransport(e, now))
      settled += this.introductions?.settle(now) ?? 0
      this.#parts.tunnels.flush(now, this.tunnelSink)
      if (this.#queues().every((q) => q.length === 0)) return
      settled += drain(this.#fromTunnels, (e) => this.#onTunnels(e, now))
      settled += drain(this.#fromNetdb, (e) => this.#onNetdb(e, now))
      settled += drain(this.#fromDestinations, (e) => this.#onDestination(e.at, e.event, now))
      if (settled > MAX_SETTLED) throw new Error('router: events do not settle')
    }
  }

  #onTransport(e: TransportEvent, now: Millis): void {
    const { transport, netdb } = this.#parts
    switch (e.kind) {
      case 'message':
        this.#fromPeer(e.from, e.message, now)
        return
      case 'session-open':
        netdb.addRouterInfo(e.routerInfo, now, this.netdbSink)
        this.#connected.set(hashKey(e.peer), e.endpoint.address)
        this.#reachable = new Set(this.#connected.values()).size
        this.#out!.event({ kind: 'peer-open', routerInfo: e.routerInfo, linkName: e.linkName })
        this.#parts.tunnels.peersChanged(now, this.tunnelSink)
        return
      case 'session-closed':
        this.#connected.delete(hashKey(e.peer))
        this.#reachable = new Set(this.#connected.values()).size
        // All are neighbours here: one that broke off, rather than fell silent, is gone for every tunnel.
        if (this.#parts.mesh && e.reason !== TerminationReason.idle) {
          for (const { destination } of this.byPool.values()) destination.gatewayGone(e.peer, now)
          this.#parts.tunnels.gone(e.peer, now, this.tunnelSink)
        }
        this.#out!.event({ kind: 'peer-closed', peer: e.peer })
        return
      case 'router-info':
        netdb.addRouterInfo(e.routerInfo, now, this.netdbSink)
        return
      case 'unknown-router':
        if (sameBytes(e.peer, this.#parts.local.identity.hash)) transport.routerNotFound(e.peer)
        else netdb.lookupRouter(e.peer, now, this.netdbSink)
        return
      case 'clock':
        this.#out!.event(e)
        return
      case 'dial-failed':
        this.#parts.peerResult({ kind: 'peer-result', peer: e.peer, what: 'timeout' }, now)
        this.#parts.tunnels.unreachable(e.peer, now, this.tunnelSink)
        this.introductions?.told(e, now)
        return
      case 'link-closed':
        return
      default:
        this.introductions?.told(e, now)
    }
  }

  /** A message that a session brought: only its sender is known, not its author. */
  #fromPeer(from: Hash, message: I2npMessage, now: Millis): void {
    const { tunnels, netdb, clock } = this.#parts
    switch (message.type) {
      case MessageType.TunnelData:
      case MessageType.TunnelGateway:
      case MessageType.ShortTunnelBuild:
      case MessageType.VariableTunnelBuild:
        tunnels.handle(from, message, now, this.tunnelSink)
        return
      case MessageType.Garlic:
        if (!isExpired(message, clock.wall(now))) this.#routerGarlic(message, now)
        return
      case MessageType.DatabaseStore:
      case MessageType.DatabaseLookup:
      case MessageType.DatabaseSearchReply:
      case MessageType.DeliveryStatus:
        if (!isExpired(message, clock.wall(now))) netdb.handle(from, message, 'session', now, this.netdbSink)
        return
      default:
        return
    }
  }

  /** What somebody's tunnel that ends here, or we ourselves, brought: there is no neighbour that it could be bound to. */
  #fromAnyone(message: I2npMessage, now: Millis): void {
    const { local, tunnels, netdb, clock } = this.#parts
    switch (message.type) {
      case MessageType.ShortTunnelBuild:
        tunnels.handleUnwrapped(message, undefined, now, this.tunnelSink)
        return
      case MessageType.DatabaseStore:
      case MessageType.DatabaseLookup:
        if (!isExpired(message, clock.wall(now)))
          netdb.handle(undefined, message, 'session', now, this.netdbSink)
        return
      default:
        this.#fromPeer(local.identity.hash, message, now)
    }
  }

  #onTunnels(e: TunnelEvent, now: Millis): void {
    switch (e.kind) {
      case 'send':
        this.#toRouter(e.to, e.message, e.traffic, now)
        return
      case 'received':
        this.#fromTunnel(e.pool, e.message, now)
        return
      case 'local':
        this.#fromAnyone(e.message, now)
        return
      case 'reply-key':
        this.#replyKeys.add(e.key, e.tag, e.pool, now)
        return
      case 'pool-changed':
        if (e.direction === 'inbound') this.leases(e.pool, now)
        return
      case 'peer-result':
        this.#parts.peerResult(e, now)
        return
    }
  }

  /** A message out of one of our inbound tunnels: its author may be anyone. */
  #fromTunnel(pool: PoolId, message: I2npMessage, now: Millis): void {
    const { tunnels, netdb } = this.#parts
    switch (message.type) {
      case MessageType.Garlic:
        this.#tunnelGarlic(pool, message, now)
        return
      case MessageType.DatabaseStore:
      case MessageType.DatabaseSearchReply:
      case MessageType.DeliveryStatus:
        netdb.handle(undefined, message, this.#arrival(pool), now, this.netdbSink)
        return
      case MessageType.OutboundTunnelBuildReply:
        tunnels.handleUnwrapped(message, pool, now, this.tunnelSink)
        return
      default:
        return
    }
  }

  /** An answer to a question of this pool, or for its destination. Nobody is told to write to our router this way. */
  #tunnelGarlic(pool: PoolId, message: I2npMessage, now: Millis): void {
    const reply = this.#replyKeys.open(readOr(message), pool, now)
    if (reply !== undefined) {
      this.#clove(reply, pool, now)
      return
    }
    const at = this.byPool.get(pool)
    if (at !== undefined) at.destination.received(message, now, this.sinkOf(at))
  }

  #routerGarlic(message: I2npMessage, now: Millis): void {
    const { local, clock } = this.#parts
    const cloves = unwrapForRouter(local.encryption, readOr(message), clock.wall(now))
    for (const clove of cloves ?? []) this.#clove(clove, undefined, now)
  }

  /**
   * A clove for this router, out of a tunnel of `pool` or of no tunnel. Others are not forwarded: nothing we hand out asks for it
   * (ecies-routers).
   */
  #clove(clove: Clove, pool: PoolId | undefined, now: Millis): void {
    const { tunnels, netdb, clock } = this.#parts
    const { message } = clove
    if (clove.delivery.kind !== 'local' || isExpired(message, clock.wall(now))) return
    switch (message.type) {
      case MessageType.OutboundTunnelBuildReply:
      case MessageType.ShortTunnelBuild:
        tunnels.handleUnwrapped(message, pool, now, this.tunnelSink)
        return
      case MessageType.DatabaseStore:
      case MessageType.DatabaseLookup:
      case MessageType.DatabaseSearchReply:
        netdb.handle(undefined, message, this.#arrival(pool), now, this.netdbSink)
        return
      case MessageType.DeliveryStatus:
        if (pool === undefined || !tunnels.deliveryStatus(message, pool, this.tunnelSink))
          netdb.handle(undefined, message, this.#arrival(pool), now, this.netdbSink)
        return
      default:
        return
    }
  }

  #arrival(pool: PoolId | undefined): Arrival {
    if (pool === undefined) return 'session'
    return { client: pool === this.#parts.exploratory ? undefined : pool }
  }

  #onNetdb(e: NetDbEvent, now: Millis): void {
    const { transport, tunnels } = this.#parts
    switch (e.kind) {
      case 'send':
        this.#toRouter(e.to, e.message, e.traffic, now)
        return
      case 'send-garlic':
        this.#garlicToRouter(e.client ?? this.#parts.exploratory, e.to, e.message, now)
        return
      case 'send-tunnel': {
        const message = this.#message(MessageType.TunnelGateway, tunnelGateway(e.tunnelId, e.message), now)
        this.#toRouter(e.gateway, message, 'transit', now)
        return
      }
      case 'reply-key':
        this.#replyKeys.add(e.key, e.tag, e.client ?? this.#parts.exploratory, now)
        return
      case 'router':
        transport.routerFound(e.routerInfo, now, this.transportSink)
        this.introductions?.routerFound(e.routerInfo, now)
        tunnels.peersChanged(now, this.tunnelSink)
        return
      case 'lease-set':
        for (const at of this.byPool.values()) {
          if (e.client === at.pool) at.destination.leaseSetFound(e.leaseSet, now, this.sinkOf(at))
        }
        return
      case 'not-found':
        if (e.what === 'router') transport.routerNotFound(e.key)
        else {
          for (const at of this.byPool.values()) {
            if (e.client === at.pool) at.destination.leaseSetNotFound(e.key, now, this.sinkOf(at))
          }
        }
        return
    }
  }

  #onDestination(at: LocalDestination, e: DestinationEvent, now: Millis): void {
    switch (e.kind) {
      case 'garlic': {
        const { gateway, tunnelId } = e.lease
        if (e.lost) this.#parts.tunnels.conversationLost(at.pool, e.remote)
        const to = { kind: 'tunnel', gateway, tunnelId } as const
        this.#parts.tunnels.send(at.pool, to, e.message, now, this.tunnelSink, e.remote)
        return
      }
      case 'lookup':
        this.#parts.netdb.lookupLeaseSet(e.hash, at.pool, now, this.netdbSink)
        return
      case 'publish':
        this.#parts.netdb.publishLeaseSet(at.pool, e.leaseSet, now, this.netdbSink)
        return
      default:
        this.#out!.event({ kind: 'stream', destination: at.id, event: e })
        return
    }
  }

  /** Tells the destination of `pool` its inbound tunnels. */
  leases(pool: PoolId, now: Millis): void {
    const at = this.byPool.get(pool)
    if (at === undefined) return
    const leases = this.#parts.tunnels
      .inbound(pool)
      .map((t) => ({ gateway: t.gateway, tunnelId: t.gatewayTunnelId, end: t.expires }))
    at.destination.leasesChanged(leases, now, this.sinkOf(at))
    this.#out!.event({ kind: 'leases', destination: at.id })
  }

  /** Through an outbound tunnel of `pool`, encrypted to the router that shall read it: no hop sees what is asked. */
  #garlicToRouter(pool: PoolId, to: Hash, message: I2npMessage, now: Millis): void {
    const { netdb, random, clock, tunnels } = this.#parts
    const router = netdb.get(to)
    if (router === undefined) return
    const garlic = wrapForRouter(
      router.identity.encryptionKey,
      [{ delivery: LOCAL_DELIVERY, message }],
      random,
      clock.wall(now),
    )
    if (garlic === undefined) return
    const wrapped = this.#message(MessageType.Garlic, writeGarlic(garlic), now)
    tunnels.send(pool, { kind: 'router', hash: to }, wrapped, now, this.tunnelSink)
  }

  #toRouter(to: Hash, message: I2npMessage, traffic: Traffic, now: Millis): void {
    const { local, transport } = this.#parts
    if (sameBytes(to, local.identity.hash)) this.#fromAnyone(message, now)
    else transport.send(to, message, now, this.transportSink, traffic)
  }

  #message(type: number, payload: Uint8Array, now: Millis): I2npMessage {
    const { random, clock } = this.#parts
    return { type, id: randomId(random), expiration: clock.wall(now) + GARLIC_LIFETIME, payload }
  }
}

function tunnelGateway(tunnelId: number, message: I2npMessage): Uint8Array {
  return writeTunnelGateway({ tunnelId, message: writeMessage(message) })
}

/** Garlic data, or nothing of it when the length field lies. */
function readOr(message: I2npMessage): Uint8Array {
  try {
    return readGarlic(new Reader(message.payload))
  } catch (e) {
    if (e instanceof MalformedError) return new Uint8Array(0)
    throw e
  }
}

/** Takes what was queued when it began; what that queues in turn waits for the next round. */
function drain<E>(queue: E[], handle: (e: E) => void): number {
  const n = queue.length
  for (let i = 0; i < n; i++) handle(queue[i]!)
  queue.splice(0, n)
  return n
}
