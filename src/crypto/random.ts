/** The system's randomness behind base/random.ts. */
import { randomFillSync } from 'node:crypto'
import type { Random } from '../base/random.ts'

// Implementation constants

/** Bytes fetched at once: one fetch costs 2 us, whatever its size up to here. */
const POOL = 4096
/** Larger requests go to the system directly. */
const FROM_POOL_MAX = 512

const pool = new Uint8Array(POOL)
const words = new DataView(pool.buffer)
let used = POOL

/** Cryptographically secure. Bytes leave the pool once and are wiped behind. */
export const systemRandom: Random = {
  bytes(n) {
    const out = new Uint8Array(n)
    if (n > FROM_POOL_MAX) return randomFillSync(out)
    const at = take(n)
    for (let i = 0; i < n; i++) out[i] = pool[at + i]!
    pool.fill(0, at, at + n)
    return out
  },

  below(max) {
    if (!(max >= 1 && max <= 2 ** 32)) throw new RangeError(`below(${max})`)
    // Values from the last, incomplete run of `max` would make the small results likelier.
    const limit = 2 ** 32 - (2 ** 32 % max)
    for (;;) {
      const at = take(4)
      const value = words.getUint32(at)
      words.setUint32(at, 0)
      if (value < limit) return value % max
    }
  },
}

function take(n: number): number {
  if (used + n > POOL) {
    randomFillSync(pool)
    used = 0
  }
  const at = used
  used += n
  return at
}
