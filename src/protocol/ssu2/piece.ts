/**
 * Blocks that must arrive: a whole I2NP message, a fragment of one, or a control block. Packets are never sent again, the pieces
 * of lost ones are, in new packets (ssu2, "Packet Numbering"); a fragment keeps its length ("I2NP Message Fragmentation").
 */
import type { Writer } from '../../base/bytes.ts'
import { seconds } from '../../base/clock.ts'
import { BLOCK_HEADER, BlockType, putBlockHeader } from '../blocks/block.ts'
import { SHORT_HEADER as I2NP_HEADER, type I2npMessage } from '../i2np/message.ts'
import { FOLLOW_ON_HEADER, putFollowOnFragment, Ssu2BlockType } from './blocks.ts'

// Specification constants

/** Before the payload of a message or its first fragment. */
export const FIRST_OVERHEAD: number = BLOCK_HEADER + I2NP_HEADER
/** Before the data of a later fragment. */
const FOLLOW_ON_OVERHEAD: number = BLOCK_HEADER + FOLLOW_ON_HEADER

/** What the fragments of one message have in common: given up together. */
interface Whole {
  givenUp: boolean
}

export class Piece {
  /** Block type. */
  readonly type: number
  /** Undefined for a control block. */
  readonly message: I2npMessage | undefined
  readonly data: Uint8Array
  /** Of the whole block. */
  readonly length: number
  readonly #number: number
  readonly #isLast: boolean
  readonly #whole: Whole | undefined
  /** Packets that have carried it. */
  sends = 0
  #acknowledged = false

  constructor(
    type: number,
    data: Uint8Array,
    message: I2npMessage | undefined,
    number = 0,
    isLast = true,
    whole?: Whole,
  ) {
    this.type = type
    this.data = data
    this.message = message
    this.#number = number
    this.#isLast = isLast
    this.#whole = whole
    const overhead = message === undefined ? BLOCK_HEADER : number === 0 ? FIRST_OVERHEAD : FOLLOW_ON_OVERHEAD
    this.length = overhead + data.length
  }

  /** Nothing is left to do: it arrived, or its message is no longer wanted. */
  get settled(): boolean {
    return this.#acknowledged || this.#whole?.givenUp === true
  }

  acknowledge(): void {
    this.#acknowledged = true
  }

  /** With all other fragments of its message. */
  giveUp(): void {
    this.#acknowledged = true
    if (this.#whole !== undefined) this.#whole.givenUp = true
  }

  /** The whole block. */
  put(w: Writer): void {
    putBlockHeader(w, this.type, this.length - BLOCK_HEADER)
    const { message, data } = this
    if (message === undefined) w.put(data)
    else if (this.#number === 0) {
      w.u8(message.type).u32(message.id).u32(seconds(message.expiration)).put(data)
    } else {
      putFollowOnFragment(w, { number: this.#number, isLast: this.#isLast, messageId: message.id, data })
    }
  }
}

/** A message that fits into one packet. */
export function wholePiece(message: I2npMessage): Piece {
  return new Piece(BlockType.i2np, message.payload, message)
}

/** A message in fragments: the first of at most `firstRoom` bytes of block, the others of at most `room`. It must need at least two. */
export function cutMessage(message: I2npMessage, firstRoom: number, room: number): Piece[] {
  const { payload } = message
  const whole = { givenUp: false }
  let at = firstRoom - FIRST_OVERHEAD
  if (at < 1 || at >= payload.length) throw new RangeError('nothing to cut')
  const pieces = [new Piece(Ssu2BlockType.firstFragment, payload.subarray(0, at), message, 0, false, whole)]
  while (at < payload.length) {
    const data = payload.subarray(at, at + room - FOLLOW_ON_OVERHEAD)
    at += data.length
    const isLast = at === payload.length
    pieces.push(new Piece(Ssu2BlockType.followOnFragment, data, message, pieces.length, isLast, whole))
  }
  return pieces
}
