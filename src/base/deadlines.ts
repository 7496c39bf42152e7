/** A binary heap of deadlines by key: one per thing that can time out, replaced or cleared in O(log n). */
import type { Millis } from './clock.ts'

interface Entry<K> {
  readonly key: K
  at: Millis
  index: number
}

export class Deadlines<K> {
  readonly #heap: Entry<K>[] = []
  readonly #byKey = new Map<K, Entry<K>>()

  get size(): number {
    return this.#heap.length
  }

  /** The earliest deadline. */
  next(): Millis | undefined {
    return this.#heap[0]?.at
  }

  get(key: K): Millis | undefined {
    return this.#byKey.get(key)?.at
  }

  /** Sets or moves the deadline of `key`. */
  set(key: K, at: Millis): void {
    const entry = this.#byKey.get(key)
    if (entry === undefined) {
      const added = { key, at, index: this.#heap.length }
      this.#byKey.set(key, added)
      this.#heap.push(added)
      this.#up(added)
    } else if (at !== entry.at) {
      const earlier = at < entry.at
      entry.at = at
      if (earlier) this.#up(entry)
      else this.#down(entry)
    }
  }

  clear(key: K): void {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return
    this.#byKey.delete(key)
    const last = this.#heap.pop()!
    if (last === entry) return
    this.#place(last, entry.index)
    this.#up(last)
    this.#down(last)
  }

  /** Takes one key that is due, earliest first; call until undefined. */
  due(now: Millis): K | undefined {
    const first = this.#heap[0]
    if (first === undefined || first.at > now) return undefined
    this.clear(first.key)
    return first.key
  }

  #place(entry: Entry<K>, index: number): void {
    this.#heap[index] = entry
    entry.index = index
  }

  #up(entry: Entry<K>): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >> 1]!
      if (parent.at <= entry.at) return
      const i = entry.index
      this.#place(entry, parent.index)
      this.#place(parent, i)
    }
  }

  #down(entry: Entry<K>): void {
    for (;;) {
      const left = this.#heap[2 * entry.index + 1]
      const right = this.#heap[2 * entry.index + 2]
      const child = right !== undefined && right.at < left!.at ? right : left
      if (child === undefined || child.at >= entry.at) return
      const i = entry.index
      this.#place(entry, child.index)
      this.#place(child, i)
    }
  }
}

/** The earlier of two optional deadlines. */
export function earliest(a: Millis | undefined, b: Millis | undefined): Millis | undefined {
  if (a === undefined) return b
  return b === undefined || a < b ? a : b
}
