import { chacha20, chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { describe, expect, test } from 'vitest'
import { concat, copy, fromHex, hex } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { useAccelerator } from '../../../src/crypto/provider.ts'
import { maxPayload, PacketOpener, PacketSealer } from '../../../src/protocol/ssu2/data-packet.ts'
import { maskConnectionId } from '../../../src/protocol/ssu2/header.ts'

const random = seededRandom(5)
const keys = { data: random.bytes(32), header1: random.bytes(32), header2: random.bytes(32) }
const id = random.bytes(8)

function seal(payload: Uint8Array, n: number, immediate = false): Uint8Array {
  const sealer = new PacketSealer(keys, id)
  return sealer.seal(sealer.begin(payload.length).put(payload), n, immediate)
}

describe('packets of the data phase', () => {
  test('what is sealed opens, with and without the accelerator, whether the first mask is off or on', () => {
    for (const accelerated of [true, false]) {
      useAccelerator(accelerated)
      for (const [n, length] of [
        [0, 8],
        [1, 9],
        [0xffffffff, 1440],
      ] as const) {
        const payload = random.bytes(length)
        const packet = seal(payload, n, n === 1)
        expect(packet.length).toBe(length + 32)
        const unmasked = copy(packet)
        maskConnectionId(unmasked, keys.header1)
        expect(unmasked.subarray(0, 8)).toEqual(id)
        for (const bytes of [packet, unmasked]) {
          const opener = new PacketOpener(keys, id)
          expect(opener.header(bytes)).toBe(true)
          expect([opener.packetNumber, opener.immediateAck]).toEqual([n, n === 1])
          expect(hex(opener.open(bytes)!)).toBe(hex(payload))
        }
      }
    }
    useAccelerator(true)
  })

  test('no byte can be changed, and none left out or added', () => {
    const packet = seal(random.bytes(40), 7)
    const opens = (bytes: Uint8Array): boolean => {
      const opener = new PacketOpener(keys, id)
      return opener.header(bytes) && opener.open(bytes) !== undefined
    }
    // The first eight bytes are the connection id, by which the packet was found.
    for (let i = 8; i < packet.length; i++) {
      const changed = copy(packet)
      changed[i]! ^= 1 << (i % 8)
      expect(opens(changed)).toBe(false)
    }
    for (let length = 0; length < packet.length; length++)
      expect(opens(copy(packet.subarray(0, length)))).toBe(false)
    expect(opens(new Uint8Array([...packet, 0]))).toBe(false)
    expect(opens(copy(packet))).toBe(true)
  })

  test('a packet of another kind is left as it was', () => {
    const bytes = random.bytes(60)
    const before = copy(bytes)
    expect(new PacketOpener(keys, id).header(bytes)).toBe(false)
    expect(bytes).toEqual(before)
  })

  test('as another implementation of the ciphers makes it', () => {
    const payload = random.bytes(100)
    const n = 0x01020304
    const header = concat(id, fromHex('01020304'), fromHex('06'), fromHex('01'), fromHex('0000'))
    const nonce = fromHex('000000000403020100000000')
    const expected = concat(header, chacha20poly1305(keys.data, nonce, header).encrypt(payload))
    const zeros = new Uint8Array(8)
    const mask1 = chacha20(keys.header1, expected.subarray(-24, -12), zeros, undefined, 1)
    const mask2 = chacha20(keys.header2, expected.subarray(-12), zeros, undefined, 1)
    for (let i = 0; i < 8; i++) {
      expected[i]! ^= mask1[i]!
      expected[i + 8]! ^= mask2[i]!
    }
    expect(hex(seal(payload, n, true))).toBe(hex(expected))
  })

  test('room by MTU and family', () => {
    expect([maxPayload(1500, false), maxPayload(1500, true)]).toEqual([1440, 1420])
    expect([maxPayload(1280, false), maxPayload(1280, true)]).toEqual([1220, 1200])
  })
})
