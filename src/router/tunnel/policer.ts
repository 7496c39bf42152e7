/** What of others' tunnel messages is taken at all: the rest is dropped as it comes, before it costs a cipher or a place in a queue. */
import type { Millis } from '../../base/clock.ts'
import { TokenBucket } from '../../base/token-bucket.ts'

// Implementation constants
/**
 * Seconds of full rate that may come at once. More than output queues hold: a stream that fills its share meets their bound first,
 * which drops what is oldest and lets it slow down; here the whole excess of those who do not slow down ends.
 */
const BURST_SECONDS = 2

export class Policer {
  /** Bytes carried so far. */
  bytes = 0
  readonly #transit: TokenBucket
  readonly #inbound: TokenBucket

  /** `inbound` is the account of everything that comes in, kept elsewhere: when it is overdrawn, others' messages are what is dropped. */
  constructor(bytesPerSecond: number, inbound: TokenBucket) {
    this.#transit = new TokenBucket(bytesPerSecond, bytesPerSecond * BURST_SECONDS)
    this.#inbound = inbound
  }

  set rate(bytesPerSecond: number) {
    this.#transit.rate = bytesPerSecond
    this.#transit.burst = bytesPerSecond * BURST_SECONDS
  }

  /** Whether a message of so many bytes is carried. */
  passes(length: number, now: Millis): boolean {
    if (this.#inbound.available(now) <= 0 || !this.#transit.take(length, now)) return false
    this.bytes += length
    return true
  }

  /** How much of the rate is in use, from 0 to 1, over the time of a burst. */
  load(now: Millis): number {
    const { burst } = this.#transit
    return Number.isFinite(burst) && burst > 0 ? 1 - this.#transit.available(now) / burst : 0
  }
}
