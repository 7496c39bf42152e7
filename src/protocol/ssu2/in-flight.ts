/**
 * Packets that were sent and not acknowledged, and which of them are lost (ssu2, "Congestion Control"; RFC 9002, 6): those that
 * enough later ones have overtaken, in number or in time. What is enough is learnt: a packet that was taken for lost and is
 * acknowledged after all widens the allowance that was too small, so that reordering costs little.
 */
import type { Millis } from '../../base/clock.ts'
import type { Ack } from './ack-block.ts'
import type { Piece } from './piece.ts'
import type { RttEstimator } from './rtt.ts'

// Implementation constants

/** Numbers remembered, a power of two; those taken for lost too, for as long as they may still be acknowledged. */
const SLOTS = 2048
/** Most numbers between the oldest packet under way and the newest: the other end remembers so many (`received-numbers.ts`). */
const SPAN = 1024
/** RFC 9002, 6.1.1: kPacketThreshold to begin with. */
const MIN_OVERTAKEN = 3
const MAX_OVERTAKEN = 256
/** RFC 9002, 6.1.2: an eighth of the round trip beyond the round trip to begin with, in eighths; at most one and a half. */
const MIN_EIGHTHS = 1
const MAX_EIGHTHS = 12
const MIN_ALLOWANCE: Millis = 2
/** Packets without a false alarm after which the allowances shrink. */
const CALM = 1024

export interface SentPacket {
  readonly number: number
  readonly sentAt: Millis
  /** On the wire. */
  readonly bytes: number
  readonly pieces: readonly Piece[]
  /** Bytes delivered when it was sent, and when the last of them were: what the delivery rate is measured from. */
  readonly delivered: number
  readonly deliveredAt: Millis
  lost: boolean
}

export interface Acknowledged {
  /** Packets, and their bytes. */
  packets: number
  bytes: number
  /** The newest of them. */
  newest: SentPacket | undefined
  /** Its round trip, when it is newer than all acknowledged before: an older one may have arrived long ago, and its Ack been lost. */
  rtt: Millis | undefined
  /** Taken for lost before; those bytes are counted above too. */
  spurious: number
}

export class InFlight {
  readonly #rtt: RttEstimator
  readonly #slots: (SentPacket | undefined)[] = new Array(SLOTS)
  /** Below this nothing is remembered; below `#base` nothing is under way. */
  #floor: number
  #base: number
  #next: number
  #packets = 0
  #bytes = 0
  #delivered = 0
  #deliveredAt: Millis
  #highestAcknowledged = -1
  /** When the most recently sent packet that has arrived was sent, and how long it took. */
  #latestSentAt: Millis = Number.NEGATIVE_INFINITY
  #latestRtt: Millis = 0
  #overtaken = MIN_OVERTAKEN
  #eighths = MIN_EIGHTHS
  #calm = 0

  /** `first` is the first packet number. */
  constructor(rtt: RttEstimator, first: number, now: Millis) {
    this.#rtt = rtt
    this.#floor = first
    this.#base = first
    this.#next = first
    this.#deliveredAt = now
  }

  /** The next packet number. */
  get next(): number {
    return this.#next
  }

