/**
 * The ratchet sessions of one destination (ecies): garlic in and out, by the far static key. Who owns that key, and where its
 * leases are, is the caller's business.
 *
 * An incoming message costs one look-up of its first eight bytes. Only when no session expects them is it tried as a New
 * Session message, which costs a key agreement and is therefore rationed.
 */
import { copy, Writer } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { Lru, SeenFilter } from '../../base/lru.ts'
import type { Random } from '../../base/random.ts'
import { open } from '../../crypto/aead.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import { type HashKey, hashKey } from '../structures/hash.ts'
import { Allowance } from './allowance.ts'
import { clovesLength, MAX_OVERHEAD, MAX_PAYLOAD, type Payload, readPayload } from './blocks.ts'
import type { Clove } from './clove.ts'
import { NEW_SESSION_LENGTH, readNewSession, writeNewSession } from './handshake.ts'
import { newSessionPayload, Offer, Peer } from './peer.ts'
import { Session, type SessionContext } from './session.ts'
import { inSkew, SKEW_SPAN } from './skew.ts'
import { type InboundTagSet, MAX_TAGS, TAG_LENGTH, TagTable, tagNumber } from './tag-set.ts'

// Specification constants

const MAC_LENGTH = 16

// Implementation constants

/** Far static keys with any state, a few KB each when idle; the least recently used goes first. */
const MAX_PEERS = 2048
/** Those of them known by New Session messages only, which anyone can send: they displace each other and no one else. */
const MAX_STRANGERS = 256
/** Attempts to read an unknown message as a New Session message, 0.3 ms each on a PC and 2 ms on a small board. */
const ATTEMPT_BURST = 50
const ATTEMPTS_PER_SECOND = 100
/** Ephemeral keys remembered against replay for as long as their DateTime stays acceptable: all that can have been read. */
const REPLAY_PERIOD: Millis = SKEW_SPAN
const MAX_REPLAY_KEYS: number = ATTEMPT_BURST + (ATTEMPTS_PER_SECOND * REPLAY_PERIOD) / 1000

const NO_ACKS: readonly number[] = []

export interface RatchetOptions {
  /** The static keys in the lease set. */
  readonly keys: X25519KeyPair
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
}

export interface EncryptOptions {
  /** Ask for an acknowledgement; its id comes back in `acked`. */
  readonly ack?: boolean
  /** Default true. False: a New Session message without our key, which starts no session and cannot be answered. */
  readonly bindReply?: boolean
}

export interface Encrypted {
  /** A Garlic message's data, without the length field. */
  readonly message: Uint8Array
  /** Unique within this store. */
  readonly ackId: number | undefined
}

export interface Decrypted {
  /** They borrow from a buffer made for this message. */
  readonly cloves: readonly Clove[]
  /** The sender's static key, proved by the message; undefined for New Session messages without binding. */
  readonly remoteKey: Uint8Array | undefined
  readonly acked: readonly number[]
}

export interface DueMessage {
  readonly remoteKey: Uint8Array
  readonly message: Uint8Array
}

export class RatchetSessions {
  readonly #keys: X25519KeyPair
  readonly #clock: Clock
  readonly #log: Log
  readonly #context: SessionContext
  readonly #peers = new Lru<HashKey, Peer>(MAX_PEERS)
  readonly #strangers = new Lru<HashKey, Peer>(MAX_STRANGERS)
  readonly #deadlines = new Deadlines<Peer>()
  /** Made with the first message, whose time they need. */
  #attempts: Allowance | undefined
  #ephemeralKeys: SeenFilter<HashKey> | undefined
  #nextAckId = 1

  constructor(options: RatchetOptions) {
    this.#keys = options.keys
    this.#clock = options.clock
    this.#log = options.log
    this.#context = { random: options.random, tags: new TagTable(), buffer: new Writer(MAX_PAYLOAD) }
  }

  /** Far static keys with any state. */
  get size(): number {
    return this.#peers.size
  }

