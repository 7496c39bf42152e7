/**
 * What the mesh face's clock should believe (mesh design, "Clock"; wireless facts, 4). Before the first session a machine that
 * knows no better steps freely; afterwards only a median of several routers moves it, rarely and within bounds. Nothing here
 * reaches the public face.
 */
import type { Millis } from '../base/clock.ts'
import type { ClockQuality } from '../protocol/hello/payload.ts'
import type { HashKey } from '../protocol/structures/hash.ts'

// Implementation constants
/** Below this a step is not worth the disturbance; the protocol bears 60 s. */
const TOLERANCE: Millis = 2_000
/** A clock of this quality is never moved by peers. */
const TRUSTED: ClockQuality = 3
/** What a router has that agrees with at least one other: it no longer steps freely. */
const SETTLED: ClockQuality = 1
const MIN_VOTES = 3
const STEP_EVERY: Millis = 10 * 60_000
/** Further ahead than this needs a larger majority: it cannot easily be undone. */
const FAR_AHEAD: Millis = 24 * 3_600_000
const FAR_VOTES = 5
/** A vote older than this no longer counts. */
const VOTE_LIFE: Millis = 2 * 3_600_000
/** As many routers as the mesh's link state has. */
const MAX_VOTES = 64

interface Vote {
  offset: number
  readonly quality: ClockQuality
  readonly at: Millis
}

export class ClockConsensus {
  /** From the machine: what its date is worth before any peer. */
  #own: ClockQuality
  /** From the mesh, at most 2. */
  #gained: ClockQuality = 0
  #settled = false
  #lastStep = Number.NEGATIVE_INFINITY
  readonly #votes = new Map<HashKey, Vote>()

  constructor(own: ClockQuality) {
    this.#own = own
  }

  get quality(): ClockQuality {
    return Math.max(this.#own, this.#gained) as ClockQuality
  }

  /** NTP arrived, or the operator set the clock. */
  set own(quality: ClockQuality) {
    this.#own = quality
  }

  /** The first session is open: no more free steps, and newcomers can tell by our quality. */
  settle(): void {
    this.#settled = true
    if (this.#gained < SETTLED) this.#gained = SETTLED
  }

  /**
   * What a peer's clock is ahead of ours by, ms, half the round trip corrected. Returns by how much ours should step, 0 for not
   * at all. Its claimed quality can be a lie: it decides nothing but who moves when one of two must.
   */
  sample(peer: HashKey, offset: number, quality: ClockQuality, now: Millis): number {
    if (this.quality >= TRUSTED) return 0
    const step = this.#settled ? this.#majority(peer, offset, quality, now) : this.#free(offset, quality)
    if (step !== 0) {
      for (const vote of this.#votes.values()) vote.offset -= step
      this.#lastStep = now
    }
    return step
  }

  /**
   * To the later of the two while both are free. To one that will not move, because it knows better or has sessions, wherever
   * it is: nothing else can bring the two together.
   */
  #free(offset: number, quality: ClockQuality): number {
    if (Math.abs(offset) < TOLERANCE) return 0
    return offset > 0 || quality >= SETTLED ? offset : 0
  }

  #majority(peer: HashKey, offset: number, quality: ClockQuality, now: Millis): number {
    // Who is still free will go to where others are, perhaps because of this very exchange.
    if (quality < SETTLED) return 0
    this.#votes.delete(peer)
    this.#votes.set(peer, { offset, quality, at: now })
    if (this.#votes.size > MAX_VOTES) this.#votes.delete(this.#votes.keys().next().value!)
    for (const [voter, vote] of this.#votes) if (now - vote.at > VOTE_LIFE) this.#votes.delete(voter)
    const votes = [...this.#votes.values()]
    if (votes.length < MIN_VOTES) return 0
    this.#gained = votes.some((v) => v.quality >= TRUSTED) ? 2 : SETTLED
    // Our own counts too. Of an even number the later one in the middle: two halves that met would else stay apart, or swap.
    const offsets = [0, ...votes.map((v) => v.offset)].sort((x, y) => x - y)
    const step = offsets[offsets.length >> 1]!
    if (Math.abs(step) < TOLERANCE || now - this.#lastStep < STEP_EVERY) return 0
    return step > FAR_AHEAD && votes.length < FAR_VOTES ? 0 : step
  }
}
