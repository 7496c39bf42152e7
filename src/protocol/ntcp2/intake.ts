/**
 * Cuts a byte stream into pieces of asked-for lengths, however the network split it. A piece that lies whole in what arrived
 * is not copied; holds at most one unfinished piece.
 */
export class Intake {
  #chunk: Uint8Array = new Uint8Array(0)
  #at = 0
  #partial: Uint8Array | undefined
  #filled = 0

  /** Call `take` until undefined, or `discard`, before the next `feed`. */
  feed(bytes: Uint8Array): void {
    this.#chunk = bytes
    this.#at = 0
  }

  /** Bytes that nobody asked for yet. */
  get left(): number {
    return this.#chunk.length - this.#at
  }

  /** True in the middle of a piece. */
  get waiting(): boolean {
    return this.#partial !== undefined
  }

  /** The next `n` bytes, or undefined until they are there; ask again for the same `n` then. */
  take(n: number): Uint8Array | undefined {
    const { left } = this
    if (this.#partial === undefined) {
      if (left >= n) {
        const piece = this.#chunk.subarray(this.#at, this.#at + n)
        this.#at += n
        return piece
      }
      if (left === 0) return undefined
      this.#partial = new Uint8Array(n)
      this.#filled = 0
    }
    const count = Math.min(n - this.#filled, left)
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + count), this.#filled)
    this.#filled += count
    this.#at += count
    if (this.#filled < n) return undefined
    const piece = this.#partial
    this.#partial = undefined
    return piece
  }

  /** Throws away what is there and says how much that was. */
  discard(): number {
    const { left } = this
    this.#at = this.#chunk.length
    this.#partial = undefined
    return left
  }
}
