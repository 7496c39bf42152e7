/** Messages waiting for one peer: while it is being dialled, and when its link is slower than what we send. */
import type { WallMillis } from '../../base/clock.ts'
import { Ring } from '../../base/ring.ts'
import { type I2npMessage, isExpired } from '../i2np/message.ts'
import { i2npBlockLength } from './i2np-block.ts'

// Implementation constants

/** Room for eight of the largest messages, or half a second of tunnel data at 1 MB/s. */
export const MAX_QUEUED_BYTES: number = 512 * 1024
/** Keeps many tiny messages from costing more than their bytes. */
export const MAX_QUEUED_MESSAGES = 1024

/** When full it drops what is oldest: I2NP promises no delivery, and what has waited longest is worth least. */
export class OutputQueue {
  readonly #ring = new Ring<I2npMessage>(MAX_QUEUED_MESSAGES)
  /** As blocks in a frame. */
  bytes = 0
  dropped = 0

  get size(): number {
    return this.#ring.size
  }

  push(message: I2npMessage): void {
    const length = i2npBlockLength(message)
    while (this.size === MAX_QUEUED_MESSAGES || (this.size > 0 && this.bytes + length > MAX_QUEUED_BYTES)) {
      this.shift()
      this.dropped++
    }
    this.#ring.push(message)
    this.bytes += length
  }

  /** The oldest message that is still worth sending. */
  peek(wall: WallMillis): I2npMessage | undefined {
    for (;;) {
      const message = this.#ring.peek()
      if (message === undefined || !isExpired(message, wall)) return message
      this.shift()
      this.dropped++
    }
  }

  shift(): I2npMessage | undefined {
    const message = this.#ring.shift()
    if (message !== undefined) this.bytes -= i2npBlockLength(message)
    return message
  }

  /** Moves everything to the end of `other`. */
  moveTo(other: OutputQueue): void {
    for (let m = this.shift(); m !== undefined; m = this.shift()) other.push(m)
  }
}