  /** Tags expected, of all sessions. */
  get tagCount(): number {
    return this.#context.tags.size
  }

  /**
   * Garlic for the owner of `remoteKey`, its static key, 32 bytes. Undefined when the key is impossible, the cloves are too
   * large, or too many New Session messages to it are unanswered: then it counts as lost on the way.
   */
  encrypt(
    remoteKey: Uint8Array,
    cloves: readonly Clove[],
    options: EncryptOptions,
    now: Millis,
  ): Encrypted | undefined {
    if (clovesLength(cloves) + MAX_OVERHEAD > MAX_PAYLOAD) return undefined
    const wall = this.#clock.wall(now)
    if (options.bindReply === false) {
      const payload = newSessionPayload(this.#context, cloves, wall)
      const sent = writeNewSession(undefined, remoteKey, payload, this.#context.random)
      return sent === undefined ? undefined : { message: sent.message, ackId: undefined }
    }
    const peer = this.#peer(remoteKey, now)
    const ackId = options.ack === true ? this.#nextAckId++ : undefined
    const message = peer.encrypt(cloves, ackId, wall, now)
    this.#settle(peer)
    return message === undefined ? undefined : { message, ackId }
  }

  /** What a Garlic message's data holds for us; undefined when nothing. */
  decrypt(bytes: Uint8Array, now: Millis): Decrypted | undefined {
    if (bytes.length < TAG_LENGTH + MAC_LENGTH) return undefined
    const tag = tagNumber(bytes)
    const set = this.#context.tags.get(tag)
    if (set === undefined) return this.#newSession(bytes, now)
    const owner = set.owner
    const peer = this.#peers.get(owner.peer)!
    const index = set.take(tag)
    if (owner instanceof Session) return this.#existing(peer, owner, set, index, bytes, now)
    return owner instanceof Offer ? this.#reply(peer, owner, bytes, now) : undefined
  }

  /** True when the next message to `remoteKey` will not be a New Session message: senders of much wait for that. */
  established(remoteKey: Uint8Array, now: Millis): boolean {
    return this.#peers.get(hashKey(remoteKey))?.established(now) ?? false
  }

  /** The caller has lost messages to `remoteKey` again and again: the next one is a New Session message. */
  restart(remoteKey: Uint8Array, now: Millis): void {
    this.#peers.get(hashKey(remoteKey))?.suspect(now)
  }

  /** Ends the session in use: a last message that says so, when there is one. */
  terminate(remoteKey: Uint8Array, now: Millis): Uint8Array | undefined {
    const peer = this.#peers.get(hashKey(remoteKey))
    const message = peer?.terminate(now)
    if (peer !== undefined) this.#settle(peer)
    return message
  }

  /** Empty messages that are due: replies to New Session messages, acknowledgements, next keys. */
  timeout(now: Millis): DueMessage[] {
    const due: DueMessage[] = []
    const messages: Uint8Array[] = []
    for (let peer = this.#deadlines.due(now); peer !== undefined; peer = this.#deadlines.due(now)) {
      peer.armed = Number.POSITIVE_INFINITY
      peer.timeout(now, messages)
      for (const message of messages) due.push({ remoteKey: peer.remoteKey, message })
      messages.length = 0
      this.#settle(peer)
    }
    return due
  }

  nextTimeout(): Millis | undefined {
    return this.#deadlines.next()
  }

  #existing(
    peer: Peer,
    session: Session,
    set: InboundTagSet,
    index: number,
    bytes: Uint8Array,
    now: Millis,
  ): Decrypted | undefined {
    const plain = open(set.key(index), index, bytes.subarray(0, TAG_LENGTH), bytes.subarray(TAG_LENGTH))
    if (plain === undefined) return undefined
    const payload = this.#payload(plain)
    if (payload === undefined) return undefined
    const wasConfirmed = session.confirmed
    const acked = peer.received(session, set, index, payload, now)
    if (!wasConfirmed || payload.termination !== undefined) this.#settle(peer)
    else if (session.replyAt !== undefined && session.replyAt < peer.armed) this.#arm(peer, session.replyAt)
    if (this.#context.tags.size > MAX_TAGS) this.#makeRoom(peer)
    return { cloves: payload.cloves, remoteKey: peer.remoteKey, acked }
  }

  #reply(peer: Peer, offer: Offer, bytes: Uint8Array, now: Millis): Decrypted | undefined {
    const reply = peer.replied(offer, bytes, now)
    if (reply === undefined) return undefined
    this.#settle(peer)
    const payload = this.#payload(reply[0])
    return { cloves: payload?.cloves ?? [], remoteKey: peer.remoteKey, acked: reply[1] }
  }

  #newSession(bytes: Uint8Array, now: Millis): Decrypted | undefined {
    if (bytes.length < NEW_SESSION_LENGTH) return undefined
    this.#attempts ??= new Allowance(ATTEMPT_BURST, ATTEMPTS_PER_SECOND, now)
    if (!this.#attempts.take(now)) return undefined
    const received = readNewSession(this.#keys, bytes)
    if (received === undefined) return undefined
    const payload = this.#payload(received.payload)
    if (payload?.dateTime === undefined || !inSkew(payload.dateTime, this.#clock.wall(now))) {
      this.#log.write('debug', 'New Session message out of date')
      return undefined
    }
    // The decoded key: the encoded one has two free bits, which are not authenticated.
    this.#ephemeralKeys ??= new SeenFilter(REPLAY_PERIOD, MAX_REPLAY_KEYS, now)
    if (this.#ephemeralKeys.seen(hashKey(received.aepk), now)) {
      this.#log.write('debug', 'New Session message replayed')
      return undefined
    }
    const apk = received.apk
    if (apk !== undefined) {
      const peer = this.#peer(apk, now)
      peer.requested(received, now)
      this.#settle(peer)
    }
    return { cloves: payload.cloves, remoteKey: apk, acked: NO_ACKS }
  }

  #payload(bytes: Uint8Array): Payload | undefined {
    try {
      return readPayload(bytes)
    } catch (e) {
      if (!(e instanceof MalformedError)) throw e
      this.#log.write('debug', `garlic payload: ${e.message}`)
      return undefined
    }
  }

  #peer(remoteKey: Uint8Array, now: Millis): Peer {
    const key = hashKey(remoteKey)
    const known = this.#peers.get(key)
    if (known !== undefined) return known
    const peer = new Peer(key, copy(remoteKey), this.#keys, this.#context, now)
    const displaced = this.#peers.set(key, peer)
    if (displaced !== undefined) this.#drop(displaced[1])
    return peer
  }

  /** After anything that may have changed what a peer waits for, or what it is to us. */
  #settle(peer: Peer): void {
    if (peer.empty) {
      this.#drop(peer)
      return
    }
    if (peer.stranger) {
      const displaced = this.#strangers.set(peer.key, peer)
      if (displaced !== undefined) this.#drop(displaced[1])
    } else this.#strangers.delete(peer.key)
    // A deadline that has moved away is left: it fires once for nothing, which is cheaper than moving it with each message.
    const next = peer.next()
    if (next < peer.armed) this.#arm(peer, next)
    if (this.#context.tags.size > MAX_TAGS) this.#makeRoom(peer)
  }

  #arm(peer: Peer, at: Millis): void {
    peer.armed = at
    this.#deadlines.set(peer, at)
  }

  #drop(peer: Peer): void {
    peer.close()
    this.#peers.delete(peer.key)
    this.#strangers.delete(peer.key)
    this.#deadlines.clear(peer)
  }

  /** Too many tags: strangers go first, then the peers unheard of for the longest time. */
  #makeRoom(keep: Peer): void {
    for (const peers of [this.#strangers, this.#peers]) {
      for (const [, peer] of peers.entries()) {
        if (this.#context.tags.size <= MAX_TAGS) return
        if (peer !== keep) this.#drop(peer)
      }
    }
  }
}
