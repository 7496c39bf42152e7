import { expand, extract } from '@noble/hashes/hkdf.js'
import { hmac as nobleHmac } from '@noble/hashes/hmac.js'
import { sha256 as nobleSha256, sha512 as nobleSha512 } from '@noble/hashes/sha2.js'
import { describe, expect, test } from 'vitest'
import { concat, hex, utf8 } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import { hkdf, hkdf2 } from '../../src/crypto/hkdf.ts'
import { hmacSha256 } from '../../src/crypto/hmac.ts'
import { scrypt } from '../../src/crypto/scrypt.ts'
import { sha256 } from '../../src/crypto/sha256.ts'
import { sha512 } from '../../src/crypto/sha512.ts'
import { h } from './backends.ts'

/** Sizes around the limits of blocks and of the joining buffer. */
const SIZES = [0, 1, 31, 32, 55, 56, 63, 64, 65, 511, 1008, 1023, 1024, 1025, 5000]

describe('SHA-2', () => {
  test('FIPS 180-4 examples', () => {
    expect(hex(sha256(utf8('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(hex(sha256())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(hex(sha256(new Uint8Array(1_000_000).fill(0x61)))).toBe(
      'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
    )
    expect(hex(sha512(utf8('abc')))).toBe(
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
        '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
    )
  })

  test('parts equal their concatenation, and @noble', () => {
    const random = seededRandom(1)
    for (const size of SIZES) {
      const whole = random.bytes(size)
      const cut = random.below(size + 1)
      const parts = [whole.subarray(0, cut), new Uint8Array(0), whole.subarray(cut)]
      expect(hex(sha256(...parts))).toBe(hex(nobleSha256(whole)))
      expect(hex(sha256(whole))).toBe(hex(nobleSha256(whole)))
      expect(hex(sha512(...parts))).toBe(hex(nobleSha512(whole)))
    }
  })

  test('a result owns its memory', () => {
    const first = sha256(utf8('a'), utf8('b'))
    const before = hex(first)
    sha256(utf8('c'), utf8('d'))
    expect(hex(first)).toBe(before)
  })
})

describe('HMAC-SHA256', () => {
  test('RFC 4231 cases 1, 2, 3 and 6', () => {
    expect(hex(hmacSha256(new Uint8Array(20).fill(0x0b), utf8('Hi There')))).toBe(
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    )
    expect(hex(hmacSha256(utf8('Jefe'), utf8('what do ya want '), utf8('for nothing?')))).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    )
    expect(hex(hmacSha256(new Uint8Array(20).fill(0xaa), new Uint8Array(50).fill(0xdd)))).toBe(
      '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe',
    )
    const longKey = new Uint8Array(131).fill(0xaa)
    expect(hex(hmacSha256(longKey, utf8('Test Using Larger Than Block-Size Key - Hash Key First')))).toBe(
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    )
  })

  test('equals @noble', () => {
    const random = seededRandom(2)
    for (const size of SIZES) {
      const key = random.bytes(random.below(100))
      const data = random.bytes(size)
      expect(hex(hmacSha256(key, data))).toBe(hex(nobleHmac(nobleSha256, key, data)))
    }
  })
})

describe('HKDF-SHA256', () => {
  test('RFC 5869 A.1 to A.3', () => {
    const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
    const run = (from: number, count: number): Uint8Array =>
      Uint8Array.from({ length: count }, (_, i) => from + i)
    const ikm = new Uint8Array(22).fill(0x0b)
    expect(hex(hkdf(run(0, 13), ikm, latin1(run(0xf0, 10)), 42))).toBe(
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    )
    expect(hex(hkdf(run(0x60, 80), run(0, 80), latin1(run(0xb0, 80)), 82))).toBe(
      'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09' +
        'da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87',
    )
    expect(hex(hkdf(new Uint8Array(0), ikm, '', 42))).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    )
  })

  test('equals @noble, and hkdf2 is its first 64 bytes', () => {
    const random = seededRandom(3)
    for (const length of [1, 31, 32, 33, 64, 96, 8160]) {
      const salt = random.bytes(32)
      const ikm = random.bytes(random.below(3) * 32)
      const theirs = expand(nobleSha256, extract(nobleSha256, ikm, salt), utf8('SessionReplyTags'), length)
      expect(hex(hkdf(salt, ikm, 'SessionReplyTags', length))).toBe(hex(theirs))
      const [ck, k] = hkdf2(salt, ikm, 'ask')
      expect(hex(concat(ck, k))).toBe(hex(hkdf(salt, ikm, 'ask', 64)))
    }
    expect(() => hkdf(random.bytes(32), random.bytes(32), '', 8161)).toThrow(RangeError)
  })

  test('hkdf2 equals its slow twin at every length, and in what order ever', () => {
    const random = seededRandom(4)
    for (let i = 0; i < 300; i++) {
      const salt = random.bytes(random.below(70))
      const ikm = random.bytes(i % 70)
      const info = 'SessionTagKeyGen and more'.substring(0, random.below(26))
      const [ck, k] = hkdf2(salt, ikm, info)
      expect(hex(concat(ck, k))).toBe(hex(hkdf(salt, ikm, info, 64)))
    }
  })

  test('a half owns its memory', () => {
    const [ck, k] = hkdf2(utf8('a'), utf8('b'), 'c')
    const before = hex(concat(ck, k))
    hkdf2(ck, k, 'd')
    expect(hex(concat(ck, k))).toBe(before)
  })
})

describe('scrypt', () => {
  test('RFC 7914, 12', () => {
    expect(hex(scrypt(utf8(''), utf8(''), { N: 16, r: 1, p: 1, length: 64 }))).toBe(
      '77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442' +
        'fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906',
    )
    expect(hex(scrypt(utf8('password'), utf8('NaCl'), { N: 1024, r: 8, p: 16, length: 64 }))).toBe(
      'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162' +
        '2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640',
    )
  })

  test('costs above the default memory limit', () => {
    expect(scrypt(utf8('x'), h('00'), { N: 2 ** 16, r: 8, p: 1, length: 32 })).toHaveLength(32)
  })
})
