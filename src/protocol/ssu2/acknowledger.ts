/**
 * When to acknowledge (ssu2, "Generating ACKs", "Sending ACK Blocks", "ACK Frequency"): with whatever is sent anyway, else after
 * a delay, and without one when the sender asks for it, after two packets, or when something is missing.
 */
import type { Millis } from '../../base/clock.ts'
import type { Ack } from './ack-block.ts'
import { ReceivedNumbers } from './received-numbers.ts'
import type { RttEstimator } from './rtt.ts'

// Specification constants

/** "A receiver should send an ACK block after receiving at least two ack-eliciting packets." */
const ELICITING_MAX = 2

export class Acknowledger {
  readonly #numbers = new ReceivedNumbers()
  readonly #rtt: RttEstimator
  /** Packets that wait for an acknowledgement. */
  #waiting = 0
  /** The highest of those that wanted one. */
  #highestEliciting = -1
  /** Something arrived that no Ack of ours has told of. */
  #news = false
  #due: Millis = Number.POSITIVE_INFINITY

  constructor(rtt: RttEstimator) {
    this.#rtt = rtt
  }

  /** When an acknowledgement must go, alone if need be. */
  get deadline(): Millis {
    return this.#due
  }

  /** There is something to tell whoever is sent a packet anyway. */
  get hasNews(): boolean {
    return this.#news
  }

  get highest(): number {
    return this.#numbers.highest
  }

  /** A copy, a replay, or too old to tell. */
  seen(packetNumber: number): boolean {
    return this.#numbers.has(packetNumber)
  }

  /** A packet that verified; `immediate`: its sender asks for an answer soon. */
  received(packetNumber: number, eliciting: boolean, immediate: boolean, now: Millis): void {
    const gap = packetNumber > this.#numbers.highest + 1
    this.#numbers.add(packetNumber)
    this.#news = true
    if (!eliciting) return
    const late = packetNumber < this.#highestEliciting
    this.#highestEliciting = Math.max(this.#highestEliciting, packetNumber)
    this.#waiting++
    // "Soon" is a few ms in the spec; it is the end of the turn here, which needs no timer.
    const atOnce = immediate || gap || late || this.#waiting >= ELICITING_MAX
    this.#due = Math.min(this.#due, atOnce ? now : now + this.#rtt.ackDelay)
  }

  /** Acknowledge at once, again if need be. */
  urge(now: Millis): void {
    this.#news = true
    this.#due = Math.min(this.#due, now)
  }

  /** The Ack to be sent now: nothing waits for one any more. */
  take(maxRanges: number): Ack {
    this.#news = false
    this.#waiting = 0
    this.#due = Number.POSITIVE_INFINITY
    return this.#numbers.ack(maxRanges)
  }
}
