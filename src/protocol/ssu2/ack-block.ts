/** Ack block: which packets have arrived, from the highest downwards (ssu2, "Ack"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'

// Specification constants

/** Ack Through and acnt. */
const ACK_MIN_LENGTH = 5

/** Each count is 0 to 255, and not both are 0. */
export interface AckRange {
  /** Not received, going down from what stands before. */
  readonly missing: number
  /** Received, going down from those. */
  readonly received: number
}

export interface Ack {
  /** The highest packet number received. */
  readonly through: number
  /** How many right below it as well, 0 to 255. */
  readonly count: number
  readonly ranges: readonly AckRange[]
}

export function ackLength(ranges: number): number {
  return ACK_MIN_LENGTH + 2 * ranges
}

/** @throws {MalformedError} also when it reaches below packet 0. */
export function readAck(r: Reader): Ack {
  const through = r.u32()
  const count = r.u8()
  if (r.left % 2 !== 0) throw new MalformedError('Ack ends within a range')
  let left = through - count
  const ranges: AckRange[] = []
  while (r.left > 0) {
    const range = { missing: r.u8(), received: r.u8() }
    if (range.missing === 0 && range.received === 0) throw new MalformedError('empty range in Ack')
    left -= range.missing + range.received
    ranges.push(range)
  }
  if (left < 0) throw new MalformedError('Ack of packets below 0')
  return { through, count, ranges }
}

export function putAck(w: Writer, ack: Ack): void {
  w.u32(ack.through).u8(ack.count)
  for (const { missing, received } of ack.ranges) w.u8(missing).u8(received)
}

export function writeAck(ack: Ack): Uint8Array {
  const w = new Writer(ackLength(ack.ranges.length))
  putAck(w, ack)
  return w.bytes
}
