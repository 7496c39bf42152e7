/**
 * Tag sets (ecies, "Ratchets"): two hash chains that grow out of one DH ratchet, one for the tags that go on the wire and one
 * for the message keys. A sender walks both in step. A receiver walks the tags ahead of what it has seen, because a tag is all
 * that tells which session a message belongs to, and the keys only up to the message at hand.
 *
 * All inbound tags of one destination are in one `TagTable`, so a message costs one look-up whatever the number of sessions.
 */
import { hkdf2 } from '../../crypto/hkdf.ts'
import type { HashKey } from '../structures/hash.ts'

// Specification constants

export const TAG_LENGTH = 8
const KEY_LENGTH = 32
/** Highest index of a tag in its set; the nonce of the message is the index. */
const MAX_INDEX = 65535
/** Highest number of a tag set (ecies, "Key and Tag Set IDs"). */
export const MAX_TAG_SET = 65535

// Implementation constants

/** Senders stop here: i2pd's receivers know no tag above 65533. */
const LAST_SENT_INDEX = 65530
/**
 * Look-ahead of a receiver, in tags: this much at first, half an index more with each message, up to the maximum. The spec
 * advises 24 to 160; a streaming window has 512 messages, all of which may be lost at once when a tunnel dies, and a set whose
 * look-ahead was jumped over never recovers.
 */
const FIRST_SET_AHEAD = 24
const LATER_SET_AHEAD = 320
const MAX_AHEAD = 640
/** The spec's NSR tag set: as many replies to one New Session message may be under way. */
export const REPLY_SET_AHEAD = 12
/** Ring sizes, powers of two: look-ahead and half as much behind must fit the largest. */
const SMALLEST_RING = 64
const LARGEST_RING = 1024
/** Tags of one destination, about 64 bytes each: a hundred busy sessions or 2700 idle ones. */
export const MAX_TAGS = 65536
/** Above this share of the maximum every look-ahead shrinks to what it is at first. */
const TIGHT = 0.75

const EMPTY = new Uint8Array(0)

/** DH_INITIALIZE and the two chains. */
class Chains {
  /** What the next DH ratchet in this direction starts from. */
  readonly nextRootKey: Uint8Array
  #sessTagCk: Uint8Array
  readonly #sessTagConstant: Uint8Array
  #symmKeyCk: Uint8Array

  constructor(rootKey: Uint8Array, k: Uint8Array) {
    const [nextRootKey, ck] = hkdf2(rootKey, k, 'KDFDHRatchetStep')
    const [sessTagCk, symmKeyCk] = hkdf2(ck, EMPTY, 'TagAndKeyGenKeys')
    const [chain, constant] = hkdf2(sessTagCk, EMPTY, 'STInitialization')
    this.nextRootKey = nextRootKey
    this.#sessTagCk = chain
    this.#sessTagConstant = constant
    this.#symmKeyCk = symmKeyCk
  }

