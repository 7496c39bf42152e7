/**
 * All connections of one router on one network: hand it a message and a router's hash. It dials, accepts, queues, decides
 * between duplicate sessions, and tells the rest through events. NTCP2 only.
 */
import { compareBytes, sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId, Sink, TcpCore, TimedCore } from '../../base/core.ts'
import { Deadlines, earliest } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { SeenFilter } from '../../base/lru.ts'
import type { Random } from '../../base/random.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import { type I2npMessage, MAX_MESSAGE, STANDARD_HEADER } from '../../protocol/i2np/message.ts'
import {
  type Handshake,
  type Local,
  MAX_ROUTER_INFO_AGE_MS,
  type Remote,
} from '../../protocol/ntcp2/handshake.ts'
import { initiate } from '../../protocol/ntcp2/initiator.ts'
import { MAX_SKEW_MS } from '../../protocol/ntcp2/messages.ts'
import { OutputQueue } from '../../protocol/ntcp2/output-queue.ts'
import { respond } from '../../protocol/ntcp2/responder.ts'
import { FRAME_TARGET, Ntcp2Session, type SessionEvent } from '../../protocol/ntcp2/session.ts'
import { type Hash, type HashKey, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import type { LocalIdentity } from '../../protocol/structures/identity.ts'
import { ntcp2Address } from '../../protocol/structures/router-address.ts'
import {
  checkRouterInfo,
  type RouterInfo,
  readRouterInfo,
  verifyRouterInfo,
} from '../../protocol/structures/router-info.ts'
import { dialable, isReserved, mayComeFrom, parseAddress } from './addresses.ts'
import { Backoff } from './backoff.ts'
import { DEFAULT_LIMITS, type TransportLimits } from './limits.ts'
import { crossed, Link, Peer } from './peer.ts'
import { InboundRate } from './rate-limit.ts'
import { Wanted } from './wanted.ts'

// Implementation constants

/** Handshake values remembered against replay: more than the common rate limit lets pass in a generation. */
const MAX_REPLAY = 8192

export type TransportEvent =
  | { readonly kind: 'message'; readonly from: Hash; readonly message: I2npMessage }
  | {
      readonly kind: 'session-open'
      readonly peer: Hash
      readonly routerInfo: RouterInfo
      readonly endpoint: Endpoint
      readonly initiator: boolean
      /** Of an adopted connection. */
      readonly linkName: string | undefined
    }
  /** The last session with this router; `reason` is a TerminationReason, theirs or ours. */
  | { readonly kind: 'session-closed'; readonly peer: Hash; readonly reason: number }
  | { readonly kind: 'dial-failed'; readonly peer: Hash }
  /** Answer with `routerFound` or `routerNotFound`. */
  | { readonly kind: 'unknown-router'; readonly peer: Hash }
  /** A peer's own, signature, network and date checked; `flood` asks a floodfill to pass it on. */
  | {
      readonly kind: 'router-info'
      readonly routerInfo: RouterInfo
      readonly flood: boolean
      readonly from: Hash
    }
  /** An authenticated peer's clock minus ours, ms. */
  | { readonly kind: 'clock'; readonly peer: Hash; readonly offset: number }
  /** An adopted connection has ended. */
  | { readonly kind: 'link-closed'; readonly link: LinkId }

export interface TransportOptions {
  readonly local: LocalIdentity
  readonly ntcp2: { readonly staticKeys: X25519KeyPair; readonly iv: Uint8Array }
  readonly netId: number
  /** Noise prologue of a mesh. */
  readonly prologue?: Uint8Array | undefined
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<TransportLimits> | undefined
  /** View of the netDb: verified RouterInfos. */
  readonly routers: { get(hash: Hash): RouterInfo | undefined }
}

export interface PeerStatus {
  readonly hash: Hash
  readonly endpoint: Endpoint
  readonly linkName: string | undefined
  readonly initiator: boolean
  readonly since: Millis
  readonly bytesIn: number
  readonly bytesOut: number
  readonly rttMs: Millis | undefined
}

export class Transport implements TcpCore<TransportEvent>, TimedCore<TransportEvent> {
  readonly #local: Local
  readonly #log: Log
  readonly #limits: TransportLimits
  readonly #routers: TransportOptions['routers']
  readonly #links = new Map<LinkId, Link>()
  readonly #peers = new Map<HashKey, Peer>()
  readonly #halfOpen = new Set<Link>()
  readonly #deadlines = new Deadlines<Link>()
  readonly #wanted = new Wanted()
  readonly #backoff: Backoff
  readonly #rate: InboundRate
  readonly #inner: SessionSink
  #replay: SeenFilter<HashKey> | undefined
  #routerInfo: RouterInfo | undefined
  #dialling = 0
  #established = 0
  #dirty: Link[] = []
  #dirtySince: Millis | undefined

  constructor(options: TransportOptions) {
    const { ntcp2, netId, random, clock } = options
    const { hash } = options.local.identity
    this.#local = { hash, ...ntcp2, netId, prologue: options.prologue, random, clock }
    this.#log = options.log
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#routers = options.routers
    this.#backoff = new Backoff(random)
    this.#rate = new InboundRate(this.#limits)
    this.#inner = new SessionSink((e, now, out) => this.#sessionEvent(e, now, out))
  }

  /** Our own: sent in every handshake and now and then afterwards. Nothing is dialled or accepted before. */
  setRouterInfo(ri: RouterInfo): void {
    this.#routerInfo = ri
  }

  /** Whether `ri` has an address that the limits let us dial. */
  canDial(ri: RouterInfo): boolean {
    return !sameBytes(ri.hash, this.#local.hash) && dialable(ri, this.#limits).length > 0
  }

  isConnected(hash: Hash): boolean {
    return this.#peers.get(hashKey(hash))?.current !== undefined
  }

  *peers(): IterableIterator<PeerStatus> {
    for (const { hash, current } of this.#peers.values()) {
      if (current === undefined) continue
      const { endpoint, linkName, initiator, session, rttMs } = current
      const since = current.establishedAt!
      yield {
        hash,
        endpoint,
        linkName,
        initiator,
        since,
        bytesIn: session.bytesIn,
        bytesOut: session.bytesOut,
        rttMs,
      }
    }
  }

  /**
   * Queues `message` for `to`, dialling or asking for its RouterInfo when need be; it leaves at the next `flush` or
   * `timeout`. False when it was not taken: too long, no address to dial, failed lately, or too much under way.
   */
  send(to: Hash, message: I2npMessage, now: Millis, out: Sink<TransportEvent>): boolean {
    if (message.payload.length > MAX_MESSAGE - STANDARD_HEADER) return false
    const key = hashKey(to)
    const peer = this.#peers.get(key)
    const link = peer?.current ?? peer?.dialling
    if (link !== undefined) {
      this.#queue(link, message, now, out)
      return true
    }
    const ri = this.#routers.get(to)
    if (ri !== undefined) {
      const fresh = this.#dial(ri, now, out)
      fresh?.session.output.push(message)
      return fresh !== undefined
    }
    if (sameBytes(to, this.#local.hash)) return false
    const held = this.#wanted.hold(key, message, now)
    if (held === 'new') out.event({ kind: 'unknown-router', peer: to })
    return held !== 'full'
  }

  /** The answer to `unknown-router`; also a newer RouterInfo of a router that could not be reached. */
  routerFound(ri: RouterInfo, now: Millis, out: Sink<TransportEvent>): void {
    const key = hashKey(ri.hash)
    if (this.#wanted.has(key) && this.#dial(ri, now, out) === undefined) {
      this.#wanted.take(key)
      out.event({ kind: 'dial-failed', peer: ri.hash })
    }
  }

  routerNotFound(hash: Hash): void {
    this.#wanted.take(hashKey(hash))
  }

  /**
   * Runs NTCP2 on a connection that someone else opened and greeted. The initiator must know `remote`, and its IV unless an
   * address in `remote` has one; a responder that knows `remote` accepts nobody else. `rest`: bytes that came behind the
   * greeting.
   */
  adopt(
    id: LinkId,
    role: 'initiator' | 'responder',
    remote: RouterInfo | undefined,
    linkName: string,
    endpoint: Endpoint,
    rest: Uint8Array,
    now: Millis,
    out: Sink<TransportEvent>,
    iv?: Uint8Array,
  ): void {
    const inner = this.#inner.with(now, out)
    let steps: Handshake | undefined
    let peer: Peer | undefined
    if (role === 'responder') {
      steps = this.#respond(now, (ri) =>
        remote !== undefined && !sameBytes(ri.hash, remote.hash)
          ? TerminationReason.staticKeyMismatch
          : undefined,
      )
    } else if (remote !== undefined) {
      const target = adoptedRemote(remote, iv)
      if (target !== undefined) steps = this.#initiate(target, now)
      peer = this.#peer(remote.hash)
    }
    if (steps === undefined) {
      out.tcpEnd(id, true)
      out.event({ kind: 'link-closed', link: id })
      return
    }
    const link = this.#open(id, endpoint, role === 'initiator', linkName, peer, now)
    if (peer !== undefined && peer.dialling === undefined) this.#setDialling(peer, link)
    link.session.start(steps, now, inner)
    if (rest.length > 0) link.session.received(rest, now, inner)
    this.#settle(link)
  }

  /** Ends the session with one router. */
  disconnect(hash: Hash, reason: number, now: Millis, out: Sink<TransportEvent>): void {
    const inner = this.#inner.with(now, out)
    for (const link of [...this.#links.values()]) {
      if (link.peer !== undefined && sameBytes(link.peer.hash, hash)) {
        link.session.terminate(reason, 'disconnected', now, inner)
      }
    }
  }

  /** Ends everything, telling the peers why. */
  shutdown(now: Millis, out: Sink<TransportEvent>): void {
    const inner = this.#inner.with(now, out)
    for (const link of [...this.#links.values()]) {
      link.session.terminate(TerminationReason.shutdown, 'shutting down', now, inner)
    }
  }

  /** Sends what was queued this turn. */
  flush(now: Millis, out: Sink<TransportEvent>): void {
    if (this.#dirty.length === 0) return
    const dirty = this.#dirty
    this.#dirty = []
    this.#dirtySince = undefined
    const inner = this.#inner.with(now, out)
    for (const link of dirty) {
      link.dirty = false
      link.session.flush(now, inner)
    }
  }

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<TransportEvent>): void {
    const source = parseAddress(from.address)
    const steps =
      source !== undefined &&
      (this.#limits.allowReserved || !isReserved(source)) &&
      this.#admit(from, now, out)
        ? this.#respond(now, (ri) => (mayComeFrom(ri, source) ? undefined : TerminationReason.banned))
        : undefined
    if (steps === undefined) {
      out.tcpEnd(id, true)
      return
    }
    const link = this.#open(id, from, false, undefined, undefined, now)
    link.session.start(steps, now, this.#inner.with(now, out))
    this.#settle(link)
  }

  connected(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    const link = this.#links.get(id)
    if (link?.begin === undefined) return
    const steps = this.#initiate(link.begin, now)
    link.begin = undefined
    if (steps !== undefined) link.session.start(steps, now, this.#inner.with(now, out))
    this.#settle(link)
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    link.session.received(bytes, now, this.#inner.with(now, out))
    this.#settle(link)
  }

  closed(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    this.#links.get(id)?.session.closed(this.#inner.with(now, out))
  }

  writable(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    this.#links.get(id)?.session.writable(now, this.#inner.with(now, out))
  }

  timeout(now: Millis, out: Sink<TransportEvent>): void {
    this.flush(now, out)
    const inner = this.#inner.with(now, out)
    for (let link = this.#deadlines.due(now); link !== undefined; link = this.#deadlines.due(now)) {
      link.deadline = undefined
      link.session.timeout(now, inner)
      this.#settle(link)
    }
    while (this.#wanted.expired(now) !== undefined);
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#dirtySince, earliest(this.#deadlines.next(), this.#wanted.next()))
  }

  #queue(link: Link, message: I2npMessage, now: Millis, out: Sink<TransportEvent>): void {
    const { session } = link
    session.output.push(message)
    if (session.output.bytes >= FRAME_TARGET) session.flush(now, this.#inner.with(now, out))
    else this.#markDirty(link, now)
  }

  #markDirty(link: Link, now: Millis): void {
    if (link.dirty || link.session.state !== 'data') return
    link.dirty = true
    this.#dirty.push(link)
    this.#dirtySince ??= now
  }

  #dial(ri: RouterInfo, now: Millis, out: Sink<TransportEvent>): Link | undefined {
    const key = hashKey(ri.hash)
    if (this.#routerInfo === undefined || !this.canDial(ri)) return undefined
    if (this.#dialling >= this.#limits.maxDialling) return undefined
    if (this.#backoff.waits(key, ri.published, now) || !this.#makeRoom(now, out)) return undefined
    const choices = dialable(ri, this.#limits)
    const { address, port, staticKey, iv } = choices[this.#backoff.count(key) % choices.length]!
    const id = out.tcpOpen({ address, port })
    const peer = this.#peer(ri.hash)
    const link = this.#open(id, { address, port }, true, undefined, peer, now, this.#wanted.take(key))
    link.begin = { routerInfo: ri, staticKey, iv }
    this.#setDialling(peer, link)
    this.#settle(link)
    return link
  }

  #setDialling(peer: Peer, link: Link): void {
    peer.dialling = link
    this.#dialling++
  }

  #initiate(remote: Remote, now: Millis): Handshake | undefined {
    if (this.#routerInfo === undefined) return undefined
    return initiate(this.#local, remote, this.#routerInfo.bytes, now)
  }

  #respond(now: Millis, objection: (ri: RouterInfo) => number | undefined): Handshake | undefined {
    if (this.#routerInfo === undefined) return undefined
    this.#replay ??= new SeenFilter(2 * MAX_SKEW_MS, MAX_REPLAY, now)
    const refuse = (ri: RouterInfo): number | undefined => {
      if (sameBytes(ri.hash, this.#local.hash)) return TerminationReason.banned
      // Only now, so that nobody unauthenticated can push an idle session out.
      const { now: at, outer } = this.#inner
      if (!this.isConnected(ri.hash) && !this.#makeRoom(at, outer)) return TerminationReason.normal
      return objection(ri)
    }
    return respond(this.#local, { replay: this.#replay, refuse })
  }

  #open(
    id: LinkId,
    endpoint: Endpoint,
    initiator: boolean,
    linkName: string | undefined,
    peer: Peer | undefined,
    now: Millis,
    queue: OutputQueue = new OutputQueue(),
  ): Link {
    const ours = (): Uint8Array => this.#routerInfo!.bytes
    const session = new Ntcp2Session(id, this.#local, ours, queue, this.#limits, now)
    const link = new Link(session, endpoint, initiator, linkName, peer, now)
    this.#links.set(id, link)
    if (!initiator) this.#halfOpen.add(link)
    return link
  }

  /** Whether to begin one more handshake with a stranger. */
  #admit(from: Endpoint, now: Millis, out: Sink<TransportEvent>): boolean {
    if (!this.#rate.allow(from.address, now)) return false
    if (this.#halfOpen.size < this.#limits.maxHalfOpen) return true
    // A refused stranger who is only being kept waiting makes room for one who may be honest.
    for (const link of this.#halfOpen) {
      if (link.session.state !== 'draining') continue
      link.session.terminate(TerminationReason.normal, 'too many handshakes', now, this.#inner.with(now, out))
      return true
    }
    return false
  }

  /** False when there are as many sessions as allowed and none of them is idle. */
  #makeRoom(now: Millis, out: Sink<TransportEvent>): boolean {
    if (this.#established + this.#dialling < this.#limits.maxSessions) return true
    let idlest: Link | undefined
    for (const { current } of this.#peers.values()) {
      if (current === undefined) continue
      if (idlest === undefined || current.session.lastActive < idlest.session.lastActive) idlest = current
    }
    if (idlest === undefined || now - idlest.session.lastActive < this.#limits.evictIdleMs) return false
    idlest.session.terminate(TerminationReason.idle, 'making room', now, this.#inner.with(now, out))
    return true
  }

  #peer(hash: Hash): Peer {
    const key = hashKey(hash)
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      peer = new Peer(hash, key)
      this.#peers.set(key, peer)
    }
    return peer
  }

  #settle(link: Link): void {
    const { deadline } = link.session
    if (deadline === link.deadline || link.session.state === 'ended') return
    link.deadline = deadline
    this.#deadlines.set(link, deadline)
  }

  #sessionEvent(e: SessionEvent, now: Millis, out: Sink<TransportEvent>): void {
    switch (e.kind) {
      case 'message':
      case 'clock':
        out.event(e)
        return
      case 'router-info':
        this.#peerRouterInfo(e.from, e.routerInfo, e.flood, now, out)
        return
      case 'established':
        this.#opened(this.#links.get(e.session.link)!, e.result.remote, e.result.rttMs, now, out)
        out.event({ kind: 'clock', peer: e.result.remote.hash, offset: e.result.clockOffset })
        return
      case 'ended': {
        const link = this.#links.get(e.session.link)!
        if (this.#log.enabled('debug')) {
          const name = link.peer === undefined ? link.endpoint.address : shortHash(link.peer.hash)
          this.#log.write('debug', `session with ${name} ended (${e.reason}): ${e.why}`)
        }
        if (e.clockOffset !== undefined && link.peer !== undefined) {
          out.event({ kind: 'clock', peer: link.peer.hash, offset: e.clockOffset })
        }
        this.#ended(link, e.reason, now, out)
      }
    }
  }

  /** ntcp2, "RouterInfo": in the data phase it must be the peer's own. */
  #peerRouterInfo(
    from: Hash,
    bytes: Uint8Array,
    flood: boolean,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    let routerInfo: RouterInfo | undefined
    try {
      const unverified = readRouterInfo(bytes)
      if (sameBytes(unverified.claimed.hash, from)) routerInfo = verifyRouterInfo(unverified)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
    }
    if (routerInfo === undefined) return
    const { netId, clock } = this.#local
    if (checkRouterInfo(routerInfo, netId, clock.wall(now), MAX_ROUTER_INFO_AGE_MS) !== 'ok') return
    out.event({ kind: 'router-info', routerInfo, flood, from })
  }

  #opened(link: Link, remote: RouterInfo, rttMs: Millis, now: Millis, out: Sink<TransportEvent>): void {
    const peer = link.peer ?? this.#peer(remote.hash)
    link.peer = peer
    link.establishedAt = now
    link.rttMs = rttMs
    this.#established++
    this.#halfOpen.delete(link)
    if (peer.dialling === link) this.#dialled(peer)
    this.#backoff.succeeded(peer.key)
    this.#wanted.take(peer.key)?.moveTo(link.session.output)
    const { endpoint, initiator, linkName } = link
    const older = peer.current
    if (older === undefined) {
      peer.current = link
      this.#log.write('debug', `session with ${shortHash(peer.hash)} open`)
      out.event({ kind: 'session-open', peer: peer.hash, routerInfo: remote, endpoint, initiator, linkName })
    } else {
      this.#resolve(peer, older, link, now, out)
      if (!initiator) out.event({ kind: 'router-info', routerInfo: remote, flood: false, from: peer.hash })
    }
    this.#dropNeedlessDial(peer, now, out)
    this.#markDirty(peer.current!, now)
  }

  /** Two sessions with one router: one goes on, and only the initiator of the other closes it, so that nothing is lost. */
  #resolve(peer: Peer, older: Link, newer: Link, now: Millis, out: Sink<TransportEvent>): void {
    const winner = peer.winner(older, newer, this.#local.hash)
    const loser = winner === newer ? older : newer
    peer.current = winner
    loser.session.output.moveTo(winner.session.output)
    peer.standby.add(loser)
    if (crossed(older, newer) && !loser.initiator) return
    loser.session.terminate(TerminationReason.normal, 'duplicate', now, this.#inner.with(now, out))
  }

  /** The peer has reached us while we were dialling it. The dial goes on only if its session would be the one to stay. */
  #dropNeedlessDial(peer: Peer, now: Millis, out: Sink<TransportEvent>): void {
    const { dialling, current } = peer
    if (dialling === undefined || current === undefined) return
    dialling.session.output.moveTo(current.session.output)
    if (compareBytes(this.#local.hash, peer.hash) < 0) return
    dialling.session.terminate(
      TerminationReason.normal,
      'connected meanwhile',
      now,
      this.#inner.with(now, out),
    )
  }

  #dialled(peer: Peer): void {
    peer.dialling = undefined
    this.#dialling--
  }

  #ended(link: Link, reason: number, now: Millis, out: Sink<TransportEvent>): void {
    const { peer, session } = link
    this.#links.delete(session.link)
    this.#deadlines.clear(link)
    this.#halfOpen.delete(link)
    if (link.linkName !== undefined) out.event({ kind: 'link-closed', link: session.link })
    if (link.establishedAt !== undefined) this.#established--
    else if (!link.initiator && reason !== TerminationReason.normal)
      this.#rate.failed(link.endpoint.address, now)
    if (peer === undefined) return
    if (peer.dialling === link) {
      this.#dialled(peer)
      if (peer.current === undefined) {
        const published = this.#routers.get(peer.hash)?.published ?? 0
        this.#backoff.failed(peer.key, published, now)
        out.event({ kind: 'dial-failed', peer: peer.hash })
      }
    }
    peer.standby.delete(link)
    if (peer.current === link) {
      const [spare] = peer.standby
      peer.current = spare
      if (spare === undefined) out.event({ kind: 'session-closed', peer: peer.hash, reason })
      else this.#promote(peer, spare, session.output, now)
    }
    if (peer.empty) this.#peers.delete(peer.key)
  }

  #promote(peer: Peer, spare: Link, queue: OutputQueue, now: Millis): void {
    peer.standby.delete(spare)
    queue.moveTo(spare.session.output)
    this.#markDirty(spare, now)
  }
}

/** What sessions write to: bytes pass through, events come to the transport first. */
class SessionSink implements Sink<SessionEvent> {
  readonly #handle: (e: SessionEvent, now: Millis, out: Sink<TransportEvent>) => void
  now: Millis = 0
  outer!: Sink<TransportEvent>

  constructor(handle: (e: SessionEvent, now: Millis, out: Sink<TransportEvent>) => void) {
    this.#handle = handle
  }

  /** Set anew at every entry into the transport. */
  with(now: Millis, outer: Sink<TransportEvent>): this {
    this.now = now
    this.outer = outer
    return this
  }

  udp(to: Endpoint, bytes: Uint8Array): void {
    this.outer.udp(to, bytes)
  }

  tcpOpen(to: Endpoint): LinkId {
    return this.outer.tcpOpen(to)
  }

  tcpData(id: LinkId, bytes: Uint8Array): void {
    this.outer.tcpData(id, bytes)
  }

  tcpEnd(id: LinkId, reset?: boolean): void {
    this.outer.tcpEnd(id, reset)
  }

  event(e: SessionEvent): void {
    this.#handle(e, this.now, this.outer)
  }
}

/** A neighbour's static key, and its IV from the greeting or from its RouterInfo. */
function adoptedRemote(routerInfo: RouterInfo, iv: Uint8Array | undefined): Remote | undefined {
  for (const address of routerInfo.addresses) {
    const ntcp2 = ntcp2Address(address)
    const use = iv ?? ntcp2?.iv
    if (ntcp2 !== undefined && use !== undefined) return { routerInfo, staticKey: ntcp2.staticKey, iv: use }
  }
  return undefined
}
