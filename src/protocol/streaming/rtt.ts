/** Round-trip time and retransmission timeout (RFC 6298), and the shortest round trip of late. */
import type { Millis } from '../../base/clock.ts'

// Specification constants (streaming, "Other Parameters": RFC 6298's alpha, beta and K)
const ALPHA = 1 / 8
const BETA = 1 / 4
const K = 4

// Implementation constants

/**
 * Least allowance above the smoothed round trip: a receiver may hold an ack back for 200 ms (i2pd) and a radio link adds as
 * much in jitter. The documented 100 ms minimum would resend every last packet of a burst.
 */
const MIN_VARIATION: Millis = 250
/** The documented maximum is 45 s; coming back into radio range is noticed sooner with this. */
const MAX_RTO: Millis = 20_000
/** Least timeout of a first packet on a path known from other streams: the far side may have to look us up. */
const INHERITED_LEAST: Millis = 1_000
/** Half the memory of the shortest round trip. A longer tunnel after a rebuild is found out sooner (`rebase`). */
const MIN_PERIOD: Millis = 30_000

export class RttEstimator {
  #smoothed = 0
  #variation = 0
  #base: Millis
  #backoff = 1
  #sampled = false
  #youngMin = Number.POSITIVE_INFINITY
  #oldMin = Number.POSITIVE_INFINITY
  #turnAt: Millis = 0

  /** `initial` is the timeout until the first sample. */
  constructor(initial: Millis) {
    this.#base = initial
  }

  get sampled(): boolean {
    return this.#sampled
  }

  /** 0 before the first sample. */
  get smoothed(): Millis {
    return this.#smoothed
  }

  get variation(): Millis {
    return this.#variation
  }

  /** The current timeout, back-off included. */
  get timeout(): Millis {
    return Math.min(MAX_RTO, this.#base * this.#backoff)
  }

  /** The shortest round trip of the last half to whole minute with samples; the smoothed one without any. */
  get shortest(): Millis {
    const shortest = Math.min(this.#youngMin, this.#oldMin)
    return shortest === Number.POSITIVE_INFINITY ? this.#smoothed : shortest
  }

  /** A measured round trip of a packet that was sent once. */
  sample(rtt: Millis, now: Millis): void {
    if (!this.#sampled) {
      this.#smoothed = rtt
      this.#variation = rtt / 2
      this.#sampled = true
    } else {
      this.#variation += BETA * (Math.abs(this.#smoothed - rtt) - this.#variation)
      this.#smoothed += ALPHA * (rtt - this.#smoothed)
    }
    this.#settle()
    if (now >= this.#turnAt) {
      this.#oldMin = now >= this.#turnAt + MIN_PERIOD ? Number.POSITIVE_INFINITY : this.#youngMin
      this.#youngMin = Number.POSITIVE_INFINITY
      this.#turnAt = now + MIN_PERIOD
    }
    this.#youngMin = Math.min(this.#youngMin, rtt)
  }

  /** What another stream to the same destination measured, until this one has samples of its own. */
  inherit(smoothed: Millis, variation: Millis): void {
    this.#smoothed = smoothed
    this.#variation = variation
    this.#settle()
    this.#base = Math.max(INHERITED_LEAST, this.#base)
  }

  /** The path is another one now: forgets what its shortest round trip was. */
  rebase(): void {
    this.#youngMin = Number.POSITIVE_INFINITY
    this.#oldMin = Number.POSITIVE_INFINITY
  }

  backOff(): void {
    if (this.timeout < MAX_RTO) this.#backoff *= 2
  }

  /** Something was acknowledged. */
  progress(): void {
    this.#backoff = 1
  }

  #settle(): void {
    this.#base = this.#smoothed + Math.max(MIN_VARIATION, K * this.#variation)
  }
}
