/**
 * All connections of one router on one network: hand it a message and a router's hash. It dials, accepts, queues, decides
 * between duplicate sessions, and tells the rest through events. NTCP2 only.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId, Sink, TcpCore, TimedCore } from '../../base/core.ts'
import { earliest } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { SeenFilter } from '../../base/lru.ts'
import type { Random } from '../../base/random.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import { OutputQueue } from '../../protocol/blocks/output-queue.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import { type I2npMessage, MAX_MESSAGE, STANDARD_HEADER } from '../../protocol/i2np/message.ts'
import {
  type Established,
  type Handshake,
  type Local,
  MAX_ROUTER_INFO_AGE_MS,
  type Remote,
} from '../../protocol/ntcp2/handshake.ts'
import { initiate } from '../../protocol/ntcp2/initiator.ts'
import { MAX_SKEW_MS } from '../../protocol/ntcp2/messages.ts'
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
import type { PeerStatus, TransportEvent } from './events.ts'
import { DEFAULT_LIMITS, type TransportLimits } from './limits.ts'
import { Links } from './links.ts'
import { Link, type Peer } from './peer.ts'
import { InboundRate } from './rate-limit.ts'
import { SessionSink } from './session-sink.ts'
import { Wanted } from './wanted.ts'

// Implementation constants

/** Handshake values remembered against replay: more than the common rate limit lets pass in a generation. */
const MAX_REPLAY = 8192

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

export class Transport implements TcpCore<TransportEvent>, TimedCore<TransportEvent> {
  readonly #local: Local
  readonly #log: Log
  readonly #limits: TransportLimits
  readonly #routers: TransportOptions['routers']
  readonly #links: Links
  readonly #wanted = new Wanted()
  readonly #backoff: Backoff
  readonly #rate: InboundRate
  readonly #inner: SessionSink
  #replay: SeenFilter<HashKey> | undefined
  #routerInfo: RouterInfo | undefined

  constructor(options: TransportOptions) {
    const { ntcp2, netId, random, clock } = options
    const { hash } = options.local.identity
    this.#local = { hash, ...ntcp2, netId, prologue: options.prologue, random, clock }
    this.#log = options.log
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#routers = options.routers
    this.#links = new Links(hash)
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
    return this.#links.find(hashKey(hash))?.current !== undefined
  }

  /** Bytes over all connections there ever were. */
  traffic(): { readonly in: number; readonly out: number } {
    return this.#links.traffic()
  }

  peers(): IterableIterator<PeerStatus> {
    return this.#links.status()
  }

