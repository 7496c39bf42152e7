/**
 * An established session, or one that a reply of ours has proposed: a pair of tag sets, one for each direction, and what the
 * Existing Session messages on them carry beside cloves (ecies, "Existing session format", "Payload").
 */
import type { Writer } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { sealInto } from '../../crypto/aead.ts'
import type { HashKey } from '../structures/hash.ts'
import {
  type MessageNumber,
  type NextKey,
  type Payload,
  writeAckRequest,
  writeAcks,
  writeCloves,
  writeNextKey,
  writePadding,
  writeTermination,
} from './blocks.ts'
import type { Clove } from './clove.ts'
import { ReceiverRatchet, SenderRatchet } from './dh-ratchet.ts'
import type { SessionKeys } from './handshake.ts'
import {
  InboundTagSet,
  MAX_TAG_SET,
  OutboundTagSet,
  TAG_LENGTH,
  type TagOwner,
  type TagTable,
} from './tag-set.ts'

// Specification constants

const MAC_LENGTH = 16
/** Lifetimes without traffic (ecies, "Parameters"): a sender stops before its receiver forgets. */
const SEND_LIFETIME: Millis = 8 * 60_000
const RECEIVE_LIFETIME: Millis = 10 * 60_000
/** A replaced tag set, or session, still receives what was under way for so long. */
const PREVIOUS_LIFETIME: Millis = 3 * 60_000
/** "Send next key at tag". */
const NEXT_KEY_AT = 4096
/** How long an answer to an AckRequest or a NextKey waits for a message to travel with. */
const ANSWER_DELAY: Millis = 1000

// Implementation constants

/**
 * How soon after a New Session Reply its receiver sends an Existing Session message, with data or without: until then the
 * other side has to make a new handshake for each message.
 */
const FIRST_MESSAGE_DELAY: Millis = 500
/** Replaced tag sets of one session: a sender of 3000 messages a second replaces one every 1.4 s. */
const MAX_PREVIOUS = 2
/** Acks in one message; more requests than this between two messages lose the oldest. */
const MAX_ACKS_DUE = 64
/** Messages whose acknowledgement is awaited. */
const MAX_AWAITED = 64
/** A sender that has heard nothing for so long asks for an ack, and not more often. */
const ACK_REQUEST_INTERVAL: Millis = 30_000
/**
 * A session is suspect when so many messages with data, the first of them so long ago, were answered by nothing. Until the
 * responder's first message it is sooner: i2pd forgets a session 15 s after its reply when ours did not arrive.
 */
const UNANSWERED = 3
const SILENCE: Millis = 45_000
const FIRST_SILENCE: Millis = 15_000

const NO_ACKS: readonly number[] = []

/** What all sessions of one destination share. */
export interface SessionContext {
  readonly random: Random
  readonly tags: TagTable
  /** Payloads are composed here, `MAX_PAYLOAD` bytes, and encrypted from here into a buffer of their own. */
  readonly buffer: Writer
}

export class Session implements TagOwner {
  readonly peer: HashKey
  /** True when the New Session message was ours. */
  readonly initiator: boolean
  readonly created: Millis
  /** An Existing Session message has come in. A responder may send none before. */
  confirmed = false
  /** When an empty message is due because something of the peer's wants an answer. */
  replyAt: Millis | undefined
  lastReceived: Millis
  /** Given for the New Session Reply that proposed this session: acknowledged by the first message on it. */
  replyAckId: number | undefined
  readonly #context: SessionContext
  #lastSent: Millis
  #retiredAt: Millis | undefined
  #outbound: OutboundTagSet
  #inbound: InboundTagSet
  #previous: { readonly set: InboundTagSet; readonly until: Millis }[] = []
  readonly #sender = new SenderRatchet()
  readonly #receiver = new ReceiverRatchet()
  #acksDue: MessageNumber[] = []
  /** Message number to the id that the caller knows. */
  readonly #awaited = new Map<number, number>()
  #askedForAckAt: Millis
  #unanswered = 0
  #unansweredSince: Millis = 0

