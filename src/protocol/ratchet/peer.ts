/**
 * All that one destination of ours shares with one static key: New Session messages sent and received, sessions, and which of
 * them the next message goes on (ecies, "Sessions", "Retransmissions and State Transitions").
 *
 * As initiator we send New Session messages until a reply comes, each with its own key and tags; the first reply makes the
 * session. As responder we answer each New Session message, at least once; every reply proposes a session of its own, and the
 * one on which the first Existing Session message comes is the session. Nothing is sent on it before.
 */
import { compareBytes, type Writer } from '../../base/bytes.ts'
import { type Millis, seconds, type WallMillis } from '../../base/clock.ts'
import type { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import type { HashKey } from '../structures/hash.ts'
import { Allowance } from './allowance.ts'
import { type Payload, writeCloves, writeDateTime, writePadding } from './blocks.ts'
import type { Clove } from './clove.ts'
import {
  type ReceivedNewSession,
  readNewSessionReply,
  replyTagSetKeys,
  type SentNewSession,
  type SessionKeys,
  writeNewSession,
  writeNewSessionReply,
} from './handshake.ts'
import { Session, type SessionContext } from './session.ts'
import { InboundTagSet, OutboundTagSet, REPLY_SET_AHEAD, type TagOwner } from './tag-set.ts'

// Specification constants

/** "NSR tagset timeout". */
const OFFER_LIFETIME: Millis = 3 * 60_000

// Implementation constants

/** A reply leaves after this at the latest, with data or without. The spec says 1 s; an i2pd forgets its side after 3 s. */
const REPLY_DELAY: Millis = 500
/** New Session messages to one peer: so many at once, then as many as an i2pd takes from all its peers together. */
const OFFER_BURST = 12
const OFFERS_PER_SECOND = 5
/** Unanswered New Session messages of ours to one peer; the oldest goes first, which is 5 s old even at the full rate. */
const MAX_OFFERS = 32
/** New Session messages from one peer that may still become its session. */
const MAX_REQUESTS = 8
/** A full list gives up a request whose last reply is this old: its initiator would have gone on with it by now. */
const REQUEST_PATIENCE: Millis = 5_000
/** A request is forgotten this long after our last reply to it. */
const REQUEST_LIFETIME: Millis = 60_000
/** Replies to one New Session message: what the initiator's tag window holds. */
const MAX_REPLIES = REPLY_SET_AHEAD
/** Sessions beside the one in use that still receive. */
const MAX_OTHERS = 3
/** Two sessions, one opened from each side, are the same attempt when they are not further apart. */
const SIMULTANEOUS: Millis = 30_000
/** The session in use gives way to one that the peer prefers when nothing has come on it for so long. */
const RESUME_AFTER: Millis = 20_000

/** A New Session message of ours. */
export class Offer implements TagOwner {
  readonly peer: HashKey
  readonly noise: SymmetricState
  readonly ae: X25519KeyPair
  readonly sentAt: Millis
  readonly replyTags: InboundTagSet
  /** Acknowledged by the first reply. */
  ackId: number | undefined

  constructor(
    peer: HashKey,
    sent: SentNewSession,
    ackId: number | undefined,
    context: SessionContext,
    now: Millis,
  ) {
    this.peer = peer
    this.noise = sent.noise
    this.ae = sent.ae
    this.ackId = ackId
    this.sentAt = now
    const [rootKey, k] = replyTagSetKeys(sent.noise)
    this.replyTags = new InboundTagSet(0, rootKey, k, 'reply', this, context.tags)
  }
}

/** A New Session message of the peer's. */
interface Request {
  readonly noise: SymmetricState
  readonly aepk: Uint8Array
  readonly replyTags: OutboundTagSet
  readonly sessions: Session[]
  /** Set until the first reply. */
  replyAt: Millis | undefined
  lastReply: Millis
  until: Millis
}

/** What a New Session Reply or an Existing Session message brought, besides its payload. */
const NONE: readonly number[] = []

export class Peer {
  readonly key: HashKey
  readonly remoteKey: Uint8Array
  /** The deadline that the store keeps for this peer. */
  armed: Millis = Number.POSITIVE_INFINITY
  readonly #own: X25519KeyPair
  readonly #context: SessionContext
  #session: Session | undefined
  #others: Session[] = []
  #offers: Offer[] = []
  #requests: Request[] = []
  /** The last we heard was a New Session message: data goes into replies, for the peer may know no session of ours. */
  #answering = false
  readonly #allowance: Allowance

  constructor(key: HashKey, remoteKey: Uint8Array, own: X25519KeyPair, context: SessionContext, now: Millis) {
    this.key = key
    this.remoteKey = remoteKey
    this.#own = own
    this.#context = context
    this.#allowance = new Allowance(OFFER_BURST, OFFERS_PER_SECOND, now)
  }

  /** The session in use. */
  get session(): Session | undefined {
    return this.#session
  }

  /** Known by its New Session messages only: cheap for anyone to be. */
  get stranger(): boolean {
    return this.#session === undefined && this.#others.length === 0 && this.#offers.length === 0
  }

  get empty(): boolean {
    return this.stranger && this.#requests.length === 0
  }

  /** True when the next message will not be a New Session message. */
  established(now: Millis): boolean {
    if (this.#answering && this.#answerable() !== undefined) return true
    return this.#session?.canSend(now) === true && !this.#session.silent(now)
  }

  /** Undefined when too many New Session messages are unanswered, or the key is impossible. */
  encrypt(
    cloves: readonly Clove[],
    ackId: number | undefined,
    wall: WallMillis,
    now: Millis,
  ): Uint8Array | undefined {
    const request = this.#answering ? this.#answerable() : undefined
    if (request !== undefined) return this.#reply(request, cloves, ackId, now)
    const session = this.#session
    if (session?.canSend(now) !== true)
      return this.#allowance.take(now) ? this.#open(cloves, ackId, wall, now) : undefined
    if (session.silent(now) && this.#allowance.take(now)) return this.#open(cloves, ackId, wall, now)
    return session.encrypt(cloves, ackId, now)
  }

  /** A New Session Reply to `offer`: its payload, and what it acknowledges. Undefined when it is not one. */
  replied(offer: Offer, bytes: Uint8Array, now: Millis): [Uint8Array, readonly number[]] | undefined {
    const reply = readNewSessionReply(offer, this.#own, bytes)
    if (reply === undefined) return undefined
    this.#answering = false
    this.#established(offer, reply.keys, now)
    const acked = offer.ackId === undefined ? NONE : [offer.ackId]
    offer.ackId = undefined
    return [reply.payload, acked]
  }

  /** A bound New Session message. False when it was one too many to be answered. */
  requested(received: ReceivedNewSession, now: Millis): boolean {
    if (this.#requests.length === MAX_REQUESTS) {
      const old = this.#requests.findIndex(
        (r) => r.replyAt === undefined && now >= r.lastReply + REQUEST_PATIENCE,
      )
      if (old < 0) return false
      this.#forget(this.#requests.splice(old, 1)[0]!)
    }
    const [rootKey, k] = replyTagSetKeys(received.noise)
    this.#requests.push({
      noise: received.noise,
      aepk: received.aepk,
      replyTags: new OutboundTagSet(0, rootKey, k),
      sessions: [],
      replyAt: now + REPLY_DELAY,
      lastReply: now,
      until: now + REQUEST_LIFETIME,
    })
    this.#answering = true
    return true
  }

  /** An Existing Session message that decrypted. Returns the ids it acknowledges. */
  received(
    session: Session,
    set: InboundTagSet,
    index: number,
    payload: Payload,
    now: Millis,
  ): readonly number[] {
    this.#answering = false
    let acked = session.received(set, index, payload, now)
    if (!session.confirmed) {
      session.confirmed = true
      if (!session.initiator) {
        if (session.replyAckId !== undefined) acked = [...acked, session.replyAckId]
        this.#confirmed(session, now)
      }
    } else if (session !== this.#session) this.#resume(session, now)
    if (payload.termination !== undefined) this.#terminated(session, now)
    return acked
  }

  /** What has been sent lately did not arrive: try a New Session message. */
  suspect(now: Millis): void {
    this.#session?.suspect(now)
  }

  /** The last message of the session in use, when there is one. */
  terminate(now: Millis): Uint8Array | undefined {
    const session = this.#session
    if (session === undefined) return undefined
    this.#session = undefined
    this.#keep(session, now)
    return session.canSend(now) && (session.initiator || session.confirmed)
      ? session.terminate(0, now)
      : undefined
  }

  /** Does what is due; messages to send go to `due`. */
  timeout(now: Millis, due: Uint8Array[]): void {
    for (const request of this.#requests) {
      if (request.replyAt === undefined || request.replyAt > now) continue
      const message = this.#reply(request, [], undefined, now)
      if (message !== undefined) due.push(message)
    }
    for (const request of this.#requests) if (request.until <= now) this.#forget(request)
    this.#requests = this.#requests.filter((r) => r.until > now)
    if (this.#requests.length === 0) this.#answering = false
    while (this.#offers.length > 0 && this.#offers[0]!.sentAt + OFFER_LIFETIME <= now) {
      this.#offers.shift()!.replyTags.close()
    }
    if (this.#session !== undefined && !this.#tick(this.#session, now, due)) this.#session = undefined
    this.#others = this.#others.filter((s) => this.#tick(s, now, due))
  }

  /** The next time at which something is due; infinite when nothing will be. */
  next(): Millis {
    let next = Number.POSITIVE_INFINITY
    for (const r of this.#requests) next = Math.min(next, r.replyAt ?? r.until)
    if (this.#offers.length > 0) next = Math.min(next, this.#offers[0]!.sentAt + OFFER_LIFETIME)
    if (this.#session !== undefined) next = Math.min(next, this.#session.next)
    for (const s of this.#others) next = Math.min(next, s.next)
    return next
  }

  /** Takes all its tags out of the table. */
  close(): void {
    for (const r of this.#requests) this.#forget(r)
    for (const o of this.#offers) o.replyTags.close()
    for (const s of this.#others) s.close()
    this.#session?.close()
    this.#requests = []
    this.#offers = []
    this.#others = []
    this.#session = undefined
  }

  #open(
    cloves: readonly Clove[],
    ackId: number | undefined,
    wall: WallMillis,
    now: Millis,
  ): Uint8Array | undefined {
    const payload = newSessionPayload(this.#context, cloves, wall)
    const sent = writeNewSession(this.#own, this.remoteKey, payload, this.#context.random)
    if (sent === undefined) return undefined
    if (this.#offers.length === MAX_OFFERS) this.#offers.shift()!.replyTags.close()
    this.#offers.push(new Offer(this.key, sent, ackId, this.#context, now))
    return sent.message
  }

  /** The newest request that may have another reply. */
  #answerable(): Request | undefined {
    for (let i = this.#requests.length - 1; i >= 0; i--) {
      const request = this.#requests[i]!
      if (request.replyTags.index < MAX_REPLIES) return request
    }
    return undefined
  }

  #reply(
    request: Request,
    cloves: readonly Clove[],
    ackId: number | undefined,
    now: Millis,
  ): Uint8Array | undefined {
    const w = this.#context.buffer
    w.pos = 0
    writeCloves(w, cloves)
    writePadding(w, this.#context.random)
    request.replyAt = undefined
    request.lastReply = now
    request.until = now + REQUEST_LIFETIME
    const tag = request.replyTags.nextTag()
    const payload = w.bytes.subarray(0, w.pos)
    const reply = writeNewSessionReply(request, this.remoteKey, tag, payload, this.#context.random)
    if (reply === undefined) return undefined
    const session = new Session(this.key, false, reply.keys, this.#context, now)
    session.replyAckId = ackId
    request.sessions.push(session)
    return reply.message
  }

  /** The first reply to `offer` makes a session unless a newer one is in use; later ones bring their payload only. */
  #established(offer: Offer, keys: SessionKeys, now: Millis): void {
    const current = this.#session
    if (current !== undefined && offer.sentAt < current.created) {
      if (current.initiator || !this.#preferOwn(current.created, now)) return
    }
    this.#adopt(new Session(this.key, true, keys, this.#context, now), now)
  }

  /** The first message on a session that one of our replies proposed. */
  #confirmed(session: Session, now: Millis): void {
    for (const request of this.#requests) {
      request.replyAt = undefined
      request.until = Math.min(request.until, now + REQUEST_LIFETIME)
      const i = request.sessions.indexOf(session)
      if (i >= 0) request.sessions.splice(i, 1)
    }
    const current = this.#session
    if (
      current?.initiator === true &&
      !current.silent(now) &&
      this.#preferOwn(current.created, session.created)
    ) {
      this.#keep(session, now)
    } else {
      this.#adopt(session, now)
    }
  }

  /** Both sides opened a session at once: both keep the one whose initiator has the smaller static key. */
  #preferOwn(one: Millis, other: Millis): boolean {
    return Math.abs(one - other) < SIMULTANEOUS && compareBytes(this.#own.publicKey, this.remoteKey) < 0
  }

  #adopt(session: Session, now: Millis): void {
    const i = this.#others.indexOf(session)
    if (i >= 0) this.#others.splice(i, 1)
    if (this.#session !== undefined) this.#keep(this.#session, now)
    session.resume()
    this.#session = session
  }

  /** Only to receive what is under way, or what the peer prefers to send on it. */
  #keep(session: Session, now: Millis): void {
    session.retire(now)
    if (this.#others.length === MAX_OTHERS) this.#others.shift()!.close()
    this.#others.push(session)
  }

  /** A message on a session not in use: it is again when the one in use has nothing to show for itself. */
  #resume(session: Session, now: Millis): void {
    const current = this.#session
    if (current === undefined || Math.max(current.created, current.lastReceived) + RESUME_AFTER <= now) {
      this.#adopt(session, now)
    }
  }

  #terminated(session: Session, now: Millis): void {
    session.replyAt = undefined
    if (session !== this.#session) return
    this.#session = undefined
    this.#keep(session, now)
  }

  /** False, and closed, when the session is over. */
  #tick(session: Session, now: Millis, due: Uint8Array[]): boolean {
    if (session.end <= now) {
      session.close()
      return false
    }
    session.expire(now)
    if (session.replyAt !== undefined && session.replyAt <= now) {
      if (session.canSend(now)) due.push(session.encrypt([], undefined, now))
      else session.replyAt = undefined
    }
    return true
  }

  #forget(request: Request): void {
    for (const session of request.sessions) session.close()
  }
}

/** DateTime first, then cloves. */
export function newSessionPayload(
  context: { readonly buffer: Writer; readonly random: SessionContext['random'] },
  cloves: readonly Clove[],
  wall: WallMillis,
): Uint8Array {
  const w = context.buffer
  w.pos = 0
  writeDateTime(w, seconds(wall))
  writeCloves(w, cloves)
  writePadding(w, context.random)
  return w.bytes.subarray(0, w.pos)
}
