/**
 * Packet numbers that have arrived: tells new ones from copies and replays, and which to acknowledge (ssu2, "Replay
 * Prevention", "ACK Block Size"). A window of bits below the highest number; what is older counts as seen.
 */
import type { Ack, AckRange } from './ack-block.ts'

// Specification constants

/** Every count in an Ack is one byte. */
const MAX_COUNT = 255

// Implementation constants

/** Numbers remembered, a power of two: a whole window of 512 packets may be overtaken by three more. */
const SPAN = 2048
/** i2pd reads no more ranges ... */
export const MAX_ACK_RANGES = 32
/** ... and none that begins further below the highest number. */
const MAX_ACK_DEPTH = 511

export class ReceivedNumbers {
  readonly #bits = new Uint32Array(SPAN / 32)
  #highest = -1

  /** -1 before the first. */
  get highest(): number {
    return this.#highest
  }

  /** True when `n` was seen, or is too old to tell. */
  has(n: number): boolean {
    if (n > this.#highest) return false
    return n <= this.#highest - SPAN || this.#bit(n)
  }

  /** Only numbers that `has` denies. */
  add(n: number): void {
    // What slides into the window has not been received; a leap over the whole window clears it.
    const from = Math.max(this.#highest + 1, n - SPAN + 1)
    for (let i = from; i < n; i++) this.#bits[(i % SPAN) >>> 5]! &= ~(1 << (i & 31))
    this.#bits[(n % SPAN) >>> 5]! |= 1 << (n & 31)
    if (n > this.#highest) this.#highest = n
  }

  /** What has arrived, from the highest down, in at most `maxRanges` ranges. At least one number must have arrived. */
  ack(maxRanges: number): Ack {
    const through = this.#highest
    const lowest = Math.max(0, through - MAX_ACK_DEPTH)
    const ranges: AckRange[] = []
    let n = through - 1
    const run = (received: boolean): number => {
      const from = n
      while (n >= lowest && from - n < MAX_COUNT && this.#bit(n) === received) n--
      return from - n
    }
    const count = run(true)
    while (n >= lowest && ranges.length < maxRanges) {
      const missing = run(false)
      ranges.push({ missing, received: run(true) })
    }
    // At the end, more of the same says little, and numbers that are missing say nothing.
    while (ranges.length > 0) {
      const { missing, received } = ranges.at(-1)!
      if (missing > 0 && received > 0) break
      ranges.pop()
    }
    return { through, count, ranges }
  }

  #bit(n: number): boolean {
    return (this.#bits[(n % SPAN) >>> 5]! & (1 << (n & 31))) !== 0
  }
}
