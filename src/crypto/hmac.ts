/** HMAC-SHA256 (RFC 2104). */
import { createHmac } from 'node:crypto'

/** The 32-byte MAC of the parts, one after another. Any key length. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac('sha256', key)
  for (const part of parts) state.update(part)
  return state.digest()
}
