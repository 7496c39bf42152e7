import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import { DuplicateFilter } from '../../../src/router/tunnel/duplicate-filter.ts'

const random = seededRandom(3)

describe('duplicate filter', () => {
  it('knows what it saw, for a period at least and two at most', () => {
    const f = new DuplicateFilter(1000, 100_000, random)
    const marks = Array.from(
      { length: 20_000 },
      () => [random.below(2 ** 32), random.below(2 ** 32)] as const,
    )
    for (const [i, [h, l]] of marks.entries()) expect(f.seen(h, l, i % 900)).toBe(false)
    for (const [h, l] of marks) expect(f.seen(h, l, 950)).toBe(true)
    expect(f.seen(1, 2, 1000)).toBe(false)
    for (const [h, l] of marks) expect(f.has(h, l)).toBe(true)
    expect(f.seen(1, 3, 2000)).toBe(false)
    for (const [h, l] of marks) expect(f.has(h, l)).toBe(false)
    expect(f.has(1, 2)).toBe(true)
  })

  it('forgets early rather than grow', () => {
    const f = new DuplicateFilter(1000, 500, random)
    for (let i = 0; i < 10_000; i++) f.seen(i, 5, 0)
    expect(f.size).toBeLessThanOrEqual(1000)
    expect(f.has(9999, 5)).toBe(true)
    expect(f.has(1, 5)).toBe(false)
  })

  it('is not slowed by marks that are alike', () => {
    const f = new DuplicateFilter(1000, 200_000, random)
    const before = performance.now()
    for (let i = 0; i < 100_000; i++) f.seen(0xdeadbeef, i * 4096, 0)
    for (let i = 0; i < 100_000; i++) f.seen(i, 0, 0)
    expect(performance.now() - before).toBeLessThan(2000)
  })
})
