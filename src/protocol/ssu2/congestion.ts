/**
 * How many bytes may be under way, and how fast they go out. Built for radio: a lost packet alone is no sign of congestion.
 * The window follows two things that a link cannot hide: the queue that it makes (round trips above the shortest), and what it
 * delivers. While round trips stay short the window grows by a part of itself each round trip, whatever is lost; what a full
 * queue swallows shows in a delivery that a larger window did not raise.
 *
 * Not `streaming/congestion.ts`, which guides one of many streams through tunnels that it cannot see: that one grows by the
 * cubic curve, counts packets, and tells loss from congestion by its rate alone. Here packet numbers are never used twice, so
 * that delivery can be measured exactly; the path is one link or a few, so its queue is ours to keep short; and all traffic with one
 * router goes through this window, so it starts at i2pd's least window, never waits long to find room, and is paced.
 */
import type { Millis } from '../../base/clock.ts'
import type { Acknowledged, SentPacket } from './in-flight.ts'
import type { RttEstimator } from './rtt.ts'

// Implementation constants

/** Bytes of a full packet, for windows given in packets. */
export const FULL_PACKET = 1500
/** i2pd's least window, and what it begins with. */
const INITIAL_PACKETS = 16
/** After timeouts: enough to have a loss noticed by what follows. */
const MIN_PACKETS = 4
/** Twice i2pd's most: 7 MB/s at 100 ms. It also bounds what one session keeps for sending again, at 750 KB. */
export const MAX_PACKETS = 512
/** Growth a round trip once the path is known to be busy. */
const GROWTH = 1 / 8
/** A queue in ms, or a part of the shortest round trip: growth stops there; at twice that the window is cut to what would leave so much. */
const QUEUE_TARGET: Millis = 25
const QUEUE_TARGET_PART = 1 / 4
/** The target rises with jitter: what comes and goes by itself is no queue of ours. */
const QUEUE_TARGET_JITTER = 1.5
/** No cut takes more than this at once. */
const MAX_CUT = 0.5
/** A loss rate in one round trip above this makes us ask whether the last growth was of any use. */
const SUSPICIOUS_LOSS = 0.02
/** A window larger by some part must have delivered more by at least half that part. */
const WORTHWHILE = 0.5
/** When it did not: the cut. */
const FULL_QUEUE_CUT = 0.85
/** The shortest of so many round trips in a row tells a queue from jitter. */
const RECENT = 8
/** A cut that did not shorten the round trip to this part: the path itself is longer than before. */
const USELESS = 0.95
/** Below this nothing is paced: acknowledgements come often enough to do it. */
const PACED_FROM: Millis = 20
/** Paced this much faster than the window needs, to leave the window in charge. */
const PACE = 1.25
const PACE_SLOW_START = 2
/** What may go out at once: what a window of the smallest kind could, and what two wake-ups would have let out. */
const BURST_PACKETS = 16
/** Between two wake-ups only for pacing. */
const PACE_TICK: Millis = 5

/** What one round trip with a full window did. */
interface Round {
  readonly window: number
  /** Bytes a millisecond. */
  readonly rate: number
}

export class Congestion {
  readonly #rtt: RttEstimator
  readonly #most: number
  #window: number
  /** Slow start ends here. */
  #threshold = Number.POSITIVE_INFINITY
  readonly #recent: Millis[] = []
  #sampleCount = 0
  /** A round is over when a packet sent after its beginning is acknowledged. */
  #roundEnd = 0
  #roundRate = 0
  #roundLost = 0
  #roundAcknowledged = 0
  #roundLimited = false
  /** The last round in which less was delivered, to compare with. */
  #reference: Round | undefined
  /** After a cut for a queue: the round trip and the window before, and rounds until its effect can be seen. */
  #cut: { readonly rtt: Millis; readonly window: number; rounds: number } | undefined
  /** When the next packet would go at the pace. */
  #paceAt: Millis = Number.NEGATIVE_INFINITY

  constructor(rtt: RttEstimator, maxPackets: number) {
    this.#rtt = rtt
    this.#most = maxPackets * FULL_PACKET
    this.#window = Math.min(INITIAL_PACKETS * FULL_PACKET, this.#most)
  }

  /** Bytes. */
  get window(): number {
    return this.#window
  }

  get slowStart(): boolean {
    return this.#window < this.#threshold
  }

  /** True when a packet may go now by the pace; if not, `paceDeadline` tells when. */
  mayGo(now: Millis): boolean {
    return this.#rtt.smoothed < PACED_FROM || this.#paceAt <= now
  }

