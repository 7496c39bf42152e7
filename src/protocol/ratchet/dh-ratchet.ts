/**
 * New keys within a session (ecies, "DH Ratchet Message Flow"), one direction at a time. The owner of the outbound tag set asks,
 * the receiver answers; each repeats its NextKey block until it sees that the other has it. For tag set T, counted from 1, the
 * sender's key has the id T / 2 and the receiver's (T - 1) / 2, rounded down; so an even T brings a new key of the sender and
 * an odd one of the receiver, and the first brings both.
 */
import { copy } from '../../base/bytes.ts'
import type { Random } from '../../base/random.ts'
import { hkdf } from '../../crypto/hkdf.ts'
import { generateX25519, type X25519KeyPair } from '../../crypto/x25519.ts'
import type { NextKey } from './blocks.ts'

// Specification constants

const KEY_LENGTH = 32

const EMPTY = new Uint8Array(0)

function senderKeyId(tagSet: number): number {
  return tagSet >> 1
}

function receiverKeyId(tagSet: number): number {
  return (tagSet - 1) >> 1
}

function senderBringsKey(tagSet: number): boolean {
  return tagSet === 1 || (tagSet & 1) === 0
}

function receiverBringsKey(tagSet: number): boolean {
  return (tagSet & 1) === 1
}

/** k of the new tag set; undefined when the peer's key is no possible key. */
function tagSetKey(own: X25519KeyPair, remote: Uint8Array): Uint8Array | undefined {
  const sharedSecret = own.agree(remote)
  return sharedSecret === undefined ? undefined : hkdf(sharedSecret, EMPTY, 'XDHRatchetTagSet', KEY_LENGTH)
}

/** On the side of the outbound tag set. */
export class SenderRatchet {
  #own: X25519KeyPair | undefined
  #remote: Uint8Array | undefined
  #tagSet = 0
  #asking: NextKey | undefined

  /** The forward key to put into every message until the answer has come. */
  get asking(): NextKey | undefined {
    return this.#asking
  }

  /** Asks for tag set `tagSet`, the one after the set in use. */
  ask(tagSet: number, random: Random): void {
    const brings = senderBringsKey(tagSet)
    if (brings) this.#own = generateX25519(random)
    this.#tagSet = tagSet
    this.#asking = {
      reverse: false,
      requestReverse: receiverBringsKey(tagSet),
      id: senderKeyId(tagSet),
      key: brings ? this.#own!.publicKey : undefined,
    }
  }

  /** k of the tag set that was asked for, when `answer` is its answer. Others, repetitions mostly, mean nothing. */
  answered(answer: NextKey): Uint8Array | undefined {
    const brings = receiverBringsKey(this.#tagSet)
    if (this.#asking === undefined || answer.id !== receiverKeyId(this.#tagSet)) return undefined
    if (brings !== (answer.key !== undefined)) return undefined
    const remote = answer.key === undefined ? this.#remote! : copy(answer.key)
    const k = tagSetKey(this.#own!, remote)
    if (k === undefined) return undefined
    this.#remote = remote
    this.#asking = undefined
    return k
  }
}

/** On the side of the inbound tag set. */
export class ReceiverRatchet {
  #own: X25519KeyPair | undefined
  #remote: Uint8Array | undefined
  #telling: NextKey | undefined

  /** The reverse key to put into every message until one comes on the new tag set. */
  get telling(): NextKey | undefined {
    return this.#telling
  }

  /** k of tag set `tagSet`, the one after the newest, when `forward` asks for it. */
  asked(forward: NextKey, tagSet: number, random: Random): Uint8Array | undefined {
    const brings = receiverBringsKey(tagSet)
    if (forward.id !== senderKeyId(tagSet) || forward.requestReverse !== brings) return undefined
    if (senderBringsKey(tagSet) !== (forward.key !== undefined)) return undefined
    const remote = forward.key === undefined ? this.#remote! : copy(forward.key)
    const own = brings ? generateX25519(random) : this.#own!
    const k = tagSetKey(own, remote)
    if (k === undefined) return undefined
    this.#own = own
    this.#remote = remote
    this.#telling = {
      reverse: true,
      requestReverse: false,
      id: receiverKeyId(tagSet),
      key: brings ? own.publicKey : undefined,
    }
    return k
  }

  /** A message has come on the new tag set. */
  told(): void {
    this.#telling = undefined
  }
}
