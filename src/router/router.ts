/**
 * One router on one network: the parts, wired. Pure: bytes and time in, bytes and events out, so that a test can run thirty of
 * them in one process. A node runs one or two (faces); they share nothing.
 */
import type { Millis } from '../base/clock.ts'
import type { Datagram, Endpoint, LinkId, Sink, TcpCore, TimedCore, UdpCore } from '../base/core.ts'
import { Deadlines, earliest } from '../base/deadlines.ts'
import { named } from '../base/log.ts'
import { jitter } from '../base/random.ts'
import { TerminationReason } from '../protocol/blocks/termination.ts'
import type { Ports, StreamId } from '../protocol/streaming/events.ts'
import type { Hash } from '../protocol/structures/hash.ts'
import type { RouterInfo } from '../protocol/structures/router-info.ts'
import { Bandwidth } from './bandwidth.ts'
import { Destination } from './destination/destination.ts'
import { HopRule } from './hop-rule.ts'
import { introductions } from './introductions.ts'
import { NetDb } from './netdb/netdb.ts'
import type { Conversation, DestinationRequest, InboundPath, PoolSides, RouterOptions } from './options.ts'
import { PeerProfiles } from './peers/profiles.ts'
import { hopSelector } from './peers/selector.ts'
import type { Family, Verdict } from './reach/events.ts'
import { describeSelf, type PublicAddress, type SelfDescription } from './self.ts'
import { type LocalDestination, type RouterEvent, Switchboard } from './switchboard.ts'
import { Transport } from './transport/transport.ts'
import type { PoolId, SideOptions, TransitLimits } from './tunnel/tunnel-event.ts'
import { Tunnels } from './tunnel/tunnels.ts'

// Specification constants

/** Other routers refuse a RouterInfo older than 90 minutes in a handshake; republish well before (netDb page, "Publishing"). */
const REPUBLISH: Millis = 40 * 60_000

// Implementation constants

/** After a change of what we know of our place: others of the same moment go out with it. */
const REPUBLISH_SOON: Millis = 2_000

/** RouterInfos kept, 1.5 KB each: a fifth of the public network, enough for good choices within a small memory. */
const MAX_ROUTERS = 2_000

/** Neighbours keep their sessions: who is in reach decides how long tunnels are, so it must not flap. */
const MESH_IDLE: Millis = 3_600_000

/** After a step of the clock each destination signs its lease set anew at some moment within this. */
const RESIGN_WITHIN: Millis = 10_000

interface OwnDestination extends LocalDestination {
  readonly request: DestinationRequest
}

export class Router implements TcpCore<RouterEvent>, UdpCore<RouterEvent>, TimedCore<RouterEvent> {
  readonly transport: Transport
  readonly tunnels: Tunnels
  readonly netdb: NetDb
  readonly #options: RouterOptions
  readonly #bandwidth: Bandwidth
  readonly #switch: Switchboard
  readonly #profiles: PeerProfiles
  readonly #exploratory: PoolId
  readonly #destinations = new Map<number, OwnDestination>()
  readonly #deadlines = new Deadlines<'republish' | OwnDestination>()
  readonly #rule: HopRule
  #self: SelfDescription
  #routerInfo: RouterInfo
  #nextDestination = 1

