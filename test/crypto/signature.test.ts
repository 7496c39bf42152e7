import { generateKeyPairSync, constants as nodeConstants, privateEncrypt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256, p384, p521 } from '@noble/curves/nist.js'
import { describe, expect, test } from 'vitest'
import { concat, hex, utf8 } from '../../src/base/bytes.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { certificateDates, verifySu3Rsa } from '../../src/crypto/rsa.ts'
import { sha512 } from '../../src/crypto/sha512.ts'
import {
  SignatureType,
  signatureLength,
  signingKeyLength,
  verifySignature,
} from '../../src/crypto/signature.ts'
import { flipped, h, withEachBackend } from './backends.ts'

/** RFC 6979, A.2.5 to A.2.7, message "sample" with each curve's own hash: type, x, y, r, s. */
const RFC6979 = [
  [
    SignatureType.ECDSA_SHA256_P256,
    '60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6',
    '7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299',
    'efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716',
    'f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8',
  ],
  [
    SignatureType.ECDSA_SHA384_P384,
    'ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13',
    '8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720',
    '94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46',
    '99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8',
  ],
  [
    SignatureType.ECDSA_SHA512_P521,
    '01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7f20fb633155d38ffa16d2bd761dcac474b9a2f5023a4',
    '00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0db25741b5b34a828008b22acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5',
    '00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa',
    '00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a',
  ],
] as const

