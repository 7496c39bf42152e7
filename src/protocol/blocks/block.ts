/**
 * The type-length-value framing inside every decrypted NTCP2 frame (ntcp2, "Unencrypted data"); SSU2 uses the same framing
 * with more types. A payload's meaning is the business of the file named after it.
 */

import { Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'

// Specification constants

/** Type (1) and length (2) before each block's data. */
export const BLOCK_HEADER = 3

/** The types that mean the same in both transports (ntcp2, "Unencrypted data"). Termination is 4 in NTCP2 and 6 in SSU2. */
export const BlockType = {
  dateTime: 0,
  options: 1,
  routerInfo: 2,
  i2np: 3,
  padding: 254,
} as const

/**
 * Walks the blocks of one decrypted payload. One cursor serves a whole session: `open` it on each frame, then `next` until
 * false; `type`, `start` and `end` describe the current block. Allocates nothing but what `data` returns.
 */
export class BlockCursor {
  #bytes: Uint8Array = new Uint8Array(0)
  #next = 0
  type = 0
  start = 0
  end = 0

  open(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#next = 0
    this.type = 0
    this.start = 0
    this.end = 0
  }

  /**
   * One or two bytes at the end are nobody's block and left alone: frames of 17 and 18 bytes are legal.
   * @throws {MalformedError} when a block's length passes the end of the payload, or a block follows padding.
   */
  next(): boolean {
    const b = this.#bytes
    const at = this.#next
    if (b.length - at < BLOCK_HEADER) return false
    // "Block Ordering Rules": padding, if present, must be the last block.
    if (at > 0 && this.type === BlockType.padding) throw new MalformedError('block after padding')
    const length = (b[at + 1]! << 8) | b[at + 2]!
    if (length > b.length - at - BLOCK_HEADER) throw new MalformedError('block longer than its frame')
    this.type = b[at]!
    this.start = at + BLOCK_HEADER
    this.end = this.start + length
    this.#next = this.end
    return true
  }

  get length(): number {
    return this.end - this.start
  }

  /** The current block's data, not copied. */
  data(): Uint8Array {
    return this.#bytes.subarray(this.start, this.end)
  }
}

/** Begins a block whose `length` bytes of data the caller writes next. */
export function putBlockHeader(w: Writer, type: number, length: number): void {
  w.u8(type).u16(length)
}

/** One whole block, for what is sent too seldom to be written in place. */
export function writeBlock(type: number, data: Uint8Array): Uint8Array {
  const w = new Writer(BLOCK_HEADER + data.length)
  putBlockHeader(w, type, data.length)
  return w.put(data).bytes
}