  /** Packets under way, those taken for lost not counted. */
  get packets(): number {
    return this.#packets
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Bytes acknowledged so far. */
  get delivered(): number {
    return this.#delivered
  }

  /** True when one more packet may be under way. */
  get open(): boolean {
    return this.#next - this.#raisedBase() < SPAN
  }

  /** A number for a packet that nobody waits for: only acknowledgements, or a challenge. */
  skip(): number {
    this.#makeRoom()
    return this.#next++
  }

  add(pieces: readonly Piece[], bytes: number, now: Millis): void {
    // When nothing was under way the pause before is not the path's.
    if (this.#packets === 0) this.#deliveredAt = now
    this.#makeRoom()
    const number = this.#next++
    this.#slots[number % SLOTS] = {
      number,
      sentAt: now,
      bytes,
      pieces,
      delivered: this.#delivered,
      deliveredAt: this.#deliveredAt,
      lost: false,
    }
    this.#packets++
    this.#bytes += bytes
  }

  /** What `ack` says beyond earlier ones. Numbers that were never used are ignored ("Ack ranges beyond what was sent"). */
  acknowledge(ack: Ack, now: Millis): Acknowledged {
    const result: Acknowledged = { packets: 0, bytes: 0, newest: undefined, rtt: undefined, spurious: 0 }
    if (ack.through >= this.#next) return result
    if (ack.through > this.#highestAcknowledged) this.#highestAcknowledged = ack.through
    let high = ack.through
    let low = high - ack.count
    this.#range(low, high, now, result)
    for (const { missing, received } of ack.ranges) {
      high = low - 1 - missing
      low = high - received + 1
      if (high < this.#floor) break
      this.#range(low, high, now, result)
    }
    const { newest } = result
    if (newest === undefined) return result
    this.#delivered += result.bytes
    this.#deliveredAt = now
    if (newest.sentAt >= this.#latestSentAt) {
      this.#latestSentAt = newest.sentAt
      this.#latestRtt = now - newest.sentAt
      result.rtt = this.#latestRtt
    }
    this.#raiseFloor(now)
    return result
  }

  /**
   * Takes for lost what is by now and gives each to `found`. Returns when to look again, if anything older than what has
   * arrived is still under way.
   */
  detect(now: Millis, found: (packet: SentPacket) => void): Millis | undefined {
    let again: Millis | undefined
    const patience = this.#patience
    for (let n = this.#raisedBase(); n < this.#highestAcknowledged; n++) {
      const packet = this.#slots[n % SLOTS]
      if (packet === undefined || packet.lost) continue
      const at = packet.sentAt + patience
      if (at <= now || this.#highestAcknowledged - n >= this.#overtaken) {
        this.#lose(packet)
        found(packet)
      } else if (again === undefined || at < again) again = at
    }
    return again
  }

  /** The oldest packet under way. */
  get oldest(): SentPacket | undefined {
    const base = this.#raisedBase()
    return base === this.#next ? undefined : this.#slots[base % SLOTS]
  }

  /** Takes up to `most` of what is under way, oldest first, for lost without proof. */
  giveUp(most: number, found: (packet: SentPacket) => void): void {
    for (let n = this.#raisedBase(), left = most; n < this.#next && left > 0; n++) {
      const packet = this.#slots[n % SLOTS]
      if (packet?.lost !== false) continue
      left--
      this.#lose(packet)
      found(packet)
    }
  }

  /** The path is another one: what was learnt of its order is void. */
  reset(): void {
    this.#overtaken = MIN_OVERTAKEN
    this.#eighths = MIN_EIGHTHS
    this.#calm = 0
    this.#latestSentAt = Number.NEGATIVE_INFINITY
  }

  clear(): void {
    this.#slots.fill(undefined)
    this.#floor = this.#next
    this.#base = this.#next
    this.#packets = 0
    this.#bytes = 0
  }

  get #patience(): Millis {
    const rtt = Math.max(this.#latestRtt, this.#rtt.smoothed)
    return rtt + Math.max(MIN_ALLOWANCE, (rtt * this.#eighths) / 8)
  }

  #range(low: number, high: number, now: Millis, result: Acknowledged): void {
    for (let n = Math.max(low, this.#floor); n <= high; n++) {
      const packet = this.#slots[n % SLOTS]
      if (packet === undefined) continue
      this.#slots[n % SLOTS] = undefined
      for (const piece of packet.pieces) piece.acknowledge()
      result.packets++
      result.bytes += packet.bytes
      if (result.newest === undefined || n > result.newest.number) result.newest = packet
      if (packet.lost) {
        result.spurious++
        this.#falseAlarm(packet, now)
      } else {
        this.#packets--
        this.#bytes -= packet.bytes
      }
      if (++this.#calm >= CALM) this.#relax()
    }
  }

  #falseAlarm(packet: SentPacket, now: Millis): void {
    this.#calm = 0
    const overtakenBy = this.#highestAcknowledged - packet.number
    this.#overtaken = Math.min(MAX_OVERTAKEN, Math.max(this.#overtaken, overtakenBy + 1))
    const rtt = Math.max(1, this.#rtt.smoothed)
    const needed = Math.ceil((8 * (now - packet.sentAt - rtt)) / rtt)
    this.#eighths = Math.min(MAX_EIGHTHS, Math.max(this.#eighths, needed))
  }

  #relax(): void {
    this.#calm = 0
    this.#overtaken = Math.max(MIN_OVERTAKEN, this.#overtaken >> 1)
    this.#eighths = Math.max(MIN_EIGHTHS, this.#eighths - 1)
  }

  #lose(packet: SentPacket): void {
    packet.lost = true
    this.#packets--
    this.#bytes -= packet.bytes
  }

  /** The number of the oldest packet under way, or the next one. */
  #raisedBase(): number {
    while (this.#base < this.#next && this.#slots[this.#base % SLOTS]?.lost !== false) this.#base++
    return this.#base
  }

  /** Forgets what was lost so long ago that it does not matter any more whether it was. */
  #raiseFloor(now: Millis): void {
    const forget = now - 2 * this.#rtt.timeout
    for (const base = this.#raisedBase(); this.#floor < base; this.#floor++) {
      const packet = this.#slots[this.#floor % SLOTS]
      if (packet !== undefined && packet.sentAt > forget) return
      this.#slots[this.#floor % SLOTS] = undefined
    }
  }

  /** For one more number; `open` and the owner's care keep packets under way from falling out here. */
  #makeRoom(): void {
    while (this.#next - this.#floor >= SLOTS) {
      const packet = this.#slots[this.#floor % SLOTS]
      if (packet?.lost === false) this.#lose(packet)
      this.#slots[this.#floor++ % SLOTS] = undefined
    }
  }
}
