import { ED25519_TORSION_SUBGROUP, ed25519, x25519 } from '@noble/curves/ed25519.js'
import { describe, expect, test } from 'vitest'
import { concat, hex, utf8 } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import { ed25519KeyPair, ed25519Verify, generateEd25519 } from '../../src/crypto/ed25519.ts'
import { useAccelerator } from '../../src/crypto/provider.ts'
import { sha512 } from '../../src/crypto/sha512.ts'
import { generateX25519, x25519KeyPair } from '../../src/crypto/x25519.ts'
import { flipped, h, withEachBackend } from './backends.ts'

/** Public keys of small order on Curve25519 and its twist, canonical or not (RFC 7748, 6.1 asks to refuse what they give). */
const SMALL_ORDER_X = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]

withEachBackend('X25519', () => {
  test('RFC 7748 5.2, single and iterated', () => {
    const agree = (k: string, u: string): string => hex(x25519KeyPair(h(k)).agree(h(u))!)
    expect(
      agree(
        'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
        'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
      ),
    ).toBe('c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552')
    expect(
      agree(
        '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
        'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
      ),
    ).toBe('95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957')

    let k = h('0900000000000000000000000000000000000000000000000000000000000000')
    let u = k
    for (let i = 1; i <= 1000; i++) {
      const next = x25519KeyPair(k).agree(u)!
      u = k
      k = next
      if (i === 1) expect(hex(k)).toBe('422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079')
    }
    expect(hex(k)).toBe('684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51')
  })

  test('RFC 7748 6.1', () => {
    const a = x25519KeyPair(h('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'))
    const b = x25519KeyPair(h('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'))
    expect(hex(a.publicKey)).toBe('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a')
    expect(hex(b.publicKey)).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')
    const secret = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'
    expect(hex(a.agree(b.publicKey)!)).toBe(secret)
    expect(hex(b.agree(a.publicKey)!)).toBe(secret)
  })

  test('equals @noble, also for peers with the top bit set', () => {
    const random = seededRandom(1)
    for (let i = 0; i < 25; i++) {
      const pair = generateX25519(random)
      const peer = x25519.getPublicKey(random.bytes(32))
      expect(hex(pair.publicKey)).toBe(hex(x25519.getPublicKey(pair.privateKey)))
      expect(hex(pair.agree(peer)!)).toBe(hex(x25519.getSharedSecret(pair.privateKey, peer)))
      const marked = new Uint8Array(peer)
      marked[31]! |= 0x80
      expect(hex(pair.agree(marked)!)).toBe(hex(pair.agree(peer)!))
    }
  })

  test('refuses keys of small order and wrong lengths', () => {
    const pair = generateX25519(seededRandom(2))
    for (const key of SMALL_ORDER_X) expect(pair.agree(h(key)), key).toBeUndefined()
    expect(pair.agree(new Uint8Array(31).fill(9))).toBeUndefined()
    expect(pair.agree(new Uint8Array(33).fill(9))).toBeUndefined()
    expect(() => x25519KeyPair(new Uint8Array(31))).toThrow(RangeError)
  })

  test('a seeded key is pinned: the random bytes are the private key', () => {
    const pair = generateX25519(seededRandom(42))
    expect(hex(pair.privateKey)).toBe(hex(seededRandom(42).bytes(32)))
    expect(hex(pair.publicKey)).toBe('b71450b10d6fbe150bdedad57174b3d6bfa343c3c87bf790f0aa7089e6506613')
  })
})

