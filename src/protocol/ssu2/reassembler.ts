/**
 * I2NP messages from their fragments, which come in any order (ssu2, "First Fragment", "Follow-on Fragment"). The total is known
 * when the last fragment is.
 */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { type I2npMessage, MAX_MESSAGE, STANDARD_HEADER } from '../i2np/message.ts'
import type { FollowOnFragment } from './blocks.ts'

// Implementation constants

/** A message of 64 KB has 55 fragments at the least MTU; i2pd refuses more than this. */
const MAX_FRAGMENTS = 64
/** Incomplete messages of one session: a window full of halves. */
const MAX_PARTIALS = 512
/**
 * Fragments held in all. Each keeps the packet that it came in, 1500 bytes, however small it is itself: 1.5 MB at most. Twice
 * the window of whoever sends them.
 */
const MAX_HELD = 1024
/** i2pd's. What is not whole by then will not be: its sender gave up long before. */
const MAX_AGE: Millis = 30_000

interface Partial {
  readonly since: Millis
  /** By fragment number; the first one's data at 0. */
  readonly parts: (Uint8Array | undefined)[]
  count: number
  bytes: number
  /** Number of the last fragment, when it is known. */
  last: number | undefined
  /** From the first fragment. */
  header: I2npMessage | undefined
}

export class Reassembler {
  /** By message id, the least recently touched first. */
  readonly #partials = new Lru<number, Partial>(MAX_PARTIALS)
  #held = 0
  /** Before this nothing is too old. */
  #checkAt: Millis = Number.POSITIVE_INFINITY

  /** Fragments waiting for others. */
  get held(): number {
    return this.#held
  }

  /** When something may have to be forgotten. */
  get deadline(): Millis {
    return this.#checkAt
  }

  /** `first` has a part of its message for payload. Gives the message when it is whole. */
  first(first: I2npMessage, now: Millis): I2npMessage | undefined {
    if (first.payload.length === 0) return undefined
    const partial = this.#partial(first.id, now)
    partial.header ??= first
    return this.#add(first.id, partial, 0, first.payload)
  }

  followOn(fragment: FollowOnFragment, now: Millis): I2npMessage | undefined {
    const { number, isLast, messageId, data } = fragment
    if (number >= MAX_FRAGMENTS) return undefined
    const partial = this.#partial(messageId, now)
    if (isLast) partial.last ??= number
    return this.#add(messageId, partial, number, data)
  }

  expire(now: Millis): void {
    if (now < this.#checkAt) return
    this.#checkAt = Number.POSITIVE_INFINITY
    for (const [id, partial] of this.#partials.entries()) {
      if (partial.since + MAX_AGE <= now) this.#forget(id, partial)
      else this.#checkAt = Math.min(this.#checkAt, partial.since + MAX_AGE)
    }
  }

  clear(): void {
    for (const [id, partial] of this.#partials.entries()) this.#forget(id, partial)
    this.#checkAt = Number.POSITIVE_INFINITY
  }

  #partial(id: number, now: Millis): Partial {
    const known = this.#partials.get(id)
    if (known !== undefined) return known
    const partial = { since: now, parts: [], count: 0, bytes: 0, last: undefined, header: undefined }
    const evicted = this.#partials.set(id, partial)
    if (evicted !== undefined) this.#held -= evicted[1].count
    this.#checkAt = Math.min(this.#checkAt, now + MAX_AGE)
    return partial
  }

  #add(id: number, partial: Partial, number: number, data: Uint8Array): I2npMessage | undefined {
    if (partial.parts[number] !== undefined) return undefined
    partial.parts[number] = data
    partial.count++
    partial.bytes += data.length
    this.#held++
    const { last, header, count, parts } = partial
    if (partial.bytes > MAX_MESSAGE - STANDARD_HEADER || parts.length - 1 > (last ?? MAX_FRAGMENTS)) {
      this.#forget(id, partial)
      return undefined
    }
    if (header === undefined || last === undefined || count <= last) {
      while (this.#held > MAX_HELD) this.#forgetOldest()
      return undefined
    }
    this.#forget(id, partial)
    const payload = new Uint8Array(partial.bytes)
    let at = 0
    for (const part of parts) {
      payload.set(part!, at)
      at += part!.length
    }
    return { ...header, payload }
  }

  #forget(id: number, partial: Partial): void {
    this.#held -= partial.count
    this.#partials.delete(id)
  }

  #forgetOldest(): void {
    const oldest = this.#partials.entries().next().value
    if (oldest !== undefined) this.#forget(oldest[0], oldest[1])
  }
}
