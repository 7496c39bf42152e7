import { createCipheriv } from 'node:crypto'
import { cbc } from '@noble/ciphers/aes.js'
import { chacha20poly1305, chacha20 as nobleChacha20 } from '@noble/ciphers/chacha.js'
import { describe, expect, test } from 'vitest'
import { concat, hex, utf8 } from '../../src/base/bytes.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { open, openInPlace, seal, sealInto } from '../../src/crypto/aead.ts'
import { aesCbcDecrypt, aesCbcEncrypt, MAX_LAYER_BLOCKS, TunnelLayerCipher } from '../../src/crypto/aes.ts'
import { chacha20 } from '../../src/crypto/chacha20.ts'
import { flipped, h, withEachBackend } from './backends.ts'

const SUNSCREEN =
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."

/** The nonce of counter `n`, made with arithmetic that has nothing in common with the code's. */
function nonceOf(n: number): Uint8Array {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setBigUint64(4, BigInt(n), true)
  return nonce
}

const COUNTERS = [
  0,
  1,
  255,
  256,
  65535,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 5,
  Number.MAX_SAFE_INTEGER,
]

test('the oracle passes RFC 8439 2.8.2', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i)
  const oracle = chacha20poly1305(key, h('070000004041424344454647'), h('50515253c0c1c2c3c4c5c6c7'))
  expect(hex(oracle.encrypt(utf8(SUNSCREEN)))).toBe(
    'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6' +
      '3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36' +
      '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
      '3ff4def08e4b7a9de576d26586cec64b6116' +
      '1ae10b594f09e26a7e902ecbd0600691',
  )
})

withEachBackend('ChaCha20-Poly1305', () => {
  test('equals the oracle for every counter size, length and associated data', () => {
    const random = seededRandom(2)
    for (const n of COUNTERS) {
      for (const length of [0, 1, 15, 16, 17, 63, 64, 65, 1024, 16384]) {
        for (const ad of [undefined, new Uint8Array(0), random.bytes(1), random.bytes(32)]) {
          const key = random.bytes(32)
          const plaintext = random.bytes(length)
          const theirs = chacha20poly1305(key, nonceOf(n), ad).encrypt(plaintext)
          const ours = seal(key, n, ad, plaintext)
          expect(hex(ours)).toBe(hex(theirs))
          expect(hex(open(key, n, ad, ours)!)).toBe(hex(plaintext))
          expect(hex(openInPlace(key, n, ad, ours)!)).toBe(hex(plaintext))
        }
      }
    }
  })

  test('sealing into a buffer touches only its part, and works in place', () => {
    const random = seededRandom(3)
    const key = random.bytes(32)
    const ad = random.bytes(32)
    const plaintext = random.bytes(300)
    const sealed = seal(key, 9, ad, plaintext)
    const out = new Uint8Array(400).fill(0xee)
    sealInto(out, 20, key, 9, ad, plaintext)
    expect(hex(out)).toBe(hex(concat(out.subarray(0, 20).fill(0xee), sealed, new Uint8Array(64).fill(0xee))))

    const inPlace = new Uint8Array(340)
    inPlace.set(plaintext, 10)
    sealInto(inPlace, 10, key, 9, ad, inPlace.subarray(10, 310))
    expect(hex(inPlace.subarray(10, 326))).toBe(hex(sealed))

    expect(() => sealInto(new Uint8Array(315), 0, key, 9, ad, plaintext)).toThrow(RangeError)
  })

  test('anything changed does not open', () => {
    const random = seededRandom(4)
    const key = random.bytes(32)
    const ad = random.bytes(32)
    const sealed = seal(key, 7, ad, random.bytes(50))
    for (let i = 0; i < sealed.length; i++) expect(open(key, 7, ad, flipped(sealed, i))).toBeUndefined()
    for (let i = 0; i < sealed.length; i++) expect(open(key, 7, ad, sealed.subarray(0, i))).toBeUndefined()
    expect(open(key, 7, ad, concat(sealed, new Uint8Array(1)))).toBeUndefined()
    for (let i = 0; i < sealed.length; i++)
      expect(openInPlace(key, 7, ad, flipped(sealed, i))).toBeUndefined()
    expect(openInPlace(key, 7, ad, new Uint8Array(15))).toBeUndefined()
    expect(open(key, 8, ad, sealed)).toBeUndefined()
    expect(open(key, 7, undefined, sealed)).toBeUndefined()
    expect(open(key, 7, flipped(ad, 3), sealed)).toBeUndefined()
    expect(open(flipped(key, 31), 7, ad, sealed)).toBeUndefined()
    expect(open(key, 7, ad, sealed)).toHaveLength(50)
  })

  test('a result owns its memory and the input stays as it was', () => {
    const key = new Uint8Array(32)
    const plaintext = utf8('hello')
    const first = seal(key, 0, undefined, plaintext)
    const before = hex(first)
    seal(key, 1, undefined, utf8('other'))
    const opened = open(key, 0, undefined, first)!
    open(key, 1, undefined, first)
    expect(hex(first)).toBe(before)
    expect(hex(opened)).toBe(hex(plaintext))
  })
})

withEachBackend('ChaCha20', () => {
  test('RFC 8439 2.4.2', () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => i)
    expect(hex(chacha20(key, h('000000000000004a00000000'), utf8(SUNSCREEN)))).toBe(
      '6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b' +
        'f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8' +
        '07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736' +
        '5af90bbf74a35be6b40b8eedf2785e42874d',
    )
  })

  test('equals @noble and undoes itself', () => {
    const random = seededRandom(5)
    for (const length of [0, 1, 8, 63, 64, 65, 218, 1000]) {
      for (const counter of [0, 1, 2, 77]) {
        const key = random.bytes(32)
        const nonce = random.bytes(12)
        const data = random.bytes(length)
        const ours = chacha20(key, nonce, data, counter)
        expect(hex(ours)).toBe(hex(nobleChacha20(key, nonce, data, undefined, counter)))
        expect(hex(chacha20(key, nonce, ours, counter))).toBe(hex(data))
      }
    }
    expect(() => chacha20(new Uint8Array(32), new Uint8Array(8), new Uint8Array(8))).toThrow()
  })
})

