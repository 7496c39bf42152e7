import { describe, expect, it } from 'vitest'
import { concat, Reader, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { BlockCursor, BlockType, putBlockHeader } from '../../../src/protocol/blocks/block.ts'
import { readDateTime, roundedSeconds, writeDateTime } from '../../../src/protocol/blocks/date-time.ts'
import { i2npBlockLength, putI2npBlock, readI2npBlock } from '../../../src/protocol/blocks/i2np-block.ts'
import { readPaddingOptions, writePaddingOptions } from '../../../src/protocol/blocks/padding-options.ts'
import { readRouterInfoBlock, writeRouterInfoBlock } from '../../../src/protocol/blocks/router-info-block.ts'
import {
  readTermination,
  TerminationReason,
  writeTermination,
} from '../../../src/protocol/blocks/termination.ts'
import { refusesTrailingByte, refusesTruncations, survivesRandomBytes } from '../refusals.ts'

function block(type: number, data: Uint8Array): Uint8Array {
  const w = new Writer(3 + data.length)
  putBlockHeader(w, type, data.length)
  return w.put(data).bytes
}

function types(bytes: Uint8Array): number[] {
  const blocks = new BlockCursor()
  const found: number[] = []
  blocks.open(bytes)
  while (blocks.next()) found.push(blocks.type)
  return found
}

describe('block cursor', () => {
  const three = concat(
    block(0, new Uint8Array(4)),
    block(77, Uint8Array.of(1, 2)),
    block(254, new Uint8Array(0)),
  )

  it('walks blocks, unknown and empty ones too', () => {
    const blocks = new BlockCursor()
    blocks.open(three)
    expect([blocks.next(), blocks.type, blocks.length]).toEqual([true, 0, 4])
    expect([blocks.next(), blocks.type, blocks.data()]).toEqual([true, 77, Uint8Array.of(1, 2)])
    expect([blocks.next(), blocks.type, blocks.length]).toEqual([true, 254, 0])
    expect(blocks.next()).toBe(false)
    expect(blocks.next()).toBe(false)
  })

  it('has no blocks in an empty frame', () => {
    expect(types(new Uint8Array(0))).toEqual([])
  })

  it('starts again on the next frame', () => {
    const blocks = new BlockCursor()
    blocks.open(three)
    while (blocks.next());
    blocks.open(block(3, Uint8Array.of(9)))
    expect([blocks.next(), blocks.type, blocks.data()]).toEqual([true, 3, Uint8Array.of(9)])
  })

  it('refuses truncation except between blocks and inside a header', () => {
    const whole = [0, 0, 0, -1, -1, -1, -1, 1, 1, 1, -1, -1, 2, 2, 2]
    for (let n = 0; n < three.length; n++) {
      if (whole[n]! >= 0) expect(types(three.subarray(0, n)).length).toBe(whole[n])
      else expect(() => types(three.subarray(0, n)), `${n}`).toThrow(MalformedError)
    }
  })

  it('refuses a block after padding', () => {
    expect(() => types(concat(block(254, new Uint8Array(2)), block(0, new Uint8Array(4))))).toThrow(
      MalformedError,
    )
  })

  it('reads random bytes or calls them malformed', () => {
    survivesRandomBytes((r) => types(r.bytes))
  })
})

describe('payloads', () => {
  it('DateTime rounds to the nearest second', () => {
    expect(roundedSeconds(1499)).toBe(1)
    expect(roundedSeconds(1500)).toBe(2)
    const bytes = writeDateTime(1_700_000_000_700)
    expect(readDateTime(new Reader(bytes))).toBe(1_700_000_001_000)
    refusesTruncations(bytes, readDateTime)
    refusesTrailingByte(bytes, readDateTime)
  })

  it('Options, with room for later ones', () => {
    const options = {
      sendMin: 1,
      sendMax: 2,
      receiveMin: 3,
      receiveMax: 255,
      dummySend: 500,
      dummyReceive: 6,
      delaySend: 7,
      delayReceive: 65535,
    }
    const bytes = writePaddingOptions(options)
    expect(bytes.length).toBe(12)
    expect(readPaddingOptions(new Reader(bytes))).toEqual(options)
    expect(readPaddingOptions(new Reader(concat(bytes, Uint8Array.of(1, 2))))).toEqual(options)
    refusesTruncations(bytes, readPaddingOptions)
  })

  it('RouterInfo', () => {
    for (const flood of [false, true]) {
      const bytes = writeRouterInfoBlock({ flood, routerInfo: Uint8Array.of(1, 2, 3) })
      expect(readRouterInfoBlock(new Reader(bytes))).toEqual({ flood, routerInfo: Uint8Array.of(1, 2, 3) })
    }
    expect(() => readRouterInfoBlock(new Reader(new Uint8Array(0)))).toThrow(MalformedError)
    expect(readRouterInfoBlock(new Reader(Uint8Array.of(0xfe, 7))).flood).toBe(false)
  })

  it('Termination, with or without text', () => {
    const termination = { framesReceived: 2 ** 40 + 5, reason: TerminationReason.clockSkew }
    const bytes = writeTermination(termination)
    expect(bytes.length).toBe(9)
    expect(readTermination(new Reader(bytes))).toEqual(termination)
    expect(readTermination(new Reader(concat(bytes, Uint8Array.of(65))))).toEqual(termination)
    refusesTruncations(bytes, readTermination)
  })

  it('I2NP message with the short header', () => {
    const message = {
      type: 18,
      id: 0xfedcba98,
      expiration: 1_700_000_000_000,
      payload: seededRandom(1).bytes(1028),
    }
    const w = new Writer(i2npBlockLength(message))
    putI2npBlock(w, message)
    expect(w.pos).toBe(w.bytes.length)
    const blocks = new BlockCursor()
    blocks.open(w.bytes)
    expect(blocks.next()).toBe(true)
    expect(blocks.type).toBe(BlockType.i2np)
    expect(readI2npBlock(blocks)).toEqual(message)
    expect(blocks.next()).toBe(false)
  })

  it('an I2NP block too short or too long is no message', () => {
    const blocks = new BlockCursor()
    for (const length of [0, 8, 62_702, 65_000]) {
      blocks.open(block(BlockType.i2np, new Uint8Array(length)))
      expect(blocks.next()).toBe(true)
      expect(readI2npBlock(blocks), `${length}`).toBeUndefined()
    }
  })
})
