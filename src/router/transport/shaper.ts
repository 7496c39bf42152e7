/**
 * What leaves a transport, and when: one rate for everything, a lower one for what we carry for others. While there are tokens
 * all that was queued leaves at once. When they are short our own traffic goes first, then others', its peers in turn (deficit
 * round robin), and the rest waits for the next tick. Nothing is read later for it: queues drop what gets too old.
 */
import type { Millis } from '../../base/clock.ts'
import type { Sink } from '../../base/core.ts'
import { TokenBucket } from '../../base/token-bucket.ts'
import type { OutputQueue, Traffic } from '../../protocol/blocks/output-queue.ts'
import type { SessionEvent } from './session.ts'

/** Bytes a second. */
export interface OutRates {
  /** Everything that leaves. */
  readonly all: number
  /** What we carry for others. */
  readonly transit: number
}

// Implementation constants

/** Seconds of the whole rate that may leave at once after silence: 1.7 % of a minute at the limit. */
const BURST_SECONDS = 1
/** Seconds of it that others' messages may use. The rest is kept for ours, which so find tokens whatever others send. */
const TRANSIT_SECONDS = 0.1
/** A tunnel message in an NTCP2 frame of its own. */
const MESSAGE = 1058
/** Small enough for a short turn, and large enough that a slow link carries anything at all. */
const MIN_BURST = 2 * MESSAGE
/** Where nothing is carried, those who ask for a tunnel are still told so. */
const MIN_TRANSIT_RATE = MESSAGE
/** What a peer may send before the next has its turn. */
const QUANTUM = 2 * MESSAGE
/** Between two looks at what waits: what leaves together shares a frame, and nothing of ours is late by more. */
const TICK: Millis = 20

/** A peer, as far as pacing goes. */
export interface Flow {
  readonly session: { readonly output: OutputQueue; flush(now: Millis, out: Sink<SessionEvent>): void }
  /** Bytes that it may still send in its turn. Below 0: what it has sent beyond. */
  credit: number
}

/** Where sessions write to; counts all that they write. */
export interface CountingSink extends Sink<SessionEvent> {
  readonly sent: number
}

export class Shaper {
  readonly #all = new TokenBucket(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  readonly #transit = new TokenBucket(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  /** Of the tokens for everything, those that are ours alone. */
  #reserve = 0
  /** Who waits for tokens, next first. */
  readonly #waiting: { readonly [T in Traffic]: Set<Flow> } = { own: new Set(), transit: new Set() }
  #accounted = 0
  /** When `serve` wants to be called though nothing new was queued. */
  deadline: Millis | undefined

  constructor(rates: OutRates) {
    this.setRates(rates)
  }

  setRates({ all, transit }: OutRates): void {
    const carried = Math.max(transit, MIN_TRANSIT_RATE)
    this.#all.rate = all
    this.#all.burst = Math.max(all * BURST_SECONDS, 2 * MIN_BURST)
    this.#transit.rate = carried
    this.#transit.burst = Math.max(carried * TRANSIT_SECONDS, MIN_BURST)
    this.#reserve = Number.isFinite(all) ? this.#all.burst - Math.max(all * TRANSIT_SECONDS, MIN_BURST) : 0
  }

  /** From now on this queue is emptied by `serve` alone. */
  hold({ session: { output } }: Flow): void {
    output.own.allowance = 0
    output.transit.allowance = 0
  }

  /** Sends what these have queued and what waits, as far as there are tokens. */
  serve(flows: readonly Flow[], now: Millis, sink: CountingSink): void {
    const { own, transit } = this.#waiting
    this.#account(sink, now)
    if (own.size === 0 && transit.size === 0 && this.#suffices(flows, now)) {
      for (const flow of flows) this.#empty(flow, now, sink)
      return
    }
    for (const flow of flows) {
      const { output } = flow.session
      if (output.own.size > 0) own.add(flow)
      if (output.transit.size > 0) transit.add(flow)
    }
    if (own.size > 0) this.#turns('own', now, sink)
    if (own.size === 0 && (this.deadline === undefined || now >= this.deadline))
      this.#turns('transit', now, sink)
    this.#plan(now)
  }

  #suffices(flows: readonly Flow[], now: Millis): boolean {
    let [own, transit] = [0, 0]
    for (const { session } of flows) {
      own += session.output.own.bytes
      transit += session.output.transit.bytes
    }
    if (transit === 0) return own <= this.#all.available(now)
    return (
      own + transit <= this.#all.available(now) - this.#reserve && transit <= this.#transit.available(now)
    )
  }

  #empty(flow: Flow, now: Millis, sink: CountingSink): void {
    const { own, transit } = flow.session.output
    const carried = transit.bytes
    own.allowance = Number.POSITIVE_INFINITY
    transit.allowance = Number.POSITIVE_INFINITY
    flow.session.flush(now, sink)
    this.hold(flow)
    this.#account(sink, now)
    if (carried > 0) this.#transit.spend(carried - transit.bytes, now, Number.POSITIVE_INFINITY)
  }

  /** One after the other, until there are no tokens or nobody has anything left that its link would take. */
  #turns(traffic: Traffic, now: Millis, sink: CountingSink): void {
    const waiting = this.#waiting[traffic]
    for (const flow of waiting) {
      const tokens = this.#tokens(traffic, now)
      if (tokens <= 0) return
      if (flow.credit <= 0) flow.credit += QUANTUM
      const more = flow.credit <= 0 || this.#turn(flow, traffic, tokens, now, sink)
      if (more && flow.credit > 0) return // its turn goes on when there are tokens
      waiting.delete(flow)
      if (more)
        waiting.add(flow) // and is met again in this loop
      else flow.credit = 0
    }
  }

  /** True when it would have sent more. */
  #turn(flow: Flow, traffic: Traffic, tokens: number, now: Millis, sink: CountingSink): boolean {
    const lane = flow.session.output[traffic]
    lane.allowance = Math.min(flow.credit, tokens)
    flow.session.flush(now, sink)
    const usedUp = lane.allowance <= 0
    lane.allowance = 0
    const sent = this.#account(sink, now)
    if (traffic === 'transit') this.#transit.spend(sent, now, Number.POSITIVE_INFINITY)
    flow.credit -= sent
    return usedUp && lane.size > 0
  }

  #tokens(traffic: Traffic, now: Millis): number {
    const all = this.#all.available(now)
    return traffic === 'own' ? all : Math.min(all - this.#reserve, this.#transit.available(now))
  }

  /** Everything counts, also what sessions send by themselves: handshakes, acknowledgements, repetitions. */
  #account(sink: CountingSink, now: Millis): number {
    const sent = sink.sent - this.#accounted
    this.#accounted = sink.sent
    this.#all.spend(sent, now, Number.POSITIVE_INFINITY)
    return sent
  }

  #plan(now: Millis): void {
    const { own, transit } = this.#waiting
    if (own.size === 0 && transit.size === 0) {
      this.deadline = undefined
      return
    }
    const ready =
      own.size > 0
        ? this.#all.readyAt(1, now)
        : Math.max(this.#all.readyAt(this.#reserve + 1, now), this.#transit.readyAt(1, now))
    const at = Math.max(ready, now + TICK)
    this.deadline = this.deadline === undefined || now >= this.deadline ? at : Math.min(at, this.deadline)
  }
}
