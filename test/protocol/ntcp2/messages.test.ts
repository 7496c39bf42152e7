import { describe, expect, it } from 'vitest'
import { concat, Reader, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { putBlockHeader } from '../../../src/protocol/blocks/block.ts'
import { OUR_PADDING_OPTIONS } from '../../../src/protocol/blocks/padding-options.ts'
import {
  MAC,
  readSessionConfirmedPayload,
  readSessionCreatedOptions,
  readSessionRequestOptions,
  sessionConfirmedPart2Length,
  writeSessionConfirmedPayload,
  writeSessionCreatedOptions,
  writeSessionRequestOptions,
} from '../../../src/protocol/ntcp2/messages.ts'
import {
  refusesTrailingByte,
  refusesTruncations,
  survivesMutations,
  survivesRandomBytes,
} from '../refusals.ts'

function block(type: number, length: number): Uint8Array {
  const w = new Writer(3 + length)
  putBlockHeader(w, type, length)
  return w.bytes
}

describe('handshake options', () => {
  it('of SessionRequest', () => {
    const options = { netId: 77, version: 2, paddingLength: 223, part2Length: 1500, timestamp: 1_800_000_000 }
    const bytes = writeSessionRequestOptions(options)
    expect(bytes.length).toBe(16)
    expect(readSessionRequestOptions(new Reader(bytes))).toEqual(options)
    refusesTruncations(bytes, readSessionRequestOptions)
    refusesTrailingByte(bytes, readSessionRequestOptions)
  })

  it('of SessionCreated', () => {
    const options = { paddingLength: 223, timestamp: 1_800_000_000 }
    const bytes = writeSessionCreatedOptions(options)
    expect(bytes.length).toBe(16)
    expect(readSessionCreatedOptions(new Reader(bytes))).toEqual(options)
    refusesTruncations(bytes, readSessionCreatedOptions)
    refusesTrailingByte(bytes, readSessionCreatedOptions)
  })
})

describe('SessionConfirmed payload', () => {
  const read = (bytes: Uint8Array): unknown => readSessionConfirmedPayload(bytes)
  const routerInfo = new Uint8Array(600).fill(7)

  it('has the length announced in SessionRequest', () => {
    const bytes = writeSessionConfirmedPayload(routerInfo, OUR_PADDING_OPTIONS, 20)
    expect(bytes.length + MAC).toBe(sessionConfirmedPart2Length(routerInfo.length, 20))
    expect(read(bytes)).toEqual({ routerInfo, options: OUR_PADDING_OPTIONS })
    survivesMutations(bytes.subarray(0, 50), (r) => read(r.bytes))
    survivesRandomBytes((r) => read(r.bytes))
  })

  it('is RouterInfo, then Options, then Padding, and nothing else', () => {
    const [info, options, padding] = [block(2, 500), block(1, 12), block(254, 5)]
    expect(read(concat(info))).toMatchObject({ options: undefined })
    expect(read(concat(info, padding))).toMatchObject({ options: undefined })
    expect(read(concat(info, options))).toMatchObject({ options: { sendMax: 0 } })
    for (const wrong of [
      concat(),
      concat(options, info),
      concat(padding, info),
      concat(info, info),
      concat(info, padding, options),
      concat(info, options, options),
      concat(info, block(0, 4)),
      concat(info, block(200, 4)),
      concat(info, block(1, 11)),
      concat(block(2, 3074)),
      concat(block(2, 0)),
    ]) {
      expect(() => read(wrong)).toThrow(MalformedError)
    }
  })
})
