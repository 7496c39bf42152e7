/**
 * Packets that were sent and not acknowledged, and which of them are lost. Time decides that, not the number of NACKs (RFC
 * 8985): a packet is lost when one sent sufficiently later has arrived. Reordering in tunnels costs nothing then, and the
 * allowance grows when it turns out to be too small.
 */
import type { Millis } from '../../base/clock.ts'
import type { RttEstimator } from './rtt.ts'

// Implementation constants

/** Slots, a power of two above `SPAN`. */
const SLOTS = 1024
/**
 * Most sequence numbers between the oldest unacknowledged packet and the newest: a window of 512 and half as much again behind
 * a gap. Receivers keep what comes behind a gap, but not without end.
 */
const SPAN = 768
/** Reordering allowance in quarters of the shortest round trip, and its most: a whole one and a half. */
const MAX_ALLOWANCE = 6
const MIN_ALLOWANCE: Millis = 5
/** Acknowledgements without a false alarm after which the allowance is taken back by a quarter. */
const ALLOWANCE_LIFE = 512

export interface SentPacket {
  readonly sequence: number
  readonly bytes: Uint8Array
  sentAt: Millis
  resends: number
  lost: boolean
}

export interface Acknowledged {
  count: number
  /** Newest sequence number among them. */
  highest: number
  /** Round trip of the newest that was sent once only. */
  rtt: Millis | undefined
  /** Packets sent again that had arrived at the first try. */
  spurious: number
}

export class SendWindow {
  readonly #rtt: RttEstimator
  readonly #slots: (SentPacket | undefined)[] = new Array(SLOTS)
  /** Oldest unacknowledged, and the next to be sent. */
  #base = 0
  #next = 0
  #unacknowledged = 0
  #lost = 0
  /** When the most recently sent packet that has arrived was sent, and how long it took. */
  #deliveredSentAt = Number.NEGATIVE_INFINITY
  #deliveredSequence = -1
  #deliveredRtt: Millis = 0
  #allowance = 1
  #calm = 0

  constructor(rtt: RttEstimator) {
    this.#rtt = rtt
  }

  get next(): number {
    return this.#next
  }

  /** The oldest unacknowledged sequence number. */
  get base(): number {
    return this.#base
  }

  /** Sent and neither acknowledged nor taken for lost. */
  get inFlight(): number {
    return this.#unacknowledged - this.#lost
  }

  get unacknowledged(): number {
    return this.#unacknowledged
  }

  get hasLost(): boolean {
    return this.#lost > 0
  }

  /** True when one more sequence number may be used. */
  get open(): boolean {
    return this.#next - this.#base < SPAN
  }

  /** The next sequence number goes to `bytes`. */
  add(bytes: Uint8Array, now: Millis): void {
    const sequence = this.#next++
    this.#slots[sequence % SLOTS] = { sequence, bytes, sentAt: now, resends: 0, lost: false }
    this.#unacknowledged++
  }

  /** Undefined when the peer acknowledges what was never sent. */
  acknowledge(
    through: number,
    nacks: ReadonlySet<number> | undefined,
    now: Millis,
  ): Acknowledged | undefined {
    if (through >= this.#next) return undefined
    const result: Acknowledged = { count: 0, highest: -1, rtt: undefined, spurious: 0 }
    for (let sequence = this.#base; sequence <= through; sequence++) {
      const packet = this.#slots[sequence % SLOTS]
      if (packet !== undefined && nacks?.has(sequence) !== true) this.#arrived(packet, now, result)
    }
    while (this.#base < this.#next && this.#slots[this.#base % SLOTS] === undefined) this.#base++
    return result
  }

  /**
   * Marks what is lost by now and gives each to `found`. Returns when to look again, if anything older than what has arrived
   * is still under way.
   */
  detect(now: Millis, found: (packet: SentPacket) => void): Millis | undefined {
    let again: Millis | undefined
    const patience = this.#deliveredRtt + this.#allowed()
    for (let sequence = this.#base; sequence < this.#next; sequence++) {
      const packet = this.#slots[sequence % SLOTS]
      if (packet === undefined || packet.lost || packet.sentAt > this.#deliveredSentAt) continue
      if (packet.sentAt === this.#deliveredSentAt && sequence > this.#deliveredSequence) continue
      const at = packet.sentAt + patience
      if (at <= now) {
        this.#markLost(packet)
        found(packet)
      } else if (again === undefined || at < again) again = at
    }
    return again
  }

  /** After a timeout: everything under way is taken for lost. */
  loseAll(): void {
    for (let sequence = this.#base; sequence < this.#next; sequence++) {
      const packet = this.#slots[sequence % SLOTS]
      if (packet !== undefined && !packet.lost) this.#markLost(packet)
    }
  }

  /** The oldest lost packet. */
  firstLost(): SentPacket | undefined {
    if (this.#lost === 0) return undefined
    for (let sequence = this.#base; sequence < this.#next; sequence++) {
      const packet = this.#slots[sequence % SLOTS]
      if (packet?.lost) return packet
    }
    return undefined
  }

  oldest(): SentPacket | undefined {
    return this.#slots[this.#base % SLOTS]
  }

  resent(packet: SentPacket, now: Millis): void {
    packet.sentAt = now
    packet.resends++
    if (packet.lost) {
      packet.lost = false
      this.#lost--
    }
  }

  clear(): void {
    this.#slots.fill(undefined)
    this.#base = this.#next
    this.#unacknowledged = 0
    this.#lost = 0
  }

  #arrived(packet: SentPacket, now: Millis, result: Acknowledged): void {
    const { sequence } = packet
    this.#slots[sequence % SLOTS] = undefined
    this.#unacknowledged--
    result.count++
    result.highest = Math.max(result.highest, sequence)
    const rtt = now - packet.sentAt
    if (packet.lost) {
      this.#lost--
      this.#falseAlarm(result)
    } else if (packet.resends > 0 && rtt < this.#rtt.shortest * 0.8) {
      // The answer to the first copy: the second one cannot have been there and back.
      this.#falseAlarm(result)
      return
    } else if (packet.resends === 0) result.rtt = rtt
    if (packet.sentAt >= this.#deliveredSentAt) {
      this.#deliveredSentAt = packet.sentAt
      this.#deliveredSequence = sequence
      this.#deliveredRtt = rtt
    }
    if (++this.#calm >= ALLOWANCE_LIFE) {
      this.#calm = 0
      this.#allowance = Math.max(1, this.#allowance - 1)
    }
  }

  #falseAlarm(result: Acknowledged): void {
    if (result.spurious++ > 0) return
    this.#calm = 0
    this.#allowance = Math.min(MAX_ALLOWANCE, this.#allowance + 1)
  }

  #allowed(): Millis {
    return Math.max(MIN_ALLOWANCE, (this.#rtt.shortest / 4) * this.#allowance)
  }

  #markLost(packet: SentPacket): void {
    packet.lost = true
    this.#lost++
  }
}
