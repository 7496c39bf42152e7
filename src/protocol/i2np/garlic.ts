/** Encrypted for a router or a destination (i2np, "Garlic"): four bytes of length and the ciphertext. */
import { type Reader, Writer } from '../../base/bytes.ts'

/** The ciphertext, not copied. */
export function readGarlic(r: Reader): Uint8Array {
  const data = r.take(r.u32())
  r.end('Garlic')
  return data
}

export function writeGarlic(data: Uint8Array): Uint8Array {
  return new Writer(4 + data.length).u32(data.length).put(data).bytes
}
