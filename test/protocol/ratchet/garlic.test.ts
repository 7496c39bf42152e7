import { describe, expect, it } from 'vitest'
import { concat, fromHex, Reader, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import { type Clove, cloveLength, readClove, writeClove } from '../../../src/protocol/ratchet/clove.ts'
import { unwrapForRouter, wrapForRouter } from '../../../src/protocol/ratchet/router-garlic.ts'
import { unwrapWithKey, wrapWithKey } from '../../../src/protocol/ratchet/symmetric-garlic.ts'

const random = seededRandom(1)
const HASH = random.bytes(32)
const WALL = 1_760_000_000_000
const MESSAGE = { type: 20, id: 0x01020304, expiration: 1_760_000_008_000, payload: Uint8Array.of(9, 8, 7) }

const CLOVES: Clove[] = [
  { delivery: { kind: 'local' }, message: MESSAGE },
  { delivery: { kind: 'destination', hash: HASH }, message: MESSAGE },
  { delivery: { kind: 'router', hash: HASH }, message: MESSAGE },
  { delivery: { kind: 'tunnel', hash: HASH, tunnelId: 0xfffefdfc }, message: MESSAGE },
]

function encode(clove: Clove): Uint8Array {
  const w = new Writer(cloveLength(clove))
  writeClove(w, clove)
  expect(w.pos).toBe(w.bytes.length)
  return w.bytes
}

describe('clove', () => {
  it('has the bytes of the spec', () => {
    expect(encode(CLOVES[0]!)).toEqual(fromHex('00 14 01020304 68e77808 090807'.replaceAll(' ', '')))
    expect(encode(CLOVES[3]!).subarray(0, 1)).toEqual(Uint8Array.of(0x60))
    expect(encode(CLOVES[3]!).subarray(1, 33)).toEqual(HASH)
    expect(encode(CLOVES[3]!).subarray(33, 37)).toEqual(fromHex('fffefdfc'))
  })

  it.each(CLOVES)('goes both ways: $delivery.kind', (clove) => {
    const bytes = encode(clove)
    expect(readClove(new Reader(bytes))).toEqual(clove)
    for (let n = 0; n < bytes.length - 3; n++) {
      expect(() => readClove(new Reader(bytes.subarray(0, n)))).toThrow(MalformedError)
    }
  })

  it('skips a delay and refuses encrypted cloves', () => {
    const bytes = encode(CLOVES[0]!)
    const delayed = concat(Uint8Array.of(0x10, 1, 2, 3, 4), bytes.subarray(1))
    expect(readClove(new Reader(delayed))).toEqual(CLOVES[0])
    bytes[0] = 0x80
    expect(() => readClove(new Reader(bytes))).toThrow(MalformedError)
  })
})

describe('router garlic', () => {
  const keys = generateX25519(random)

  it('arrives, cloves in order', () => {
    const bytes = wrapForRouter(keys.publicKey, CLOVES, random, WALL)!
    expect(unwrapForRouter(keys, bytes, WALL)).toEqual(CLOVES)
  })

  it('opens for nobody else, and not when a byte is changed, missing or added', () => {
    const bytes = wrapForRouter(keys.publicKey, CLOVES, random, WALL)!
    expect(unwrapForRouter(generateX25519(random), bytes, WALL)).toBeUndefined()
    for (let n = 0; n < bytes.length; n += 7) {
      expect(unwrapForRouter(keys, bytes.subarray(0, n), WALL)).toBeUndefined()
      const changed = new Uint8Array(bytes)
      changed[n]! ^= 1
      expect(unwrapForRouter(keys, changed, WALL)).toBeUndefined()
    }
    expect(unwrapForRouter(keys, concat(bytes, new Uint8Array(1)), WALL)).toBeUndefined()
    for (let i = 0; i < 50; i++)
      expect(unwrapForRouter(keys, random.bytes(random.below(200)), WALL)).toBeUndefined()
  })

  it('accepts five minutes late and two early, no more', () => {
    const bytes = wrapForRouter(keys.publicKey, CLOVES, random, WALL)!
    const minute = 60_000
    expect(unwrapForRouter(keys, bytes, WALL + 5 * minute)).toBeDefined()
    expect(unwrapForRouter(keys, bytes, WALL + 5 * minute + 1000)).toBeUndefined()
    expect(unwrapForRouter(keys, bytes, WALL - 2 * minute)).toBeDefined()
    expect(unwrapForRouter(keys, bytes, WALL - 2 * minute - 1000)).toBeUndefined()
  })

  it('cannot be made for the all-zero key', () => {
    expect(wrapForRouter(new Uint8Array(32), CLOVES, random, WALL)).toBeUndefined()
  })
})

describe('symmetric garlic', () => {
  const key = random.bytes(32)
  const tag = random.bytes(8)

  it('starts with the tag and holds one clove and nothing else', () => {
    const bytes = wrapWithKey(key, tag, CLOVES[0]!)
    expect(bytes.subarray(0, 8)).toEqual(tag)
    expect(bytes.length).toBe(8 + 3 + cloveLength(CLOVES[0]!) + 16)
    expect(unwrapWithKey(key, tag, bytes)).toEqual(CLOVES[0])
  })

  it('needs key and tag, and every byte', () => {
    const bytes = wrapWithKey(key, tag, CLOVES[0]!)
    expect(unwrapWithKey(random.bytes(32), tag, bytes)).toBeUndefined()
    expect(unwrapWithKey(key, random.bytes(8), bytes)).toBeUndefined()
    for (let n = 0; n < bytes.length; n++)
      expect(unwrapWithKey(key, tag, bytes.subarray(0, n))).toBeUndefined()
  })
})