  constructor(peer: HashKey, initiator: boolean, keys: SessionKeys, context: SessionContext, now: Millis) {
    this.peer = peer
    this.initiator = initiator
    this.created = now
    this.lastReceived = now
    this.#lastSent = now
    this.#askedForAckAt = now
    this.#context = context
    const [sending, receiving] = initiator ? [keys.kab, keys.kba] : [keys.kba, keys.kab]
    this.#outbound = new OutboundTagSet(0, keys.rootKey, sending)
    this.#inbound = new InboundTagSet(0, keys.rootKey, receiving, 'session', this, context.tags)
    if (initiator) this.replyAt = now + FIRST_MESSAGE_DELAY
  }

  /** False when its receiver may have forgotten it or its tags are used up. */
  canSend(now: Millis): boolean {
    return !this.#outbound.exhausted && now < this.#lastSent + SEND_LIFETIME
  }

  /** True when what we send seems to arrive nowhere. */
  silent(now: Millis): boolean {
    const patience = this.confirmed ? SILENCE : FIRST_SILENCE
    return this.#unanswered >= UNANSWERED && now >= this.#unansweredSince + patience
  }

  /** The caller knows that what it sent did not arrive. */
  suspect(now: Millis): void {
    this.#unanswered = UNANSWERED
    this.#unansweredSince = now - SILENCE
  }

