/** Routers that could not be reached lately, and how long to leave them alone. */
import type { Millis, WallMillis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { jitter, type Random } from '../../base/random.ts'
import type { HashKey } from '../../protocol/structures/hash.ts'

// Implementation constants

const FIRST_MS = 1_000
const LAST_MS = 600_000
/** Routers remembered: more than a router tries in the longest pause. */
const MAX_FAILED = 4096

interface Failure {
  readonly count: number
  readonly until: Millis
  /** Of the RouterInfo that did not work: a newer one deserves a try. */
  readonly published: WallMillis
}

export class Backoff {
  readonly #random: Random
  readonly #failures = new Lru<HashKey, Failure>(MAX_FAILED)

  constructor(random: Random) {
    this.#random = random
  }

  /** Doubles from 1 s to 10 min, with jitter so that two routers do not keep colliding. */
  failed(key: HashKey, published: WallMillis, now: Millis): void {
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    const pause = Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(count - 1, 16))
    this.#failures.set(key, { count, until: now + jitter(this.#random, pause, 0.2), published })
  }

  succeeded(key: HashKey): void {
    this.#failures.delete(key)
  }

  /** Whether to leave `key` alone. */
  waits(key: HashKey, published: WallMillis, now: Millis): boolean {
    const failure = this.#failures.get(key)
    return failure !== undefined && now < failure.until && published <= failure.published
  }

  /** Attempts that failed in a row: picks the next of several addresses. */
  count(key: HashKey): number {
    return this.#failures.get(key)?.count ?? 0
  }
}