/** RFC 8032, 7.1: seed, public key, message, signature. */
const RFC8032 = [
  [
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155' +
      '5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  ],
  [
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ],
  [
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
      '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  ],
] as const

const L = 2n ** 252n + 27742317777372353535851937790883648493n

withEachBackend('Ed25519', () => {
  test('RFC 8032 7.1', () => {
    for (const [seed, publicKey, message, signature] of RFC8032) {
      const pair = ed25519KeyPair(h(seed))
      expect(hex(pair.publicKey)).toBe(publicKey)
      expect(hex(pair.sign(h(message)))).toBe(signature)
      expect(ed25519Verify(h(publicKey), h(message), h(signature))).toBe(true)
    }
  })

  test('equals @noble', () => {
    const random = seededRandom(3)
    for (let i = 0; i < 25; i++) {
      const pair = generateEd25519(random)
      const message = random.bytes(random.below(2000))
      const signature = pair.sign(message.subarray(0, 5), new Uint8Array(0), message.subarray(5))
      expect(hex(pair.publicKey)).toBe(hex(ed25519.getPublicKey(pair.privateKey)))
      expect(hex(signature)).toBe(hex(ed25519.sign(message, pair.privateKey)))
      expect(ed25519Verify(pair.publicKey, message, signature)).toBe(true)
    }
  })

  test('anything changed does not verify', () => {
    const pair = generateEd25519(seededRandom(4))
    const message = utf8('signed')
    const signature = pair.sign(message)
    for (let i = 0; i < 64; i++)
      expect(ed25519Verify(pair.publicKey, message, flipped(signature, i))).toBe(false)
    for (let i = 0; i < 32; i++)
      expect(ed25519Verify(flipped(pair.publicKey, i), message, signature)).toBe(false)
    expect(ed25519Verify(pair.publicKey, flipped(message, 0), signature)).toBe(false)
    expect(ed25519Verify(pair.publicKey.subarray(1), message, signature)).toBe(false)
    expect(ed25519Verify(pair.publicKey, message, signature.subarray(0, 63))).toBe(false)
    expect(ed25519Verify(pair.publicKey, message, concat(signature, new Uint8Array(1)))).toBe(false)
    expect(() => ed25519KeyPair(new Uint8Array(33))).toThrow(RangeError)
  })

  test('S of L or more is refused', () => {
    const pair = generateEd25519(seededRandom(5))
    const message = utf8('malleable')
    const signature = pair.sign(message)
    let s = L
    for (let i = 31; i >= 0; i--) s += BigInt(signature[32 + i]!) << BigInt(8 * i)
    const other = new Uint8Array(signature)
    for (let i = 0; i < 32; i++) other[32 + i] = Number((s >> BigInt(8 * i)) & 0xffn)
    expect(ed25519Verify(pair.publicKey, message, other)).toBe(false)
  })

  test('keys and nonce points of small order are refused, in any encoding', () => {
    const zeroS = new Uint8Array(32)
    const base = ed25519.Point.BASE.toBytes()
    const encodings = [
      ...ED25519_TORSION_SUBGROUP.map(h),
      h('edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'),
      h('eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'),
      h('eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'),
    ]
    for (const point of encodings) {
      for (const message of [utf8('a'), utf8('b'), utf8('c'), utf8('d'), utf8('e'), utf8('f')]) {
        // With A and R of small order and S = 0 the bare equation holds for some of these messages.
        for (const r of encodings) expect(ed25519Verify(point, message, concat(r, zeroS))).toBe(false)
        expect(ed25519Verify(base, message, concat(point, zeroS))).toBe(false)
      }
    }
  })

  test('a nonce of zero is refused, though its equation holds', () => {
    const { scalar } = ed25519.utils.getExtendedPublicKey(seededRandom(9).bytes(32))
    const publicKey = ed25519.Point.BASE.multiply(scalar).toBytes()
    const R = ed25519.Point.ZERO.toBytes()
    const message = utf8('r = 0')
    const c = BigInt(`0x${hex(sha512(R, publicKey, message).reverse())}`)
    const signature = concat(R, ed25519.Point.Fn.toBytes(ed25519.Point.Fn.create(c * scalar)))
    expect(ed25519.verify(signature, message, publicKey, { zip215: true })).toBe(true)
    expect(ed25519Verify(publicKey, message, signature)).toBe(false)
  })

  test('a seeded key is pinned: the random bytes are the seed', () => {
    const pair = generateEd25519(seededRandom(42))
    expect(hex(pair.privateKey)).toBe(hex(seededRandom(42).bytes(32)))
    expect(hex(pair.publicKey)).toBe('a4aa067ee43a593997087f6ab6126e65f0b0218d182c0ad94fef9d32be874f2f')
  })
})

describe('a key pair outlives a change of backend', () => {
  test('X25519 and Ed25519', () => {
    const dh = generateX25519(seededRandom(6))
    const signer = generateEd25519(seededRandom(7))
    const peer = generateX25519(seededRandom(8)).publicKey
    const before = [hex(dh.agree(peer)!), hex(signer.sign(utf8('m')))]
    useAccelerator(false)
    const after = [hex(dh.agree(peer)!), hex(signer.sign(utf8('m')))]
    useAccelerator(true)
    expect(after).toEqual(before)
  })
})
