/** What the application wrote and no packet has taken yet. */
import { copy } from '../../base/bytes.ts'

export class SendBuffer {
  readonly #capacity: number
  #chunks: Uint8Array[] = []
  /** First chunk with bytes left, and how many of them are gone. */
  #first = 0
  #offset = 0
  #size = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#size
  }

  /** Copies what fits and returns how much that was. */
  push(bytes: Uint8Array): number {
    const n = Math.min(bytes.length, this.#capacity - this.#size)
    if (n <= 0) return 0
    this.#chunks.push(copy(bytes.subarray(0, n)))
    this.#size += n
    return n
  }

  /** Moves `n` bytes, no more than there are, to `to` at `at`. */
  take(to: Uint8Array, at: number, n: number): void {
    this.#size -= n
    while (n > 0) {
      const chunk = this.#chunks[this.#first]!
      const part = Math.min(n, chunk.length - this.#offset)
      to.set(chunk.subarray(this.#offset, this.#offset + part), at)
      at += part
      n -= part
      this.#offset += part
      if (this.#offset === chunk.length) this.#next()
    }
  }

  clear(): void {
    this.#chunks = []
    this.#first = 0
    this.#offset = 0
    this.#size = 0
  }

  #next(): void {
    this.#chunks[this.#first++] = EMPTY
    this.#offset = 0
    if (this.#first === this.#chunks.length) {
      this.#chunks = []
      this.#first = 0
    } else if (this.#first >= COMPACT) {
      this.#chunks.splice(0, this.#first)
      this.#first = 0
    }
  }
}

const EMPTY = new Uint8Array(0)
/** Used-up slots kept in front before the rest is moved. */
const COMPACT = 64
