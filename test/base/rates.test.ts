import { describe, expect, it } from 'vitest'
import { Throttle } from '../../src/base/throttle.ts'
import { TokenBucket } from '../../src/base/token-bucket.ts'

/** How many it gives at one moment. */
function taken(bucket: TokenBucket, now: number): number {
  let n = 0
  while (bucket.take(1, now)) n++
  return n
}

describe('token bucket', () => {
  it('gives its burst at once, and its rate', () => {
    const bucket = new TokenBucket(10, 5)
    let n = 0
    for (let t = 0; t <= 10_000; t += 10) if (bucket.take(1, t)) n++
    expect(Math.abs(n - 105)).toBeLessThanOrEqual(1)
    expect(bucket.available(20_000)).toBe(5)
    const slow = new TokenBucket(1, 3)
    expect([0, 999, 1000, 3500, 60_000].map((t) => taken(slow, t))).toEqual([3, 0, 1, 2, 3])
  })

  it('gives what the time has brought to the last token', () => {
    const bucket = new TokenBucket(5, 1)
    for (let t = 0; t < 200_000; t += 200) expect(bucket.take(1, t)).toBe(true)
    expect(bucket.take(1, 200_000 - 1)).toBe(false)
  })

  it('takes nothing when there is not enough, and nothing for a clock that goes back', () => {
    const bucket = new TokenBucket(10, 5)
    expect(bucket.take(6, 1000)).toBe(false)
    expect(bucket.take(5, 1000)).toBe(true)
    expect(bucket.take(1, 0)).toBe(false)
    expect(bucket.take(1, 1100)).toBe(true)
  })

  it('lets no more be owed than allowed, and knows when it is paid', () => {
    const bucket = new TokenBucket(10, 5)
    bucket.spend(100, 0)
    expect(bucket.available(0)).toBe(-5)
    bucket.spend(100, 0, 1000)
    expect(bucket.available(0)).toBe(-105)
    expect(bucket.readyAt(1, 0)).toBe(10_600)
    expect(bucket.take(1, 10_599)).toBe(false)
    expect(bucket.take(1, 10_600)).toBe(true)
    expect(bucket.readyAt(0, 10_600)).toBe(10_600)
  })

  it('may be endless, or nothing at all', () => {
    const endless = new TokenBucket(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
    for (const t of [0, 0, 5]) {
      expect(endless.take(1e9, t)).toBe(true)
      endless.spend(1e9, t)
      expect(endless.available(t)).toBe(Number.POSITIVE_INFINITY)
    }
    const nothing = new TokenBucket(0, 0)
    expect([nothing.take(1, 0), nothing.take(1, 1e9), nothing.readyAt(1, 0)]).toEqual([
      false,
      false,
      Number.POSITIVE_INFINITY,
    ])
  })

  it('holds no more than a burst that was lowered', () => {
    const bucket = new TokenBucket(10, 50)
    expect(bucket.available(0)).toBe(50)
    bucket.burst = 5
    expect(taken(bucket, 0)).toBe(5)
    bucket.rate = 1
    expect(taken(bucket, 2000)).toBe(2)
  })
})

describe('throttle', () => {
  const RATES = {
    each: { perSecond: 1, burst: 3 },
    unnamed: { perSecond: 2, burst: 4 },
    all: { perSecond: 5, burst: 10 },
  }
  const take = (throttle: Throttle, who: string | undefined, times: number, now: number): number =>
    Array.from({ length: times }, () => throttle.take(who, now)).filter(Boolean).length

  it('keeps each to its rate, the unnamed to theirs together, and all to the common one', () => {
    const throttle = new Throttle(RATES, 10)
    expect(take(throttle, 'a', 100, 0)).toBe(3)
    expect(take(throttle, undefined, 100, 0)).toBe(4)
    expect(take(throttle, 'b', 2, 0)).toBe(2)
    // What a and the unnamed asked in excess has cost the others nothing; what they got has.
    expect(take(throttle, 'c', 3, 0)).toBe(1)
    expect(take(throttle, 'a', 5, 1000)).toBe(1)
    expect(take(throttle, undefined, 5, 1000)).toBe(2)
  })

  it('lets one pay for more, with at most a burst', () => {
    const throttle = new Throttle({ each: { perSecond: 1, burst: 3 } }, 10)
    throttle.penalise('a', 50, 0)
    expect([0, 3000, 4000].map((t) => take(throttle, 'a', 5, t))).toEqual([0, 0, 1])
    expect(take(throttle, 'b', 5, 0)).toBe(3)
  })

  it('remembers so many and no more', () => {
    const throttle = new Throttle({ each: { perSecond: 0, burst: 1 } }, 2)
    expect(['a', 'b', 'a', 'b', 'c', 'b', 'a'].map((who) => throttle.take(who, 0))).toEqual([
      true,
      true,
      false,
      false,
      true,
      false,
      true,
    ])
  })
})
