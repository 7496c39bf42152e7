/**
 * How many bytes may be under way, and how fast they go out. Built for radio: a lost packet alone is no sign of congestion.
 * The window follows two things that a link cannot hide: the queue that it makes (round trips above the shortest), and what it
 * delivers. While round trips stay short the window grows by a part of itself each round trip, whatever is lost; what a full
 * queue swallows shows as loss together with a queue, or in a delivery that a larger window did not raise.
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
const FULL_PACKET = 1500
/** i2pd's least window, and what it begins with. */
const INITIAL_PACKETS = 16
/** After timeouts: enough to have a loss noticed by what follows. */
const MIN_PACKETS = 4
/** Twice i2pd's most: 7 MB/s at 100 ms. It also bounds what one session keeps for sending again, at 750 KB. */
export const MAX_PACKETS = 512
/** Growth a round trip once the path is known to be busy. */
const GROWTH = 1 / 8
/** A queue in ms, or a part of the shortest round trip: growth stops there; at twice that the window is cut to what leaves so much. */
const QUEUE_TARGET: Millis = 25
const QUEUE_TARGET_PART = 1 / 4
/** The target rises with jitter, up to here or one round trip: what comes and goes by itself is no queue of ours. */
const QUEUE_TARGET_JITTER = 1.5
const JITTER_MOST: Millis = 100
/** Much loss together with this or an eighth of a round trip: a queue is full. */
const QUEUE_ON_LOSS: Millis = 10
/** The shortest of so many round trips in a row tells a queue from jitter. */
const RECENT = 8
/** A cut that did not shorten the round trip to this part: the path itself is longer than before. */
const USELESS = 0.95
/** With more loss than this in a round trip we ask whether the last growth, by so much at least, was of any use. */
const SUSPICIOUS_LOSS = 0.02
const COMPARED_GROWTH = 1 / 8
/** In deviations: growth that is small beside what chance takes and gives is not judged. */
const CERTAIN = 2.5
const MAX_COMPARED_GROWTH = 0.3
/** It was when delivery grew by at least this part of it. */
const WORTHWHILE = 1 / 4
/** When it was not, growth is slow (this part of the window a round trip, or a packet) until so far above what was delivered. */
const CAREFUL_GROWTH = 1 / 64
const CAREFUL_UNTIL = 1.25
/** No such cut leaves less than this (CUBIC's beta). */
const LEAST_CUT = 0.7
/** A window that the network asks us to make smaller (ECN) becomes this part of itself. */
const MARKED_CUT = 0.85
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
  /** The window when the last round began: what is acknowledged in this one was sent under it. */
  #roundWindow = 0
  /** Below this growth is slow: a queue that nobody can see was found full just above what the window was cut to. */
  #careful = 0
  /** A round under a smaller window, to compare with. */
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

  get #slowStart(): boolean {
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
    const gain = this.#slowStart ? PACE_SLOW_START : PACE
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
    this.#recent[this.#sampleCount++ % RECENT] = now - newest.sentAt
    this.#rate(newest, delivered, now)
    this.#roundAcknowledged += acked.packets
    if (limited) this.#roundLimited = true
    if (this.#slowStart && this.#queued) this.#threshold = this.#window
    if (newest.number >= this.#roundEnd) this.#round(next)
    if (!limited || this.#queued) return
    const careful = Math.max(CAREFUL_GROWTH, FULL_PACKET / this.#window)
    this.#grow(
      this.#slowStart ? acked.bytes : acked.bytes * (this.#window < this.#careful ? careful : GROWTH),
    )
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
    this.#reduceTo(this.#window * MARKED_CUT)
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

  #reduceTo(window: number): void {
    this.#window = Math.max(MIN_PACKETS * FULL_PACKET, Math.min(this.#window, window))
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
    const jitter = Math.min(variation * QUEUE_TARGET_JITTER, Math.max(shortest, JITTER_MOST))
    return Math.max(QUEUE_TARGET, shortest * QUEUE_TARGET_PART, jitter)
  }

  /** With losses, so much is a sign of a full queue. */
  get #queueOnLoss(): Millis {
    const { shortest, variation } = this.#rtt
    return Math.max(QUEUE_ON_LOSS, shortest / 8, variation * QUEUE_TARGET_JITTER)
  }

  get #queued(): boolean {
    return this.#queue > this.#target
  }

  #forget(): void {
    this.#recent.length = 0
    this.#sampleCount = 0
    this.#reference = undefined
    this.#cut = undefined
    this.#careful = 0
  }

  /** Once a round trip. */
  #round(next: number): void {
    const lossRate = this.#roundLost / Math.max(1, this.#roundLost + this.#roundAcknowledged)
    // Standard deviation of what chance lets through of so many packets.
    const chance = Math.sqrt(lossRate / (1 - lossRate) / Math.max(1, this.#roundAcknowledged))
    const done = { window: this.#roundWindow, rate: this.#roundRate }
    const limited = this.#roundLimited
    this.#roundEnd = next
    this.#roundWindow = this.#window
    this.#roundRate = 0
    this.#roundLost = 0
    this.#roundAcknowledged = 0
    this.#roundLimited = false
    if (!limited) return
    this.#drain(done.rate)
    if (lossRate < SUSPICIOUS_LOSS || done.window === Number.POSITIVE_INFINITY) return
    if (this.#queue > this.#queueOnLoss) this.#overflow(done.rate * (this.#rtt.shortest + this.#queue / 2))
    else this.#compare(done, Math.min(Math.max(COMPARED_GROWTH, chance * CERTAIN), MAX_COMPARED_GROWTH))
  }

  /** Keeps the queue short that this session makes: the window becomes what the path delivers in a round trip that is short enough. */
  #drain(rate: number): void {
    if (this.#recent.length < RECENT) return
    const base = this.#rtt.shortest
    const queue = this.#queue
    const cut = this.#cut
    if (cut !== undefined) {
      // What is measured now was sent before the cut.
      if (cut.rounds-- > 0) return
      this.#cut = undefined
      if (base + queue > cut.rtt * USELESS) {
        this.#rtt.rebase()
        this.#window = Math.max(this.#window, cut.window)
        this.#threshold = this.#window
        return
      }
    }
    const target = this.#target
    if (queue <= 2 * target) return
    this.#cut = { rtt: base + queue, window: this.#window, rounds: 2 }
    this.#reduceTo(rate * (base + target))
  }

  /** Whether a larger window delivers more. If not, and packets are lost, a queue too short to be seen is full. */
  #compare(done: Round, enough: number): void {
    const reference = this.#reference
    if (reference === undefined || done.window < reference.window) {
      this.#reference = done
      return
    }
    const grown = done.window / reference.window - 1
    if (grown < enough) return
    this.#reference = done
    if (done.rate >= reference.rate * (1 + WORTHWHILE * grown)) return
    // Where round trips vary much it is uncertain what the path holds without its queue: not much less than what it held.
    const { shortest, smoothed } = this.#rtt
    this.#overflow(done.rate * Math.max(shortest, smoothed * LEAST_CUT))
  }

  /** A queue is full. */
  #overflow(window: number): void {
    this.#reduceTo(window)
    this.#careful = this.#window * CAREFUL_UNTIL
    this.#reference = undefined
    // The round that follows was sent under the old window.
    this.#roundWindow = Number.POSITIVE_INFINITY
  }
}
