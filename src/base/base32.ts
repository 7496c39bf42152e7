/** Base32 of RFC 4648, lower case, no padding, as in `.b32.i2p` names. */
import { MalformedError } from './errors.ts'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

export function toBase32(bytes: Uint8Array): string {
  let out = ''
  let held = 0
  let bits = 0
  for (const b of bytes) {
    held = ((held & 0x1f) << 8) | b
    bits += 8
    while (bits >= 5) {
      bits -= 5
      out += ALPHABET[(held >>> bits) & 31]
    }
  }
  return bits > 0 ? out + ALPHABET[(held << (5 - bits)) & 31] : out
}

/** Either case. @throws {MalformedError} on a foreign character or non-zero trailing bits. */
export function fromBase32(s: string): Uint8Array {
  const out = new Uint8Array(Math.floor((s.length * 5) / 8))
  let at = 0
  let held = 0
  let bits = 0
  for (const c of s.toLowerCase()) {
    const v = ALPHABET.indexOf(c)
    if (v < 0) throw new MalformedError('invalid base32')
    held = ((held & 0x7f) << 5) | v
    bits += 5
    if (bits >= 8) {
      bits -= 8
      out[at++] = held >>> bits
    }
  }
  if (bits >= 5 || (held & ((1 << bits) - 1)) !== 0) throw new MalformedError('invalid base32')
  return out
}
