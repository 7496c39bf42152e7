import { describe, expect, it } from 'vitest'
import { concat, fromHex, hex, Reader, utf8 } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { readMapping, writeMapping } from '../../../src/protocol/structures/mapping.ts'
import { refusesTruncations, survivesMutations, survivesRandomBytes } from '../refusals.ts'

const bytes = concat(fromHex('000f'), utf8('\x01a=\x01b;\x03bcd=\x02ef;'))

describe('mapping', () => {
  it('reads and writes', () => {
    const mapping = readMapping(new Reader(bytes))
    expect([...mapping]).toEqual([
      ['a', 'b'],
      ['bcd', 'ef'],
    ])
    expect(hex(writeMapping(mapping))).toBe(hex(bytes))
    expect(hex(writeMapping(new Map()))).toBe('0000')
    expect(readMapping(new Reader(fromHex('0000'))).size).toBe(0)
  })

  it('sorts what it writes by UTF-16 code unit, upper case first', () => {
    const mapping = new Map(['netId', 'caps', 'router.version', 'Zed', 'netdb'].map((k) => [k, '1']))
    const keys = [...readMapping(new Reader(writeMapping(mapping))).keys()]
    expect(keys).toEqual(['Zed', 'caps', 'netId', 'netdb', 'router.version'])
  })

  it('reads unsorted mappings but no duplicate keys', () => {
    const unsorted = concat(fromHex('000c'), utf8('\x01b=\x011;\x01a=\x012;'))
    expect([...readMapping(new Reader(unsorted)).keys()]).toEqual(['b', 'a'])
    const twice = concat(fromHex('000c'), utf8('\x01a=\x011;\x01a=\x012;'))
    expect(() => readMapping(new Reader(twice))).toThrow(MalformedError)
  })

  it('refuses strings that a length byte cannot count', () => {
    expect(() => writeMapping(new Map([['a'.repeat(256), 'b']]))).toThrow(RangeError)
    expect(() => writeMapping(new Map([['a', 'ü'.repeat(128)]]))).toThrow(RangeError)
  })

  it('refuses damaged bytes', () => {
    refusesTruncations(bytes, readMapping)
    survivesRandomBytes(readMapping)
    survivesMutations(bytes, readMapping)
    for (const bad of ['\x01a;\x01b;', '\x01a=\x01b=', '\x01a=\x01b', '\x02a=\x01b;', '\x01\xff=\x01b;']) {
      const body = new Uint8Array(Buffer.from(bad, 'latin1'))
      expect(() => readMapping(new Reader(concat(Uint8Array.of(0, body.length), body))), bad).toThrow(
        MalformedError,
      )
    }
  })
})
