import { describe, expect, test } from 'vitest'
import { concat, Reader } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import {
  HelloInitiator,
  HelloResponder,
  MESSAGE_1,
  MESSAGE_2,
  MESSAGE_3,
} from '../../../src/protocol/hello/hello.ts'
import {
  type HelloPayload,
  MAX_HELLO_ROUTER_INFO,
  PAYLOAD_SIZE,
  readHelloPayload,
  writeHelloPayload,
} from '../../../src/protocol/hello/payload.ts'

const random = seededRandom(1)
const KH = random.bytes(32)
const EPOCH = random.bytes(8)

function payload(n: number): HelloPayload {
  return {
    routerInfo: random.bytes(600 + n),
    ntcp2Iv: random.bytes(16),
    udpPort: 9000 + n,
    introKey: random.bytes(32),
    clock: 1_700_000_000_000 + n,
    quality: 3,
  }
}
const A = payload(1)
const B = payload(2)

/** All that crosses the stream, fed in pieces of `size`. */
function talk(size: number, rest: Uint8Array = new Uint8Array(0)) {
  const dialler = new HelloInitiator(KH, EPOCH, random)
  const announcer = new HelloResponder(KH, [EPOCH], random)
  const m1 = dialler.request()
  expect(
    pieces(m1, size)
      .map((p) => announcer.receive(p))
      .at(-1),
  ).toBe('request')
  const m2 = announcer.reply(B)!
  const heardByDialler = pieces(m2, size)
    .map((p) => dialler.receive(p))
    .at(-1)
  const m3 = dialler.confirm(A)
  let heardByAnnouncer: ReturnType<HelloResponder['receive']>
  const stream = concat(m3, rest)
  const parts = pieces(stream, size)
  let fed = 0
  for (const p of parts) {
    fed += p.length
    heardByAnnouncer = announcer.receive(p)
    if (heardByAnnouncer !== undefined) break
  }
  return { m1, m2, m3, heardByDialler, heardByAnnouncer, unread: stream.subarray(fed) }
}

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.subarray(at, at + size))
  return out
}

