/**
 * Remembers 64-bit marks for a while. A Set of as many numbers takes ten times the memory, and transit makes a mark for
 * every message. Two generations, as in `SeenFilter`; tables of open addressing that start small.
 */
import type { Millis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'

// Implementation constants
const FIRST_BITS = 8
/** A generation is this full at most: beyond it, probes get long. */
const LOAD = 0.5

/** Secret odd factors (multiply-shift hashing): whoever chooses the marks cannot choose where they go. */
interface Factors {
  readonly high: number
  readonly low: number
}

class Generation {
  size = 0
  readonly #factors: Factors
  /** Two words a slot; both zero is empty. */
  #table = new Uint32Array(2 << FIRST_BITS)
  #shift = 32 - FIRST_BITS

  constructor(factors: Factors) {
    this.#factors = factors
  }

  has(high: number, low: number): boolean {
    const at = this.#find(high, low)
    return this.#table[at] !== 0 || this.#table[at + 1] !== 0
  }

  add(high: number, low: number): void {
    if ((this.size + 1) * 2 > this.#table.length * LOAD) this.#grow()
    const at = this.#find(high, low)
    this.#table[at] = high
    this.#table[at + 1] = low
    this.size++
  }

  /** The slot that has the mark, or the empty one where it belongs. */
  #find(high: number, low: number): number {
    const table = this.#table
    const mask = table.length / 2 - 1
    let slot = (Math.imul(high, this.#factors.high) + Math.imul(low, this.#factors.low)) >>> this.#shift
    for (;;) {
      const a = table[2 * slot]!
      const b = table[2 * slot + 1]!
      if ((a === high && b === low) || (a === 0 && b === 0)) return 2 * slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const old = this.#table
    this.#table = new Uint32Array(2 * old.length)
    this.#shift--
    for (let i = 0; i < old.length; i += 2) {
      const high = old[i]!
      const low = old[i + 1]!
      if (high === 0 && low === 0) continue
      const at = this.#find(high, low)
      this.#table[at] = high
      this.#table[at + 1] = low
    }
  }
}

export class DuplicateFilter {
  readonly #factors: Factors
  #young: Generation
  #old: Generation
  #turnAt: Millis | undefined
  readonly #period: Millis
  readonly #capacity: number

  /** Marks are remembered for `period` to twice that; for less when there are more than `capacity` in a period. */
  constructor(period: Millis, capacity: number, random: Random) {
    this.#period = period
    this.#capacity = capacity
    this.#factors = { high: random.below(0x1_0000_0000) | 1, low: random.below(0x1_0000_0000) | 1 }
    this.#young = new Generation(this.#factors)
    this.#old = new Generation(this.#factors)
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** `high` and `low` are unsigned 32-bit halves. True when the mark is known; it is added otherwise. */
  seen(high: number, low: number, now: Millis): boolean {
    this.#turnAt ??= now + this.#period
    if (now >= this.#turnAt || this.#young.size >= this.#capacity) this.#turn(now, this.#turnAt)
    if (high === 0 && low === 0) return false // marks an empty slot; one message in 2^64
    if (this.#young.has(high, low) || this.#old.has(high, low)) return true
    this.#young.add(high, low)
    return false
  }

  /** As `seen`, without adding. */
  has(high: number, low: number): boolean {
    return this.#young.has(high, low) || this.#old.has(high, low)
  }

  #turn(now: Millis, turnAt: Millis): void {
    this.#old = now >= turnAt + this.#period ? new Generation(this.#factors) : this.#young
    this.#young = new Generation(this.#factors)
    this.#turnAt = now + this.#period
  }
}
