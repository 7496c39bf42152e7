/** SHA-256 (FIPS 180-4): every I2P hash. */
import { createHash, hash } from 'node:crypto'

// Implementation constants

/** Inputs up to this many bytes are joined and hashed in one call, which costs half of a hash object; larger ones are not copied. */
const JOIN_MAX = 1024

const joined = new Uint8Array(JOIN_MAX)

/** SHA-256 of the parts, one after another. 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return hash('sha256', parts[0]!, 'buffer')
  let size = 0
  for (const part of parts) size += part.length
  if (size > JOIN_MAX) {
    const state = createHash('sha256')
    for (const part of parts) state.update(part)
    return state.digest()
  }
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return hash('sha256', joined.subarray(0, size), 'buffer')
}
