/** DateTime block: four bytes of seconds (ntcp2, "DateTime"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'

// Specification constants

export const DATE_TIME_LENGTH = 4

/** "Implementations must round to the nearest second to prevent clock bias in the network" (ntcp2, "DateTime"). */
export function roundedSeconds(wall: WallMillis): number {
  return Math.round(wall / 1000)
}

export function readDateTime(r: Reader): WallMillis {
  const wall = r.u32() * 1000
  r.end('DateTime')
  return wall
}

export function writeDateTime(wall: WallMillis): Uint8Array {
  return new Writer(DATE_TIME_LENGTH).u32(roundedSeconds(wall)).bytes
}
