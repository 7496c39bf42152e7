import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { MalformedError } from '../../../src/base/errors.ts'
import { crc32 } from '../../../src/base/gzip.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { readPayload, STREAMING_PROTOCOL, writePayload } from '../../../src/protocol/datagram/payload.ts'

const random = seededRandom(3)
const HEADER = { protocol: STREAMING_PROTOCOL, sourcePort: 0x1234, destinationPort: 0xfedc }

/** As a router that compresses writes it: Node's gzip with ports and protocol put in. */
function deflated(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(gzipSync(data))
  bytes.set([0x12, 0x34, 0xfe, 0xdc], 4)
  bytes[9] = STREAMING_PROTOCOL
  return bytes
}

describe('payload', () => {
  test('the header of an empty one, byte for byte', () => {
    const bytes = writePayload(HEADER, new Uint8Array(0))
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '1f8b08001234fedc0206' + '010000ffff' + '00000000' + '00000000',
    )
  })

  test('is gzip to anybody', () => {
    for (const n of [0, 1, 5, 1812, 65535]) {
      const data = random.bytes(n)
      expect(new Uint8Array(gunzipSync(writePayload(HEADER, data)))).toEqual(data)
    }
  })

  test('reads stored and deflated ones', () => {
    for (const n of [0, 1, 3, 1812, 30000]) {
      const data = random.bytes(n)
      expect(readPayload(writePayload(HEADER, data))).toEqual({ ...HEADER, data })
      expect(readPayload(deflated(data))).toEqual({ ...HEADER, data })
    }
  })

  test('a stored one is not copied', () => {
    const bytes = writePayload(HEADER, random.bytes(9))
    expect(readPayload(bytes).data.buffer).toBe(bytes.buffer)
  })

  test('optional header fields are skipped', () => {
    const plain = writePayload(HEADER, Uint8Array.of(1, 2, 3))
    const fields = Buffer.concat([
      Buffer.from([2, 0, 9, 9]),
      Buffer.from('name\0'),
      Buffer.from('comment\0'),
      Buffer.from([0, 0]),
    ])
    const bytes = new Uint8Array(Buffer.concat([plain.subarray(0, 10), fields, plain.subarray(10)]))
    bytes[3] = 0x02 | 0x04 | 0x08 | 0x10
    expect(readPayload(bytes)).toEqual({ ...HEADER, data: Uint8Array.of(1, 2, 3) })
  })

  test('refuses a bomb, a wrong checksum and a wrong size', () => {
    expect(() => readPayload(deflated(new Uint8Array(70_000)))).toThrow(MalformedError)
    for (const at of [-1, -5, 15]) {
      const bytes = writePayload(HEADER, random.bytes(50))
      bytes[at < 0 ? bytes.length + at : at]! ^= 1
      expect(() => readPayload(bytes)).toThrow(MalformedError)
    }
    expect(() => writePayload(HEADER, new Uint8Array(65_536))).toThrow(RangeError)
  })

  test('every truncation and trailing byte', () => {
    for (const bytes of [writePayload(HEADER, random.bytes(60)), deflated(random.bytes(60))]) {
      for (let n = 0; n < bytes.length; n++)
        expect(() => readPayload(bytes.subarray(0, n))).toThrow(MalformedError)
      expect(() => readPayload(new Uint8Array([...bytes, 0]))).toThrow(MalformedError)
    }
  })

  test('random bytes', () => {
    for (let i = 0; i < 3000; i++) {
      const bytes = random.bytes(random.below(80))
      bytes.set([0x1f, 0x8b, 8, random.below(32)].slice(0, bytes.length))
      try {
        readPayload(bytes)
      } catch (e) {
        expect(e).toBeInstanceOf(MalformedError)
      }
    }
  })
})

test('crc32', () => {
  expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
  expect(crc32(new Uint8Array(0))).toBe(0)
  for (const n of [1, 2, 3, 4, 5, 1000, 1813]) {
    const data = random.bytes(n)
    expect(crc32(data)).toBe(gzipSync(data).readUInt32LE(gzipSync(data).length - 8))
  }
})
