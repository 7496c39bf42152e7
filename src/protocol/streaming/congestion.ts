/**
 * How many packets may be under way. Slow start, then the cubic curve of RFC 9438, in packets. What is particular:
 *
 * - a lost packet means congestion only when round trips have grown too, or when loss is heavy. Radio links and hops that
 *   shed load lose packets at random, and halving the window for each would keep a stream at a crawl;
 * - long round trips alone make the window smaller: tunnels have deep queues, and what fills them delays every other stream;
 * - a reduction is taken back when the lost packet turns out to have been late only.
 */
import type { Millis } from '../../base/clock.ts'
import type { RttEstimator } from './rtt.ts'

// Specification constants (RFC 9438, "Definitions")
const CUBIC_C = 0.4
const CUBIC_BETA = 0.7

// Implementation constants

/** Before anything is known of the path; i2pd's. */
const INITIAL_WINDOW = 10
/** Less would leave a stream without the NACKs that find a loss early. */
const MIN_WINDOW = 4
/** Loss lighter than this, with round trips as short as ever, is the link's own. */
const LOSS_TOLERATED = 0.1
/** Weight of one packet in the loss rate: about the last two hundred packets count. */
const LOSS_WEIGHT = 1 / 128
/** Packets before the loss rate means anything. */
const LOSS_CONFIDENCE = 64
/** A queue, in ms above the shortest round trip: loss with more than this is congestion. */
const QUEUE_ON_LOSS: Millis = 25
/** Growth stops at this queue (or a quarter of a round trip); at twice that the window is cut to what would leave so much. */
const QUEUE_TARGET: Millis = 60
/** A cut by delay takes no more than this at once. */
const DELAY_BETA = 0.5
/** The shortest of so many samples in a row tells a queue from jitter. */
const RECENT = 8
/** Slow start ends when round trips grew by an eighth, within these bounds (RFC 9406), or by more than their jitter. */
const HYSTART_LEAST: Millis = 12
const HYSTART_MOST: Millis = 100
/** A cut that did not shorten the round trip to this part: the path itself is longer than before. */
const USELESS = 0.95

interface Undo {
  readonly window: number
  readonly threshold: number
}

export class Congestion {
  readonly #rtt: RttEstimator
  readonly #most: number
  #window: number
  #threshold = Number.POSITIVE_INFINITY
  /** The cubic curve: where it was at the last reduction, and when it began. */
  #top = 0
  #epoch: Millis | undefined
  #lossRate = 0
  #seen = 0
  /** A round is over when a packet sent after its beginning is acknowledged. */
  #roundEnd = 0
  readonly #recent: Millis[] = []
  #sampleCount = 0
  #hold = false
  /** After a cut by delay: what the round trip was, what the window was, and rounds until its effect can be seen. */
  #cut: { readonly rtt: Millis; readonly window: number; rounds: number } | undefined
  /** Losses of packets before this belong to a reduction that was already made. */
  #recoverUntil = 0
  #undo: Undo | undefined

  constructor(rtt: RttEstimator, most: number) {
    this.#rtt = rtt
    this.#most = most
    this.#window = Math.min(INITIAL_WINDOW, most)
  }

