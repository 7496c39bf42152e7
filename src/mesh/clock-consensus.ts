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

  /** The first session is open: no more free steps. */
  settle(): void {
    this.#settled = true
  }

  /**
   * What a peer's clock is ahead of ours by, ms, half the round trip corrected. Returns by how much ours should step, 0 for not
   * at all. Its claimed quality can be a lie: it decides nothing but who moves when one of two must.
   */
  sample(peer: HashKey, offset: number, quality: ClockQuality, now: Millis): number {
    if (this.quality >= TRUSTED) return 0
    this.#votes.delete(peer)
    this.#votes.set(peer, { offset, quality, at: now })
    if (this.#votes.size > MAX_VOTES) this.#votes.delete(this.#votes.keys().next().value!)
    const step = this.#settled ? this.#majority(now) : this.#free(offset, quality)
    if (step !== 0) {
      for (const vote of this.#votes.values()) vote.offset -= step
      this.#lastStep = now
    }
    return step
  }

  /** To the later of the two; and to one that will not move, wherever it is, as nothing else can bring the two together. */
  #free(offset: number, quality: ClockQuality): number {
    if (this.quality > 1 || Math.abs(offset) < TOLERANCE) return 0
    if (offset < 0 && quality < TRUSTED) return 0
    this.#gained = 1
    return offset
  }

  #majority(now: Millis): number {
    for (const [peer, vote] of this.#votes) if (now - vote.at > VOTE_LIFE) this.#votes.delete(peer)
    const votes = [...this.#votes.values()].sort((a, b) => a.offset - b.offset)
    if (votes.length < MIN_VOTES) return 0
    this.#gained = votes.some((v) => v.quality >= TRUSTED) ? 2 : 1
    // Of an even number the one nearer to us: the smaller step.
    const middle = [votes[(votes.length - 1) >> 1]!.offset, votes[votes.length >> 1]!.offset]
    const step = Math.abs(middle[0]!) < Math.abs(middle[1]!) ? middle[0]! : middle[1]!
    if (Math.abs(step) < TOLERANCE || now - this.#lastStep < STEP_EVERY) return 0
    return step > FAR_AHEAD && votes.length < FAR_VOTES ? 0 : step
  }
}