const LITTLE = (bytes: Uint8Array): bigint => BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`)
const Fn = ed25519.Point.Fn

/** RedDSA's own way of signing, as it is deployed: an unclamped scalar, and a nonce from 80 random bytes. */
function redDsaSign(random: Random, scalar: bigint, message: Uint8Array): [Uint8Array, Uint8Array] {
  const publicKey = ed25519.Point.BASE.multiply(scalar).toBytes()
  const r = Fn.create(LITTLE(sha512(random.bytes(80), publicKey, message)))
  const R = ed25519.Point.BASE.multiply(r).toBytes()
  const c = Fn.create(LITTLE(sha512(R, publicKey, message)))
  return [publicKey, concat(R, Fn.toBytes(Fn.create(r + c * scalar)))]
}

withEachBackend('signatures by type', () => {
  test('lengths (common-structures, "SigningPublicKey" and "Signature")', () => {
    const lengths = [0, 1, 2, 3, 7, 11].map((type) => [type, signingKeyLength(type), signatureLength(type)])
    expect(lengths).toEqual([
      [0, 128, 40],
      [1, 64, 64],
      [2, 96, 96],
      [3, 132, 132],
      [7, 32, 64],
      [11, 32, 64],
    ])
    for (const type of [-1, 4, 5, 6, 8, 9, 10, 12, 65535]) {
      expect(signingKeyLength(type)).toBeUndefined()
      expect(signatureLength(type)).toBeUndefined()
      expect(verifySignature(type, new Uint8Array(32), new Uint8Array(1), new Uint8Array(64))).toBe(false)
    }
  })

  test('ECDSA: RFC 6979', () => {
    for (const [type, x, y, r, s] of RFC6979) {
      const key = h(x + y)
      const signature = h(r + s)
      expect(verifySignature(type, key, utf8('sample'), signature)).toBe(true)
      expect(verifySignature(type, key, utf8('simple'), signature)).toBe(false)
      expect(verifySignature(type, key, utf8('sample'), flipped(signature, 70 % signature.length))).toBe(
        false,
      )
      expect(verifySignature(type, flipped(key, 5), utf8('sample'), signature)).toBe(false)
      expect(verifySignature(type, key, utf8('sample'), signature.subarray(1))).toBe(false)
      expect(verifySignature(type, key.subarray(1), utf8('sample'), signature)).toBe(false)
      expect(verifySignature(type, new Uint8Array(key.length), utf8('sample'), signature)).toBe(false)
      expect(verifySignature(type, key, utf8('sample'), new Uint8Array(signature.length))).toBe(false)
    }
  })

  test('ECDSA: what @noble signs', () => {
    const random = seededRandom(1)
    for (const [type, curve] of [
      [1, p256],
      [2, p384],
      [3, p521],
    ] as const) {
      const { secretKey, publicKey } = curve.keygen(random.bytes(curve.lengths.seed!))
      const message = random.bytes(500)
      const raw = curve.Point.fromBytes(publicKey).toBytes(false).subarray(1)
      expect(verifySignature(type, raw, message, curve.sign(message, secretKey, { lowS: false }))).toBe(true)
    }
  })

  test('Ed25519 and RedDSA verify alike', () => {
    const random = seededRandom(2)
    for (let i = 0; i < 10; i++) {
      const message = random.bytes(100)
      const [publicKey, signature] = redDsaSign(random, Fn.create(LITTLE(random.bytes(64))), message)
      for (const type of [SignatureType.EdDSA_SHA512_Ed25519, SignatureType.RedDSA_SHA512_Ed25519]) {
        expect(verifySignature(type, publicKey, message, signature)).toBe(true)
        expect(verifySignature(type, publicKey, message, flipped(signature, 40))).toBe(false)
        expect(verifySignature(type, publicKey.subarray(1), message, signature)).toBe(false)
      }
    }
  })

  test('DSA is not verified', () => {
    expect(verifySignature(0, new Uint8Array(128), new Uint8Array(1), new Uint8Array(40))).toBe(false)
  })
})

describe('SU3 signatures', () => {
  const vector = (name: string): Buffer => readFileSync(new URL(`../vectors/su3/${name}`, import.meta.url))
  const certificate = vector('hankhill19580_at_gmail.com.crt')
  const digest = vector('i2pseeds.sha512')
  const signature = vector('i2pseeds.signature')

  test('a reseed file of the public network, signer as PEM text, PEM bytes and DER', () => {
    const der = Buffer.from(certificate.toString().replace(/-----.*-----|\s/g, ''), 'base64')
    for (const signer of [certificate.toString(), certificate, der]) {
      expect(verifySu3Rsa(signer, digest, signature)).toBe(true)
      expect(verifySu3Rsa(signer, flipped(digest, 0), signature)).toBe(false)
      expect(verifySu3Rsa(signer, digest, flipped(signature, 100))).toBe(false)
      expect(verifySu3Rsa(signer, digest, signature.subarray(1))).toBe(false)
    }
    expect(verifySu3Rsa('no certificate', digest, signature)).toBe(false)
    expect(verifySu3Rsa(Uint8Array.of(1, 2, 3), digest, signature)).toBe(false)
  })

  test('padding around anything but the bare digest is refused', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const spki = publicKey.export({ format: 'der', type: 'spki' })
    const padded = (content: Uint8Array): Uint8Array =>
      privateEncrypt({ key: privateKey, padding: nodeConstants.RSA_PKCS1_PADDING }, content)
    const ours = sha512(utf8('content'))
    expect(verifySu3Rsa(spki, ours, padded(ours))).toBe(true)
    const digestInfo = h('3051300d060960864801650304020305000440')
    expect(verifySu3Rsa(spki, ours, padded(concat(digestInfo, ours)))).toBe(false)
    expect(verifySu3Rsa(spki, ours, padded(concat(ours, Uint8Array.of(0))))).toBe(false)
    const unpadded = privateEncrypt(
      { key: privateKey, padding: nodeConstants.RSA_NO_PADDING },
      concat(new Uint8Array(192), ours),
    )
    expect(verifySu3Rsa(spki, ours, unpadded)).toBe(false)
  })

  test("a certificate's dates", () => {
    const dates = certificateDates(certificate)!
    expect(new Date(dates.from).toISOString()).toBe('2020-05-07T05:09:10.000Z')
    expect(new Date(dates.until).toISOString()).toBe('2030-05-07T05:09:10.000Z')
    expect(certificateDates('no certificate')).toBeUndefined()
    expect(certificateDates(Uint8Array.of(1, 2, 3))).toBeUndefined()
  })

  test('a key of another kind is refused', () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    expect(verifySu3Rsa(publicKey.export({ format: 'der', type: 'spki' }), digest, signature)).toBe(false)
  })
})
