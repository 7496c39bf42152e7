/** Bounded collections: every map that a peer can make grow is one of these. */
import type { Millis } from './clock.ts'

/** A map that forgets its least recently used entry when full. */
export class Lru<K, V> {
  readonly #map = new Map<K, V>()
  readonly capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get size(): number {
    return this.#map.size
  }

  get(key: K): V | undefined {
    const value = this.#map.get(key)
    if (value !== undefined) {
      this.#map.delete(key)
      this.#map.set(key, value)
    }
    return value
  }

  has(key: K): boolean {
    return this.#map.has(key)
  }

  /** Returns the entry that had to go, if any. */
  set(key: K, value: V): [K, V] | undefined {
    this.#map.delete(key)
    this.#map.set(key, value)
    if (this.#map.size <= this.capacity) return undefined
    const oldest = this.#map.entries().next().value!
    this.#map.delete(oldest[0])
    return oldest
  }

  delete(key: K): boolean {
    return this.#map.delete(key)
  }

  clear(): void {
    this.#map.clear()
  }

  entries(): IterableIterator<[K, V]> {
    return this.#map.entries()
  }
}

/**
 * Remembers keys for at least `period` and at most twice that, in two generations; at most `capacity` keys a generation.
 * For replay and duplicate filters: when flooded it forgets the older generation early rather than grow.
 */
export class SeenFilter<K> {
  #young = new Set<K>()
  #old = new Set<K>()
  #turnAt: Millis
  readonly #period: Millis
  readonly #capacity: number

  constructor(period: Millis, capacity: number, now: Millis) {
    this.#period = period
    this.#capacity = capacity
    this.#turnAt = now + period
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** Whether `key` was added; adds nothing. */
  has(key: K): boolean {
    return this.#young.has(key) || this.#old.has(key)
  }

  /** True when `key` was added before (a replay); adds it otherwise. */
  seen(key: K, now: Millis): boolean {
    if (now >= this.#turnAt || this.#young.size >= this.#capacity) {
      this.#old = now >= this.#turnAt + this.#period ? new Set() : this.#young
      this.#young = new Set()
      this.#turnAt = now + this.#period
    }
    if (this.has(key)) return true
    this.#young.add(key)
    return false
  }
}
