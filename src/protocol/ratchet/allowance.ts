/** A token bucket: so many at once, so many a second after that. */
import type { Millis } from '../../base/clock.ts'

export class Allowance {
  #left: number
  #at: Millis
  readonly #burst: number
  readonly #perSecond: number

  constructor(burst: number, perSecond: number, now: Millis) {
    this.#left = burst
    this.#at = now
    this.#burst = burst
    this.#perSecond = perSecond
  }

  take(now: Millis): boolean {
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) * this.#perSecond) / 1000)
    this.#at = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
