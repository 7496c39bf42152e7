/** One stream's outgoing half: what goes into packets, when they are sent, and when again. */
import type { Millis } from '../../base/clock.ts'
import { earliest } from '../../base/deadlines.ts'
import { Congestion } from './congestion.ts'
import type { StreamSink } from './events.ts'
import type { StreamLimits } from './limits.ts'
import { RttEstimator } from './rtt.ts'
import { SendBuffer } from './send-buffer.ts'
import { SendWindow, type SentPacket } from './send-window.ts'

// Implementation constants

/** A packet that is not full waits this long for more: an HTTP header and its body are two writes in one turn. */
const FLUSH_DELAY: Millis = 5
/** Packets that may leave at once, beside an eighth of the window: tunnels and radios like even traffic better. */
const PACE_BURST = 8
/** Faster than the window needs, so that it and not the pace is the limit. */
const PACE_GAIN = 1.25
const PACE_GAIN_SLOW_START = 2
/** Packets earned before the timer wakes us up for them. */
const PACE_STEP = 4
/** A choked stream asks this often whether it still is, at first. */
const PERSIST: Millis = 2_000

/** The stream that a sender sends for. */
export interface Line {
  /** True once the far side's id is known. */
  readonly established: boolean
  readonly mtu: number
  /** The packet `sequence` with `length` bytes out of `buffer`. */
  make(sequence: number, buffer: SendBuffer, length: number, close: boolean, ackNow: boolean): Uint8Array
  transmit(packet: Uint8Array, lost: boolean, now: Millis, out: StreamSink): void
}

export class Sender {
  readonly rtt: RttEstimator
  readonly congestion: Congestion
  readonly window: SendWindow
  readonly buffer: SendBuffer
  readonly #line: Line
  readonly #limits: StreamLimits
  #started = false
  #choked = false
  #ending = false
  /** An empty packet is due, to hear whether the far side is still there. */
  #probing = false
  /** Sequence number of our CLOSE. */
  #closeSequence: number | undefined
  /** After two timeouts only one packet a timeout is sent until something comes back. */
  #stalled = false
  #attempts = 0
  #credit = PACE_BURST
  #creditAt: Millis = 0
  #lastSentAt: Millis = 0
  #flushAt: Millis | undefined
  #paceAt: Millis | undefined
  #resendAt: Millis | undefined
  #detectAt: Millis | undefined

  constructor(line: Line, limits: StreamLimits) {
    this.#line = line
    this.#limits = limits
    this.rtt = new RttEstimator(limits.initialRto)
    this.congestion = new Congestion(this.rtt, limits.maxWindow)
    this.window = new SendWindow(this.rtt)
    this.buffer = new SendBuffer(limits.sendBuffer)
  }

  /** Timeouts since anything was acknowledged. */
  get attempts(): number {
    return this.#attempts
  }

  get ending(): boolean {
    return this.#ending
  }

  get closeSent(): boolean {
    return this.#closeSequence !== undefined
  }

  /** Everything including our CLOSE has arrived. */
  get finished(): boolean {
    return this.#closeSequence !== undefined && this.window.unacknowledged === 0
  }

  /** Only our CLOSE is missing an acknowledgement. */
  get onlyCloseLeft(): boolean {
    return this.#closeSequence !== undefined && this.window.base === this.#closeSequence
  }

  /** Makes the first packet due, with what has been written by then. Nothing leaves before. */
  start(now: Millis): void {
    this.#started = true
    this.#flushAt = now + FLUSH_DELAY
  }

  write(bytes: Uint8Array, now: Millis, out: StreamSink): number {
    const accepted = this.buffer.push(bytes)
    if (accepted > 0) this.#flushAt ??= now + FLUSH_DELAY
    this.flush(now, out)
    return accepted
  }

  end(now: Millis, out: StreamSink): void {
    this.#ending = true
    this.flush(now, out)
  }

  probe(now: Millis, out: StreamSink): void {
    this.#probing = true
    this.flush(now, out)
  }

  /** The far side wants no more data for now, and is there to say so. */
  choke(choked: boolean): void {
    this.#choked = choked
    if (choked) this.#attempts = 0
  }

  /** To be followed by `flush`. Ignores what acknowledges packets that were never sent. */
  acknowledged(through: number, nacks: ReadonlySet<number> | undefined, now: Millis): void {
    const before = this.window.inFlight
    const acked = this.window.acknowledge(through, nacks, now)
    if (acked === undefined) return
    if (acked.count > 0) {
      if (acked.rtt !== undefined) {
        this.rtt.sample(acked.rtt, now)
        this.congestion.sample(acked.rtt)
      }
      const limited = before >= this.congestion.window * (this.congestion.slowStart ? 0.5 : 0.85)
      this.congestion.acknowledged(acked.count, acked.highest, this.window.next, limited, now)
      if (acked.spurious > 0) this.congestion.spurious()
      this.#attempts = 0
      this.#stalled = false
      this.rtt.progress()
      this.#resendAt = this.#nextResend(now)
    }
    this.#detect(now)
  }

