import { describe, expect, it } from 'vitest'
import { concat, copy, hex, sameBytes } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { FrameOpener, FrameSealer, MAX_PLAINTEXT } from '../../../src/protocol/ntcp2/data-phase.ts'
import { Intake } from '../../../src/protocol/ntcp2/intake.ts'

const random = seededRandom(1)
const keys = { key: random.bytes(32), sip: random.bytes(32) }

function seal(sealer: FrameSealer, plaintext: Uint8Array): Uint8Array {
  return sealer.seal(sealer.begin(plaintext.length).put(plaintext))
}

describe('frames', () => {
  it('of every length up to the largest, 16 and 17 bytes too', () => {
    const sealer = new FrameSealer(keys)
    const opener = new FrameOpener(keys)
    for (const size of [0, 1, 2, 100, 1040, 16_384, MAX_PLAINTEXT - 1, MAX_PLAINTEXT]) {
      const plaintext = random.bytes(size)
      const frame = seal(sealer, plaintext)
      expect(frame.length).toBe(2 + size + 16)
      expect(opener.need).toBe(2)
      expect(opener.header(frame.subarray(0, 2))).toBe(true)
      expect([opener.inFrame, opener.need]).toEqual([true, size + 16])
      expect(sameBytes(opener.open(frame.subarray(2))!, plaintext)).toBe(true)
    }
    expect(opener.frames).toBe(8)
  })

  it('hide their lengths', () => {
    const sealer = new FrameSealer(keys)
    const headers = new Set<number>()
    for (let i = 0; i < 200; i++) {
      const frame = seal(sealer, new Uint8Array(10))
      headers.add((frame[0]! << 8) | frame[1]!)
    }
    expect(headers.size).toBeGreaterThan(190)
  })

  it('do not open when changed, repeated or out of order', () => {
    const sealer = new FrameSealer(keys)
    const first = seal(sealer, Uint8Array.of(1))
    const second = seal(sealer, Uint8Array.of(2))
    const opener = (): FrameOpener => {
      const o = new FrameOpener(keys)
      o.header(first.subarray(0, 2))
      return o
    }
    expect(opener().open(second.subarray(2))).toBeUndefined()
    for (let i = 2; i < first.length; i++) {
      const changed = copy(first)
      changed[i]! ^= 4
      expect(opener().open(changed.subarray(2))).toBeUndefined()
    }
    const again = opener()
    expect(hex(again.open(first.subarray(2))!)).toBe('01')
    again.header(first.subarray(0, 2))
    expect(again.open(first.subarray(2))).toBeUndefined()
  })

  it('with a length below a MAC end the stream', () => {
    const opener = new FrameOpener(keys)
    const frame = seal(new FrameSealer(keys), new Uint8Array(0)) // length 16
    frame[1]! ^= 0x1f // 15
    expect(opener.header(frame.subarray(0, 2))).toBe(false)
  })
})

describe('intake', () => {
  it('gives the same pieces however the stream is split', () => {
    const stream = random.bytes(20_000)
    for (let round = 0; round < 20; round++) {
      const intake = new Intake()
      const pieces: Uint8Array[] = []
      const lengths = [2, 700, 1, 2, 5000, 64]
      let at = 0
      while (at < stream.length) {
        const n = Math.min(1 + random.below(round < 10 ? 7 : 3000), stream.length - at)
        intake.feed(stream.subarray(at, at + n))
        at += n
        for (;;) {
          const piece = intake.take(lengths[pieces.length % lengths.length]!)
          if (piece === undefined) break
          pieces.push(copy(piece))
        }
        expect(intake.left).toBe(0)
      }
      const all = concat(...pieces)
      expect(sameBytes(all, stream.subarray(0, all.length))).toBe(true)
      expect(intake.waiting).toBe(all.length < stream.length)
    }
  })

  it('does not copy a piece that arrived whole', () => {
    const bytes = random.bytes(10)
    const intake = new Intake()
    intake.feed(bytes)
    expect(intake.take(4)!.buffer).toBe(bytes.buffer)
    expect(intake.discard()).toBe(6)
    expect(intake.take(1)).toBeUndefined()
    expect(intake.waiting).toBe(false)
  })
})
