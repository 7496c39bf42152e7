/**
 * ChaCha20-Poly1305 (RFC 8439), the only AEAD in I2P. A nonce is a counter `n`, a safe integer: four zero bytes, then eight
 * bytes little-endian. Keys have 32 bytes.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { sodium } from './provider.ts'

// Specification constants

/** Bytes that sealing adds: the Poly1305 tag. */
const TAG_LENGTH = 16

const CIPHER = 'chacha20-poly1305'
const TAG = { authTagLength: TAG_LENGTH } as const

/** Filled before each call; nothing keeps it. */
const nonce = new Uint8Array(12)

/** Ciphertext, then tag: `plaintext.length + 16` bytes. */
export function seal(
  key: Uint8Array,
  n: number,
  ad: Uint8Array | undefined,
  plaintext: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(plaintext.length + TAG_LENGTH)
  sealInto(out, 0, key, n, ad, plaintext)
  return out
}

/**
 * Writes `plaintext.length + 16` bytes to `out` from `at` on. `plaintext` may be those very bytes of `out` (sealing in
 * place), but may not overlap them otherwise.
 */
export function sealInto(
  out: Uint8Array,
  at: number,
  key: Uint8Array,
  n: number,
  ad: Uint8Array | undefined,
  plaintext: Uint8Array,
): void {
  const end = at + plaintext.length
  if (end + TAG_LENGTH > out.length) throw new RangeError('no room for the ciphertext')
  setNonce(n)
  const native = sodium()
  if (native !== undefined) {
    const target = out.subarray(at, end + TAG_LENGTH)
    native.crypto_aead_chacha20poly1305_ietf_encrypt(target, plaintext, ad ?? null, null, nonce, key)
    return
  }
  const cipher = createCipheriv(CIPHER, key, nonce, TAG)
  if (ad !== undefined) cipher.setAAD(ad, { plaintextLength: plaintext.length })
  const body = cipher.update(plaintext)
  cipher.final()
  out.set(body, at)
  out.set(cipher.getAuthTag(), end)
}

/** The plaintext, or undefined when the tag does not verify (nothing tells why). */
export function open(
  key: Uint8Array,
  n: number,
  ad: Uint8Array | undefined,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  return openTo(undefined, key, n, ad, ciphertext)
}

/** The same, at the cost of the ciphertext: its memory holds the plaintext afterwards, or anything. */
export function openInPlace(
  key: Uint8Array,
  n: number,
  ad: Uint8Array | undefined,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  return openTo(ciphertext, key, n, ad, ciphertext)
}

function openTo(
  target: Uint8Array | undefined,
  key: Uint8Array,
  n: number,
  ad: Uint8Array | undefined,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const end = ciphertext.length - TAG_LENGTH
  if (end < 0) return undefined
  setNonce(n)
  const native = sodium()
  if (native !== undefined) {
    const plaintext = target?.subarray(0, end) ?? new Uint8Array(end)
    try {
      native.crypto_aead_chacha20poly1305_ietf_decrypt(plaintext, null, ciphertext, ad ?? null, nonce, key)
    } catch {
      return undefined
    }
    return plaintext
  }
  const decipher = createDecipheriv(CIPHER, key, nonce, TAG)
  if (ad !== undefined) decipher.setAAD(ad, { plaintextLength: end })
  decipher.setAuthTag(ciphertext.subarray(end))
  const plaintext = decipher.update(ciphertext.subarray(0, end))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plaintext
}

function setNonce(n: number): void {
  let high = Math.floor(n / 0x1_0000_0000)
  let low = n >>> 0
  for (let i = 4; i < 8; i++) {
    nonce[i] = low
    nonce[i + 4] = high
    low >>>= 8
    high >>>= 8
  }
}
