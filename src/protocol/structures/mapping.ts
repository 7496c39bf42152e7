/** Key-value options (common-structures, "Mapping" and "String"). */
import { type Reader, text, utf8, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'

// Specification constants
const MAX_STRING = 255
const MAX_MAPPING = 65535
const EQUALS = 0x3d
const SEMICOLON = 0x3b

export type Mapping = ReadonlyMap<string, string>

export const EMPTY_MAPPING: Mapping = new Map()

/** Any order is accepted, as other routers do; a duplicate key is not, for nobody could say which one counts. */
export function readMapping(r: Reader): Mapping {
  const size = r.u16()
  if (size === 0) return EMPTY_MAPPING
  const body = r.sub(size)
  const mapping = new Map<string, string>()
  while (body.left > 0) {
    const key = readString(body)
    if (body.u8() !== EQUALS) throw new MalformedError('mapping: no "=" after a key')
    const value = readString(body)
    if (body.u8() !== SEMICOLON) throw new MalformedError('mapping: no ";" after a value')
    if (mapping.has(key)) throw new MalformedError('mapping: duplicate key')
    mapping.set(key, value)
  }
  return mapping
}

/**
 * Sorted by key in UTF-16 code units, the order that signed structures need. With its two bytes of size.
 * @throws {RangeError} when a string or the whole is too long: our own mistake.
 */
export function writeMapping(mapping: Mapping): Uint8Array {
  const strings: Uint8Array[] = []
  let size = 0
  for (const key of [...mapping.keys()].sort()) {
    const k = utf8(key)
    const v = utf8(mapping.get(key)!)
    if (k.length > MAX_STRING || v.length > MAX_STRING) throw new RangeError('mapping: string over 255 bytes')
    strings.push(k, v)
    size += k.length + v.length + 4
  }
  if (size > MAX_MAPPING) throw new RangeError('mapping: over 65535 bytes')
  const w = new Writer(2 + size).u16(size)
  for (let i = 0; i < strings.length; i += 2) {
    w.u8(strings[i]!.length).put(strings[i]!).u8(EQUALS)
    w.u8(strings[i + 1]!.length)
      .put(strings[i + 1]!)
      .u8(SEMICOLON)
  }
  return w.bytes
}

export function readString(r: Reader): string {
  return text(r.take(r.u8()))
}