describe('hello', () => {
  test.each([1, 100, 1024, 5000])('in pieces of %i bytes', (size) => {
    const ntcp2 = random.bytes(97)
    const t = talk(size, ntcp2)
    expect([t.m1.length, t.m2.length, t.m3.length]).toEqual([MESSAGE_1, MESSAGE_2, MESSAGE_3])
    expect(t.heardByDialler).toEqual({ payload: B, rest: new Uint8Array(0) })
    const heard = t.heardByAnnouncer as { payload: HelloPayload; rest: Uint8Array }
    expect(heard.payload).toEqual(A)
    expect(concat(heard.rest, t.unread)).toEqual(ntcp2)
  })

  test('waits for every truncation', () => {
    const dialler = new HelloInitiator(KH, EPOCH, random)
    const m1 = dialler.request()
    for (let n = 0; n < MESSAGE_1; n++)
      expect(new HelloResponder(KH, [EPOCH], random).receive(m1.subarray(0, n))).toBeUndefined()
    const announcer = new HelloResponder(KH, [EPOCH], random)
    announcer.receive(m1)
    const m2 = announcer.reply(B)!
    expect(dialler.receive(m2.subarray(0, -1))).toBeUndefined()
    expect(dialler.receive(m2.subarray(-1))).toMatchObject({ payload: B })
    const m3 = dialler.confirm(A)
    expect(announcer.receive(m3.subarray(0, -1))).toBeUndefined()
    expect(announcer.receive(m3.subarray(-1))).toMatchObject({ payload: A })
  })

  test('another key, junk or any flipped byte fails', () => {
    const m1 = new HelloInitiator(KH, EPOCH, random).request()
    expect(new HelloResponder(random.bytes(32), [EPOCH], random).receive(m1)).toBe('failed')
    expect(new HelloResponder(KH, [EPOCH], random).receive(random.bytes(MESSAGE_1))).toBe('failed')
    for (let i = 0; i < MESSAGE_1; i++) {
      const bad = new Uint8Array(m1)
      bad[i]! ^= 1
      expect(new HelloResponder(KH, [EPOCH], random).receive(bad)).toBe('failed')
    }
    expect(new HelloResponder(KH, [EPOCH], random).receive(concat(m1, random.bytes(1)))).toBe('failed')
    expect(new HelloInitiator(KH, EPOCH, random).receive(random.bytes(MESSAGE_2))).toBe('failed')
  })

  test('a flipped byte in messages 2 and 3 fails', () => {
    for (const at of [0, 31, 32, 500, MESSAGE_3 - 1]) {
      const dialler = new HelloInitiator(KH, EPOCH, random)
      const announcer = new HelloResponder(KH, [EPOCH], random)
      announcer.receive(dialler.request())
      const m2 = announcer.reply(B)!
      const bad2 = new Uint8Array(m2)
      bad2[at]! ^= 4
      const other = new HelloInitiator(KH, EPOCH, random)
      other.request()
      expect(other.receive(m2)).toBe('failed')
      dialler.receive(m2)
      const m3 = dialler.confirm(A)
      m3[at]! ^= 4
      expect(announcer.receive(m3)).toBe('failed')
      const again = new HelloInitiator(KH, EPOCH, seededRandom(5))
      const answerer = new HelloResponder(KH, [EPOCH], random)
      answerer.receive(again.request())
      const reply = answerer.reply(B)!
      reply[at]! ^= 4
      expect(again.receive(reply)).toBe('failed')
    }
  })

  test('is for one epoch of the announcer, its present or its last one', () => {
    const m1 = new HelloInitiator(KH, EPOCH, random).request()
    const other = random.bytes(8)
    expect(new HelloResponder(KH, [other], random).receive(m1)).toBe('failed')
    expect(new HelloResponder(KH, [], random).receive(m1)).toBe('failed')
    for (const epochs of [
      [other, EPOCH],
      [EPOCH, other],
    ]) {
      const dialler = new HelloInitiator(KH, EPOCH, random)
      const announcer = new HelloResponder(KH, epochs, random)
      expect(announcer.receive(dialler.request())).toBe('request')
      expect(dialler.receive(announcer.reply(B)!)).toMatchObject({ payload: B })
      expect(announcer.receive(dialler.confirm(A))).toMatchObject({ payload: A })
    }
  })

  test('replaying message 1 tells a stranger nothing and two transcripts share no byte runs', () => {
    const a = talk(5000)
    const b = talk(5000)
    expect(Buffer.from(a.m1).equals(b.m1)).toBe(false)
    for (let at = 0; at + 8 <= a.m2.length; at += 8)
      expect(Buffer.from(b.m2).includes(Buffer.from(a.m2.subarray(at, at + 8)))).toBe(false)
  })
})

describe('payload', () => {
  test('both ways', () => {
    for (const p of [A, B, { ...A, routerInfo: random.bytes(MAX_HELLO_ROUTER_INFO), quality: 0 as const }]) {
      const bytes = writeHelloPayload(p)
      expect(bytes.length).toBe(PAYLOAD_SIZE)
      expect(readHelloPayload(bytes)).toEqual(p)
    }
    expect(() => writeHelloPayload({ ...A, routerInfo: new Uint8Array(MAX_HELLO_ROUTER_INFO + 1) })).toThrow(
      RangeError,
    )
  })

  test('truncations, trailing bytes and random bytes are malformed', () => {
    const bytes = writeHelloPayload(A)
    for (let n = 0; n < bytes.length; n++)
      expect(() => readHelloPayload(bytes.subarray(0, n))).toThrow(MalformedError)
    expect(() => readHelloPayload(concat(bytes, new Uint8Array(1)))).toThrow(MalformedError)
    for (let i = 0; i < 500; i++) {
      const junk = random.bytes(PAYLOAD_SIZE)
      junk[0] = 0
      try {
        readHelloPayload(junk)
      } catch (e) {
        expect(e).toBeInstanceOf(MalformedError)
      }
    }
  })

  test('a quality that is none', () => {
    const bytes = writeHelloPayload(A)
    const r = new Reader(bytes)
    r.take(r.u16() + 16 + 2 + 32 + 8)
    bytes[r.pos] = 5
    expect(() => readHelloPayload(bytes)).toThrow(MalformedError)
  })
})