  /** Whole packets. */
  get window(): number {
    return Math.floor(this.#window)
  }

  get slowStart(): boolean {
    return this.#window < this.#threshold
  }

  /** Smoothed share of packets lost. */
  get lossRate(): number {
    return this.#lossRate
  }

  /** What another stream to the same destination had reached. */
  inherit(window: number): void {
    this.#threshold = Math.max(MIN_WINDOW, Math.min(window, this.#most))
  }

  sample(rtt: Millis): void {
    this.#recent[this.#sampleCount++ % RECENT] = rtt
    if (this.#recent.length < RECENT) return
    this.#hold = this.#queue() > this.#target
    if (!this.slowStart) return
    const jitter = Math.max(this.#rtt.shortest / 8, this.#rtt.variation)
    if (this.#queue() > Math.min(HYSTART_MOST, Math.max(HYSTART_LEAST, jitter)))
      this.#threshold = this.#window
  }

  /**
   * `count` packets were acknowledged, `highest` the newest of them; the next one to be sent is `next`. `limited`: the window
   * was what kept us from sending more, so a larger one is of use.
   */
  acknowledged(count: number, highest: number, next: number, limited: boolean, now: Millis): void {
    for (let i = 0; i < count; i++) this.#lossRate -= this.#lossRate * LOSS_WEIGHT
    this.#seen += count
    if (highest >= this.#roundEnd) this.#round(next)
    if (!limited) return
    if (this.slowStart) this.#window = Math.min(this.#window + count, Math.max(this.#threshold, this.#window))
    else if (!this.#hold) this.#cubic(count, now)
    this.#window = Math.min(this.#window, this.#most)
  }

  /** Packet `sequence` is taken for lost. */
  lost(sequence: number, next: number): void {
    this.#lossRate += (1 - this.#lossRate) * LOSS_WEIGHT
    this.#seen++
    if (sequence < this.#recoverUntil) return
    const heavy = this.#seen >= LOSS_CONFIDENCE && this.#lossRate > LOSS_TOLERATED
    if (!heavy && this.#queue() <= QUEUE_ON_LOSS) return
    this.#recoverUntil = next
    this.#reduce(CUBIC_BETA)
  }

  /** A packet taken for lost was only late: the reduction made for it is taken back. */
  spurious(): void {
    this.#lossRate -= this.#lossRate * LOSS_WEIGHT
    const undo = this.#undo
    if (undo === undefined) return
    this.#undo = undefined
    this.#window = Math.max(this.#window, undo.window)
    this.#threshold = Math.max(this.#threshold, undo.threshold)
    this.#recoverUntil = 0
  }

  /** Nothing came back for two timeouts: start over, as the path may be another one. */
  timedOut(next: number): void {
    this.#undo ??= { window: this.#window, threshold: this.#threshold }
    this.#threshold = Math.max(MIN_WINDOW, this.#window / 2)
    this.#window = MIN_WINDOW
    this.#epoch = undefined
    this.#recoverUntil = next
    this.#rtt.rebase()
    this.#forgetSamples()
  }

  /** Nothing was under way for a while: what the window was says little now. */
  idle(): void {
    if (this.#window <= INITIAL_WINDOW) return
    this.#threshold = Math.max(Math.min(this.#threshold, this.#window), this.#window * 0.75)
    this.#window = Math.max(INITIAL_WINDOW, this.#window / 2)
    this.#epoch = undefined
    this.#forgetSamples()
  }

  /** What round trips of late have above the shortest. */
  #queue(): Millis {
    if (this.#recent.length < RECENT) return 0
    let least = this.#recent[0]!
    for (const rtt of this.#recent) if (rtt < least) least = rtt
    return least - this.#rtt.shortest
  }

  get #target(): Millis {
    return Math.max(QUEUE_TARGET, this.#rtt.shortest / 4, this.#rtt.variation * 1.5)
  }

  #forgetSamples(): void {
    this.#recent.length = 0
    this.#sampleCount = 0
  }

  /** Once a round trip: keeps the queue that this stream makes short. */
  #round(next: number): void {
    this.#roundEnd = next
    if (this.slowStart || this.#recent.length < RECENT) return
    const base = this.#rtt.shortest
    const queue = this.#queue()
    const target = this.#target
    const cut = this.#cut
    if (cut !== undefined) {
      // What is measured now was sent before the cut.
      if (cut.rounds-- > 0) return
      this.#cut = undefined
      if (base + queue > cut.rtt * USELESS) {
        this.#rtt.rebase()
        this.#window = Math.max(this.#window, cut.window)
        this.#threshold = this.#window
        this.#hold = false
        return
      }
    }
    if (queue <= 2 * target) return
    this.#cut = { rtt: base + queue, window: this.#window, rounds: 2 }
    this.#reduce(Math.max(DELAY_BETA, (base + target) / (base + queue)))
    this.#undo = undefined
  }

  #reduce(factor: number): void {
    this.#undo = { window: this.#window, threshold: this.#threshold }
    // Below the last top: leave room for whoever is newer on this path (RFC 9438, "Fast Convergence").
    this.#top = this.#window < this.#top ? (this.#window * (1 + factor)) / 2 : this.#window
    this.#window = Math.max(MIN_WINDOW, this.#window * factor)
    this.#threshold = this.#window
    this.#epoch = undefined
  }

  #cubic(count: number, now: Millis): void {
    if (this.#epoch === undefined) {
      this.#epoch = now
      if (this.#top < this.#window) this.#top = this.#window
    }
    const k = Math.cbrt((this.#top * (1 - CUBIC_BETA)) / CUBIC_C)
    const t = (now - this.#epoch + this.#rtt.smoothed) / 1000 - k
    const target = Math.min(CUBIC_C * t * t * t + this.#top, this.#window * 1.5)
    // Never slower than one packet a round trip, which is what a plain additive increase would give.
    const perAck = Math.max((target - this.#window) / this.#window, 1 / this.#window)
    this.#window += perAck * count
  }
}
