import { describe, expect, it } from 'vitest'
import { concat, hex, Reader as R, type Reader, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { gzip } from '../../../src/base/gzip.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { BlockType, writeBlock } from '../../../src/protocol/blocks/block.ts'
import { writeDateTime } from '../../../src/protocol/blocks/date-time.ts'
import { OUR_PADDING_OPTIONS, writePaddingOptions } from '../../../src/protocol/blocks/padding-options.ts'
import { writeTermination } from '../../../src/protocol/blocks/termination.ts'
import { ackLength, readAck, writeAck } from '../../../src/protocol/ssu2/ack-block.ts'
import {
  FOLLOW_ON_HEADER,
  putFollowOnFragment,
  readAddress,
  readCongestion,
  readFollowOnFragment,
  readNewToken,
  readRelayTag,
  Ssu2BlockType,
  writeAddress,
  writeCongestion,
  writeNewToken,
  writeRelayTag,
} from '../../../src/protocol/ssu2/blocks.ts'
import { readPayload, readSessionConfirmedPayload } from '../../../src/protocol/ssu2/payload.ts'
import {
  readSsu2RouterInfoBlock,
  writeSsu2RouterInfoBlock,
} from '../../../src/protocol/ssu2/router-info-block.ts'
import { refusesTrailingByte, refusesTruncations, survivesRandomBytes } from '../refusals.ts'

const random = seededRandom(5)

describe('blocks', () => {
  it('Address', () => {
    const v4 = { ip: Uint8Array.of(1, 2, 3, 4), port: 0x1234 }
    const v6 = { ip: random.bytes(16), port: 65535 }
    expect(hex(writeAddress(v4))).toBe('123401020304')
    for (const address of [v4, v6]) {
      expect(readAddress(new R(writeAddress(address)))).toEqual(address)
      refusesTrailingByte(writeAddress(address), readAddress)
    }
    refusesTruncations(writeAddress(v4), readAddress)
    // The first six bytes of the longer one are a shorter one.
    for (const n of [0, 1, 2, 3, 5, 7, 12, 17])
      expect(() => readAddress(new R(writeAddress(v6).subarray(0, n)))).toThrow(MalformedError)
    survivesRandomBytes(readAddress, 30)
  })

  it('RelayTag', () => {
    for (const tag of [1, 0xffffffff, 0x01020304]) expect(readRelayTag(new R(writeRelayTag(tag)))).toBe(tag)
    expect(() => readRelayTag(new R(writeRelayTag(0)))).toThrow(MalformedError)
    refusesTruncations(writeRelayTag(7), readRelayTag)
    refusesTrailingByte(writeRelayTag(7), readRelayTag)
  })

  it('NewToken', () => {
    const token = { expires: 1_900_000_000_000, token: random.bytes(8) }
    const bytes = writeNewToken(token)
    expect(readNewToken(new R(bytes))).toEqual(token)
    refusesTruncations(bytes, readNewToken)
    refusesTrailingByte(bytes, readNewToken)
  })

  it('Congestion, which may grow', () => {
    for (const immediateAck of [true, false]) {
      for (const experienced of [true, false]) {
        const bytes = writeCongestion({ immediateAck, experienced })
        expect(readCongestion(new R(bytes))).toEqual({ immediateAck, experienced })
        expect(readCongestion(new R(concat(bytes, random.bytes(3))))).toEqual({ immediateAck, experienced })
      }
    }
    refusesTruncations(Uint8Array.of(1), readCongestion)
  })

  it('FollowOnFragment', () => {
    const write = (number: number, isLast: boolean, data: Uint8Array): Uint8Array => {
      const w = new Writer(FOLLOW_ON_HEADER + data.length)
      putFollowOnFragment(w, { number, isLast, messageId: 0x01020304, data })
      return w.bytes
    }
    const data = random.bytes(40)
    expect(hex(write(1, true, Uint8Array.of(9)))).toBe('030102030409')
    for (const number of [1, 2, 64, 127]) {
      for (const isLast of [true, false]) {
        const read = readFollowOnFragment(new R(write(number, isLast, data)))
        expect(read).toEqual({ number, isLast, messageId: 0x01020304, data })
      }
    }
    expect(() => write(0, false, data)).toThrow(RangeError)
    expect(() => write(128, false, data)).toThrow(RangeError)
    refusesTruncations(write(1, true, Uint8Array.of(9)), readFollowOnFragment)
    expect(() => readFollowOnFragment(new R(Uint8Array.of(1, 0, 0, 0, 1, 9)))).toThrow(MalformedError)
    survivesRandomBytes(readFollowOnFragment, 30)
  })

  it("Ack, with the spec's examples", () => {
    const one = { through: 10, count: 0, ranges: [] }
    const three = { through: 10, count: 2, ranges: [] }
    const holes = {
      through: 10,
      count: 2,
      ranges: [
        { missing: 1, received: 2 },
        { missing: 2, received: 3 },
      ],
    }
    expect(hex(writeAck(one))).toBe('0000000a00')
    expect(hex(writeAck(three))).toBe('0000000a02')
    expect(hex(writeAck(holes))).toBe('0000000a0201020203')
    for (const ack of [one, three, holes]) {
      expect(readAck(new R(writeAck(ack)))).toEqual(ack)
      expect(writeAck(ack).length).toBe(ackLength(ack.ranges.length))
    }
    for (const bytes of [
      '',
      '00',
      '00000000',
      '0000000a020102ff',
      '0000000a0001',
      '0000000102',
      '0000000a000000',
    ])
      expect(() => readAck(new R(Uint8Array.from(Buffer.from(bytes, 'hex')))), bytes).toThrow(MalformedError)
    refusesTrailingByte(writeAck(holes), readAck)
    survivesRandomBytes(readAck, 40)
  })

  it('RouterInfo, packed when it would not fit', () => {
    const routerInfo = concat(random.bytes(400), new Uint8Array(800))
    for (const flood of [true, false]) {
      const plain = writeSsu2RouterInfoBlock({ flood, routerInfo }, 1202)
      const packed = writeSsu2RouterInfoBlock({ flood, routerInfo }, 1201)
      expect(plain.length).toBe(1202)
      expect(packed.length).toBeLessThan(500)
      for (const block of [plain, packed]) {
        const read = readSsu2RouterInfoBlock(new R(block))
        expect([read.flood, hex(read.routerInfo)]).toEqual([flood, hex(routerInfo)])
      }
    }
    const read = (r: Reader): unknown => readSsu2RouterInfoBlock(r)
    survivesRandomBytes(read)
    const packed = writeSsu2RouterInfoBlock({ flood: false, routerInfo }, 0)
    for (let n = 0; n < packed.length; n++)
      expect(() => read(new R(packed.subarray(0, n))), `${n}`).toThrow(MalformedError)
    // A fragment, and a bomb.
    expect(() => read(new R(Uint8Array.of(0, 2, 9)))).toThrow(MalformedError)
    expect(() => read(new R(concat(Uint8Array.of(2, 1), gzip(new Uint8Array(1 << 20)))))).toThrow(
      MalformedError,
    )
  })
})

describe('payloads', () => {
  const wall = 1_800_000_000_000
  const i2np = writeBlock(BlockType.i2np, random.bytes(30))
  const unknown = writeBlock(222, random.bytes(3))
  const everything = concat(
    i2np,
    writeBlock(BlockType.dateTime, writeDateTime(wall)),
    writeBlock(BlockType.options, writePaddingOptions(OUR_PADDING_OPTIONS)),
    writeBlock(Ssu2BlockType.address, writeAddress({ ip: Uint8Array.of(1, 2, 3, 4), port: 5 })),
    writeBlock(Ssu2BlockType.relayTagRequest, new Uint8Array(0)),
    writeBlock(Ssu2BlockType.relayTag, writeRelayTag(8)),
    unknown,
    writeBlock(Ssu2BlockType.newToken, writeNewToken({ expires: wall, token: new Uint8Array(8).fill(3) })),
    writeBlock(Ssu2BlockType.termination, writeTermination({ framesReceived: 0, reason: 7 })),
    writeBlock(BlockType.padding, random.bytes(9)),
  )

  it('say what their blocks say, and keep the others', () => {
    expect(readPayload(everything)).toEqual({
      wall,
      options: OUR_PADDING_OPTIONS,
      address: { ip: Uint8Array.of(1, 2, 3, 4), port: 5 },
      relayTagRequested: true,
      relayTag: 8,
      newToken: { expires: wall, token: new Uint8Array(8).fill(3) },
      termination: 7,
      rest: concat(i2np, unknown),
    })
    expect(readPayload(new Uint8Array(0))).toEqual({ relayTagRequested: false, rest: new Uint8Array(0) })
  })

  it('of SessionConfirmed begin with a RouterInfo', () => {
    const block = writeBlock(
      BlockType.routerInfo,
      writeSsu2RouterInfoBlock({ flood: false, routerInfo: Uint8Array.of(1, 2, 3) }, 100),
    )
    const payload = readSessionConfirmedPayload(concat(block, everything))
    expect(payload.routerInfo).toEqual(Uint8Array.of(1, 2, 3))
    expect(payload.rest).toEqual(concat(i2np, unknown))
    for (const bytes of [everything, new Uint8Array(0), concat(everything.subarray(0, 33), block)])
      expect(() => readSessionConfirmedPayload(bytes)).toThrow(MalformedError)
  })

  it('are malformed or read, whatever they are', () => {
    survivesRandomBytes((r) => readPayload(r.bytes))
    for (let n = 0; n < everything.length; n++) {
      try {
        readPayload(everything.subarray(0, n))
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError)
      }
    }
  })
})