  /**
   * Queues `message` for `to`, dialling or asking for its RouterInfo when need be; it leaves at the next `flush` or
   * `timeout`. False when it was not taken: too long, no address to dial, failed lately, or too much under way.
   */
  send(to: Hash, message: I2npMessage, now: Millis, out: Sink<TransportEvent>): boolean {
    if (message.payload.length > MAX_MESSAGE - STANDARD_HEADER) return false
    const key = hashKey(to)
    const peer = this.#links.find(key)
    const link = peer?.current ?? peer?.dialling
    if (link !== undefined) {
      link.session.output.push(message)
      if (link.session.output.bytes < FRAME_TARGET) this.#links.markDirty(link, now)
      else link.session.flush(now, this.#inner.with(now, out))
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

  /** The answer to `unknown-router`: dials, if there is still something to send. */
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
    const initiator = role === 'initiator'
    const target = initiator && remote !== undefined ? adoptedRemote(remote, iv) : undefined
    const steps = initiator
      ? target && this.#initiate(target, now)
      : this.#respond(now, (ri) =>
          remote !== undefined && !sameBytes(ri.hash, remote.hash)
            ? TerminationReason.staticKeyMismatch
            : undefined,
        )
    if (steps === undefined) {
      out.tcpEnd(id, true)
      out.event({ kind: 'link-closed', link: id })
      return
    }
    const peer = target && this.#links.peer(target.routerInfo.hash)
    const inner = this.#inner.with(now, out)
    const link = this.#open(id, endpoint, initiator, linkName, peer, now)
    link.session.start(steps, now, inner)
    if (rest.length > 0) link.session.received(rest, now, inner)
    this.#links.settle(link)
  }

  /** Ends the session with one router. */
  disconnect(hash: Hash, reason: number, now: Millis, out: Sink<TransportEvent>): void {
    const inner = this.#inner.with(now, out)
    for (const { peer, session } of [...this.#links.all()]) {
      if (peer !== undefined && sameBytes(peer.hash, hash))
        session.terminate(reason, 'disconnected', now, inner)
    }
  }

  /** Ends everything, telling the peers why. */
  shutdown(now: Millis, out: Sink<TransportEvent>): void {
    const inner = this.#inner.with(now, out)
    for (const { session } of [...this.#links.all()]) {
      session.terminate(TerminationReason.shutdown, 'shutting down', now, inner)
    }
  }

  /** Sends what was queued this turn. */
  flush(now: Millis, out: Sink<TransportEvent>): void {
    this.#links.flush(now, this.#inner.with(now, out))
  }

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<TransportEvent>): void {
    const steps = this.#welcome(from, now, out)
    if (steps === undefined) {
      out.tcpEnd(id, true)
      return
    }
    const link = this.#open(id, from, false, undefined, undefined, now)
    link.session.start(steps, now, this.#inner.with(now, out))
    this.#links.settle(link)
  }

  connected(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    const link = this.#links.get(id)
    if (link?.begin === undefined) return
    const steps = this.#initiate(link.begin, now)
    link.begin = undefined
    if (steps !== undefined) link.session.start(steps, now, this.#inner.with(now, out))
    this.#links.settle(link)
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    link.session.received(bytes, now, this.#inner.with(now, out))
    this.#links.settle(link)
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
    for (let link = this.#links.due(now); link !== undefined; link = this.#links.due(now)) {
      link.session.timeout(now, inner)
      this.#links.settle(link)
    }
    while (this.#wanted.expired(now) !== undefined);
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#links.dirtySince, earliest(this.#links.nextDeadline(), this.#wanted.next()))
  }

  #dial(ri: RouterInfo, now: Millis, out: Sink<TransportEvent>): Link | undefined {
    const key = hashKey(ri.hash)
    if (this.#routerInfo === undefined || !this.canDial(ri)) return undefined
    if (this.#links.dialling >= this.#limits.maxDialling) return undefined
    if (this.#backoff.waits(key, ri.published, now) || !this.#makeRoom(now, out)) return undefined
    const choices = dialable(ri, this.#limits)
    const { address, port, staticKey, iv } = choices[this.#backoff.count(key) % choices.length]!
    const id = out.tcpOpen({ address, port })
    const peer = this.#links.peer(ri.hash)
    const link = this.#open(id, { address, port }, true, undefined, peer, now, this.#wanted.take(key))
    link.begin = { routerInfo: ri, staticKey, iv }
    return link
  }

  #initiate(remote: Remote, now: Millis): Handshake | undefined {
    if (this.#routerInfo === undefined) return undefined
    // Where the first attempt failed our clock may be wrong: go without padding, so that we can read what theirs says.
    const padded = this.#backoff.count(hashKey(remote.routerInfo.hash)) === 0
    return initiate(this.#local, remote, this.#routerInfo.bytes, now, padded)
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
    this.#links.add(link)
    return link
  }

  /** The handshake with a stranger, if it may begin. */
  #welcome(from: Endpoint, now: Millis, out: Sink<TransportEvent>): Handshake | undefined {
    const source = parseAddress(from.address)
    if (source === undefined || (isReserved(source) && !this.#limits.allowReserved)) return undefined
    if (!this.#rate.allow(from.address, now) || !this.#makeHalfOpenRoom(now, out)) return undefined
    return this.#respond(now, (ri) => (mayComeFrom(ri, source) ? undefined : TerminationReason.banned))
  }

  #makeHalfOpenRoom(now: Millis, out: Sink<TransportEvent>): boolean {
    const { halfOpen } = this.#links
    if (halfOpen.size < this.#limits.maxHalfOpen) return true
    // A refused stranger who is only being kept waiting makes room for one who may be honest.
    for (const { session } of halfOpen) {
      if (session.state !== 'draining') continue
      session.terminate(TerminationReason.normal, 'too many handshakes', now, this.#inner.with(now, out))
      return true
    }
    return false
  }

  /** False when there are as many sessions as allowed and none of them is idle. */
  #makeRoom(now: Millis, out: Sink<TransportEvent>): boolean {
    if (this.#links.established + this.#links.dialling < this.#limits.maxSessions) return true
    const idlest = this.#links.idlest()?.session
    if (idlest === undefined || now - idlest.lastActive < this.#limits.evictIdleMs) return false
    idlest.terminate(TerminationReason.idle, 'making room', now, this.#inner.with(now, out))
    return true
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
        this.#established(this.#links.get(e.session.link)!, e.result, now, out)
        return
      case 'ended':
        this.#ended(this.#links.get(e.session.link)!, e, now, out)
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

  #established(link: Link, result: Established, now: Millis, out: Sink<TransportEvent>): void {
    const { hash } = result.remote
    const key = hashKey(hash)
    link.rttMs = result.rttMs
    this.#backoff.succeeded(key)
    this.#wanted.take(key)?.moveTo(link.session.output)
    if (this.#log.enabled('debug')) this.#log.write('debug', `session with ${shortHash(hash)} open`)
    this.#links.opened(link, result.remote, now, this.#inner.with(now, out), out)
    out.event({ kind: 'clock', peer: hash, offset: result.clockOffset })
  }

  #ended(link: Link, e: SessionEvent & { kind: 'ended' }, now: Millis, out: Sink<TransportEvent>): void {
    const { peer } = link
    if (this.#log.enabled('debug')) {
      const name = peer === undefined ? link.endpoint.address : shortHash(peer.hash)
      this.#log.write('debug', `session with ${name} ended (${e.reason}): ${e.why}`)
    }
    if (e.clockOffset !== undefined && peer !== undefined) {
      out.event({ kind: 'clock', peer: peer.hash, offset: e.clockOffset })
    }
    const refused =
      link.establishedAt === undefined && !link.initiator && e.reason !== TerminationReason.normal
    if (refused) this.#rate.failed(link.endpoint.address, now)
    if (!this.#links.ended(link, e.reason, now, out)) return
    this.#backoff.failed(peer!.key, this.#routers.get(peer!.hash)?.published ?? 0, now)
    out.event({ kind: 'dial-failed', peer: peer!.hash })
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
