/** Messages waiting for one peer: while it is being dialled, and when its link is slower than what we send. */
import type { Millis, WallMillis } from '../../base/clock.ts'
import { Ring } from '../../base/ring.ts'
import { type I2npMessage, isExpired } from '../i2np/message.ts'
import { i2npBlockLength } from './i2np-block.ts'

/** Whose message it is: ours goes first; what we carry for others is worth little when it is late. */
export type Traffic = 'own' | 'transit'

// Implementation constants

/** Room for eight of the largest messages. */
export const MAX_OWN_BYTES: number = 512 * 1024
/** Half a second of tunnel data at 1 MB/s. */
export const MAX_TRANSIT_BYTES: number = 512 * 1024
/** Keeps many tiny messages from costing more than their bytes. */
export const MAX_QUEUED_MESSAGES = 1024
/**
 * A transit message older than this is dropped. A stream in the tunnel notices and slows down; half a second is a round trip
 * through long tunnels, about what a stream needs to be waiting to fill its share.
 */
export const MAX_TRANSIT_AGE: Millis = 500

interface Waiting {
  readonly message: I2npMessage
  readonly since: Millis
}

/** The messages of one class. When full it drops what is oldest: I2NP promises no delivery, and what has waited longest is worth least. */
export class Lane {
  readonly #ring = new Ring<Waiting>(MAX_QUEUED_MESSAGES)
  readonly #maxBytes: number
  readonly #maxAge: Millis
  /** As blocks in a frame. */
  bytes = 0
  dropped = 0
  /** A message may leave while this is above 0, and takes its bytes from it. */
  allowance: number = Number.POSITIVE_INFINITY

  constructor(maxBytes: number, maxAge: Millis) {
    this.#maxBytes = maxBytes
    this.#maxAge = maxAge
  }

  get size(): number {
    return this.#ring.size
  }

  push(message: I2npMessage, since: Millis): void {
    const length = i2npBlockLength(message)
    while (this.size === MAX_QUEUED_MESSAGES || (this.size > 0 && this.bytes + length > this.#maxBytes))
      this.#drop()
    this.#ring.push({ message, since })
    this.bytes += length
  }

  peek(now: Millis, wall: WallMillis): I2npMessage | undefined {
    if (this.allowance <= 0) return undefined
    for (;;) {
      const waiting = this.#ring.peek()
      if (waiting === undefined) return undefined
      const { message, since } = waiting
      if (now - since <= this.#maxAge && !isExpired(message, wall)) return message
      this.#drop()
    }
  }

  shift(): I2npMessage | undefined {
    const message = this.#ring.shift()?.message
    if (message === undefined) return undefined
    const length = i2npBlockLength(message)
    this.bytes -= length
    this.allowance -= length
    return message
  }

  /** Moves everything to the end of `other`. What waited for its link to begin has not aged. */
  moveTo(other: Lane, now: Millis): void {
    for (let w = this.#ring.shift(); w !== undefined; w = this.#ring.shift()) other.push(w.message, now)
    this.bytes = 0
  }

  #drop(): void {
    const waiting = this.#ring.shift()
    if (waiting !== undefined) this.bytes -= i2npBlockLength(waiting.message)
    this.dropped++
  }
}

export class OutputQueue {
  readonly own: Lane = new Lane(MAX_OWN_BYTES, Number.POSITIVE_INFINITY)
  readonly transit: Lane = new Lane(MAX_TRANSIT_BYTES, MAX_TRANSIT_AGE)
  /** Where the last message looked at was. */
  #next: Lane = this.own

  get size(): number {
    return this.own.size + this.transit.size
  }

  get bytes(): number {
    return this.own.bytes + this.transit.bytes
  }

  /** Messages given up, for whatever reason. */
  get dropped(): number {
    return this.own.dropped + this.transit.dropped
  }

  push(message: I2npMessage, traffic: Traffic, now: Millis): void {
    const lane = traffic === 'own' ? this.own : this.transit
    lane.push(message, now)
  }

  /** The next message that may leave: the oldest of our own that is worth sending, else the oldest for others. */
  peek(now: Millis, wall: WallMillis): I2npMessage | undefined {
    this.#next = this.own
    const own = this.own.peek(now, wall)
    if (own !== undefined) return own
    this.#next = this.transit
    return this.transit.peek(now, wall)
  }

  /** Takes the message that `peek` has shown. */
  shift(): I2npMessage | undefined {
    return this.#next.shift()
  }

  /** Moves everything to the end of `other`, as if it came now. */
  moveTo(other: OutputQueue, now: Millis): void {
    this.own.moveTo(other.own, now)
    this.transit.moveTo(other.transit, now)
  }
}