  /** Numbers of tag sets in use, outbound and inbound. */
  get tagSets(): readonly [number, number] {
    return [this.#outbound.id, this.#inbound.id]
  }

  /**
   * An Existing Session message with these cloves and whatever else is due. `ackId` asks for an acknowledgement, which
   * `received` will return by this id. `canSend` has to hold.
   */
  encrypt(cloves: readonly Clove[], ackId: number | undefined, now: Millis): Uint8Array {
    const w = this.#context.buffer
    w.pos = 0
    writeCloves(w, cloves)
    this.#writeDue(w, ackId, now)
    if (cloves.length > 0 && this.#unanswered++ === 0) this.#unansweredSince = now
    return this.#seal(w, now)
  }

  /** The last message: tells the peer to forget the session. */
  terminate(reason: number, now: Millis): Uint8Array {
    const w = this.#context.buffer
    w.pos = 0
    writeTermination(w, reason)
    return this.#seal(w, now)
  }

  /** What a decrypted message brought beside cloves. Returns the ids it acknowledges. */
  received(set: InboundTagSet, index: number, payload: Payload, now: Millis): readonly number[] {
    this.lastReceived = now
    this.#unanswered = 0
    if (set === this.#inbound && set.id > 0) this.#receiver.told()
    if (payload.ackRequest) {
      if (this.#acksDue.length === MAX_ACKS_DUE) this.#acksDue.shift()
      this.#acksDue.push({ tagSet: set.id, n: index })
      this.#replyBy(now + ANSWER_DELAY)
    }
    if (payload.nextKeys !== undefined) {
      for (const next of payload.nextKeys) {
        if (next.reverse) this.#answered(next)
        else this.#asked(next, set, now)
      }
    }
    return payload.acks === undefined ? NO_ACKS : this.#acknowledged(payload.acks)
  }

  /** From now on it only receives, and not for long after the last message. */
  retire(now: Millis): void {
    this.#retiredAt = now
  }

  resume(): void {
    this.#retiredAt = undefined
  }

  /** When it is dead unless something happens before. */
  get end(): Millis {
    if (this.#retiredAt !== undefined) return Math.max(this.#retiredAt, this.lastReceived) + PREVIOUS_LIFETIME
    return Math.max(this.#lastSent, this.lastReceived) + RECEIVE_LIFETIME
  }

  /** The next time at which something is due or to be forgotten. */
  get next(): Millis {
    let next = this.end
    if (this.replyAt !== undefined) next = Math.min(next, this.replyAt)
    return this.#previous.length === 0 ? next : Math.min(next, this.#previous[0]!.until)
  }

  /** Forgets replaced tag sets that have had their time. */
  expire(now: Millis): void {
    while (this.#previous.length > 0 && this.#previous[0]!.until <= now) this.#previous.shift()!.set.close()
  }

  close(): void {
    this.#inbound.close()
    for (const p of this.#previous) p.set.close()
    this.#previous = []
  }

  #seal(w: Writer, now: Millis): Uint8Array {
    writePadding(w, this.#context.random)
    this.#lastSent = now
    this.replyAt = undefined
    const n = this.#outbound.index
    const tag = this.#outbound.nextTag()
    const message = new Uint8Array(TAG_LENGTH + w.pos + MAC_LENGTH)
    message.set(tag)
    sealInto(message, TAG_LENGTH, this.#outbound.nextKey(), n, tag, w.bytes.subarray(0, w.pos))
    return message
  }

  #writeDue(w: Writer, ackId: number | undefined, now: Millis): void {
    if (this.#acksDue.length > 0) {
      writeAcks(w, this.#acksDue)
      this.#acksDue = []
    }
    const quiet = now >= this.lastReceived + ACK_REQUEST_INTERVAL
    if (ackId !== undefined || (quiet && now >= this.#askedForAckAt + ACK_REQUEST_INTERVAL)) {
      writeAckRequest(w)
      this.#askedForAckAt = now
      if (ackId !== undefined) this.#await(ackId)
    }
    const outbound = this.#outbound
    if (this.#sender.asking === undefined && outbound.index >= NEXT_KEY_AT && outbound.id < MAX_TAG_SET) {
      this.#sender.ask(outbound.id + 1, this.#context.random)
    }
    if (this.#receiver.telling !== undefined) writeNextKey(w, this.#receiver.telling)
    if (this.#sender.asking !== undefined) writeNextKey(w, this.#sender.asking)
  }

  #await(ackId: number): void {
    if (this.#awaited.size === MAX_AWAITED) this.#awaited.delete(this.#awaited.keys().next().value!)
    this.#awaited.set(messageNumber(this.#outbound.id, this.#outbound.index), ackId)
  }

  #acknowledged(acks: readonly MessageNumber[]): readonly number[] {
    const ids: number[] = []
    for (const { tagSet, n } of acks) {
      const number = messageNumber(tagSet, n)
      const id = this.#awaited.get(number)
      if (id === undefined) continue
      this.#awaited.delete(number)
      ids.push(id)
    }
    return ids
  }

  /** A reverse key: the tag set we asked for is used from the next message on. */
  #answered(reverse: NextKey): void {
    const k = this.#sender.answered(reverse)
    if (k === undefined) return
    this.#outbound = new OutboundTagSet(this.#outbound.id + 1, this.#outbound.nextRootKey, k)
  }

  /** A forward key: the peer wants a new tag set after `set`, on which it asked. */
  #asked(forward: NextKey, set: InboundTagSet, now: Millis): void {
    if (set !== this.#inbound) {
      // Asked before the peer saw our answer. That goes with every message; there may be none under way.
      if (this.#receiver.telling !== undefined) this.#replyBy(now + ANSWER_DELAY)
      return
    }
    if (set.id === MAX_TAG_SET) return
    const k = this.#receiver.asked(forward, set.id + 1, this.#context.random)
    if (k === undefined) return
    this.#inbound = new InboundTagSet(set.id + 1, set.nextRootKey, k, 'session', this, this.#context.tags)
    this.#previous.push({ set, until: now + PREVIOUS_LIFETIME })
    if (this.#previous.length > MAX_PREVIOUS) this.#previous.shift()!.set.close()
    this.#replyBy(now + ANSWER_DELAY)
  }

  #replyBy(at: Millis): void {
    if (this.replyAt === undefined || at < this.replyAt) this.replyAt = at
  }
}

function messageNumber(tagSet: number, n: number): number {
  return tagSet * 65536 + n
}
