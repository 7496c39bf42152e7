import { expect, test } from 'vitest'
import { hex } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import { SipHashChain, sipHash24 } from '../../src/crypto/siphash.ts'

/** The reference implementation's vectors: key 00 to 0f, message the first n bytes of 00 01 02 ... */
const REFERENCE = [
  '310e0edd47db6f72',
  'fd67dc93c539f874',
  '5a4fa9d909806c0d',
  '2d7efbd796666785',
  'b7877127e09427cf',
  '8da699cd64557618',
  'cee3fe586e46c9cb',
  '37d1018bf50002ab',
  '6224939a79f5f593',
  'b0e4a90bdf82009e',
  'f3b9dd94c5bb5d7a',
  'a7ad6b22462fb3f4',
  'fbe50e86bc8f1e75',
  '903d84c02756ea14',
  'eef27a8e90ca23f7',
  'e545be4961ca29a1',
]

const M = (1n << 64n) - 1n
const rotl = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & M

/** The paper's text in BigInt: the slow twin. */
function slow(key: Uint8Array, data: Uint8Array): Uint8Array {
  const word = (bytes: Uint8Array, at: number): bigint =>
    new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)
  const k0 = word(key, 0)
  const k1 = word(key, 8)
  let v0 = k0 ^ 0x736f6d6570736575n
  let v1 = k1 ^ 0x646f72616e646f6dn
  let v2 = k0 ^ 0x6c7967656e657261n
  let v3 = k1 ^ 0x7465646279746573n
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) & M
      v1 = rotl(v1, 13n) ^ v0
      v0 = rotl(v0, 32n)
      v2 = (v2 + v3) & M
      v3 = rotl(v3, 16n) ^ v2
      v0 = (v0 + v3) & M
      v3 = rotl(v3, 21n) ^ v0
      v2 = (v2 + v1) & M
      v1 = rotl(v1, 17n) ^ v2
      v2 = rotl(v2, 32n)
    }
  }
  const padded = new Uint8Array((data.length & ~7) + 8)
  padded.set(data)
  padded[padded.length - 1] = data.length
  for (let at = 0; at < padded.length; at += 8) {
    v3 ^= word(padded, at)
    rounds(2)
    v0 ^= word(padded, at)
  }
  v2 ^= 0xffn
  rounds(4)
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, v0 ^ v1 ^ v2 ^ v3, true)
  return out
}

test('SipHash-2-4 reference vectors', () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i)
  for (const [n, expected] of REFERENCE.entries()) {
    expect(
      hex(
        sipHash24(
          key,
          Uint8Array.from({ length: n }, (_, i) => i),
        ),
      ),
    ).toBe(expected)
  }
})

test('equals the slow twin', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 500; i++) {
    const key = random.bytes(16)
    const data = random.bytes(random.below(300))
    expect(hex(sipHash24(key, data))).toBe(hex(slow(key, data)))
  }
  const ones = new Uint8Array(16).fill(0xff)
  expect(hex(sipHash24(ones, ones))).toBe(hex(slow(ones, ones)))
})

test('the chain hashes its own IV; a mask is the low 16 bits, little-endian', () => {
  const random = seededRandom(2)
  const keys = random.bytes(32)
  const chain = new SipHashChain(keys)
  const other = new SipHashChain(random.bytes(32))
  let iv = keys.subarray(16, 24)
  for (let i = 0; i < 300; i++) {
    iv = slow(keys.subarray(0, 16), iv)
    other.nextMask() // chains do not disturb one another
    expect(chain.nextMask()).toBe(iv[0]! | (iv[1]! << 8))
  }
})
