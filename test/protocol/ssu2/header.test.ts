import { describe, expect, it } from 'vitest'
import { copy, hex, Reader } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { chacha20 } from '../../../src/crypto/chacha20.ts'
import {
  connectionKey,
  destinationKey,
  EPHEMERAL_END,
  LONG_HEADER,
  MessageType,
  maskConnectionId,
  maskLongHeader,
  maskShortHeader,
  messageType,
  readLongHeader,
  readShortHeader,
  SHORT_HEADER,
  VERSION,
  writeLongHeader,
  writeShortHeader,
} from '../../../src/protocol/ssu2/header.ts'

const random = seededRandom(7)

/** The spec's "Header Encryption KDF", word by word. */
function protectedBySpec(packet: Uint8Array, key1: Uint8Array, key2: Uint8Array, end: number): Uint8Array {
  const out = copy(packet)
  const len = packet.length
  const xor = (key: Uint8Array, nonce: Uint8Array, from: number, to: number): void =>
    out.set(chacha20(key, nonce, packet.subarray(from, to)), from)
  xor(key1, packet.subarray(len - 24, len - 12), 0, 8)
  xor(key2, packet.subarray(len - 12), 8, 16)
  if (end > 16) xor(key2, new Uint8Array(12), 16, end)
  return out
}

describe('headers', () => {
  it('are written and read', () => {
    for (let i = 0; i < 50; i++) {
      const long = {
        destinationId: random.bytes(8),
        packetNumber: random.below(2 ** 32),
        type: MessageType.retry,
        version: VERSION,
        netId: random.below(256),
        sourceId: random.bytes(8),
        token: random.bytes(8),
      }
      const bytes = writeLongHeader(long)
      expect(bytes.length).toBe(LONG_HEADER)
      expect(readLongHeader(new Reader(bytes))).toEqual(long)
      expect(messageType(bytes)).toBe(9)
      for (let n = 0; n < LONG_HEADER; n++)
        expect(() => readLongHeader(new Reader(bytes.subarray(0, n)))).toThrow(MalformedError)

      const { destinationId, packetNumber } = long
      const short = { destinationId, packetNumber, type: MessageType.data, flags: random.below(256) }
      const shortBytes = writeShortHeader(short)
      expect(shortBytes.length).toBe(SHORT_HEADER)
      expect(readShortHeader(new Reader(shortBytes))).toEqual(short)
      for (let n = 0; n < SHORT_HEADER; n++)
        expect(() => readShortHeader(new Reader(shortBytes.subarray(0, n)))).toThrow(MalformedError)
    }
  })

  it('are at the offsets of the spec', () => {
    const header = writeLongHeader({
      destinationId: new Uint8Array(8).fill(1),
      packetNumber: 0x01020304,
      type: 10,
      version: 2,
      netId: 99,
      sourceId: new Uint8Array(8).fill(5),
      token: new Uint8Array(8).fill(6),
    })
    expect(hex(header)).toBe(`${'01'.repeat(8)}010203040a026300${'05'.repeat(8)}${'06'.repeat(8)}`)
    const short = writeShortHeader({
      destinationId: new Uint8Array(8),
      packetNumber: 9,
      type: 2,
      flags: 0x12,
    })
    expect(hex(short)).toBe(`${'00'.repeat(8)}0000000902120000`)
  })

  it('are hidden as the spec says, and found again', () => {
    for (let i = 0; i < 100; i++) {
      const key1 = random.bytes(32)
      const key2 = random.bytes(32)
      for (const end of [SHORT_HEADER, LONG_HEADER, EPHEMERAL_END]) {
        const packet = random.bytes(end + 24 + random.below(100))
        const masked = copy(packet)
        const mask = (): void =>
          end === SHORT_HEADER ? maskShortHeader(masked, key1, key2) : maskLongHeader(masked, key1, key2, end)
        mask()
        expect(hex(masked)).toBe(hex(protectedBySpec(packet, key1, key2, end)))
        mask()
        expect(hex(masked)).toBe(hex(packet))
      }
    }
  })

  it('give one map key for each connection id', () => {
    const bytes = Uint8Array.of(0, 255, 128, 0, 1, 2, 3, 4, 5)
    expect(connectionKey(bytes)).toBe('\x00\xff\x80\x00\x01\x02\x03\x04')
    expect(connectionKey(bytes, 1)).toBe('\xff\x80\x00\x01\x02\x03\x04\x05')
    const key = random.bytes(32)
    const packet = random.bytes(60)
    const masked = copy(packet)
    maskConnectionId(masked, key)
    const asItCame = copy(masked)
    expect(destinationKey(masked, key)).toBe(connectionKey(packet))
    expect(masked).toEqual(asItCame)
  })
})
