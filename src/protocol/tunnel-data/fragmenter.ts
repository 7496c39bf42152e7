/** A gateway's packing of messages into blocks (tunnel-message, "Ordering, Batching, Packing"). */
import { Writer } from '../../base/bytes.ts'
import { type Random, randomId } from '../../base/random.ts'
import { MAX_MESSAGE } from '../i2np/message.ts'
import { BLOCK_LENGTH, MAX_CONTENT, Padding, writeBlock } from './block.ts'
import {
  DELIVER_LOCAL,
  DELIVER_ROUTER,
  DELIVER_TUNNEL,
  DELIVERY_SHIFT,
  FOLLOW_ON,
  FOLLOW_ON_HEADER,
  FRAGMENTED,
  instructionsLength,
  LAST_FRAGMENT,
  type TunnelDelivery,
} from './delivery.ts'

// Specification constants
const MESSAGE_ID = 4
const FOLLOW_ON_DATA = MAX_CONTENT - FOLLOW_ON_HEADER
/** Bytes before a block in a TunnelData's payload: the tunnel id. */
const TUNNEL_ID = 4

/**
 * Fills one block after another. Each finished block comes as a TunnelData payload of 1028 bytes whose tunnel id is still to
 * be written and whose block is still to be encrypted.
 */
export class Fragmenter {
  readonly #random: Random
  readonly #padding: Padding
  readonly #content: Writer = new Writer(MAX_CONTENT)

  constructor(random: Random) {
    this.#random = random
    this.#padding = new Padding(random)
  }

  /** Bytes that wait for company or for `flush`. */
  get held(): number {
    return this.#content.pos
  }

  /** `message` is a whole one with its standard header. Finished blocks are pushed to `blocks`. @throws {RangeError} */
  add(delivery: TunnelDelivery, message: Uint8Array, blocks: Uint8Array[]): void {
    if (message.length > MAX_MESSAGE) throw new RangeError('message too long for a tunnel')
    const instructions = instructionsLength(delivery)
    const whole = instructions + message.length
    if (whole > this.#room && this.#content.pos > 0 && !this.#worthFilling(instructions, message.length)) {
      this.flush(blocks)
    }
    if (whole <= this.#room) {
      this.#first(delivery, message, message.length, 0)
      if (this.#room <= FOLLOW_ON_HEADER) this.flush(blocks)
    } else {
      this.#fragments(delivery, message, instructions, blocks)
    }
  }

  /** Finishes the block that is being filled, if any. */
  flush(blocks: Uint8Array[]): void {
    const content = this.#content
    if (content.pos === 0) return
    const payload = new Uint8Array(TUNNEL_ID + BLOCK_LENGTH)
    const filled = content.bytes.subarray(0, content.pos)
    writeBlock(payload.subarray(TUNNEL_ID), filled, this.#padding, this.#random)
    content.pos = 0
    blocks.push(payload)
  }

  get #room(): number {
    return MAX_CONTENT - this.#content.pos
  }

  /** Whether to begin a message that does not fit in what is left of this block saves a block. */
  #worthFilling(instructions: number, length: number): boolean {
    const now = this.#room - instructions - MESSAGE_ID
    if (now <= 0) return false
    const blocksAfterThis = Math.ceil((length - now) / FOLLOW_ON_DATA)
    const fresh = MAX_CONTENT - instructions
    const blocksFresh = length <= fresh ? 1 : 1 + Math.ceil((length - fresh + MESSAGE_ID) / FOLLOW_ON_DATA)
    return blocksAfterThis < blocksFresh
  }

  #fragments(
    delivery: TunnelDelivery,
    message: Uint8Array,
    instructions: number,
    blocks: Uint8Array[],
  ): void {
    // An id of our own rather than the message's: a message sent twice would mix its fragments.
    const id = randomId(this.#random)
    let at = this.#room - instructions - MESSAGE_ID
    this.#first(delivery, message, at, id)
    this.flush(blocks)
    for (let number = 1; at < message.length; number++) {
      const size = Math.min(message.length - at, FOLLOW_ON_DATA)
      const last = at + size === message.length
      const flag = FOLLOW_ON | (number << 1) | (last ? LAST_FRAGMENT : 0)
      this.#content
        .u8(flag)
        .u32(id)
        .u16(size)
        .put(message.subarray(at, at + size))
      at += size
      if (!last || this.#room <= FOLLOW_ON_HEADER) this.flush(blocks)
    }
  }

  /** The first `size` bytes; `id` is 0 when that is all. */
  #first(delivery: TunnelDelivery, message: Uint8Array, size: number, id: number): void {
    const w = this.#content
    const fragmented = id === 0 ? 0 : FRAGMENTED
    if (delivery.kind === 'local') w.u8((DELIVER_LOCAL << DELIVERY_SHIFT) | fragmented)
    else if (delivery.kind === 'router')
      w.u8((DELIVER_ROUTER << DELIVERY_SHIFT) | fragmented).put(delivery.hash)
    else {
      w.u8((DELIVER_TUNNEL << DELIVERY_SHIFT) | fragmented)
      w.u32(delivery.tunnelId).put(delivery.gateway)
    }
    if (id !== 0) w.u32(id)
    w.u16(size).put(message.subarray(0, size))
  }
}
