/** A rate with a burst. */
import type { Millis } from '../../base/clock.ts'

export class TokenBucket {
  rate: number
  burst: number
  /** All that was ever taken. */
  taken = 0
  #tokens: number
  #at: Millis | undefined

  /** `rate` tokens a second, never more than `burst` saved up; it begins full. */
  constructor(rate: number, burst: number) {
    this.rate = rate
    this.burst = burst
    this.#tokens = burst
  }

  /** False, and nothing is taken, when fewer than `n` are left. */
  take(n: number, now: Millis): boolean {
    if (this.available(now) < n) return false
    this.#tokens -= n
    this.taken += n
    return true
  }

  available(now: Millis): number {
    if (this.#at !== undefined && now > this.#at) {
      this.#tokens = Math.min(this.burst, this.#tokens + ((now - this.#at) * this.rate) / 1000)
    }
    this.#at = now
    return this.#tokens
  }
}
