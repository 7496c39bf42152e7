import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import type { Ack } from '../../../src/protocol/ssu2/ack-block.ts'
import { Acknowledger } from '../../../src/protocol/ssu2/acknowledger.ts'
import { MAX_ACK_RANGES, ReceivedNumbers } from '../../../src/protocol/ssu2/received-numbers.ts'
import { RttEstimator } from '../../../src/protocol/ssu2/rtt.ts'

function numbers(...list: number[]): ReceivedNumbers {
  const received = new ReceivedNumbers()
  for (const n of list) received.add(n)
  return received
}

/** What an Ack says has arrived. */
function acknowledged({ through, count, ranges }: Ack): Set<number> {
  const set = new Set<number>()
  let n = through
  for (let i = 0; i <= count; i++) set.add(n--)
  for (const { missing, received } of ranges) {
    n -= missing
    for (let i = 0; i < received; i++) set.add(n--)
  }
  return set
}

describe('packet numbers', () => {
  test('the examples of the spec', () => {
    expect(numbers(10).ack(32)).toEqual({ through: 10, count: 0, ranges: [] })
    expect(numbers(8, 9, 10).ack(32)).toEqual({ through: 10, count: 2, ranges: [] })
    expect(numbers(10, 9, 8, 6, 5, 2, 1, 0).ack(32)).toEqual({
      through: 10,
      count: 2,
      ranges: [
        { missing: 1, received: 2 },
        { missing: 2, received: 3 },
      ],
    })
  })

  test('runs beyond 255 take several ranges, and the last says something', () => {
    const received = new ReceivedNumbers()
    for (let n = 0; n <= 300; n++) received.add(n)
    expect(received.ack(32)).toEqual({ through: 300, count: 255, ranges: [] })
    received.add(302)
    expect(received.ack(32)).toEqual({ through: 302, count: 0, ranges: [{ missing: 1, received: 255 }] })
    received.add(700)
    expect(received.ack(32)).toEqual({
      through: 700,
      count: 0,
      ranges: [
        { missing: 255, received: 0 },
        { missing: 142, received: 1 },
        { missing: 1, received: 112 },
      ],
    })
  })

  test('no more ranges than allowed, the newest first', () => {
    const received = new ReceivedNumbers()
    for (let n = 0; n < 200; n += 2) received.add(n)
    expect(received.ack(MAX_ACK_RANGES).ranges).toHaveLength(32)
    expect(received.ack(3)).toEqual({
      through: 198,
      count: 0,
      ranges: new Array(3).fill({ missing: 1, received: 1 }),
    })
    expect(received.ack(0)).toEqual({ through: 198, count: 0, ranges: [] })
  })

  test('a copy is known, and what is too old counts as one', () => {
    const received = numbers(0, 5)
    expect([0, 5].map((n) => received.has(n))).toEqual([true, true])
    expect([1, 4, 6, 5000].map((n) => received.has(n))).toEqual([false, false, false, false])
    received.add(5000)
    expect([4, 5, 2952].map((n) => received.has(n))).toEqual([true, true, true])
    expect([2953, 4999].map((n) => received.has(n))).toEqual([false, false])
    received.add(2 ** 32 - 1)
    expect(received.has(2 ** 32 - 1)).toBe(true)
    expect(received.has(2 ** 32 - 2)).toBe(false)
    expect(received.highest).toBe(2 ** 32 - 1)
  })

  test('against a set, with numbers in any order', () => {
    const random = seededRandom(3)
    const received = new ReceivedNumbers()
    const all = new Set<number>()
    let next = 0
    for (let i = 0; i < 20_000; i++) {
      next += random.below(20) === 0 ? random.below(random.below(20) === 0 ? 3000 : 40) : 1
      const n = Math.max(0, next - random.below(30))
      const old = n <= received.highest - 2048
      expect(received.has(n)).toBe(old || all.has(n))
      if (!received.has(n)) {
        received.add(n)
        all.add(n)
      }
      if (i % 50 === 0) {
        const ack = received.ack(32)
        const said = acknowledged(ack)
        expect(ack.through).toBe(received.highest)
        for (const m of said) expect(all.has(m)).toBe(true)
        // All in its depth is said, unless ranges ran out.
        if (ack.ranges.length < 31 && ack.ranges.every((r) => r.received < 255))
          for (let m = Math.min(...said); m <= ack.through; m++) expect(said.has(m)).toBe(all.has(m))
      }
    }
  })
})

describe('when to acknowledge', () => {
  const acknowledger = (rtt: number): Acknowledger => new Acknowledger(new RttEstimator(rtt))
  const never = Number.POSITIVE_INFINITY

  test('a single packet after max(10, min(RTT/6, 150)) ms', () => {
    for (const [rtt, delay] of [
      [30, 10],
      [120, 20],
      [2000, 150],
    ]) {
      const acks = acknowledger(rtt!)
      acks.received(0, true, false, 1000)
      expect(acks.deadline).toBe(1000 + delay!)
    }
  })

  test('two packets, or one that asks for it, at once', () => {
    const acks = acknowledger(600)
    acks.received(0, true, false, 0)
    acks.received(1, true, false, 5)
    expect(acks.deadline).toBe(5)
    expect(acks.take(32)).toEqual({ through: 1, count: 1, ranges: [] })
    expect([acks.deadline, acks.hasNews]).toEqual([never, false])
    acks.received(2, true, true, 7)
    expect(acks.deadline).toBe(7)
  })

  test('a gap and what fills it at once', () => {
    const acks = acknowledger(600)
    acks.received(0, true, false, 0)
    acks.take(32)
    acks.received(2, true, false, 1)
    expect(acks.deadline).toBe(1)
    acks.take(32)
    acks.received(1, true, false, 2)
    expect(acks.deadline).toBe(2)
    expect(acks.take(32)).toEqual({ through: 2, count: 2, ranges: [] })
  })

  test('what wants no answer gets none of its own', () => {
    const acks = acknowledger(600)
    acks.received(0, false, false, 0)
    acks.received(5, false, true, 1)
    expect([acks.deadline, acks.hasNews]).toEqual([never, true])
  })
})
