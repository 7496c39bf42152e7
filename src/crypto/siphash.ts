/**
 * SipHash-2-4 (Aumasson and Bernstein): NTCP2's length masks. Each 64-bit word is two 32-bit halves, because a BigInt
 * would be made for every frame.
 */

/** v0 to v3, low half then high half. Set up by `start`, used by one call at a time. */
const v = new Int32Array(8)

/**
 * The chain of masks for the frame lengths of one direction (ntcp2, "SipHash Obfuscation"): every frame's IV is the hash
 * of the one before.
 */
export class SipHashChain {
  readonly #key: Int32Array
  #low: number
  #high: number

  /** `keys32`: k1 (8), k2 (8), first IV (8), 8 bytes that nothing uses; all little-endian. */
  constructor(keys32: Uint8Array) {
    this.#key = keyHalves(keys32)
    this.#low = half(keys32, 16)
    this.#high = half(keys32, 20)
  }

  /** Advances the chain; the low 16 bits of the new IV, to be XORed with a frame length. */
  nextMask(): number {
    start(this.#key)
    compress(this.#low, this.#high)
    compress(0, 8 << 24) // a block with no message bytes and the message's length, 8
    finish()
    this.#low = v[0]! ^ v[2]! ^ v[4]! ^ v[6]!
    this.#high = v[1]! ^ v[3]! ^ v[5]! ^ v[7]!
    return this.#low & 0xffff
  }
}

/** The 64-bit hash as 8 bytes, little-endian. `key16` has 16 bytes. */
export function sipHash24(key16: Uint8Array, data: Uint8Array): Uint8Array {
  start(keyHalves(key16))
  const whole = data.length & ~7
  for (let at = 0; at < whole; at += 8) compress(half(data, at), half(data, at + 4))
  const last = new Uint8Array(8)
  last.set(data.subarray(whole))
  last[7] = data.length
  compress(half(last, 0), half(last, 4))
  finish()
  const out = new DataView(new ArrayBuffer(8))
  out.setInt32(0, v[0]! ^ v[2]! ^ v[4]! ^ v[6]!, true)
  out.setInt32(4, v[1]! ^ v[3]! ^ v[5]! ^ v[7]!, true)
  return new Uint8Array(out.buffer)
}

function half(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

function keyHalves(key: Uint8Array): Int32Array {
  return Int32Array.of(half(key, 0), half(key, 4), half(key, 8), half(key, 12))
}

/** The key XOR "somepseudorandomlygeneratedbytes". */
function start(key: Int32Array): void {
  v[0] = key[0]! ^ 0x70736575
  v[1] = key[1]! ^ 0x736f6d65
  v[2] = key[2]! ^ 0x6e646f6d
  v[3] = key[3]! ^ 0x646f7261
  v[4] = key[0]! ^ 0x6e657261
  v[5] = key[1]! ^ 0x6c796765
  v[6] = key[2]! ^ 0x79746573
  v[7] = key[3]! ^ 0x74656462
}

function compress(low: number, high: number): void {
  v[6]! ^= low
  v[7]! ^= high
  rounds(2)
  v[0]! ^= low
  v[1]! ^= high
}

function finish(): void {
  v[4]! ^= 0xff
  rounds(4)
}

function rounds(count: number): void {
  let a = v[0]!
  let A = v[1]!
  let b = v[2]!
  let B = v[3]!
  let c = v[4]!
  let C = v[5]!
  let d = v[6]!
  let D = v[7]!
  let t = 0
  for (let i = 0; i < count; i++) {
    // v0 += v1; v2 += v3 (a carry shows as a sum below its summand)
    t = (a + b) | 0
    A = (A + B + (t >>> 0 < a >>> 0 ? 1 : 0)) | 0
    a = t
    t = (c + d) | 0
    C = (C + D + (t >>> 0 < c >>> 0 ? 1 : 0)) | 0
    c = t
    // v1 = rotl(v1, 13) ^ v0; v3 = rotl(v3, 16) ^ v2; v0 = rotl(v0, 32)
    t = ((b << 13) | (B >>> 19)) ^ a
    B = ((B << 13) | (b >>> 19)) ^ A
    b = t
    t = ((d << 16) | (D >>> 16)) ^ c
    D = ((D << 16) | (d >>> 16)) ^ C
    d = t
    t = a
    a = A
    A = t
    // v2 += v1; v0 += v3
    t = (c + b) | 0
    C = (C + B + (t >>> 0 < c >>> 0 ? 1 : 0)) | 0
    c = t
    t = (a + d) | 0
    A = (A + D + (t >>> 0 < a >>> 0 ? 1 : 0)) | 0
    a = t
    // v1 = rotl(v1, 17) ^ v2; v3 = rotl(v3, 21) ^ v0; v2 = rotl(v2, 32)
    t = ((b << 17) | (B >>> 15)) ^ c
    B = ((B << 17) | (b >>> 15)) ^ C
    b = t
    t = ((d << 21) | (D >>> 11)) ^ a
    D = ((D << 21) | (d >>> 11)) ^ A
    d = t
    t = c
    c = C
    C = t
  }
  v[0] = a
  v[1] = A
  v[2] = b
  v[3] = B
  v[4] = c
  v[5] = C
  v[6] = d
  v[7] = D
}
