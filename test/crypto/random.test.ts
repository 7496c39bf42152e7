import { describe, expect, test } from 'vitest'
import { hex } from '../../src/base/bytes.ts'
import { constantTimeEqual } from '../../src/crypto/equal.ts'
import { accelerator, useAccelerator } from '../../src/crypto/provider.ts'
import { systemRandom } from '../../src/crypto/random.ts'

describe('systemRandom', () => {
  test('gives the length asked for, never the same bytes twice, and leaves them alone', () => {
    const seen = new Set<string>()
    const kept = systemRandom.bytes(16)
    const before = hex(kept)
    for (let i = 0; i < 5000; i++) {
      const n = 16 + (i % 40)
      const bytes = systemRandom.bytes(n)
      expect(bytes).toHaveLength(n)
      expect(bytes.buffer.byteLength).toBe(n)
      seen.add(hex(bytes.subarray(0, 16)))
    }
    expect(seen.size).toBe(5000)
    expect(hex(kept)).toBe(before)
    for (const n of [0, 1, 511, 512, 513, 4096, 4097, 100_000]) expect(systemRandom.bytes(n)).toHaveLength(n)
  })

  test('every byte value is about equally likely', () => {
    const counts = new Array<number>(256).fill(0)
    for (let i = 0; i < 4000; i++) for (const byte of systemRandom.bytes(64)) counts[byte]!++
    for (const count of counts) {
      expect(count).toBeGreaterThan(800) // 1000 expected, standard deviation 32
      expect(count).toBeLessThan(1200)
    }
  })

  test('below is uniform and within its limit', () => {
    const counts = [0, 0, 0]
    for (let i = 0; i < 30_000; i++) counts[systemRandom.below(3)]!++
    for (const count of counts) {
      expect(count).toBeGreaterThan(9500) // 10000 expected, standard deviation 82
      expect(count).toBeLessThan(10500)
    }
    for (let i = 0; i < 100; i++) {
      expect(systemRandom.below(1)).toBe(0)
      expect(systemRandom.below(2 ** 32)).toBeLessThan(2 ** 32)
    }
    for (const max of [0, -1, 2 ** 32 + 1, Number.NaN])
      expect(() => systemRandom.below(max)).toThrow(RangeError)
  })
})

test('constantTimeEqual', () => {
  const a = Uint8Array.of(1, 2, 3)
  expect(constantTimeEqual(a, Uint8Array.of(1, 2, 3))).toBe(true)
  expect(constantTimeEqual(a, Uint8Array.of(1, 2, 4))).toBe(false)
  expect(constantTimeEqual(a, Uint8Array.of(1, 2))).toBe(false)
  expect(constantTimeEqual(new Uint8Array(0), new Uint8Array(0))).toBe(true)
})

test('the accelerator can be turned off and on', () => {
  const installed = accelerator()
  useAccelerator(false)
  expect(accelerator()).toBe('none')
  useAccelerator(true)
  expect(accelerator()).toBe(installed)
})
