/** One stream's incoming half: order, flow control and when to acknowledge. */
import type { Millis } from '../../base/clock.ts'
import type { StreamLimits } from './limits.ts'
import { CHOKE_DELAY, type StreamPacket } from './packet.ts'
import { type AckState, type Inserted, ReceiveWindow } from './receive-window.ts'
import type { RttEstimator } from './rtt.ts'

// Implementation constants

/**
 * An acknowledgement is put off for this part of a round trip, within bounds: it costs half as much as a packet of data, and
 * one that waits may go with data of ours. i2pd waits for a tenth and 200 ms at most.
 */
const ACK_PART = 6
const MAX_ACK_DELAY: Millis = 200
/** Even an immediate one waits for what arrives in the same burst. */
const MIN_ACK_DELAY: Millis = 2
/** Before any round trip was measured. */
const FIRST_ACK_DELAY: Millis = 20
/** What we ask for when choking: more than 60,000 ms. Java's own 61,000 would make i2pd take us for Java. */
export const OUR_CHOKE_DELAY: number = CHOKE_DELAY + 1
/** What a packet that waits costs beside its payload: its header, options and the objects around it. */
const PACKET_COST = 768
/** The same packet so many times after it has arrived: our acknowledgements do not arrive. */
const LOST_ACKS = 2

/** What the streams of a destination hold together for programs that have not read it, and behind gaps. */
export class ReceiveBudget {
  readonly limit: number
  used = 0

  constructor(limit: number) {
    this.limit = limit
  }
}

export class Receiver {
  readonly window: ReceiveWindow = new ReceiveWindow()
  readonly #limits: StreamLimits
  readonly #rtt: RttEstimator
  readonly #budget: ReceiveBudget
  /** This stream's part of the budget. */
  #charged = 0
  /** Bytes given to the application and not consumed. */
  #unread = 0
  #choking = false
  #ended = false
  /** How often in a row the same old packet has come again, and which. */
  #duplicates = 0
  #duplicate = -1
  #ackAt: Millis | undefined
  #ackedAt: Millis = Number.NEGATIVE_INFINITY

  constructor(limits: StreamLimits, budget: ReceiveBudget, rtt: RttEstimator) {
    this.#limits = limits
    this.#budget = budget
    this.#rtt = rtt
  }

  get choking(): boolean {
    return this.#choking
  }

  /** The far side's CLOSE was reached. */
  get ended(): boolean {
    return this.#ended
  }

  get ackAt(): Millis | undefined {
    return this.#ackAt
  }

  /** True once when repeated duplicates say that acknowledgements are lost on their way. */
  takeLostAcks(): boolean {
    if (this.#duplicates < LOST_ACKS) return false
    this.#duplicates = 0
    return true
  }

  /** Keeps the packet unless there is no room, and notes when an acknowledgement is due. */
  insert(packet: StreamPacket, now: Millis): Inserted {
    // What is next needs no room for what waits behind it: without it nothing of that can be handed on.
    const next = packet.sequence === this.window.next
    const waiting = next ? 0 : this.window.bytes
    const full = this.#unread + waiting + packet.payload.length > this.#limits.receiveBuffer
    if (full || !this.#affords(packet, next)) {
      this.#choking = true
      this.ackSoon(now)
      return 'beyond'
    }
    const inserted = this.window.insert(packet)
    this.#charge()
    if (inserted === 'next') {
      this.#duplicates = 0
      this.ackLater(now, this.#delay())
    } else {
      if (inserted === 'duplicate') this.#repeated(packet.sequence)
      this.ackSoon(now)
    }
    return inserted
  }

  #repeated(sequence: number): void {
    this.#duplicates = sequence === this.#duplicate ? this.#duplicates + 1 : 1
    this.#duplicate = sequence
  }

  /** The next packet in order, if it is here. */
  shift(): StreamPacket | undefined {
    const packet = this.window.shift()
    if (packet !== undefined) this.#charge()
    return packet
  }

  /** A packet of so many bytes went to the program. */
  delivered(bytes: number): void {
    this.#unread += bytes
    this.#charge()
    // What waits behind a gap does not count: choking the far side would not fill the gap.
    if (this.#unread > this.#limits.chokeAt) this.#choking = true
  }

  consumed(bytes: number, now: Millis): void {
    this.#unread = Math.max(0, this.#unread - bytes)
    this.#charge()
    if (!this.#choking || this.#unread > this.#limits.unchokeAt) return
    this.#choking = false
    this.ackLater(now, MIN_ACK_DELAY)
  }

  end(): void {
    this.#ended = true
    this.window.clear()
    this.#charge()
  }

  /** Nothing more is handed on. */
  stop(): void {
    this.window.clear()
    this.#unread = 0
    this.#charge()
  }

  /** What is next, to a program that reads, gets through whatever others hold. */
  #affords(packet: StreamPacket, next: boolean): boolean {
    if (next && this.#unread <= this.#limits.unchokeAt) return true
    return this.#budget.used + packet.payload.length + PACKET_COST <= this.#budget.limit
  }

  #charge(): void {
    const held = this.#unread + this.window.bytes + this.window.size * PACKET_COST
    this.#budget.used += held - this.#charged
    this.#charged = held
  }

  ackLater(now: Millis, delay: Millis): void {
    const at = now + delay
    if (this.#ackAt === undefined || at < this.#ackAt) this.#ackAt = at
  }

  /** Something is out of order: at once, but no more often than acknowledgements are sent anyway. */
  ackSoon(now: Millis): void {
    this.ackLater(now, Math.max(MIN_ACK_DELAY, this.#ackedAt + this.#delay() - now))
  }

  /** The far side asked not to be kept waiting. */
  ackNow(now: Millis): void {
    this.ackLater(now, MIN_ACK_DELAY)
  }

  /** A packet says all there is to acknowledge, or is about to. */
  acked(now: Millis): void {
    this.#ackAt = undefined
    this.#ackedAt = now
  }

  ackState(): AckState {
    return this.window.ackState()
  }

  #delay(): Millis {
    const { smoothed } = this.#rtt
    if (smoothed === 0) return FIRST_ACK_DELAY
    return Math.min(MAX_ACK_DELAY, Math.max(MIN_ACK_DELAY, smoothed / ACK_PART))
  }
}
