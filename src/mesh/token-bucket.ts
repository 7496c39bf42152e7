/** A rate with a burst, counted in whole takings. */
import type { Millis } from '../base/clock.ts'

export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: Millis

  /** `every` ms one more, up to `burst`; starts full. */
  constructor(every: Millis, burst: number, now: Millis) {
    this.#perMs = 1 / every
    this.#burst = burst
    this.#tokens = burst
    this.#at = now
  }

  /** False when there is none left. */
  take(now: Millis): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
