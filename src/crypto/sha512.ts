/** SHA-512 (FIPS 180-4): the digest that an SU3 signature covers ("updates", SU3 file specification). */
import { createHash } from 'node:crypto'

/** SHA-512 of the parts, one after another. 64 bytes. */
export function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash('sha512')
  for (const part of parts) state.update(part)
  return state.digest()
}
