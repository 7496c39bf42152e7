/**
 * What waits to be sent, in the order in which it goes: pieces of lost packets, control blocks, the rest of a message that was
 * begun, then the messages of the output queue, cut to size as room appears (ssu2, "I2NP Message Fragmentation").
 */
import type { Millis, WallMillis } from '../../base/clock.ts'
import { Ring } from '../../base/ring.ts'
import { i2npBlockLength } from '../blocks/i2np-block.ts'
import type { OutputQueue } from '../blocks/output-queue.ts'
import { isExpired } from '../i2np/message.ts'
import { cutMessage, FIRST_OVERHEAD, Piece, wholePiece } from './piece.ts'

// Implementation constants

/** Pieces of lost packets: a window of packets with some small messages each. Beyond it messages are given up. */
const MAX_AGAIN = 8192
/** Control blocks are few and small; a peer that acknowledges nothing gets no more than this. */
const MAX_CONTROL = 64
/** Packets that carry a piece before it is given up: at 30 % loss one piece in 15,000. */
const MAX_SENDS = 8
/** Room for an Ack of a few ranges beside a fragment. */
export const ACK_ROOM = 16
/** A smaller first part is not worth the trouble that its message has then. */
const MIN_FIRST_PART = 256

export class Outbox {
  readonly #output: OutputQueue
  readonly #again = new Ring<Piece>(MAX_AGAIN)
  readonly #control = new Ring<Piece>(MAX_CONTROL)
  #fragments: Piece[] = []
  #nextFragment = 0
  /** Messages given up, whole or in part. */
  givenUp = 0

  constructor(output: OutputQueue) {
    this.#output = output
  }

  /** Something may be waiting; all of it may turn out to be settled or expired. */
  get waiting(): boolean {
    const { size } = this.#again
    return size > 0 || this.#control.size > 0 || this.#fragments.length > 0 || this.#output.size > 0
  }

  /** False when there is no room for it. */
  control(type: number, data: Uint8Array): boolean {
    return this.#control.push(new Piece(type, data, undefined))
  }

  /** A packet was lost that had these pieces. */
  lost(pieces: readonly Piece[], wall: WallMillis): void {
    for (const piece of pieces) {
      if (piece.settled) continue
      const { message } = piece
      const wanted = piece.sends < MAX_SENDS && (message === undefined || !isExpired(message, wall))
      if (!wanted || !this.#again.push(piece)) this.#giveUp(piece)
    }
  }

  /**
   * The next piece that fits into `room` bytes. The first of a packet (of `full` bytes of payload) comes even if it does not:
   * it was cut for a larger MTU.
   */
  take(room: number, full: number, now: Millis, wall: WallMillis): Piece | undefined {
    const isFirst = room === full
    for (let piece = this.#again.peek(); piece !== undefined; piece = this.#again.peek()) {
      if (!piece.settled && !isFirst && piece.length > room) return undefined
      this.#again.shift()
      if (!piece.settled) return piece
    }
    const control = this.#control.peek()
    if (control !== undefined) return isFirst || control.length <= room ? this.#control.shift() : undefined
    const fragment = this.#fragments[this.#nextFragment]
    if (fragment !== undefined) return isFirst || fragment.length <= room ? this.#shiftFragment() : undefined
    return this.#fromQueue(room, full, now, wall)
  }

  clear(): void {
    while (this.#again.shift() !== undefined);
    while (this.#control.shift() !== undefined);
    this.#fragments = []
    this.#nextFragment = 0
  }

  #fromQueue(room: number, full: number, now: Millis, wall: WallMillis): Piece | undefined {
    const message = this.#output.peek(now, wall)
    if (message === undefined) return undefined
    const length = i2npBlockLength(message)
    if (length <= room) {
      this.#output.shift()
      return wholePiece(message)
    }
    // What fits into a packet of its own is cut only when many packets follow: a smaller number of full ones costs less.
    const cut = length > full || this.#output.bytes > 2 * full
    if (!cut || room < FIRST_OVERHEAD + MIN_FIRST_PART) return undefined
    this.#output.shift()
    const isFirst = room === full
    this.#fragments = cutMessage(message, isFirst ? full - ACK_ROOM : room, full - ACK_ROOM)
    this.#nextFragment = 0
    return this.#shiftFragment()
  }

  #shiftFragment(): Piece | undefined {
    const fragment = this.#fragments[this.#nextFragment++]
    if (this.#nextFragment === this.#fragments.length) {
      this.#fragments = []
      this.#nextFragment = 0
    }
    return fragment
  }

  #giveUp(piece: Piece): void {
    piece.giveUp()
    if (piece.message !== undefined) this.givenUp++
  }
}
