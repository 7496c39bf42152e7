/**
 * Round trips of one path, and the times that follow from them (ssu2, "Congestion Control", "Recommended Constants"; RFC 6298).
 * A packet number is used once, so an acknowledgement always tells which sending it answers.
 */
import type { Millis } from '../../base/clock.ts'

// Specification constants

/** RFC 6298's alpha, beta and K. */
const ALPHA = 1 / 8
const BETA = 1 / 4
const K = 4
/** "ACK delay: max(10, min(rtt/6, 150)) ms". */
const ACK_DELAY_PART = 6
const MIN_ACK_DELAY: Millis = 10
const MAX_ACK_DELAY: Millis = 150

// Implementation constants

/** Before anything was measured, as i2pd has it: a timeout of half a second. */
const UNKNOWN_RTT: Millis = 200
/**
 * Least allowance above the smoothed round trip. The documented second would make a lost last packet cost a second on a
 * link of 5 ms; a timeout too early costs one small packet, for it takes nothing for lost.
 */
const MIN_ALLOWANCE: Millis = 100
/** Coming back into radio range is noticed within this. */
const MAX_TIMEOUT: Millis = 4_000
/** Half the memory of the shortest round trip. */
const MIN_PERIOD: Millis = 15_000

export class RttEstimator {
  #smoothed: Millis
  #variation: Millis
  #sampled = false
  #backoff = 1
  #youngMin = Number.POSITIVE_INFINITY
  #oldMin = Number.POSITIVE_INFINITY
  #turnAt: Millis = 0

  /** `handshake` is what the handshake measured, 0 if nothing: a first guess, not yet a sample. */
  constructor(handshake: Millis) {
    this.#smoothed = handshake > 0 ? handshake : UNKNOWN_RTT
    this.#variation = this.#smoothed / 2
  }

  get smoothed(): Millis {
    return this.#smoothed
  }

  get variation(): Millis {
    return this.#variation
  }

  /** The shortest of the last quarter to half minute with samples; the smoothed one without any. */
  get shortest(): Millis {
    const shortest = Math.min(this.#youngMin, this.#oldMin)
    return shortest === Number.POSITIVE_INFINITY ? this.#smoothed : shortest
  }

  /** How long we, and presumably they, hold an acknowledgement back. */
  get ackDelay(): Millis {
    return Math.max(MIN_ACK_DELAY, Math.min(this.#smoothed / ACK_DELAY_PART, MAX_ACK_DELAY))
  }

  /** Without an acknowledgement for so long something is sent again, back-off included. */
  get timeout(): Millis {
    return Math.min(MAX_TIMEOUT, this.patience * this.#backoff)
  }

  /** The same without back-off: by then an answer should be here. */
  get patience(): Millis {
    return this.#smoothed + Math.max(MIN_ALLOWANCE, K * this.#variation) + this.ackDelay
  }

  sample(rtt: Millis, now: Millis): void {
    if (this.#sampled) {
      this.#variation += BETA * (Math.abs(this.#smoothed - rtt) - this.#variation)
      this.#smoothed += ALPHA * (rtt - this.#smoothed)
    } else {
      this.#smoothed = rtt
      this.#variation = rtt / 2
      this.#sampled = true
    }
    if (now >= this.#turnAt) {
      this.#oldMin = now >= this.#turnAt + MIN_PERIOD ? Number.POSITIVE_INFINITY : this.#youngMin
      this.#youngMin = Number.POSITIVE_INFINITY
      this.#turnAt = now + MIN_PERIOD
    }
    this.#youngMin = Math.min(this.#youngMin, rtt)
  }

  backOff(): void {
    if (this.timeout < MAX_TIMEOUT) this.#backoff *= 2
  }

  /** Something was acknowledged, or the path is another one. */
  progress(): void {
    this.#backoff = 1
  }

  /** The path is as long as it is: forgets that it was ever shorter. */
  rebase(): void {
    this.#youngMin = Number.POSITIVE_INFINITY
    this.#oldMin = Number.POSITIVE_INFINITY
  }

  /** Another path, of which one round trip is known. */
  reset(rtt: Millis): void {
    this.#smoothed = rtt
    this.#variation = rtt / 2
    this.#sampled = false
    this.#backoff = 1
    this.rebase()
  }
}
