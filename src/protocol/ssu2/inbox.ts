/**
 * I2NP messages out of blocks, whole or in fragments, each once: pieces are sent again when an Ack was lost (ssu2, "I2NP Message
 * Duplication").
 */
import { Reader } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import { unlessMalformed } from '../../base/errors.ts'
import { SeenFilter } from '../../base/lru.ts'
import { type BlockCursor, BlockType } from '../blocks/block.ts'
import { readI2npBlock } from '../blocks/i2np-block.ts'
import { type I2npMessage, isExpired } from '../i2np/message.ts'
import { readFollowOnFragment, Ssu2BlockType } from './blocks.ts'
import { Reassembler } from './reassembler.ts'

// Implementation constants

/** Message ids are remembered at least as long as a piece is sent again, and at most twice so long and twice so many. */
const IDS_PERIOD: Millis = 30_000
const IDS_MAX = 4096

export class Inbox {
  readonly #reassembler = new Reassembler()
  readonly #ids: SeenFilter<number>

  constructor(now: Millis) {
    this.#ids = new SeenFilter(IDS_PERIOD, IDS_MAX, now)
  }

  /** When something may have to be forgotten. */
  get deadline(): Millis {
    return this.#reassembler.deadline
  }

  /** The message that the current block, of one of the three types, completes. */
  read(blocks: BlockCursor, now: Millis, wall: WallMillis): I2npMessage | undefined {
    const message = this.#read(blocks, now)
    if (message === undefined || isExpired(message, wall) || this.#ids.seen(message.id, now)) return undefined
    return message
  }

  expire(now: Millis): void {
    this.#reassembler.expire(now)
  }

  clear(): void {
    this.#reassembler.clear()
  }

  #read(blocks: BlockCursor, now: Millis): I2npMessage | undefined {
    if (blocks.type === Ssu2BlockType.followOnFragment) {
      const fragment = unlessMalformed(() => readFollowOnFragment(new Reader(blocks.data())))
      // One more of a message that was whole before would wait for the others in vain.
      if (fragment === undefined || this.#ids.has(fragment.messageId)) return undefined
      return this.#reassembler.followOn(fragment, now)
    }
    const message = readI2npBlock(blocks)
    if (blocks.type === BlockType.i2np || message === undefined) return message
    return this.#ids.has(message.id) ? undefined : this.#reassembler.first(message, now)
  }
}