  constructor(options: RouterOptions, now: Millis) {
    const { local, random, clock } = options
    this.#options = options
    this.#self = options.self
    this.#bandwidth = new Bandwidth(options.transit, options.bytesPerSecond)
    this.#routerInfo = this.#describe(now)
    this.#profiles = new PeerProfiles()
    const log = options.log
    const routers = { get: (hash: Hash): RouterInfo | undefined => this.netdb.get(hash) }
    this.transport = new Transport(
      {
        local,
        ntcp2: options.ntcp2,
        ssu2: options.ssu2 && {
          ...options.ssu2,
          wantsRelayTag: () => this.#switch.introductions?.needsIntroducers ?? false,
          relayTag: (source) => this.#switch.introductions?.freshTag(source.length === 4 ? 4 : 6),
        },
        netId: options.self.netId,
        ...(options.prologue === undefined ? {} : { prologue: options.prologue }),
        routers,
        limits: {
          allowReserved: options.allowReservedRanges,
          maxSessions: options.maxPeers,
          ...(options.meshRule ? { idleMs: MESH_IDLE } : {}),
        },
        bandwidth: this.#bandwidth,
        random,
        clock,
        log: named(log, 'transport'),
      },
      now,
    )
    this.netdb = new NetDb({
      local: local.identity.hash,
      netId: options.self.netId,
      random,
      clock,
      log: named(log, 'netdb'),
      floodfill: options.self.floodfill,
      maxRouters: MAX_ROUTERS,
      paths: { reply: (client) => this.#replyPath(client) },
      connected: (hash) => this.transport.isConnected(hash),
    })
    this.tunnels = new Tunnels({
      local,
      random,
      clock,
      log: named(log, 'tunnels'),
      limits: options.transit,
      inbound: this.#bandwidth.inbound,
      selectHops: hopSelector({
        self: local.identity.hash,
        profiles: this.#profiles,
        candidates: () => this.#candidates(),
        connected: (hash) => this.transport.isConnected(hash),
        canDial: (ri) => this.transport.canDial(ri),
        reachable: () => options.meshRule || this.#routerInfo.caps.includes('R'),
        mesh: options.meshRule,
        random,
        clock,
      }),
    })
    const { inbound, outbound } = options.exploratory
    this.#rule = new HopRule(options.meshRule, Math.max(inbound.length, outbound.length))
    this.#exploratory = this.tunnels.addPool({
      name: 'exploratory',
      kind: 'exploratory',
      disjoint: false,
      ...this.#sides(options.exploratory, 0),
    })
    this.#switch = new Switchboard({
      local,
      random,
      clock,
      log,
      transport: this.transport,
      tunnels: this.tunnels,
      netdb: this.netdb,
      exploratory: this.#exploratory,
      mesh: options.meshRule,
      peerResult: (e, at) => this.#profiles.record(e.peer, e.what, at),
    })
    this.transport.setRouterInfo(this.#routerInfo)
    const { transportSink, netdbSink } = this.#switch
    const parts = { transport: this.transport, netdb: this.netdb, transportSink, netdbSink }
    this.#switch.introductions = introductions(options, parts, (at) => this.#publishSoon(at), now)
  }

  get hash(): Hash {
    return this.#options.local.identity.hash
  }

  /** Ours, as sent. */
  get routerInfo(): RouterInfo {
    return this.#routerInfo
  }

  /** Goes to work: publishes and builds. */
  start(now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => {
      this.#publish(now)
      if (this.#rule.settled) this.tunnels.start(now, this.#switch.tunnelSink)
      const at = this.#self.ssu2?.published
      if (at !== undefined) this.#switch.introductions?.configured(at, now)
    })
  }

  /** Says goodbye to every peer (termination reason 3). */
  stop(now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.shutdown(now, this.#switch.transportSink))
  }

  /** Routers from a seed, a stick or a neighbour; each was verified. */
  addRouters(routers: Iterable<RouterInfo>, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => {
      for (const ri of routers) this.netdb.addRouterInfo(ri, now, this.#switch.netdbSink)
      this.tunnels.peersChanged(now, this.#switch.tunnelSink)
    })
  }

  /** A NAT forwards to us what comes for `at`; undefined when it does no longer. */
  mapped(at: PublicAddress | undefined, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.#switch.introductions?.mapped(at, now))
  }

  /** How strangers fare with us over SSU2. */
  verdict(family: Family): Verdict {
    return this.#switch.introductions?.verdict(family) ?? 'unknown'
  }

  /** Tunnels and sessions that stand stay. */
  setLimits(transit: TransitLimits, bytesPerSecond?: number): void {
    this.#bandwidth.set(transit, bytesPerSecond)
    this.tunnels.setLimits(transit)
    this.transport.setRates(this.#bandwidth.out)
  }

  /** After a step of the wall clock every date we signed is wrong. */
  clockStepped(now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => {
      this.#publish(now)
      // Not in the same second: lease sets that share a date would share a router.
      for (const at of this.#destinations.values())
        this.#deadlines.set(at, now + this.#options.random.below(RESIGN_WITHIN))
    })
  }

  /** NTCP2 on a stream that a mesh hello has opened. `iv`: the peer's, from its hello, since no address of it has one. */
  adopt(
    link: LinkId,
    role: 'initiator' | 'responder',
    remote: RouterInfo,
    linkName: string,
    endpoint: Endpoint,
    rest: Uint8Array,
    now: Millis,
    out: Sink<RouterEvent>,
    iv?: Uint8Array,
  ): void {
    this.#turn(now, out, () => {
      this.transport.adopt(link, role, remote, linkName, endpoint, rest, now, this.#switch.transportSink, iv)
    })
  }

  /** The interface under adopted connections is gone: their sessions are over, however long TCP would still hope. */
  linkLost(linkName: string, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => {
      for (const peer of [...this.transport.peers()]) {
        if (peer.linkName !== linkName) continue
        this.transport.disconnect(peer.hash, TerminationReason.normal, now, this.#switch.transportSink)
      }
    })
  }

  addDestination(request: DestinationRequest, now: Millis, out: Sink<RouterEvent>): number {
    const { random, clock, log } = this.#options
    const id = this.#nextDestination++
    this.#turn(now, out, () => {
      const pool = this.tunnels.addPool({
        name: request.name,
        kind: 'client',
        disjoint: this.#options.meshRule,
        ...this.#sides(request, request.minLength),
      })
      const destination = new Destination({
        local: request.local,
        published: request.published,
        random,
        clock,
        log,
      })
      const at = { id, pool, destination, request }
      this.#destinations.set(id, at)
      this.#switch.byPool.set(pool, at)
      this.tunnels.peersChanged(now, this.#switch.tunnelSink)
    })
    return id
  }

  removeDestination(id: number, now: Millis, out: Sink<RouterEvent>): void {
    const at = this.#destinations.get(id)
    if (at === undefined) return
    this.#turn(now, out, () => {
      this.netdb.unpublish(at.destination.hash)
      this.netdb.forget(at.pool)
      this.tunnels.removePool(at.pool)
      this.#switch.byPool.delete(at.pool)
      this.#destinations.delete(id)
      this.#deadlines.clear(at)
    })
  }

  /** Tunnels a direction for one destination: what the power tuner changes. Lengths never follow from it. */
  setQuantity(id: number, inbound: number, outbound: number, now: Millis, out: Sink<RouterEvent>): void {
    const at = this.#destinations.get(id)
    if (at === undefined) return
    this.#turn(now, out, () => {
      this.tunnels.setQuantity(at.pool, inbound, outbound, now, this.#switch.tunnelSink)
    })
  }

  /** Other routers in reach, several identities of one neighbour counted as one. */
  get reachable(): number {
    return this.#switch.reachable
  }

  /** Longest tunnels that this network allows just now. */
  get hops(): number {
    return this.#rule.hops
  }

  /** What keeps this router from working, if anything does. */
  waitingFor(): string | undefined {
    if (this.#switch.reachable === 0) return 'peers: no session yet'
    const { exploratory } = this.tunnels.counts()
    if (exploratory === 0) return 'exploratory tunnels'
    for (const { pool, request } of this.#destinations.values()) {
      const up = this.tunnels.inbound(pool).length > 0 && this.tunnels.outboundCount(pool) > 0
      if (!up) return `tunnels for ${request.name}`
    }
    return undefined
  }

  /** Every inbound tunnel of a destination and whom it runs through. For the owner's eyes only. */
  inboundPaths(): readonly InboundPath[] {
    return [...this.#destinations.values()].flatMap((at) => this.tunnels.inboundHops(at.pool))
  }

  /** Every far destination spoken to, the lease in use, and the hops on our side. For the owner's eyes only. */
  conversations(): readonly Conversation[] {
    return [...this.#destinations.values()].flatMap(({ pool, destination }) =>
      destination.conversations().map((c) => ({ ...c, hops: this.tunnels.outboundHops(pool, c.remote) })),
    )
  }

  // The streams of a destination

  connect(id: number, remote: Hash, ports: Ports, now: Millis, out: Sink<RouterEvent>): StreamId {
    let stream = 0
    this.#streams(id, now, out, (d) => {
      stream = d.streams.connect(remote, d.identityOf(remote), ports, now, d.streamSink)
    })
    return stream
  }

  accept(id: number, stream: StreamId, now: Millis, out: Sink<RouterEvent>): void {
    this.#streams(id, now, out, (d) => d.streams.accept(stream, now, d.streamSink))
  }

  /** How many of the bytes were taken; a 'drain' event follows when not all were. */
  write(id: number, stream: StreamId, bytes: Uint8Array, now: Millis, out: Sink<RouterEvent>): number {
    let taken = 0
    this.#streams(id, now, out, (d) => {
      taken = d.streams.write(stream, bytes, now, d.streamSink)
    })
    return taken
  }

  end(id: number, stream: StreamId, now: Millis, out: Sink<RouterEvent>): void {
    this.#streams(id, now, out, (d) => d.streams.end(stream, now, d.streamSink))
  }

  /** The application is gone: what was written is still delivered. */
  release(id: number, stream: StreamId, now: Millis, out: Sink<RouterEvent>): void {
    this.#streams(id, now, out, (d) => d.streams.release(stream, now, d.streamSink))
  }

  /** Whether others may connect to it. */
  listen(id: number, listening: boolean, _now: Millis, _out: Sink<RouterEvent>): void {
    const at = this.#destinations.get(id)
    if (at !== undefined) at.destination.streams.listening = listening
  }

  reset(id: number, stream: StreamId, now: Millis, out: Sink<RouterEvent>): void {
    this.#streams(id, now, out, (d) => d.streams.reset(stream, now, d.streamSink))
  }

  consumed(id: number, stream: StreamId, bytes: number, now: Millis, out: Sink<RouterEvent>): void {
    this.#streams(id, now, out, (d) => d.streams.consumed(stream, bytes, now, d.streamSink))
  }

  // TcpCore and TimedCore

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.accepted(id, from, now, this.#switch.transportSink))
  }

  connected(id: LinkId, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.connected(id, now, this.#switch.transportSink))
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.received(id, bytes, now, this.#switch.transportSink))
  }

  closed(id: LinkId, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.closed(id, now, this.#switch.transportSink))
  }

  datagrams(burst: readonly Datagram[], now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.datagrams(burst, now, this.#switch.transportSink))
  }

  writable(id: LinkId, now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => this.transport.writable(id, now, this.#switch.transportSink))
  }

  timeout(now: Millis, out: Sink<RouterEvent>): void {
    this.#turn(now, out, () => {
      for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) {
        if (due === 'republish') this.#publish(now)
        else this.#switch.leases(due.pool, now)
      }
      this.transport.timeout(now, this.#switch.transportSink)
      this.tunnels.timeout(now, this.#switch.tunnelSink)
      this.netdb.timeout(now, this.#switch.netdbSink)
      this.#switch.introductions?.timeout(now)
      for (const at of this.#destinations.values()) {
        const next = at.destination.nextTimeout()
        if (next !== undefined && next <= now) at.destination.timeout(now, this.#switch.sinkOf(at))
      }
    })
  }

  nextTimeout(): Millis | undefined {
    let next = earliest(this.#deadlines.next(), this.#rule.nextTimeout())
    next = earliest(next, this.transport.nextTimeout())
    next = earliest(next, this.tunnels.nextTimeout())
    next = earliest(next, this.netdb.nextTimeout())
    next = earliest(next, this.#switch.introductions?.nextTimeout())
    for (const { destination } of this.#destinations.values())
      next = earliest(next, destination.nextTimeout())
    return next
  }

  #streams(id: number, now: Millis, out: Sink<RouterEvent>, work: (d: Destination) => void): void {
    const at = this.#destinations.get(id)
    if (at === undefined) return
    this.#turn(now, out, () => {
      work(at.destination)
      at.destination.drainStreams(now, this.#switch.sinkOf(at))
    })
  }

  #turn(now: Millis, out: Sink<RouterEvent>, work: () => void): void {
    this.#switch.turn(now, out, work)
    if (this.#rule.follow(this.#switch.reachable, now))
      this.#switch.turn(now, out, () => this.#applyLengths(now))
  }

  #applyLengths(now: Millis): void {
    const sink = this.#switch.tunnelSink
    const set = (pool: PoolId, asked: PoolSides, min: number): void => {
      const { inbound, outbound } = this.#sides(asked, min)
      this.tunnels.setLength(pool, inbound.length, outbound.length, now, sink)
    }
    set(this.#exploratory, this.#options.exploratory, 0)
    for (const { pool, request } of this.#destinations.values()) set(pool, request, request.minLength)
    this.tunnels.start(now, sink)
  }

  /** What a pool gets of the lengths it asks for. */
  #sides(asked: PoolSides, min: number): PoolSides {
    const length = (side: SideOptions): SideOptions => ({
      ...side,
      length: Math.max(Math.min(side.length, this.#rule.hops), Math.min(min, side.length)),
    })
    return { inbound: length(asked.inbound), outbound: length(asked.outbound) }
  }

  /** In a mesh only those in reach: whom we hear no more, the others hear no more either. */
  *#candidates(): IterableIterator<RouterInfo> {
    for (const ri of this.netdb.routers.values())
      if (!this.#options.meshRule || this.transport.isConnected(ri.hash)) yield ri
  }

  /** Several changes at once are one for the others. */
  #publishSoon(now: Millis): void {
    this.#deadlines.set('republish', now + REPUBLISH_SOON)
  }

  #publish(now: Millis): void {
    this.#routerInfo = this.#describe(now)
    this.transport.setRouterInfo(this.#routerInfo)
    this.netdb.publishRouterInfo(this.#routerInfo, now, this.#switch.netdbSink)
    this.#switch.tell({ kind: 'router-info', routerInfo: this.#routerInfo })
    this.#deadlines.set('republish', now + jitter(this.#options.random, REPUBLISH, 0.1))
  }

  #describe(now: Millis): RouterInfo {
    const { local, ntcp2, ssu2, clock } = this.#options
    const keys = { staticKey: ntcp2.staticKeys.publicKey, iv: ntcp2.iv, introKey: ssu2?.introKey }
    const self = this.#switch?.introductions?.describe(this.#self, now) ?? this.#self
    return describeSelf(local, keys, self, clock.wall(now))
  }

  /** An inbound tunnel of `client` (of the exploratory pool without one) that answers can come through. */
  #replyPath(client: PoolId | undefined): { gateway: Hash; tunnelId: number } | undefined {
    const pool = client ?? this.#exploratory
    if (this.tunnels.outboundCount(pool) === 0) return undefined
    const tunnels = this.tunnels.inbound(pool)
    const tunnel = tunnels.length === 0 ? undefined : tunnels[this.#options.random.below(tunnels.length)]
    return tunnel === undefined ? undefined : { gateway: tunnel.gateway, tunnelId: tunnel.gatewayTunnelId }
  }
}