  /** When pacing wants to go on: several packets at a time. */
  paceDeadline(now: Millis): Millis {
    return Math.max(this.#paceAt, now + PACE_TICK)
  }

  sent(bytes: number, now: Millis): void {
    const gain = this.slowStart ? PACE_SLOW_START : PACE
    const rate = (gain * this.#window) / this.#rtt.smoothed
    const burst = Math.max((BURST_PACKETS * FULL_PACKET) / rate, 2 * PACE_TICK)
    this.#paceAt = Math.max(this.#paceAt, now - burst) + bytes / rate
  }

  /**
   * Packets were acknowledged, at least one. `delivered` counts all bytes so far, `next` is the next packet number; `limited`:
   * it was the window that kept us from sending more, so a larger one is of use.
   */
  acknowledged(acked: Acknowledged, delivered: number, next: number, limited: boolean, now: Millis): void {
    const newest = acked.newest!
    if (acked.rtt !== undefined) this.#recent[this.#sampleCount++ % RECENT] = acked.rtt
    this.#rate(newest, delivered, now)
    this.#roundAcknowledged += acked.packets
    if (limited) this.#roundLimited = true
    if (newest.number >= this.#roundEnd) this.#round(next)
    if (!limited) return
    if (this.slowStart) this.#grow(acked.bytes)
    else if (!this.#queued) this.#grow(acked.bytes * GROWTH)
  }

  lost(packets: number): void {
    this.#roundLost += packets
  }

  /** Taken for lost, but only late. */
  spurious(packets: number): void {
    this.#roundLost = Math.max(0, this.#roundLost - packets)
  }

  /** The network says that it is congested (ECN). */
  marked(): void {
    this.#reduce(FULL_QUEUE_CUT)
  }

  /** Nothing came back for two timeouts: start over, as the path may be another one. */
  timedOut(): void {
    this.#threshold = Math.max(MIN_PACKETS * FULL_PACKET, Math.min(this.#threshold, this.#window / 2))
    this.#window = MIN_PACKETS * FULL_PACKET
    this.#rtt.rebase()
    this.#forget()
  }

  /** Another path. */
  reset(): void {
    this.#window = Math.min(INITIAL_PACKETS * FULL_PACKET, this.#most)
    this.#threshold = Number.POSITIVE_INFINITY
    this.#paceAt = Number.NEGATIVE_INFINITY
    this.#forget()
  }

  /** Nothing was under way for a while: what the window was says little now. */
  idle(): void {
    const least = INITIAL_PACKETS * FULL_PACKET
    if (this.#window <= least) return
    this.#threshold = Math.max(Math.min(this.#threshold, this.#window), this.#window * 0.75)
    this.#window = Math.max(least, this.#window / 2)
    this.#forget()
  }

  #grow(bytes: number): void {
    this.#window = Math.min(this.#window + bytes, this.#most)
  }

  #reduce(factor: number): void {
    this.#window = Math.max(MIN_PACKETS * FULL_PACKET, this.#window * factor)
    this.#threshold = this.#window
  }

  /** What was delivered between the sending of `packet` and now (draft-cheng-iccrg-delivery-rate-estimation). */
  #rate(packet: SentPacket, delivered: number, now: Millis): void {
    const elapsed = Math.max(1, now - packet.deliveredAt)
    this.#roundRate = Math.max(this.#roundRate, (delivered - packet.delivered) / elapsed)
  }

  /** What round trips of late have above the shortest. */
  get #queue(): Millis {
    if (this.#recent.length < RECENT) return 0
    let least = this.#recent[0]!
    for (const rtt of this.#recent) if (rtt < least) least = rtt
    return least - this.#rtt.shortest
  }

  get #target(): Millis {
    const { shortest, variation } = this.#rtt
    return Math.max(QUEUE_TARGET, shortest * QUEUE_TARGET_PART, variation * QUEUE_TARGET_JITTER)
  }

  get #queued(): boolean {
    return this.#queue > this.#target
  }

  #forget(): void {
    this.#recent.length = 0
    this.#sampleCount = 0
    this.#reference = undefined
    this.#cut = undefined
  }

  /** Once a round trip. */
  #round(next: number): void {
    const lossRate = this.#roundLost / Math.max(1, this.#roundLost + this.#roundAcknowledged)
    const rate = this.#roundRate
    const limited = this.#roundLimited
    this.#roundEnd = next
    this.#roundRate = 0
    this.#roundLost = 0
    this.#roundAcknowledged = 0
    this.#roundLimited = false
    if (this.slowStart && this.#queued) this.#threshold = this.#window
    if (this.#drained()) return
    if (limited) this.#compare(rate, lossRate)
  }

  /** Whether a larger window than some rounds ago delivers more. If not, and packets are lost, a queue is full. */
  #compare(rate: number, lossRate: number): void {
    const window = this.#window
    const reference = this.#reference
    if (reference === undefined || window < reference.window) {
      this.#reference = { window, rate }
      return
    }
    const grown = window / reference.window - 1
    if (grown < GROWTH) return
    const useless = rate < reference.rate * (1 + WORTHWHILE * grown)
    if (useless && lossRate > SUSPICIOUS_LOSS) {
      this.#reduce(Math.max(MAX_CUT, Math.min(FULL_QUEUE_CUT, reference.window / window)))
      this.#reference = undefined
    } else if (!useless) this.#reference = { window, rate }
  }

  /** Keeps the queue short that this session makes. True when it was too long. */
  #drained(): boolean {
    if (this.#recent.length < RECENT) return false
    const base = this.#rtt.shortest
    const queue = this.#queue
    const target = this.#target
    const cut = this.#cut
    if (cut !== undefined) {
      // What is measured now was sent before the cut.
      if (cut.rounds-- > 0) return false
      this.#cut = undefined
      if (base + queue > cut.rtt * USELESS) {
        this.#rtt.rebase()
        this.#window = Math.max(this.#window, cut.window)
        this.#threshold = this.#window
        return true
      }
    }
    if (queue <= 2 * target) return false
    this.#cut = { rtt: base + queue, window: this.#window, rounds: 2 }
    this.#reduce(Math.max(MAX_CUT, (base + target) / (base + queue)))
    return true
  }
}
