import { describe, expect, it } from 'vitest'
import { concat, copy, fromHex, hex, Reader } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import {
  type PeerTest,
  PeerTestCode,
  peerTestData,
  readPeerTest,
  signPeerTest,
  verifyPeerTest,
  writePeerTest,
} from '../../../src/protocol/ssu2/peer-test.ts'
import {
  RelayCode,
  readRelayIntro,
  readRelayRequest,
  readRelayResponse,
  signRelayRequest,
  signRelayResponse,
  verifyRelayRequest,
  verifyRelayResponse,
  writeRelayIntro,
  writeRelayRequest,
  writeRelayResponse,
} from '../../../src/protocol/ssu2/relay.ts'
import type { Hash } from '../../../src/protocol/structures/hash.ts'
import { newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import { refusesTruncations, survivesMutations, survivesRandomBytes } from '../refusals.ts'

const random = seededRandom(3)
const [alice, bob, charlie] = [
  newRouterIdentity(random),
  newRouterIdentity(random),
  newRouterIdentity(random),
]
const [a, b, c] = [alice, bob, charlie].map(({ identity }) => copy(identity.hash)) as [Hash, Hash, Hash]
const v4 = { ip: Uint8Array.of(21, 0, 0, 1), port: 0x1234 }
const v6 = { ip: fromHex('2a000000000000000000000000000001'), port: 0x4321 }
const NONCE = 0xa1b2c3d4
const TIME = 0x6a000000

describe('PeerTest', () => {
  const data = peerTestData(NONCE, TIME, v4)
  const signature = signPeerTest(alice.signing, b, undefined, data)
  const question: PeerTest = { message: 1, code: 0, data, signature }

  it('has the layout of the specification', () => {
    expect(hex(writePeerTest({ ...question, message: 6, signature: new Uint8Array(0) }))).toBe(
      '060000' + '02' + 'a1b2c3d4' + '6a000000' + '06' + '1234' + '15000001',
    )
    const toCharlie = writePeerTest({ ...question, message: 2, hash: a })
    expect(toCharlie).toHaveLength(3 + 32 + 10 + 6 + 64)
    expect(toCharlie.subarray(3, 35)).toEqual(a)
    // What Alice signed goes on unchanged.
    expect(toCharlie.subarray(35)).toEqual(writePeerTest(question).subarray(3))
  })

  it('reads what it wrote', () => {
    for (const address of [v4, v6]) {
      const content = peerTestData(NONCE, TIME, address)
      for (const message of [1, 2, 3, 4, 5, 6, 7]) {
        const hash = message === 2 || message === 4 ? { hash: c } : {}
        const test: PeerTest = { message, code: PeerTestCode.aliceUnknown, ...hash, data: content, signature }
        expect(readPeerTest(new Reader(writePeerTest(test)))).toEqual(test)
      }
    }
  })

  it('refuses other messages, sizes of address, and what is cut short', () => {
    for (const message of [0, 8, 255])
      expect(() => readPeerTest(new Reader(writePeerTest({ ...question, message })))).toThrow(MalformedError)
    const bytes = writePeerTest({ ...question, message: 2, hash: a, signature: new Uint8Array(0) })
    refusesTruncations(bytes, readPeerTest)
    for (const size of [0, 2, 5, 7, 17, 19, 255]) {
      const wrong = writePeerTest(question)
      wrong[12] = size
      expect(() => readPeerTest(new Reader(wrong)), `${size}`).toThrow(MalformedError)
    }
    survivesRandomBytes(readPeerTest)
    survivesMutations(writePeerTest(question), readPeerTest)
  })

  it('is signed for one Bob, by Alice without her hash, by Charlie with it', () => {
    expect(verifyPeerTest(alice.identity, b, undefined, data, signature)).toBe(true)
    expect(verifyPeerTest(alice.identity, c, undefined, data, signature)).toBe(false)
    expect(verifyPeerTest(charlie.identity, b, undefined, data, signature)).toBe(false)
    const answer = signPeerTest(charlie.signing, b, a, data)
    expect(verifyPeerTest(charlie.identity, b, a, data, answer)).toBe(true)
    expect(verifyPeerTest(charlie.identity, b, undefined, data, answer)).toBe(false)
    expect(verifyPeerTest(charlie.identity, b, c, data, answer)).toBe(false)
    expect(verifyPeerTest(alice.identity, b, undefined, peerTestData(NONCE + 1, TIME, v4), signature)).toBe(
      false,
    )
  })

  it('does not verify with a byte too many or too few, or any changed', () => {
    const bytes = writePeerTest(question)
    const good = (changed: Uint8Array): boolean => {
      const test = readPeerTest(new Reader(changed))
      return verifyPeerTest(alice.identity, b, undefined, test.data, test.signature)
    }
    expect(good(bytes)).toBe(true)
    expect(good(concat(bytes, Uint8Array.of(0)))).toBe(false)
    expect(good(bytes.subarray(0, -1))).toBe(false)
    // But for message, code and flags, which nobody signs, and the size of the address, which would be malformed.
    for (let i = 3; i < bytes.length; i++) {
      if (i === 12) continue
      const changed = new Uint8Array(bytes)
      changed[i]! ^= 1
      expect(good(changed), `byte ${i}`).toBe(false)
    }
  })

  it('signs the bytes that the specification names', () => {
    const message = concat(new TextEncoder().encode('PeerTestValidate'), b, a, data.bytes)
    expect(signPeerTest(charlie.signing, b, a, data)).toEqual(charlie.signing.sign(message))
  })
})

describe('RelayRequest and RelayIntro', () => {
  const content = { nonce: NONCE, tag: 0x01020304, timestamp: TIME, address: v4 }
  const request = signRelayRequest(alice.signing, b, c, content)

  it('have the layout of the specification', () => {
    const bytes = writeRelayRequest(request)
    expect(hex(bytes.subarray(0, 21))).toBe(
      '00' + 'a1b2c3d4' + '01020304' + '6a000000' + '02' + '06' + '1234' + '15000001',
    )
    expect(bytes).toHaveLength(21 + 64)
    // "Bob forwards it unmodified."
    expect(writeRelayIntro({ alice: a, request })).toEqual(concat(Uint8Array.of(0), a, bytes.subarray(1)))
  })

  it('read what they wrote', () => {
    for (const address of [v4, v6]) {
      const other = signRelayRequest(alice.signing, b, c, { ...content, address })
      expect(readRelayRequest(new Reader(writeRelayRequest(other)))).toEqual(other)
      const intro = { alice: a, request: other }
      expect(readRelayIntro(new Reader(writeRelayIntro(intro)))).toEqual(intro)
    }
  })

  it('refuse what is cut short, and bear anything', () => {
    const unsigned = { ...request, signature: new Uint8Array(0) }
    refusesTruncations(writeRelayRequest(unsigned), readRelayRequest)
    refusesTruncations(writeRelayIntro({ alice: a, request: unsigned }), readRelayIntro)
    survivesRandomBytes(readRelayRequest)
    survivesRandomBytes(readRelayIntro)
    survivesMutations(writeRelayIntro({ alice: a, request }), readRelayIntro)
  })

  it('are signed for one Bob and one Charlie', () => {
    expect(verifyRelayRequest(alice.identity, b, c, request)).toBe(true)
    expect(verifyRelayRequest(alice.identity, c, b, request)).toBe(false)
    expect(verifyRelayRequest(bob.identity, b, c, request)).toBe(false)
    const bytes = writeRelayRequest(request)
    expect(verifyRelayRequest(alice.identity, b, c, readRelayRequest(new Reader(concat(bytes, bytes))))).toBe(
      false,
    )
    for (let i = 1; i < bytes.length; i++) {
      if (i === 14) continue // the size of the address
      const changed = new Uint8Array(bytes)
      changed[i]! ^= 1
      expect(verifyRelayRequest(alice.identity, b, c, readRelayRequest(new Reader(changed))), `${i}`).toBe(
        false,
      )
    }
  })
})

describe('RelayResponse', () => {
  const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  const agreement = { code: RelayCode.accept, nonce: NONCE, timestamp: TIME, address: v4, token }
  const refusal = { ...agreement, code: RelayCode.charlieLimit, address: undefined, token: undefined }

  it('has the layout of the specification', () => {
    const bytes = writeRelayResponse(signRelayResponse(charlie.signing, b, agreement))
    expect(hex(bytes.subarray(0, 18))).toBe(
      '0000' + 'a1b2c3d4' + '6a000000' + '02' + '06' + '1234' + '15000001',
    )
    expect(bytes).toHaveLength(18 + 64 + 8)
    expect(bytes.subarray(-8)).toEqual(token)
    const no = writeRelayResponse(signRelayResponse(charlie.signing, b, refusal))
    expect(hex(no.subarray(0, 12))).toBe('0042' + 'a1b2c3d4' + '6a000000' + '02' + '00')
    expect(no).toHaveLength(12 + 64)
  })

  it('reads what it wrote', () => {
    for (const content of [agreement, { ...agreement, address: v6 }, refusal]) {
      const response = signRelayResponse(charlie.signing, b, content)
      expect(readRelayResponse(new Reader(writeRelayResponse(response)))).toEqual(response)
      expect(verifyRelayResponse(charlie.identity, b, response)).toBe(true)
      expect(verifyRelayResponse(charlie.identity, c, response)).toBe(false)
      expect(verifyRelayResponse(bob.identity, b, response)).toBe(false)
    }
  })

  it('reads refusals without a signature, or with nothing but the nonce', () => {
    const bare = readRelayResponse(new Reader(fromHex('0005a1b2c3d4')))
    expect(bare).toMatchObject({
      code: RelayCode.tagNotFound,
      nonce: NONCE,
      timestamp: undefined,
      token: undefined,
    })
    expect(verifyRelayResponse(bob.identity, b, bare)).toBe(false)
    const unsigned = readRelayResponse(new Reader(fromHex('0005a1b2c3d46a0000000200')))
    expect(unsigned).toMatchObject({ nonce: NONCE, timestamp: TIME, address: undefined })
    expect(unsigned.signature).toHaveLength(0)
  })

  it('refuses an agreement that is cut short, and bears anything', () => {
    const bytes = writeRelayResponse(signRelayResponse(charlie.signing, b, agreement))
    const read = (r: Reader): unknown => {
      const response = readRelayResponse(r)
      // With fewer bytes the last 8 are not the token, and the signature is too short to be one.
      if (!verifyRelayResponse(charlie.identity, b, response)) throw new MalformedError('signature')
      return response
    }
    refusesTruncations(bytes, read)
    expect(() => read(new Reader(concat(bytes, Uint8Array.of(0))))).toThrow(MalformedError)
    expect(() => readRelayResponse(new Reader(bytes.subarray(0, 18 + 8)))).toThrow(MalformedError)
    const nowhere = new Uint8Array(bytes)
    nowhere[11] = 0
    expect(() => readRelayResponse(new Reader(nowhere.subarray(0, 12)))).toThrow(MalformedError)
    survivesRandomBytes(readRelayResponse)
    survivesMutations(bytes, readRelayResponse)
  })
})
