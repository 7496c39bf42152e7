/** Who may open a stream to us, and how often (`i2p.streaming.maxConnsPerMinute` and its kin). */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { type Hash, type HashKey, hashKey } from '../structures/hash.ts'
import type { StreamLimits } from './limits.ts'

// Implementation constants

/** Destinations counted at once; the least recently seen is forgotten, which at worst lets it in again. */
const MAX_COUNTED = 1024
const MINUTE: Millis = 60_000
const HOUR: Millis = 3_600_000
const DAY: Millis = 86_400_000

/** Events in the current minute, hour and day, each counted from its first event. */
class Counter {
  readonly #started = [0, 0, 0]
  readonly #count = [0, 0, 0]

  /** True when one more is within `limits`; it is counted only then. */
  take(limits: readonly number[], now: Millis): boolean {
    for (let i = 0; i < PERIODS.length; i++) {
      if (this.#count[i] === 0 || now >= this.#started[i]! + PERIODS[i]!) {
        this.#started[i] = now
        this.#count[i] = 0
      }
      if (limits[i]! > 0 && this.#count[i]! >= limits[i]!) return false
    }
    for (let i = 0; i < PERIODS.length; i++) this.#count[i]!++
    return true
  }
}

const PERIODS: readonly Millis[] = [MINUTE, HOUR, DAY]

export class Admission {
  readonly #limits: StreamLimits
  readonly #each: readonly number[]
  readonly #all: readonly number[]
  readonly #byRemote = new Lru<HashKey, Counter>(MAX_COUNTED)
  readonly #total = new Counter()

  constructor(limits: StreamLimits) {
    this.#limits = limits
    this.#each = [limits.perMinute, limits.perHour, limits.perDay]
    this.#all = [limits.totalPerMinute, limits.totalPerHour, limits.totalPerDay]
  }

  admits(remote: Hash, now: Millis): boolean {
    if (this.#limits.allow?.(remote) === false) return false
    if (this.#each.some((n) => n > 0)) {
      const key = hashKey(remote)
      const counter = this.#byRemote.get(key) ?? new Counter()
      this.#byRemote.set(key, counter)
      if (!counter.take(this.#each, now)) return false
    }
    return this.#total.take(this.#all, now)
  }
}
