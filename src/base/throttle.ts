/** How often each of many may ask something of us, and all of them together. */
import type { Millis } from './clock.ts'
import { Lru } from './lru.ts'
import { TokenBucket } from './token-bucket.ts'

export interface Rate {
  readonly perSecond: number
  /** At once. */
  readonly burst: number
}

export interface Rates {
  readonly each: Rate
  /** For those who cannot be told apart, together. Default: as `each`. */
  readonly unnamed?: Rate
  /** Default: no limit. */
  readonly all?: Rate
}

const UNLIMITED: Rate = { perSecond: Number.POSITIVE_INFINITY, burst: Number.POSITIVE_INFINITY }

export class Throttle {
  readonly #rates: Rates
  readonly #each: Lru<string, TokenBucket>
  readonly #unnamed: TokenBucket
  readonly #all: TokenBucket

  /** Remembers `capacity` askers; who has more names than this meets the common rate. */
  constructor(rates: Rates, capacity: number) {
    this.#rates = rates
    this.#each = new Lru(capacity)
    this.#unnamed = bucket(rates.unnamed ?? rates.each)
    this.#all = bucket(rates.all ?? UNLIMITED)
  }

  /** Whether `who` may once more. Its own rate comes first: what it asks in excess costs the others nothing. */
  take(who: string | undefined, now: Millis): boolean {
    return this.#of(who).take(1, now) && this.#all.take(1, now)
  }

  /** It pays for `n` more. */
  penalise(who: string, n: number, now: Millis): void {
    this.#of(who).spend(n, now)
  }

  #of(who: string | undefined): TokenBucket {
    if (who === undefined) return this.#unnamed
    let its = this.#each.get(who)
    if (its === undefined) {
      its = bucket(this.#rates.each)
      this.#each.set(who, its)
    }
    return its
  }
}

function bucket({ perSecond, burst }: Rate): TokenBucket {
  return new TokenBucket(perSecond, burst)
}