  /** Sends what window, pace and choking allow. */
  flush(now: Millis, out: StreamSink): void {
    this.#paceAt = undefined
    if (!this.#started || this.#stalled) return
    if (this.#flushAt !== undefined && this.#flushAt <= now) this.#flushAt = undefined
    if (this.#choked && this.#wanting) this.#resendAt ??= now + PERSIST
    if (
      this.window.unacknowledged === 0 &&
      this.#lastSentAt > 0 &&
      now - this.#lastSentAt > this.rtt.timeout
    ) {
      this.congestion.idle()
      this.#lastSentAt = now
    }
    this.#earn(now)
    while (this.window.inFlight < this.congestion.window) {
      const lost = this.window.firstLost()
      if (lost === undefined && !this.#hasNew()) return
      if (this.#credit < 1) {
        this.#awaitCredit(now)
        return
      }
      this.#credit--
      if (lost !== undefined) this.#resend(lost, false, now, out)
      else this.#sendNew(now, out)
    }
  }

  /** The oldest packet again, as when the far side repeats its own first one. */
  resendOldest(now: Millis, out: StreamSink): void {
    const oldest = this.window.oldest()
    if (oldest !== undefined) this.#resend(oldest, false, now, out)
  }

  /** False when the far side has not answered for too long. */
  timeout(now: Millis, out: StreamSink): boolean {
    if (this.#detectAt !== undefined && this.#detectAt <= now) this.#detect(now)
    if (this.#resendAt !== undefined && this.#resendAt <= now && !this.#timedOut(now, out)) return false
    this.flush(now, out)
    return true
  }

  nextTimeout(): Millis | undefined {
    const send = earliest(this.#flushAt, this.#paceAt)
    return earliest(send, earliest(this.#resendAt, this.#detectAt))
  }

  /** Nothing more is sent. */
  stop(): void {
    this.buffer.clear()
    this.window.clear()
    this.#flushAt = undefined
    this.#paceAt = undefined
    this.#resendAt = undefined
    this.#detectAt = undefined
  }

  /** Data, or an end, that is still to be sent. */
  get #wanting(): boolean {
    return this.buffer.size > 0 || (this.#ending && this.#closeSequence === undefined)
  }

  #hasNew(): boolean {
    if (this.#closeSequence !== undefined || this.#choked || !this.window.open) return false
    const size = this.buffer.size
    if (size >= this.#line.mtu) return true
    if (this.#ending && this.#line.established) return true
    if (size > 0 || this.window.next === 0) return this.#flushAt === undefined
    return this.#probing && this.#line.established
  }

  #sendNew(now: Millis, out: StreamSink): void {
    const { window, buffer } = this
    const sequence = window.next
    const length = Math.min(buffer.size, this.#line.mtu)
    const dry = length === buffer.size
    // Not in the first packet, nor before an answer: i2pd takes a CLOSE for the end of both directions.
    const close = this.#ending && dry && sequence > 0 && this.#line.established
    const ackNow = sequence > 0 && this.congestion.slowStart && window.inFlight + 1 >= this.congestion.window
    const packet = this.#line.make(sequence, buffer, length, close, ackNow)
    window.add(packet, now)
    if (close) this.#closeSequence = sequence
    if (dry) this.#flushAt = undefined
    this.#probing = false
    this.#sent(packet, false, now, out)
  }

  #resend(packet: SentPacket, lost: boolean, now: Millis, out: StreamSink): void {
    this.window.resent(packet, now)
    this.#sent(packet.bytes, lost, now, out)
  }

  #sent(packet: Uint8Array, lost: boolean, now: Millis, out: StreamSink): void {
    this.#lastSentAt = now
    this.#resendAt ??= now + this.rtt.timeout
    this.#line.transmit(packet, lost, now, out)
  }

  #detect(now: Millis): void {
    this.#detectAt = this.window.detect(now, this.#onLost)
  }

  readonly #onLost = (packet: SentPacket): void => this.congestion.lost(packet.sequence, this.window.next)

  #timedOut(now: Millis, out: StreamSink): boolean {
    this.#resendAt = undefined
    const oldest = this.window.oldest()
    if (oldest === undefined) return this.#persist(now, out)
    if (++this.#attempts > this.#limits.maxResends) return false
    this.rtt.backOff()
    if (this.#attempts === 2) {
      this.window.loseAll()
      this.congestion.timedOut(this.window.next)
    }
    this.#stalled = this.#attempts >= 2
    // A single timeout is most often the loss of the last packet of a run; the second says that the path is gone.
    this.#resend(oldest, this.#attempts >= 2, now, out)
    return true
  }

  /** Choked with nothing under way: one packet asks whether that is still so. */
  #persist(now: Millis, out: StreamSink): boolean {
    if (this.#choked && this.#wanting) this.#sendNew(now, out)
    return true
  }

  #nextResend(now: Millis): Millis | undefined {
    return this.window.unacknowledged > 0 ? now + this.rtt.timeout : undefined
  }

  #earn(now: Millis): void {
    const rate = this.#rate()
    const most = Math.max(PACE_BURST, this.congestion.window / 8)
    if (rate === 0) this.#credit = this.congestion.window
    else this.#credit = Math.min(most, this.#credit + (now - this.#creditAt) * rate)
    this.#creditAt = now
  }

  #awaitCredit(now: Millis): void {
    this.#paceAt = now + Math.max(1, (PACE_STEP - this.#credit) / this.#rate())
  }

  /** Packets per ms; 0 while there is nothing to go by. */
  #rate(): number {
    const { smoothed } = this.rtt
    const gain = this.congestion.slowStart ? PACE_GAIN_SLOW_START : PACE_GAIN
    return smoothed === 0 ? 0 : (gain * this.congestion.window) / smoothed
  }
}
