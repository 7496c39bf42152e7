/** A rate with a burst: for bytes, packets, requests. */
import type { Millis } from './clock.ts'

/** Accounts are in floating point: a token that is short by less than this is there. */
const ROUNDING = 1e-9

export class TokenBucket {
  rate: number
  burst: number
  #tokens: number
  #at: Millis | undefined

  /** `rate` tokens a second, never more than `burst` saved up; it begins full. Both may be infinite: then it never ends. */
  constructor(rate: number, burst: number) {
    this.rate = rate
    this.burst = burst
    this.#tokens = burst
  }

  /** False, and nothing is taken, when fewer than `n` are left. */
  take(n: number, now: Millis): boolean {
    if (this.available(now) < n - ROUNDING) return false
    this.#tokens -= n
    return true
  }

  /** Takes more than there may be; at most `owed`, by default one burst, is owed afterwards. */
  spend(n: number, now: Millis, owed: number = this.burst): void {
    this.#tokens = Math.max(-owed, this.available(now) - n)
  }

  /** Below 0 while something is owed. */
  available(now: Millis): number {
    if (this.#at === undefined) this.#at = now
    else if (now > this.#at) {
      this.#tokens += ((now - this.#at) * this.rate) / 1000
      this.#at = now
    }
    if (this.#tokens > this.burst) this.#tokens = this.burst
    return this.#tokens
  }

  /** When `n` are there, if nothing is taken until then. */
  readyAt(n: number, now: Millis): Millis {
    const missing = n - this.available(now)
    return missing <= 0 ? now : now + (missing * 1000) / this.rate
  }
}
