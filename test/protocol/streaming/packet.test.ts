import { describe, expect, test } from 'vitest'
import { hex } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateEd25519 } from '../../../src/crypto/ed25519.ts'
import {
  CLOSE,
  nackSet,
  type PacketFields,
  peekIds,
  readPacket,
  SYNCHRONIZE,
  writePacket,
} from '../../../src/protocol/streaming/packet.ts'
import { signedPacket, signerOf, verifyPacket } from '../../../src/protocol/streaming/signing.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { offlineSigner } from './offline.ts'

const random = seededRandom(7)
const local = newDestination(random)
const other = newDestination(random)
const signer = signerOf(local)
const WALL = 1_700_000_000_000

function written(fields: PacketFields, payload: Uint8Array): Uint8Array {
  const { bytes, payloadAt } = writePacket(fields, payload.length)
  bytes.set(payload, payloadAt)
  return bytes
}

const PLAIN = { sendStreamId: 0xdeadbeef, receiveStreamId: 5, sequence: 7, ackThrough: 0xfffffffe }

describe('codec', () => {
  test('writes the layout of the specification', () => {
    const bytes = written(
      { ...PLAIN, nacks: [3, 4], resendDelay: 9, flags: CLOSE, delay: 258 },
      Uint8Array.of(1, 2),
    )
    expect(Buffer.from(bytes).toString('hex')).toBe(
      `deadbeef${'00000005'}${'00000007'}fffffffe${'02'}${'00000003'}${'00000004'}${'09'}${'0042'}${'0002'}${'0102'}${'0102'}`,
    )
  })

  test('reads back what it writes', () => {
    const bytes = written(
      { ...PLAIN, nacks: [3, 4], flags: CLOSE, delay: 61000, maxPacketSize: 1812 },
      random.bytes(40),
    )
    const packet = readPacket(bytes)
    expect(packet).toMatchObject({
      ...PLAIN,
      delay: 61000,
      maxPacketSize: 1812,
      from: undefined,
      signature: undefined,
    })
    expect([...nackSet(packet.nacks)!]).toEqual([3, 4])
    expect(packet.payload).toEqual(bytes.subarray(bytes.length - 40))
    expect(peekIds(bytes)).toEqual({ sendStreamId: 0xdeadbeef, receiveStreamId: 5 })
  })

  test('a SYNCHRONIZE with everything', () => {
    const fields = {
      ...PLAIN,
      flags: SYNCHRONIZE,
      recipient: other.identity.hash,
      from: local.identity,
      maxPacketSize: 1812,
    }
    const bytes = signedPacket(fields, signer, Uint8Array.of(1, 2, 3))
    const packet = readPacket(bytes)
    expect(hex(packet.nacks)).toBe(hex(other.identity.hash))
    expect(hex(packet.from!.hash)).toBe(hex(local.identity.hash))
    expect(packet.payload).toEqual(Uint8Array.of(1, 2, 3))
    expect(verifyPacket(packet, local.identity, undefined, WALL)?.key).toBe(local.identity.signingKey)
  })

  test('every truncation of the header and options is malformed', () => {
    const fields = { ...PLAIN, nacks: [1], delay: 1, from: local.identity, maxPacketSize: 600 }
    const bytes = signedPacket(fields, signer)
    for (let n = 0; n < bytes.length; n++)
      expect(() => readPacket(bytes.subarray(0, n)), `${n}`).toThrow(MalformedError)
  })

  test('options past the end, and ones too short for their flags', () => {
    const bytes = written({ ...PLAIN, delay: 1 }, new Uint8Array(0))
    bytes[21] = 3
    expect(() => readPacket(bytes)).toThrow(MalformedError)
    bytes[21] = 1
    expect(() => readPacket(bytes)).toThrow(MalformedError)
  })

  test('random bytes either read or are malformed', () => {
    for (let i = 0; i < 5000; i++) {
      const bytes = random.bytes(random.below(700))
      if (i % 2 === 0 && bytes.length > 20) bytes[16] = random.below(4)
      try {
        readPacket(bytes, local.identity)
      } catch (e) {
        expect(e).toBeInstanceOf(MalformedError)
      }
    }
  })
})

describe('signatures', () => {
  test('any changed byte is noticed', () => {
    const bytes = signedPacket({ ...PLAIN, flags: CLOSE }, signer, random.bytes(20))
    const good = readPacket(bytes)
    expect(verifyPacket(good, local.identity, undefined, WALL)).toBeDefined()
    expect(verifyPacket(good, other.identity, undefined, WALL)).toBeUndefined()
    for (let i = 0; i < bytes.length; i++) {
      const changed = new Uint8Array(bytes)
      changed[i]! ^= 1
      try {
        expect(
          verifyPacket(readPacket(changed), local.identity, undefined, WALL),
          `byte ${i}`,
        ).toBeUndefined()
      } catch (e) {
        expect(e).toBeInstanceOf(MalformedError)
      }
    }
  })

  test('verifying leaves the packet as it was', () => {
    const bytes = signedPacket(PLAIN, signer)
    const before = new Uint8Array(bytes)
    verifyPacket(readPacket(bytes), local.identity, undefined, WALL)
    expect(bytes).toEqual(before)
  })

  test('a transient key that the destination authorised, until it expires', () => {
    const transient = generateEd25519(random)
    const offline = offlineSigner(local, transient, WALL + 60_000)
    const packet = readPacket(signedPacket({ ...PLAIN, flags: SYNCHRONIZE, from: local.identity }, offline))
    expect(hex(verifyPacket(packet, local.identity, undefined, WALL)!.key)).toBe(hex(transient.publicKey))
    expect(verifyPacket(packet, local.identity, undefined, WALL + 60_000)).toBeUndefined()
    expect(verifyPacket(packet, other.identity, undefined, WALL)).toBeUndefined()
    const forged = offlineSigner(other, transient, WALL + 60_000)
    const bad = readPacket(signedPacket({ ...PLAIN, flags: SYNCHRONIZE, from: local.identity }, forged))
    expect(verifyPacket(bad, local.identity, undefined, WALL)).toBeUndefined()
  })

  test('a CLOSE without the proof is checked against the key proved before', () => {
    const transient = generateEd25519(random)
    const offline = { ...offlineSigner(local, transient, WALL + 60_000), offline: undefined }
    const packet = readPacket(signedPacket({ ...PLAIN, flags: CLOSE }, offline))
    const proved = { type: 7, key: transient.publicKey }
    expect(verifyPacket(packet, local.identity, proved, WALL)).toBeDefined()
    expect(verifyPacket(packet, local.identity, undefined, WALL)).toBeUndefined()
  })

  test('no signature is no signature', () => {
    const packet = readPacket(written({ ...PLAIN, flags: CLOSE }, new Uint8Array(0)))
    expect(verifyPacket(packet, local.identity, undefined, WALL)).toBeUndefined()
  })
})
