import { deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { fromBase64 } from '../../../src/base/base64.ts'
import { concat, hex, Reader } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { sha256 } from '../../../src/crypto/sha256.ts'
import {
  fromB32,
  newDestination,
  newRouterIdentity,
  readIdentity,
  toB32,
} from '../../../src/protocol/structures/identity.ts'
import { readPrivateKeys, writePrivateKeys } from '../../../src/protocol/structures/private-keys.ts'
import { refusesTruncations, survivesMutations, survivesRandomBytes } from '../refusals.ts'
import { vector } from '../vectors.ts'

const random = seededRandom(1)
const keyArea = random.bytes(384)
const certificate = (...bytes: number[]): Reader => new Reader(concat(keyArea, Uint8Array.of(...bytes)))

describe('identity', () => {
  it('reads a destination of the public network', () => {
    const text = new TextDecoder().decode(vector('emissary/destination.b64')).trim()
    const bytes = fromBase64(text)
    const r = new Reader(bytes)
    const destination = readIdentity(r)
    expect(r.left).toBe(bytes.length - 391)
    expect(destination.signingType).toBe(7)
    expect(destination.encryptionType).toBe(0)
    expect(hex(destination.signingKey)).toBe(hex(bytes.subarray(352, 384)))
    expect(hex(destination.hash)).toBe(hex(sha256(bytes.subarray(0, 391))))
  })

  it('makes router identities whose padding compresses', () => {
    const { identity, signing, encryption } = newRouterIdentity(random)
    expect(identity.bytes.length).toBe(391)
    expect(hex(identity.encryptionKey)).toBe(hex(encryption.publicKey))
    expect(hex(identity.signingKey)).toBe(hex(signing.publicKey))
    expect([identity.signingType, identity.encryptionType]).toEqual([7, 4])
    expect(deflateRawSync(identity.bytes).length).toBeLessThan(150)
    expect(hex(readIdentity(new Reader(identity.bytes)).hash)).toBe(hex(identity.hash))
  })

  it('makes destinations with an unused encryption field', () => {
    const { identity } = newDestination(random)
    expect([identity.signingType, identity.encryptionType]).toEqual([7, 0])
    expect(deflateRawSync(identity.bytes).length).toBeLessThan(120)
  })

  it('finds the keys of every signature type', () => {
    expect(readIdentity(certificate(0, 0, 0)).signingKey.length).toBe(128)
    const p256 = readIdentity(certificate(5, 0, 4, 0, 1, 0, 0))
    expect(hex(p256.signingKey)).toBe(hex(keyArea.subarray(320)))
    const p521 = readIdentity(certificate(5, 0, 8, 0, 3, 0, 0, 1, 2, 3, 4))
    expect(hex(p521.signingKey)).toBe(`${hex(keyArea.subarray(256))}01020304`)
    expect(p521.bytes.length).toBe(395)
  })

  it('refuses certificates that say too little, too much or nothing known', () => {
    const bad = [
      [0, 0, 1, 0], // NULL with payload
      [1, 0, 0], // HASHCASH
      [5, 0, 3, 0, 7, 0], // too short
      [5, 0, 5, 0, 7, 0, 4, 0], // excess that the keys do not need
      [5, 0, 4, 0, 3, 0, 0], // P521 without its excess
      [5, 0, 4, 0, 4, 0, 0], // RSA
      [5, 0, 4, 0, 8, 0, 0], // only for offline use
      [5, 0, 4, 0, 99, 0, 4], // unknown signature type
      [5, 0, 4, 0, 7, 0, 5], // hybrid keys stand in lease sets only
      [5, 0, 4, 0, 7, 0, 255],
    ]
    for (const bytes of bad)
      expect(() => readIdentity(certificate(...bytes)), `${bytes}`).toThrow(MalformedError)
  })

  it('refuses damaged bytes', () => {
    const { identity } = newRouterIdentity(random)
    refusesTruncations(identity.bytes, readIdentity)
    survivesRandomBytes(readIdentity)
    survivesMutations(identity.bytes, readIdentity)
  })
})

describe('b32 names', () => {
  it('goes both ways, in either case', () => {
    const hash = random.bytes(32)
    const name = toB32(hash)
    expect(name).toMatch(/^[a-z2-7]{52}\.b32\.i2p$/)
    expect(fromB32(name)).toEqual(hash)
    expect(fromB32(name.toUpperCase())).toEqual(hash)
  })

  it('refuses other names', () => {
    const name = toB32(random.bytes(32))
    for (const other of [
      '',
      'example.i2p',
      name.slice(1),
      `a${name}`,
      name.replace('.i2p', ''),
      `${'1'.repeat(52)}.b32.i2p`,
    ])
      expect(fromB32(other), other).toBeUndefined()
  })
})

describe('private keys', () => {
  it("reads i2pd's router.keys and writes the same", () => {
    const bytes = vector('i2pd-2.45.1/router.keys')
    const local = readPrivateKeys(bytes)
    expect(hex(local.identity.encryptionKey)).toBe(hex(local.encryption.publicKey))
    expect(hex(writePrivateKeys(local))).toBe(hex(bytes))
    expect(hex(vector('i2pd-2.45.1/router.info').subarray(0, 391))).toBe(hex(local.identity.bytes))
  })

  it("reads i2pd's destinations", () => {
    const x25519 = vector('i2pd-2.45.1/destination-x25519.dat')
    expect(hex(writePrivateKeys(readPrivateKeys(x25519)))).toBe(hex(x25519))
    const elgamal = vector('i2pd-2.45.1/destination-elgamal.dat')
    const local = readPrivateKeys(elgamal)
    const written = writePrivateKeys(local)
    expect(written.length).toBe(elgamal.length)
    expect(hex(written.subarray(0, 391))).toBe(hex(elgamal.subarray(0, 391)))
    expect(hex(written.subarray(391 + 256))).toBe(hex(elgamal.subarray(391 + 256)))
    expect(hex(readPrivateKeys(written).encryption.privateKey)).toBe(hex(local.encryption.privateKey))
  })

  it('round-trips our own', () => {
    for (const local of [newRouterIdentity(random), newDestination(random)]) {
      const again = readPrivateKeys(writePrivateKeys(local))
      expect(hex(again.identity.hash)).toBe(hex(local.identity.hash))
      expect(hex(again.signing.privateKey)).toBe(hex(local.signing.privateKey))
      expect(hex(again.encryption.publicKey)).toBe(hex(local.encryption.publicKey))
    }
  })

  it('refuses damaged files and keys of others', () => {
    const bytes = writePrivateKeys(newRouterIdentity(random))
    refusesTruncations(bytes, (r) => readPrivateKeys(r.bytes))
    expect(() => readPrivateKeys(concat(bytes, Uint8Array.of(0)))).toThrow(MalformedError)
    const other = new Uint8Array(bytes)
    other[454]! ^= 1
    expect(() => readPrivateKeys(other)).toThrow(MalformedError)
    expect(() => readPrivateKeys(new Uint8Array(other.fill(0, 423)))).toThrow('offline')
  })
})
