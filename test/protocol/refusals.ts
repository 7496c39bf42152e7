/** What every codec must refuse, as assertions. */
import { expect } from 'vitest'
import { concat, Reader } from '../../src/base/bytes.ts'
import { MalformedError } from '../../src/base/errors.ts'
import { seededRandom } from '../../src/base/random.ts'

type Read = (r: Reader) => unknown

/** Every proper prefix of `bytes` is malformed. */
export function refusesTruncations(bytes: Uint8Array, read: Read): void {
  for (let n = 0; n < bytes.length; n++) {
    expect(() => read(new Reader(bytes.subarray(0, n))), `${n} bytes`).toThrow(MalformedError)
  }
}

export function refusesTrailingByte(bytes: Uint8Array, read: Read): void {
  expect(() => read(new Reader(concat(bytes, Uint8Array.of(0))))).toThrow(MalformedError)
}

/** Random bytes are read or malformed, never another error. */
export function survivesRandomBytes(read: Read, longest = 600): void {
  const random = seededRandom(7)
  for (let i = 0; i < 500; i++) {
    const bytes = random.bytes(random.below(longest))
    survives(() => read(new Reader(bytes)))
  }
}

/** `bytes` with one byte changed, each in turn and with several changes: reads, or is malformed; never another error. */
export function survivesMutations(bytes: Uint8Array, read: Read): void {
  const mutated = new Uint8Array(bytes)
  for (let i = 0; i < bytes.length; i++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      mutated[i] = bytes[i]! ^ flip
      survives(() => read(new Reader(mutated)))
    }
    mutated[i] = bytes[i]!
  }
}

function survives(read: () => unknown): void {
  try {
    read()
  } catch (e) {
    if (!(e instanceof MalformedError)) throw e
  }
}
