/** HKDF-SHA256 (RFC 5869). The specs write HKDF(salt, ikm, info, length); their ZEROLEN is an empty `ikm`. */
import { createHmac } from 'node:crypto'

// Specification constants

/** RFC 5869, 2.3: at most 255 blocks of 32 bytes. */
const MAX_LENGTH = 255 * 32

const FIRST = Uint8Array.of(1)
const SECOND = Uint8Array.of(2)

/** `length` bytes of output key material; `info` is ASCII. */
export function hkdf(salt: Uint8Array, ikm: Uint8Array, info: string, length: number): Uint8Array {
  if (length > MAX_LENGTH) throw new RangeError(`HKDF output of ${length} bytes`)
  const prk = createHmac('sha256', salt).update(ikm).digest()
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let i = 1, at = 0; at < length; i++, at += 32) {
    block = createHmac('sha256', prk).update(block).update(info, 'latin1').update(Uint8Array.of(i)).digest()
    out.set(at + 32 <= length ? block : block.subarray(0, length - at), at)
  }
  return out
}

/** The usual 64 bytes in two halves: in Noise the new chaining key and the cipher key. */
export function hkdf2(salt: Uint8Array, ikm: Uint8Array, info: string): readonly [Uint8Array, Uint8Array] {
  const prk = createHmac('sha256', salt).update(ikm).digest()
  const one = createHmac('sha256', prk).update(info, 'latin1').update(FIRST).digest()
  const two = createHmac('sha256', prk).update(one).update(info, 'latin1').update(SECOND).digest()
  return [one, two]
}