describe('AES-256-CBC', () => {
  test('FIPS 197 C.3', () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => i)
    const plaintext = h('00112233445566778899aabbccddeeff')
    expect(hex(aesCbcEncrypt(key, new Uint8Array(16), plaintext))).toBe('8ea2b7ca516745bfeafc49904b496089')
  })

  test('NIST SP 800-38A F.2.5 and F.2.6', () => {
    const key = h('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4')
    const iv = h('000102030405060708090a0b0c0d0e0f')
    const plaintext = h(
      '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51' +
        '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
    )
    const ciphertext = h(
      'f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d' +
        '39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b',
    )
    expect(hex(aesCbcEncrypt(key, iv, plaintext))).toBe(hex(ciphertext))
    expect(hex(aesCbcDecrypt(key, iv, ciphertext))).toBe(hex(plaintext))
  })

  test('equals @noble', () => {
    const random = seededRandom(6)
    for (const blocks of [1, 2, 13, 63]) {
      const key = random.bytes(32)
      const iv = random.bytes(16)
      const data = random.bytes(16 * blocks)
      const ours = aesCbcEncrypt(key, iv, data)
      expect(hex(ours)).toBe(hex(cbc(key, iv, { disablePadding: true }).encrypt(data)))
      expect(hex(aesCbcDecrypt(key, iv, ours))).toBe(hex(data))
    }
    expect(() => aesCbcEncrypt(random.bytes(32), random.bytes(16), random.bytes(15))).toThrow(RangeError)
    expect(() => aesCbcDecrypt(random.bytes(32), random.bytes(16), random.bytes(17))).toThrow(RangeError)
  })
})

/** The layer by the letter of the spec: fresh objects every time. */
function slowEncrypt(layerKey: Uint8Array, ivKey: Uint8Array, block: Uint8Array): Uint8Array {
  const ecb = (data: Uint8Array): Uint8Array =>
    createCipheriv('aes-256-ecb', ivKey, null).setAutoPadding(false).update(data)
  const once = ecb(block.subarray(0, 16))
  return concat(ecb(once), aesCbcEncrypt(layerKey, once, block.subarray(16)))
}

describe('TunnelLayerCipher', () => {
  const random: Random = seededRandom(8)

  test('a reused cipher equals fresh ones, message after message, both ways interleaved', () => {
    const layerKey = random.bytes(32)
    const ivKey = random.bytes(32)
    const hop = new TunnelLayerCipher(layerKey, ivKey)
    for (let i = 0; i < 200; i++) {
      const plain = i % 10 === 3 ? new Uint8Array(1024) : random.bytes(1024)
      const wire = slowEncrypt(layerKey, ivKey, plain)
      const block = new Uint8Array(plain)
      if (random.below(3) > 0) {
        hop.encrypt([block])
        expect(hex(block)).toBe(hex(wire))
      }
      if (random.below(3) > 0) {
        block.set(wire)
        hop.decrypt([block])
        expect(hex(block)).toBe(hex(plain))
      }
    }
  })

  test('blocks together equal blocks one by one, in batches of every size', () => {
    const layerKey = random.bytes(32)
    const ivKey = random.bytes(32)
    const hop = new TunnelLayerCipher(layerKey, ivKey)
    for (let size = 0; size <= MAX_LAYER_BLOCKS; size++) {
      const plain = Array.from({ length: size }, () => random.bytes(1024))
      const wire = plain.map((block) => hex(slowEncrypt(layerKey, ivKey, block)))
      const blocks = plain.map((block) => new Uint8Array(block))
      hop.encrypt(blocks)
      expect(blocks.map(hex)).toEqual(wire)
      hop.decrypt(blocks)
      expect(blocks.map(hex)).toEqual(plain.map(hex))
    }
    const many = Array.from({ length: MAX_LAYER_BLOCKS + 1 }, () => new Uint8Array(1024))
    expect(() => hop.encrypt(many)).toThrow(RangeError)
    expect(() => hop.decrypt(many)).toThrow(RangeError)
  })

  test("a creator's layers come off one per hop", () => {
    const hops = [0, 1, 2].map(() => new TunnelLayerCipher(random.bytes(32), random.bytes(32)))
    for (let i = 0; i < 20; i++) {
      const plain = random.bytes(1024)
      const block = new Uint8Array(plain)
      for (const hop of hops.toReversed()) hop.decrypt([block])
      for (const hop of hops) hop.encrypt([block])
      expect(hex(block)).toBe(hex(plain))
    }
  })

  test('works inside a larger buffer and refuses another length', () => {
    const layerKey = random.bytes(32)
    const ivKey = random.bytes(32)
    const message = random.bytes(1028)
    const wire = slowEncrypt(layerKey, ivKey, message.subarray(4))
    const id = hex(message.subarray(0, 4))
    new TunnelLayerCipher(layerKey, ivKey).encrypt([message.subarray(4)])
    expect(hex(message)).toBe(id + hex(wire))
    expect(() => new TunnelLayerCipher(layerKey, ivKey).encrypt([message])).toThrow(RangeError)
    expect(() => new TunnelLayerCipher(layerKey, ivKey).decrypt([message])).toThrow(RangeError)
  })
})
