/** Comparison whose time does not tell where two secrets differ. */
import { timingSafeEqual } from 'node:crypto'

/** Lengths are not secret: different ones are unequal at once. */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