  /** 32 bytes, of which the first eight are the tag. */
  nextTag(): Uint8Array {
    const keydata = hkdf2(this.#sessTagCk, this.#sessTagConstant, 'SessionTagKeyGen')
    this.#sessTagCk = keydata[0]
    return keydata[1]
  }

  nextKey(): Uint8Array {
    const keydata = hkdf2(this.#symmKeyCk, EMPTY, 'SymmetricRatchet')
    this.#symmKeyCk = keydata[0]
    return keydata[1]
  }
}

export class OutboundTagSet {
  readonly id: number
  readonly #chains: Chains
  #index = 0

  constructor(id: number, rootKey: Uint8Array, k: Uint8Array) {
    this.id = id
    this.#chains = new Chains(rootKey, k)
  }

  get nextRootKey(): Uint8Array {
    return this.#chains.nextRootKey
  }

  /** Index of the message that `nextTag` and `nextKey` are for. */
  get index(): number {
    return this.#index
  }

  get exhausted(): boolean {
    return this.#index > LAST_SENT_INDEX
  }

  /** Eight bytes. Goes on to the next message. */
  nextTag(): Uint8Array {
    this.#index++
    return this.#chains.nextTag().subarray(0, TAG_LENGTH)
  }

  /** To be called once for each tag; New Session Replies, which have keys of their own, never call it. */
  nextKey(): Uint8Array {
    return this.#chains.nextKey()
  }
}

/** What a tag set belongs to: a session, or a New Session message that awaits its replies. */
export interface TagOwner {
  /** The far static key, as a map key. */
  readonly peer: HashKey
}

/** Which tag set each expected tag belongs to. */
export class TagTable {
  readonly #sets = new Map<number, InboundTagSet>()

  get size(): number {
    return this.#sets.size
  }

  get tight(): boolean {
    return this.#sets.size > MAX_TAGS * TIGHT
  }

  get(tag: number): InboundTagSet | undefined {
    return this.#sets.get(tag)
  }

  /** False when the tag is taken: two of 65536 tags agree in 53 bits once in 2^22 tables, and one message is lost. */
  add(tag: number, set: InboundTagSet): boolean {
    if (this.#sets.has(tag)) return false
    this.#sets.set(tag, set)
    return true
  }

  delete(tag: number): void {
    this.#sets.delete(tag)
  }
}

/** 53 of a tag's 64 bits as a number above zero: a map key without an allocation. The AEAD checks all 64. */
export function tagNumber(bytes: Uint8Array): number {
  const high = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0
  const low = ((bytes[4]! << 13) | (bytes[5]! << 5) | (bytes[6]! >>> 3)) >>> 0
  return high * 0x200000 + low + 1
}

/** `reply`: tags of New Session Replies, a short set without keys. */
export type InboundKind = 'reply' | 'session'

export class InboundTagSet {
  readonly id: number
  readonly kind: InboundKind
  readonly owner: TagOwner
  readonly #table: TagTable
  readonly #chains: Chains
  /** Expected tags by index modulo the ring's size, 0 where none is expected. */
  #tags = new Float64Array(SMALLEST_RING)
  /** Keys that were jumped over, in the same places; made when the first message is missed. */
  #keys: Uint8Array | undefined
  /** Indexes below are forgotten. */
  #base = 0
  /** The next index whose tag will be worked out; all below are expected, used up or forgotten. */
  #ahead = 0
  /** The next index whose key will be worked out. */
  #keyIndex = 0
  /** Lowest index above all received ones. */
  #next = 0

  constructor(
    id: number,
    rootKey: Uint8Array,
    k: Uint8Array,
    kind: InboundKind,
    owner: TagOwner,
    table: TagTable,
  ) {
    this.id = id
    this.kind = kind
    this.owner = owner
    this.#table = table
    this.#chains = new Chains(rootKey, k)
    this.#extend()
  }

  get nextRootKey(): Uint8Array {
    return this.#chains.nextRootKey
  }

  /** True once a message has come on this set. */
  get used(): boolean {
    return this.#next > 0
  }

  /** Uses up a tag that the table says is ours: its index, after which the window moves on. */
  take(tag: number): number {
    const index = this.#find(tag)
    this.#tags[index & (this.#tags.length - 1)] = 0
    this.#table.delete(tag)
    if (index >= this.#next) {
      this.#next = index + 1
      this.#extend()
    }
    return index
  }

  /** The key of message `index`, once, after `take`. */
  key(index: number): Uint8Array {
    if (index < this.#keyIndex) return this.#keptKey(index)
    while (this.#keyIndex < index) {
      const key = this.#chains.nextKey()
      this.#keys ??= new Uint8Array(this.#tags.length * KEY_LENGTH)
      this.#keys.set(key, (this.#keyIndex++ & (this.#tags.length - 1)) * KEY_LENGTH)
    }
    this.#keyIndex++
    return this.#chains.nextKey()
  }

  /** Takes every tag out of the table. */
  close(): void {
    this.#trim(this.#ahead)
  }

  #keptKey(index: number): Uint8Array {
    const at = (index & (this.#tags.length - 1)) * KEY_LENGTH
    const kept = this.#keys!.subarray(at, at + KEY_LENGTH)
    const key = new Uint8Array(kept)
    kept.fill(0)
    return key
  }

  #find(tag: number): number {
    const mask = this.#tags.length - 1
    if (this.#tags[this.#next & mask] === tag) return this.#next
    let index = this.#base
    while (this.#tags[index & mask] !== tag) index++
    return index
  }

  /** Forgets what is too far behind and looks ahead as far as it should. */
  #extend(): void {
    const ahead = this.#lookAhead()
    this.#trim(this.#next - (ahead >> 1))
    const end = Math.min(this.#next + ahead, MAX_INDEX + 1)
    while (this.#ahead < end) {
      if (this.#ahead - this.#base === this.#tags.length) this.#grow()
      const tag = tagNumber(this.#chains.nextTag())
      const at = this.#ahead++ & (this.#tags.length - 1)
      this.#tags[at] = this.#table.add(tag, this) ? tag : 0
    }
  }

  #lookAhead(): number {
    if (this.kind === 'reply') return REPLY_SET_AHEAD
    if (this.#table.tight) return FIRST_SET_AHEAD
    return Math.min(MAX_AHEAD, (this.id === 0 ? FIRST_SET_AHEAD : LATER_SET_AHEAD) + (this.#next >> 1))
  }

  #trim(to: number): void {
    const mask = this.#tags.length - 1
    for (; this.#base < to; this.#base++) {
      const tag = this.#tags[this.#base & mask]!
      if (tag === 0) continue
      this.#table.delete(tag)
      this.#tags[this.#base & mask] = 0
    }
  }

  /** Doubles the ring; look-ahead and look-behind are such that the largest is never outgrown. */
  #grow(): void {
    const old = this.#tags
    const oldKeys = this.#keys
    const size = Math.min(old.length * 2, LARGEST_RING)
    this.#tags = new Float64Array(size)
    if (oldKeys !== undefined) this.#keys = new Uint8Array(size * KEY_LENGTH)
    for (let i = this.#base; i < this.#ahead; i++) {
      const from = i & (old.length - 1)
      const to = i & (size - 1)
      this.#tags[to] = old[from]!
      if (oldKeys !== undefined) {
        const at = from * KEY_LENGTH
        this.#keys!.set(oldKeys.subarray(at, at + KEY_LENGTH), to * KEY_LENGTH)
      }
    }
  }
}
