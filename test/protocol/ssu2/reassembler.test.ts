import { describe, expect, test } from 'vitest'
import { Reader, Writer } from '../../../src/base/bytes.ts'
import { seededRandom, shuffle } from '../../../src/base/random.ts'
import { BlockCursor } from '../../../src/protocol/blocks/block.ts'
import { readI2npBlock } from '../../../src/protocol/blocks/i2np-block.ts'
import type { I2npMessage } from '../../../src/protocol/i2np/message.ts'
import { readFollowOnFragment, Ssu2BlockType } from '../../../src/protocol/ssu2/blocks.ts'
import { cutMessage, type Piece, wholePiece } from '../../../src/protocol/ssu2/piece.ts'
import { Reassembler } from '../../../src/protocol/ssu2/reassembler.ts'
import { message } from './link.ts'

/** A piece over the wire and into a reassembler. */
function give(to: Reassembler, piece: Piece, now = 0): I2npMessage | undefined {
  const w = new Writer(piece.length)
  piece.put(w)
  expect(w.pos).toBe(piece.length)
  const blocks = new BlockCursor()
  blocks.open(w.bytes)
  expect(blocks.next()).toBe(true)
  if (blocks.type === Ssu2BlockType.firstFragment) return to.first(readI2npBlock(blocks)!, now)
  return to.followOn(readFollowOnFragment(new Reader(blocks.data())), now)
}

describe('fragments', () => {
  test('a message of any size, cut to any size, in any order, some of it twice', () => {
    const random = seededRandom(1)
    for (const size of [300, 1500, 5000, 20_000, 62_692]) {
      for (const room of [1220, 1424, 1440]) {
        const sent = message(size, size, 0)
        const pieces = cutMessage(sent, 200 + random.below(50), room)
        for (const p of pieces) expect(p.length).toBeLessThanOrEqual(room)
        const order = shuffle(random, [...pieces, ...pieces.slice(0, pieces.length - 1)])
        const reassembler = new Reassembler()
        const whole = order.map((p) => give(reassembler, p)).filter((m) => m !== undefined)
        expect(whole.length).toBeGreaterThanOrEqual(1)
        expect(whole[0]).toEqual(sent)
      }
    }
  })

  test('what fits is not cut', () => {
    const sent = message(1, 500, 0)
    expect(wholePiece(sent).length).toBe(512)
    expect(() => cutMessage(sent, 512, 1440)).toThrow(RangeError)
    expect(() => cutMessage(sent, 12, 1440)).toThrow(RangeError)
  })

  test('incomplete ones are forgotten after 30 s, and there are never many', () => {
    const reassembler = new Reassembler()
    const cut = (id: number): Piece[] => cutMessage(message(id, 5000, 0), 1400, 1400)
    give(reassembler, cut(1)[0]!, 0)
    give(reassembler, cut(2)[1]!, 10_000)
    expect(reassembler.deadline).toBe(30_000)
    reassembler.expire(29_999)
    expect(reassembler.held).toBe(2)
    reassembler.expire(30_000)
    expect([reassembler.held, reassembler.deadline]).toEqual([1, 40_000])
    for (let id = 10; id < 5000; id++) {
      for (const piece of cut(id).slice(0, 3)) give(reassembler, piece, 11_000)
      expect(reassembler.held).toBeLessThanOrEqual(2048)
    }
    expect(reassembler.held).toBeGreaterThan(1000)
    // The newest is still there, and its last piece completes it.
    expect(give(reassembler, cut(4999)[3]!, 11_000)).toEqual(message(4999, 5000, 0))
    reassembler.clear()
    expect([reassembler.held, reassembler.deadline]).toEqual([0, Number.POSITIVE_INFINITY])
  })

  test('nonsense completes nothing and is not kept', () => {
    const data = new Uint8Array(1400)
    const piece = (
      number: number,
      isLast = false,
    ): { number: number; isLast: boolean; messageId: number; data: Uint8Array } => ({
      number,
      isLast,
      messageId: 9,
      data,
    })
    const reassembler = new Reassembler()
    // Beyond the number of fragments that anyone reads.
    expect(reassembler.followOn(piece(64), 0)).toBeUndefined()
    expect(reassembler.held).toBe(0)
    // A fragment after the last.
    reassembler.followOn(piece(2, true), 0)
    reassembler.followOn(piece(3), 0)
    expect(reassembler.held).toBe(0)
    // More bytes than a message may have.
    for (let n = 1; n < 60; n++) reassembler.followOn(piece(n), 0)
    expect(reassembler.held).toBeLessThanOrEqual(44)
    // A first fragment without content.
    expect(
      reassembler.first({ type: 18, id: 5, expiration: 0, payload: new Uint8Array(0) }, 0),
    ).toBeUndefined()
  })
})
