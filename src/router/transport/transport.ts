/**
 * All connections of one router on one network: hand it a message and a router's hash. It dials, accepts, queues, decides
 * between duplicate sessions, and tells the rest through events.
 */
import { Reader, sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { Datagram, Endpoint, LinkId, Sink, TcpCore, TimedCore, UdpCore } from '../../base/core.ts'
import { earliest } from '../../base/deadlines.ts'
import { unlessMalformed } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { TokenBucket } from '../../base/token-bucket.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import type { Traffic } from '../../protocol/blocks/output-queue.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import { type I2npMessage, MAX_MESSAGE, STANDARD_HEADER } from '../../protocol/i2np/message.ts'
import { type Local, MAX_ROUTER_INFO_AGE_MS } from '../../protocol/ntcp2/handshake.ts'
import { FRAME_TARGET } from '../../protocol/ntcp2/session.ts'
import { type IpPort, readNewToken, Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { type Hash, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import type { LocalIdentity } from '../../protocol/structures/identity.ts'
import {
  checkRouterInfo,
  type RouterInfo,
  readRouterInfo,
  verifyRouterInfo,
} from '../../protocol/structures/router-info.ts'
import { dialable } from './addresses.ts'
import { Dialler } from './dialler.ts'
import type { PeerStatus, TransportEvent } from './events.ts'
import { DEFAULT_LIMITS, type TransportLimits } from './limits.ts'
import { Links } from './links.ts'
import { Ntcp2 } from './ntcp2.ts'
import type { Link, Peer } from './peer.ts'
import { Reception } from './reception.ts'
import type { Opened, SessionEvent } from './session.ts'
import { SessionSink } from './session-sink.ts'
import { type OutRates, Shaper } from './shaper.ts'
import { Ssu2, type Ssu2Options } from './ssu2.ts'
import { Wanted } from './wanted.ts'

// Implementation constants

// Implementation constants

const UNLIMITED: OutRates = { all: Number.POSITIVE_INFINITY, transit: Number.POSITIVE_INFINITY }

export interface TransportOptions {
  readonly local: LocalIdentity
  readonly ntcp2: { readonly staticKeys: X25519KeyPair; readonly iv: Uint8Array }
  /** Undefined without SSU2; its static keys are NTCP2's. */
  readonly ssu2?:
    | (Pick<Ssu2Options, 'mtu' | 'wantsRelayTag' | 'relayTag'> & { readonly introKey: Uint8Array })
    | undefined
  readonly netId: number
  /** Noise prologue of a mesh. */
  readonly prologue?: Uint8Array | undefined
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<TransportLimits> | undefined
  /** `inbound` is charged with everything that comes in. Default: no limit. */
  readonly bandwidth?: { readonly out: OutRates; readonly inbound: TokenBucket }
  /** View of the netDb: verified RouterInfos. */
  readonly routers: { get(hash: Hash): RouterInfo | undefined }
}

export class Transport
  implements TcpCore<TransportEvent>, UdpCore<TransportEvent>, TimedCore<TransportEvent>
{
  readonly #local: Local
  readonly #log: Log
  readonly #limits: TransportLimits
  readonly #routers: TransportOptions['routers']
  readonly #inbound: TokenBucket | undefined
  readonly #links: Links
  readonly #shaper: Shaper
  readonly #wanted = new Wanted()
  readonly #reception: Reception
  readonly #inner: SessionSink
  readonly #ntcp2: Ntcp2
  readonly #ssu2: Ssu2 | undefined
  readonly #dialler: Dialler
  #routerInfo: RouterInfo | undefined

  constructor(options: TransportOptions, now: Millis = 0) {
    const { ntcp2, ssu2, netId, random, clock } = options
    const { hash } = options.local.identity
    this.#local = { hash, ...ntcp2, netId, prologue: options.prologue, random, clock }
    this.#log = options.log
    const limits = { ...DEFAULT_LIMITS, ssu2: ssu2 !== undefined, ...options.limits }
    this.#limits = limits
    this.#routers = options.routers
    this.#inbound = options.bandwidth?.inbound
    this.#shaper = new Shaper(options.bandwidth?.out ?? UNLIMITED)
    const links = new Links(hash, this.#shaper)
    this.#links = links
    const sink = new SessionSink((e, now, out) => this.#sessionEvent(e, now, out))
    this.#inner = sink
    const reception = new Reception(hash, limits, links, sink)
    this.#reception = reception
    const ours = (): RouterInfo | undefined => this.#routerInfo
    this.#ntcp2 = new Ntcp2({ local: this.#local, limits, links, reception, sink, ours })
    if (ssu2 !== undefined) {
      const local = { ...this.#local, introKey: ssu2.introKey }
      this.#ssu2 = new Ssu2({ ...ssu2, local, limits, links, reception, sink, ours }, now)
    }
    this.#dialler = new Dialler({ limits, links, reception, ntcp2: this.#ntcp2, ssu2: this.#ssu2, random })
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

  /** Sessions stay; what waits leaves at the new rates. */
  setRates(rates: OutRates): void {
    this.#shaper.setRates(rates)
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
  send(
    to: Hash,
    message: I2npMessage,
    now: Millis,
    out: Sink<TransportEvent>,
    traffic: Traffic = 'own',
  ): boolean {
    if (message.payload.length > MAX_MESSAGE - STANDARD_HEADER) return false
    const key = hashKey(to)
    const peer = this.#links.find(key)
    const link = peer?.current
    if (link !== undefined) {
      link.session.output.push(message, traffic, now)
      this.#links.markDirty(link, now)
      if (link.session.output.bytes >= FRAME_TARGET) this.flush(now, out)
      return true
    }
    const underWay = this.#dialler.underWay(key)
    if (underWay !== undefined) {
      underWay.waiting.push(message, traffic, now)
      return true
    }
    const ri = this.#routers.get(to)
    if (ri !== undefined) {
      const dialled = this.#dial(ri, now, out)
      dialled?.waiting.push(message, traffic, now)
      return dialled !== undefined
    }
    if (sameBytes(to, this.#local.hash)) return false
    const held = this.#wanted.hold(key, message, traffic, now)
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

  /** NTCP2 on a connection that someone else opened and greeted (ntcp2.ts). */
  adopt(...args: Parameters<Ntcp2['adopt']>): void {
    this.#ntcp2.adopt(...args)
  }

  /** A control block to a router that we have an SSU2 session with; forgotten without one. */
  sendBlock(to: Hash, type: number, data: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    const peer = this.#links.find(hashKey(to))
    const link = peer && this.#links.over('ssu2', peer)
    if (link !== undefined) this.#ssu2?.sendBlock(link.session, type, data, now, out)
  }

  /** For a SessionRequest from there, soon. */
  giveToken(to: IpPort, now: Millis): Uint8Array {
    return this.#ssu2!.giveToken(to, now)
  }

  /** An SSU2 session whatever else there is with this router. False when it cannot be had. */
  dialSsu2(ri: RouterInfo, now: Millis, out: Sink<TransportEvent>): boolean {
    return this.#routerInfo !== undefined && this.#dialler.dialSsu2(ri, now, out)
  }

  /** Answers to `introduce`. */
  introduced(
    ri: RouterInfo,
    endpoint: Endpoint,
    token: Uint8Array,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    this.#dialler.introduced(ri, endpoint, token, now, out)
  }

  notIntroduced(hash: Hash, now: Millis, out: Sink<TransportEvent>): void {
    this.#dialler.notIntroduced(hash, now, out)
  }

  /** Ends the session with one router. */
  disconnect(hash: Hash, reason: number, now: Millis, out: Sink<TransportEvent>): void {
    this.flush(now, out)
    const inner = this.#inner.with(now, out)
    for (const { peer, session } of [...this.#links.all()]) {
      if (peer !== undefined && sameBytes(peer.hash, hash))
        session.terminate(reason, 'disconnected', now, inner)
    }
  }

  /** Ends everything, telling the peers why. */
  shutdown(now: Millis, out: Sink<TransportEvent>): void {
    this.flush(now, out)
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
    this.#ntcp2.accepted(id, from, now, out)
  }

  connected(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    this.#ntcp2.connected(id, now, out)
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    this.#inbound?.spend(bytes.length, now)
    this.#ntcp2.received(id, bytes, now, out)
  }

  closed(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    this.#ntcp2.closed(id, now, out)
  }

  datagrams(burst: readonly Datagram[], now: Millis, out: Sink<TransportEvent>): void {
    for (const { from, bytes } of burst) {
      this.#inbound?.spend(bytes.length, now)
      this.#ssu2?.datagram(from, bytes, now, out)
    }
  }

  writable(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    this.#ntcp2.writable(id, now, out)
  }

  timeout(now: Millis, out: Sink<TransportEvent>): void {
    this.flush(now, out)
    const inner = this.#inner.with(now, out)
    for (let link = this.#links.due(now); link !== undefined; link = this.#links.due(now)) {
      link.session.timeout(now, inner)
      // Paced sending goes on with what the queue still holds.
      if (link.session.output.size > 0) this.#links.markDirty(link, now)
      this.#links.settle(link)
    }
    this.#dialler.timeout(now, out)
    while (this.#wanted.expired(now) !== undefined);
    this.#ssu2?.timeout(now, out)
  }

  nextTimeout(): Millis | undefined {
    return earliest(
      earliest(earliest(this.#links.dirtySince, this.#shaper.deadline), this.#dialler.nextTimeout()),
      earliest(this.#links.nextDeadline(), earliest(this.#wanted.next(), this.#ssu2?.nextTimeout())),
    )
  }

  #dial(routerInfo: RouterInfo, now: Millis, out: Sink<TransportEvent>): Peer | undefined {
    if (this.#routerInfo === undefined || sameBytes(routerInfo.hash, this.#local.hash)) return undefined
    const peer = this.#dialler.dial(routerInfo, now, out)
    if (peer !== undefined) this.#wanted.take(peer.key)?.moveTo(peer.waiting, now)
    return peer
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
        this.#established(this.#links.of(e.session), e.result, now, out)
        return
      case 'ended':
        this.#ended(this.#links.of(e.session), e, now, out)
        return
      case 'block':
        this.#block(e, now, out)
        return
      case 'address':
        out.event({ kind: 'our-address', peer: this.#links.of(e.session).peer!.hash, address: e.address })
        return
      case 'moved': {
        const link = this.#links.of(e.session)
        link.endpoint = e.to
        out.event({ kind: 'ssu2-moved', peer: link.peer!.hash, endpoint: e.to })
      }
    }
  }

  #block(
    { session, type, data }: SessionEvent & { kind: 'block' },
    _now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    if (type === Ssu2BlockType.newToken) {
      const token = unlessMalformed(() => readNewToken(new Reader(data)))
      if (token !== undefined) this.#ssu2?.tokenGiven(session, token)
    } else out.event({ kind: 'block', from: this.#links.of(session).peer!.hash, type, data })
  }

  /** ntcp2, "RouterInfo": in the data phase it must be the peer's own. */
  #peerRouterInfo(
    from: Hash,
    bytes: Uint8Array,
    flood: boolean,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    const routerInfo = unlessMalformed(() => {
      const unverified = readRouterInfo(bytes)
      return sameBytes(unverified.claimed.hash, from) ? verifyRouterInfo(unverified) : undefined
    })
    if (routerInfo === undefined) return
    const { netId, clock } = this.#local
    if (checkRouterInfo(routerInfo, netId, clock.wall(now), MAX_ROUTER_INFO_AGE_MS) !== 'ok') return
    out.event({ kind: 'router-info', routerInfo, flood, from })
  }

  #established(link: Link, result: Opened, now: Millis, out: Sink<TransportEvent>): void {
    const { hash } = result.remote
    const key = hashKey(hash)
    this.#dialler.succeeded(key)
    this.#ssu2?.opened(link.session)
    this.#wanted.take(key)?.moveTo(link.session.output, now)
    if (this.#log.enabled('debug')) this.#log.write('debug', `session with ${shortHash(hash)} open`)
    this.#links.opened(link, result.remote, now, this.#inner.with(now, out), out)
    out.event({ kind: 'clock', peer: hash, offset: result.clockOffset })
    if (link.session.transport !== 'ssu2') return
    const { endpoint, initiator } = link
    const { remote: routerInfo, relayTag, grantedTag } = result
    out.event({ kind: 'ssu2-open', hash, routerInfo, endpoint, initiator, relayTag, grantedTag })
  }

  #ended(link: Link, e: SessionEvent & { kind: 'ended' }, now: Millis, out: Sink<TransportEvent>): void {
    const { peer } = link
    this.#ssu2?.ended(link.session, now)
    if (this.#log.enabled('debug')) {
      const name = peer === undefined ? link.endpoint.address : shortHash(peer.hash)
      this.#log.write('debug', `session with ${name} ended (${e.reason}): ${e.why}`)
    }
    if (e.clockOffset !== undefined && peer !== undefined) {
      out.event({ kind: 'clock', peer: peer.hash, offset: e.clockOffset })
    }
    const refused =
      link.establishedAt === undefined && !link.initiator && e.reason !== TerminationReason.normal
    if (refused) this.#reception.rate.failed(link.endpoint.address, now)
    const failed = this.#links.ended(link, e.reason, now, out)
    if (peer === undefined) return
    if (
      link.establishedAt !== undefined &&
      link.session.transport === 'ssu2' &&
      !this.#links.over('ssu2', peer)
    )
      out.event({ kind: 'ssu2-closed', peer: peer.hash })
    if (failed && !this.#dialler.tryNext(peer.key, now, out))
      this.#dialler.failed(peer, this.#routers.get(peer.hash)?.published ?? 0, now, out)
  }
}
