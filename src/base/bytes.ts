/**
 * Binary cursor types: the only two places in ramsons that do offset arithmetic on wire formats.
 * All integers are big-endian and unsigned (common-structures, "Integer").
 */
import { MalformedError } from './errors.ts'

/** Cursor over borrowed bytes. What `take` returns shares the input's memory. */
export class Reader {
  readonly bytes: Uint8Array
  pos = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get left(): number {
    return this.bytes.length - this.pos
  }

  u8(): number {
    return this.bytes[this.#take(1)]!
  }

  u16(): number {
    const p = this.#take(2)
    const b = this.bytes
    return (b[p]! << 8) | b[p + 1]!
  }

  u32(): number {
    const p = this.#take(4)
    const b = this.bytes
    return ((b[p]! << 24) | (b[p + 1]! << 16) | (b[p + 2]! << 8) | b[p + 3]!) >>> 0
  }

  /** Eight bytes as a number; more than 2^53 - 1 is malformed (no date or size of ours is that large). */
  u64(): number {
    const high = this.u32()
    const low = this.u32()
    if (high > 0x1fffff) throw new MalformedError('64-bit integer above 2^53')
    return high * 2 ** 32 + low
  }

  /** `n` bytes, not copied. */
  take(n: number): Uint8Array {
    const p = this.#take(n)
    return this.bytes.subarray(p, p + n)
  }

  /** What is left, not copied. */
  rest(): Uint8Array {
    return this.take(this.left)
  }

  /** A reader over the next `n` bytes: a malformed inner structure cannot read past them. */
  sub(n: number): Reader {
    return new Reader(this.take(n))
  }

  /** Fails unless every byte was read. */
  end(what: string): void {
    if (this.left !== 0) throw new MalformedError(`${what}: ${this.left} trailing bytes`)
  }

  #take(n: number): number {
    const p = this.pos
    if (n > this.bytes.length - p) throw new MalformedError(`need ${n} bytes at ${p}, have ${this.left}`)
    this.pos = p + n
    return p
  }
}

/** Cursor that fills a buffer whose exact size the caller worked out beforehand. */
export class Writer {
  readonly bytes: Uint8Array
  pos = 0

  /** A size in bytes, or a buffer to fill. */
  constructor(target: number | Uint8Array) {
    this.bytes = typeof target === 'number' ? new Uint8Array(target) : target
  }

  u8(v: number): this {
    this.bytes[this.pos++] = v
    return this
  }

  u16(v: number): this {
    const b = this.bytes
    b[this.pos++] = v >>> 8
    b[this.pos++] = v
    return this
  }

  u32(v: number): this {
    const b = this.bytes
    b[this.pos++] = v >>> 24
    b[this.pos++] = v >>> 16
    b[this.pos++] = v >>> 8
    b[this.pos++] = v
    return this
  }

  /** A non-negative safe integer as eight bytes. */
  u64(v: number): this {
    return this.u32(Math.floor(v / 2 ** 32)).u32(v % 2 ** 32)
  }

  put(src: Uint8Array): this {
    this.bytes.set(src, this.pos)
    this.pos += src.length
    return this
  }
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const p of parts) size += p.length
  const out = new Uint8Array(size)
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}

/** A copy that owns its memory. */
export function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

/** For public values; secrets are compared by crypto/equal.ts. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Lexicographic order, shorter first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** UTF-8 to text. @throws {MalformedError} on invalid sequences. */
export function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new MalformedError('invalid UTF-8')
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

/** @throws {MalformedError} unless `s` is an even number of hex digits. */
export function fromHex(s: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/i.test(s)) throw new MalformedError('invalid hex')
  return new Uint8Array(Buffer.from(s, 'hex'))
}
