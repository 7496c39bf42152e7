/** Randomness as a value: the system's in production (crypto/random.ts), seeded in tests. */
export interface Random {
  /** `n` fresh bytes that the caller owns. */
  bytes(n: number): Uint8Array
  /** Uniform integer in [0, max), max <= 2^32. */
  below(max: number): number
}

/** Uniform non-zero 32-bit id (tunnel, message and stream ids). */
export function randomId(random: Random): number {
  return 1 + random.below(0xffffffff)
}

/** `base` plus or minus up to `fraction` of it, uniform. */
export function jitter(random: Random, base: number, fraction: number): number {
  return base * (1 - fraction + (2 * fraction * random.below(1 << 20)) / (1 << 20))
}

/** In place, Fisher-Yates. */
export function shuffle<T>(random: Random, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const t = items[i]!
    items[i] = items[j]!
    items[j] = t
  }
  return items
}

/** xoshiro128**: deterministic, for simulations and tests only. */
export function seededRandom(seed: number): Random {
  let [a, b, c, d] = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 0xb7e15162]
  const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0
  const u32 = (): number => {
    const r = Math.imul(rotl(Math.imul(b, 5), 7), 9) >>> 0
    const t = (b << 9) >>> 0
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotl(d, 11)
    return r
  }
  for (let i = 0; i < 16; i++) u32()
  return {
    below: (max) => Math.floor((u32() / 2 ** 32) * max),
    bytes: (n) => {
      const out = new Uint8Array(n)
      for (let i = 0; i < n; i++) out[i] = u32() >>> 13
      return out
    },
  }
}
