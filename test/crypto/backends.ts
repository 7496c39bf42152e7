/** Runs the same tests with and without the accelerator. */
import { afterAll, beforeAll, describe } from 'vitest'
import { accelerator, useAccelerator } from '../../src/crypto/provider.ts'

const installed = accelerator() !== 'none'

/** Without sodium-native, which is optional, its half is reported as skipped. */
export function withEachBackend(name: string, tests: () => void): void {
  for (const on of [true, false]) {
    describe.skipIf(on && !installed)(`${name} (${on ? 'sodium-native' : 'node:crypto'})`, () => {
      beforeAll(() => useAccelerator(on))
      afterAll(() => useAccelerator(true))
      tests()
    })
  }
}

/** Bytes from hex, which may be broken into groups. */
export function h(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'))
}

/** A copy with one bit changed. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const out = new Uint8Array(bytes)
  out[at]! ^= 1 << (at % 8)
  return out
}
