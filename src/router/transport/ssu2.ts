/**
 * How SSU2 conversations begin, and whose a datagram is (ssu2, "Header Encryption", "Inbound Packet Handling"): a conversation is
 * found by the connection id under our own introduction key; only the two first answers to a dial are hidden under the peer's,
 * and found by where they come from.
 */
import { copy } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import { Deadlines } from '../../base/deadlines.ts'
import { ipBytes } from '../../base/ip.ts'
import { SeenFilter } from '../../base/lru.ts'
import { TokenBucket } from '../../base/token-bucket.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import type { IpPort, NewToken } from '../../protocol/ssu2/blocks.ts'
import { type Local, MAX_SKEW_MS } from '../../protocol/ssu2/handshake.ts'
import {
  type ConnectionKey,
  connectionKey,
  destinationKey,
  type LongHeader,
  MessageType,
  MIN_PACKET,
} from '../../protocol/ssu2/header.ts'
import { Initiator } from '../../protocol/ssu2/initiator.ts'
import { readFirstPacket } from '../../protocol/ssu2/out-of-session.ts'
import { openSessionRequest } from '../../protocol/ssu2/responder.ts'
import { answerTokenRequest, rejection, retry } from '../../protocol/ssu2/retry.ts'
import { GivenTokens, HeldTokens, NEW_TOKEN_MS, RETRY_TOKEN_MS } from '../../protocol/ssu2/tokens.ts'
import type { HashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { isReserved } from '../ip-ranges.ts'
import { mayComeFrom, type Ssu2Choice } from './addresses.ts'
import type { TransportEvent } from './events.ts'
import type { TransportLimits } from './limits.ts'
import type { Links } from './links.ts'
import { Link, type Peer } from './peer.ts'
import type { Reception } from './reception.ts'
import type { Session } from './session.ts'
import type { SessionSink } from './session-sink.ts'
import { type Handshake, type Received, Ssu2Conversation } from './ssu2-conversation.ts'

// Implementation constants

/** Handshake values remembered against replay: more than the common rate limit lets pass in a generation. */
const MAX_REPLAY = 8192
/** Retries cost no Diffie-Hellman and are sent to anyone, so strangers from invented addresses share a bucket of their own. */
const RETRIES_PER_SECOND = 1_000
const RETRY_BURST = 512
/** Ended conversations that still answer strays; beyond them the oldest fall silent. */
const MAX_LINGERING = 512

export interface Ssu2Options {
  readonly local: Local
  readonly mtu: number
  readonly limits: TransportLimits
  readonly links: Links
  readonly reception: Reception
  readonly sink: SessionSink
  /** Ours, as sent; undefined before there is one. */
  readonly ours: () => RouterInfo | undefined
  /** Whether peers shall be asked to introduce us. */
  readonly wantsRelayTag: () => boolean
  /** A tag under which we would introduce whoever asks now. */
  readonly relayTag: (source: Uint8Array) => number | undefined
}

interface Entry {
  readonly conversation: Ssu2Conversation
  readonly link: Link
  readonly key: ConnectionKey
}

export class Ssu2 {
  readonly #o: Ssu2Options
  readonly #byId = new Map<ConnectionKey, Entry>()
  readonly #entries = new Map<Session, Entry>()
  /** Dials not yet answered, by where the answer comes from. */
  readonly #dials = new Map<string, Entry>()
  /** Ended, but still answering strays; oldest first. */
  readonly #lingering = new Set<Entry>()
  readonly #deadlines = new Deadlines<Entry>()
  readonly #held = new HeldTokens()
  readonly #given: GivenTokens
  readonly #replay: SeenFilter<HashKey>
  readonly #retries: TokenBucket

  constructor(options: Ssu2Options, now: Millis) {
    this.#o = options
    this.#given = new GivenTokens(options.local.random, now)
    this.#replay = new SeenFilter(2 * MAX_SKEW_MS, MAX_REPLAY, now)
    this.#retries = new TokenBucket(RETRIES_PER_SECOND, RETRY_BURST)
  }

  /** `token`: from whoever introduced us. */
  dial(
    routerInfo: RouterInfo,
    choice: Ssu2Choice,
    peer: Peer,
    now: Millis,
    out: Sink<TransportEvent>,
    token?: Uint8Array,
  ): void {
    const { local, mtu, ours, wantsRelayTag, links, sink } = this.#o
    const { address, port, staticKey, introKey } = choice
    const endpoint = { address, port }
    const use = token ?? this.#held.take(endpoint, local.clock.wall(now))
    const initiator = new Initiator(
      local,
      { routerInfo, staticKey, introKey, mtu: choice.mtu, endpoint },
      {
        ours: ours()!.bytes,
        wantRelayTag: wantsRelayTag(),
        mtu,
        ...(use === undefined ? {} : { token: use }),
      },
    )
    const conversation = this.#conversation(initiator, endpoint, now)
    const entry = this.#add(
      conversation,
      initiator.sourceId,
      new Link(conversation, endpoint, true, peer, now),
    )
    this.#dials.set(endpointKey(endpoint), entry)
    out.event({ kind: 'dialled', endpoint })
    conversation.step(initiator.start(now), now, sink.with(now, out))
    links.settle(entry.link)
  }

  datagram(from: Endpoint, packet: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    if (packet.length < MIN_PACKET || this.#o.ours() === undefined) return
    const { introKey } = this.#o.local
    const entry = this.#byId.get(destinationKey(packet, introKey))
    if (entry !== undefined && this.#deliver(entry, packet, from, now, out) !== 'another') return
    const dial = this.#dials.get(endpointKey(from))
    // A router that dials us while we dial it sends a first packet of its own from the same endpoint.
    if (dial !== undefined && this.#deliver(dial, copy(packet), from, now, out) === 'meant') return
    const header = readFirstPacket(packet, introKey, this.#o.local.netId)
    if (header !== undefined) this.#stranger(header, packet, from, now, out)
  }

  /** A control block on the session with a router. */
  sendBlock(session: Session, type: number, data: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    const entry = this.#entries.get(session)
    if (entry === undefined) return
    entry.conversation.sendBlock(type, data, now, this.#o.sink.with(now, out))
    this.#o.links.markDirty(entry.link, now)
  }

  /** For a SessionRequest from there, soon. */
  giveToken(to: IpPort, now: Millis): Uint8Array {
    return this.#given.give(to, RETRY_TOKEN_MS, now)
  }

  /** The handshake of a dial has succeeded: what else comes is found by its connection id. */
  opened(session: Session): void {
    const entry = this.#entries.get(session)
    if (entry !== undefined) this.#answered(entry)
  }

  /** Its peer gave us a token for the next time. */
  tokenGiven(session: Session, token: NewToken): void {
    const entry = this.#entries.get(session)
    if (entry !== undefined) this.#held.put(entry.link.endpoint, token)
  }

  /** It answers strays for a while, then it is gone. */
  ended(session: Session, now: Millis): void {
    const entry = this.#entries.get(session)
    if (entry === undefined) return
    this.#answered(entry)
    this.#entries.delete(session)
    this.#lingering.add(entry)
    if (this.#lingering.size > MAX_LINGERING) this.#forget(this.#lingering.values().next().value!)
    this.#settle(entry, now)
  }

  timeout(now: Millis, out: Sink<TransportEvent>): void {
    for (let entry = this.#deadlines.due(now); entry !== undefined; entry = this.#deadlines.due(now)) {
      entry.conversation.timeout(now, this.#o.sink.with(now, out))
      this.#settle(entry, now)
    }
  }

  nextTimeout(): Millis | undefined {
    return this.#deadlines.next()
  }

  #deliver(
    entry: Entry,
    packet: Uint8Array,
    from: Endpoint,
    now: Millis,
    out: Sink<TransportEvent>,
  ): Received {
    const { links, sink } = this.#o
    const { conversation, link } = entry
    const meant = conversation.received(packet, from, now, sink.with(now, out))
    if (this.#lingering.has(entry)) this.#settle(entry, now)
    else {
      // Acknowledgements, and what the window has room for now, leave at the end of the turn.
      links.markDirty(link, now)
      links.settle(link)
    }
    return meant
  }

  #stranger(
    header: LongHeader,
    packet: Uint8Array,
    from: Endpoint,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    const { local, limits } = this.#o
    const ip = ipBytes(from.address)
    if (ip === undefined || (isReserved(ip) && !limits.allowReserved)) return
    switch (header.type) {
      case MessageType.tokenRequest:
        if (this.#retries.take(1, now))
          answer(answerTokenRequest(local, this.#given, header, packet, from, now), from, out)
        return
      case MessageType.sessionRequest:
        if (this.#given.redeem(header.token, { ip, port: from.port }, now))
          this.#sessionRequest(header, packet, ip, from, now, out)
        else if (this.#retries.take(1, now)) answer(retry(local, this.#given, header, from, now), from, out)
        return
      default:
        out.event({ kind: 'out-of-session', header, packet, from })
    }
  }

  /** Its sender is where he says; only now a Diffie-Hellman is worth it. */
  #sessionRequest(
    header: LongHeader,
    packet: Uint8Array,
    ip: Uint8Array,
    from: Endpoint,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    const { local, links, reception, relayTag } = this.#o
    if (!reception.admits(ip, from.address, now, out)) {
      answer(rejection(local, TerminationReason.connectionLimits, header, from, now), from, out)
      return
    }
    const refuse = (ri: RouterInfo): number | undefined =>
      reception.refuse(ri) ?? (mayComeFrom(ri, ip) ? undefined : TerminationReason.banned)
    const opened = openSessionRequest(
      local,
      { replay: this.#replay, relayTag: () => relayTag(ip), refuse },
      header,
      packet,
      from,
      now,
    )
    for (const bytes of opened.send) out.udp(from, bytes)
    const { responder } = opened
    if (responder === undefined) {
      reception.rate.failed(from.address, now)
      return
    }
    // An initiator that begins again with the same ids, as i2pd does, gives up what it began before.
    const before = this.#byId.get(connectionKey(responder.receiveId))
    before?.conversation.terminate(
      TerminationReason.replaced,
      'begun again',
      now,
      this.#o.sink.with(now, out),
    )
    const conversation = this.#conversation(responder, from, now)
    const { link } = this.#add(
      conversation,
      responder.receiveId,
      new Link(conversation, from, false, undefined, now),
    )
    links.settle(link)
  }

  #conversation(handshake: Handshake, endpoint: Endpoint, now: Millis): Ssu2Conversation {
    const { local, mtu, limits, ours } = this.#o
    const options = {
      local,
      mtu,
      idleMs: limits.idleMs,
      ours: () => ours()!.bytes,
      newToken: (at: Endpoint, when: Millis) => this.#token(at, when),
      mayMove: (to: Endpoint) => this.#mayMove(endpoint, to),
    }
    return new Ssu2Conversation(options, handshake, endpoint, now)
  }

  /** "Peers are NOT required to support migration between IPv4 and IPv6" ("Initiating Path Validation"). */
  #mayMove(from: Endpoint, to: Endpoint): boolean {
    const [old, next] = [ipBytes(from.address), ipBytes(to.address)]
    if (old === undefined || next === undefined || old.length !== next.length) return false
    return this.#o.limits.allowReserved || !isReserved(next) || isReserved(old)
  }

  #token(at: Endpoint, now: Millis): NewToken | undefined {
    const ip = ipBytes(at.address)
    if (ip === undefined) return undefined
    const token = this.#given.give({ ip, port: at.port }, NEW_TOKEN_MS, now)
    return { token, expires: this.#o.local.clock.wall(now) + NEW_TOKEN_MS }
  }

  #add(conversation: Ssu2Conversation, receiveId: Uint8Array, link: Link): Entry {
    const entry = { conversation, link, key: connectionKey(receiveId) }
    this.#byId.set(entry.key, entry)
    this.#entries.set(conversation, entry)
    this.#o.links.add(link)
    return entry
  }

  #answered(entry: Entry): void {
    const key = endpointKey(entry.conversation.dialled)
    if (this.#dials.get(key) === entry) this.#dials.delete(key)
  }

  /** Of one that has ended. */
  #settle(entry: Entry, now: Millis): void {
    const { deadline, gone } = entry.conversation
    if (gone || deadline === Number.POSITIVE_INFINITY) this.#forget(entry)
    else this.#deadlines.set(entry, Math.max(deadline, now))
  }

  #forget(entry: Entry): void {
    this.#lingering.delete(entry)
    this.#deadlines.clear(entry)
    if (this.#byId.get(entry.key) === entry) this.#byId.delete(entry.key)
  }
}

function answer(packet: Uint8Array | undefined, to: Endpoint, out: Sink<TransportEvent>): void {
  if (packet !== undefined) out.udp(to, packet)
}

function endpointKey({ address, port }: Endpoint): string {
  return `${address} ${port}`
}
