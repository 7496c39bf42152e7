/**
 * Elligator2 for Curve25519 (ecies, "Elligator2"): a public key that looks like random bytes. Non-square u = 2, A = 486662,
 * p = 2^255 - 19; numbers are little-endian. Both directions cost one exponentiation: an inverse and a quadratic character
 * come out of the same power (p - 5) / 8.
 */
import type { Random } from '../base/random.ts'
import { generateX25519, type X25519KeyPair } from './x25519.ts'

// Specification constants

const P = 2n ** 255n - 19n
const A = 486662n
/** A square root of -1. */
const I = 0x2b8324804fc1df0b2b4d00993dfbd7a72f431806ad2fe478c4ee1b274a0ea0b0n
/** Roots and representatives are the smaller of r and -r. */
const HALF_P = (P - 1n) / 2n

// Implementation constants

/** Half of all keys have no representative: so many failures in a row mean a broken Random (2^-128). */
const MAX_ATTEMPTS = 128

const MASK_255 = 2n ** 255n - 1n

/**
 * The representative of a public key, or undefined when it has none (half of all keys). Bit 0 of `randomByte` chooses
 * between its two representatives, bits 6 and 7 become the two top bits, which carry nothing.
 */
export function elligatorEncode(publicKey: Uint8Array, randomByte: number): Uint8Array | undefined {
  const x = toNumber(publicKey, 0xff) % P
  const minusXA = P * 2n - x - A
  // r^2 = -x / (u (x + A)), or -(x + A) / (u x) for the other sign of y
  const r = (randomByte & 1) === 0 ? sqrtOfRatio(x, 2n * minusXA) : sqrtOfRatio(minusXA, 2n * x)
  if (r === undefined) return undefined
  const out = toBytes(r)
  out[31]! |= randomByte & 0xc0
  return out
}

/** The public key that a representative (32 bytes, any) stands for. */
export function elligatorDecode(representative: Uint8Array): Uint8Array {
  const r = toNumber(representative, 0x3f)
  // v = -A / d with d = 1 + u r^2 is the x wanted if v^3 + A v^2 + v is a square, else -v - A is.
  // Times d^3 that cubic is s = -A (A^2 + d (d - A^2)), so it is a square just when s d is. Neither is ever zero.
  const d = mod(1n + 2n * r * r)
  const s = mod((P - A) * (A * A + mod(d * (d + P - A * A))))
  const n = mod(s * d)
  const y = power58(n)
  const y2 = mod(y * y)
  const isSquare = mod(square(mod(y2 * n))) === 1n // (y^2 n)^2 = n^((p - 1) / 2)
  const n3 = mod(mod(n * n) * n)
  const inverse = mod(s * mod(square(square(y2)) * n3)) // s / n, for y^8 n^3 = n^(p - 2)
  const v = mod((P - A) * inverse)
  return toBytes(isSquare ? v : mod(P * 2n - v - A))
}

/** Draws keys until one has a representative: 32 bytes and one byte from `random` for each. */
export function generateElligatorKeyPair(random: Random): {
  readonly keys: X25519KeyPair
  readonly representative: Uint8Array
} {
  for (let i = 0; i < MAX_ATTEMPTS; i++) {
    const keys = generateX25519(random)
    const representative = elligatorEncode(keys.publicKey, random.bytes(1)[0]!)
    if (representative !== undefined) return { keys, representative }
  }
  throw new Error('no key with a representative: the random source is broken')
}

/** The smaller square root of a / b, or undefined when it is no square or b is zero. */
function sqrtOfRatio(a: bigint, b: bigint): bigint | undefined {
  const b3 = mod(mod(b * b) * b)
  // r = a b^3 (a b^7)^((p - 5) / 8), so that b r^2 is a, or -a when r is off by a root of -1
  const r = mod(mod(a * b3) * power58(mod(mod(a * b3) * mod(b3 * b))))
  const check = mod(b * mod(r * r))
  const wanted = mod(a)
  let root: bigint
  if (check === wanted && b % P !== 0n) root = r
  else if (check !== 0n && check === P - wanted) root = mod(r * I)
  else return undefined
  return root > HALF_P ? P - root : root
}

/** a^((p - 5) / 8) = a^(2^252 - 3), by the usual chain of 252 squarings and 11 products. */
function power58(a: bigint): bigint {
  const a2 = mod(a * a)
  const a9 = mod(squarings(a2, 2) * a)
  const a11 = mod(a9 * a2)
  const e5 = mod(mod(a11 * a11) * a9) // 2^5 - 1
  const e10 = mod(squarings(e5, 5) * e5)
  const e20 = mod(squarings(e10, 10) * e10)
  const e40 = mod(squarings(e20, 20) * e20)
  const e50 = mod(squarings(e40, 10) * e10)
  const e100 = mod(squarings(e50, 50) * e50)
  const e200 = mod(squarings(e100, 100) * e100)
  const e250 = mod(squarings(e200, 50) * e50)
  return mod(squarings(e250, 2) * a)
}

function squarings(a: bigint, count: number): bigint {
  let x = a
  for (let i = 0; i < count; i++) {
    // 2^255 is 19: two folds leave 256 bits, small enough to go on with and cheaper than a division.
    x *= x
    x = (x & MASK_255) + 19n * (x >> 255n)
    x = (x & MASK_255) + 19n * (x >> 255n)
  }
  return x
}

function square(a: bigint): bigint {
  return mod(a * a)
}

function mod(a: bigint): bigint {
  return a % P
}

function toNumber(bytes: Uint8Array, topByteMask: number): bigint {
  if (bytes.length !== 32) throw new RangeError(`field element of ${bytes.length} bytes`)
  let digits = '0x'
  for (let i = 31; i >= 0; i--) {
    const byte = i === 31 ? bytes[i]! & topByteMask : bytes[i]!
    digits += byte < 16 ? `0${byte.toString(16)}` : byte.toString(16)
  }
  return BigInt(digits)
}

function toBytes(value: bigint): Uint8Array {
  const out = new Uint8Array(32)
  const words = new DataView(out.buffer)
  for (let i = 0; i < 4; i++) words.setBigUint64(8 * i, value >> BigInt(64 * i), true)
  return out
}
