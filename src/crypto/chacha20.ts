/** ChaCha20 without authentication (RFC 8439, 2.4): SSU2 header masks, short build records of other hops, encrypted LeaseSets. */
import { createCipheriv } from 'node:crypto'
import { sodium } from './provider.ts'

/**
 * `data` XOR key stream. `nonce12` has 12 bytes; I2P starts the block counter at 1 everywhere, most libraries at 0.
 * Encryption and decryption are the same.
 */
export function chacha20(key: Uint8Array, nonce12: Uint8Array, data: Uint8Array, counter = 1): Uint8Array {
  const native = sodium()
  if (native !== undefined) {
    const out = new Uint8Array(data.length)
    native.crypto_stream_chacha20_ietf_xor_ic(out, data, nonce12, counter, key)
    return out
  }
  if (nonce12.length !== 12) throw new RangeError(`nonce of ${nonce12.length} bytes`)
  // OpenSSL takes the counter as the first four bytes of a 16-byte IV.
  const iv = new Uint8Array(16)
  new DataView(iv.buffer).setUint32(0, counter, true)
  iv.set(nonce12, 4)
  return createCipheriv('chacha20', key, iv).update(data)
}
