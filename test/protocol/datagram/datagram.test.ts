import { describe, expect, test } from 'vitest'
import { concat, hex, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateEd25519 } from '../../../src/crypto/ed25519.ts'
import {
  readDatagram,
  readDatagram2,
  readDatagram3,
  writeDatagram,
  writeDatagram2,
  writeDatagram3,
} from '../../../src/protocol/datagram/datagram.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { writeMapping } from '../../../src/protocol/structures/mapping.ts'

const random = seededRandom(4)
const local = newDestination(random)
const to = newDestination(random).identity.hash
const WALL = 1_700_000_000_000
const payload = random.bytes(300)

/** Every truncation: malformed, or a signature that does not verify. */
function truncations(bytes: Uint8Array, read: (b: Uint8Array) => unknown): void {
  for (let n = 0; n < bytes.length; n++) {
    try {
      expect(read(bytes.subarray(0, n)), `${n}`).toBeUndefined()
    } catch (e) {
      expect(e).toBeInstanceOf(MalformedError)
    }
  }
}

describe('repliable', () => {
  test('both ways', () => {
    const bytes = writeDatagram(local, payload)
    expect(bytes.length).toBe(391 + 64 + 300)
    expect(readDatagram(bytes)).toEqual({ from: local.identity, payload })
    bytes[500]! ^= 1
    expect(readDatagram(bytes)).toBeUndefined()
  })

  test('truncations', () => truncations(writeDatagram(local, payload), readDatagram))
})

describe('Datagram2', () => {
  const read = (b: Uint8Array): unknown => readDatagram2(b, to, WALL)

  test('is for its recipient only', () => {
    const bytes = writeDatagram2(local, to, payload)
    expect(read(bytes)).toEqual({ from: local.identity, payload })
    expect(readDatagram2(bytes, local.identity.hash, WALL)).toBeUndefined()
  })

  test('options and an offline signature', () => {
    const transient = generateEd25519(random)
    const authorised = new Writer(38)
      .u32(WALL / 1000 + 60)
      .u16(7)
      .put(transient.publicKey).bytes
    const options = writeMapping(new Map([['a', 'b']]))
    const flags = Uint8Array.of(0, 0x32)
    const body = concat(flags, options, authorised, local.signing.sign(authorised), payload)
    const bytes = concat(local.identity.bytes, body, transient.sign(concat(to, body)))
    expect(read(bytes)).toEqual({ from: local.identity, payload })
    expect(readDatagram2(bytes, to, WALL + 61_000)).toBeUndefined()
    truncations(bytes, read)
  })

  test('truncations and other versions', () => {
    truncations(writeDatagram2(local, to, payload), read)
    const bytes = writeDatagram2(local, to, payload)
    bytes[392] = 3
    expect(() => read(bytes)).toThrow(MalformedError)
  })
})

test('Datagram3', () => {
  const bytes = writeDatagram3(local.identity.hash, payload)
  expect(hex(readDatagram3(bytes).from)).toBe(hex(local.identity.hash))
  expect(readDatagram3(bytes).payload).toEqual(payload)
  for (let n = 0; n < 34; n++) expect(() => readDatagram3(bytes.subarray(0, n))).toThrow(MalformedError)
})
