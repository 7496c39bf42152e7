/**
 * How far our wall clock is off, by what the routers we dialled say of theirs (ntcp2, "Clock Skew Guidelines"). Each proves its
 * key before its time is looked at, but may lie: one vote for each network, a median that most agree on, and seldom. Each network
 * that we are part of has one of its own: what a mesh believes never comes here.
 */
import type { Millis } from '../base/clock.ts'
import { ipBytes } from '../base/ip.ts'
import { type Hash, type HashKey, hashKey } from '../protocol/structures/hash.ts'
import { networkOf } from './ip-ranges.ts'

// Implementation constants

/** A clock that is off by less is let be; i2pd's figure. The protocol bears 60 s. */
const TOLERANCE: Millis = 15_000
/** Votes this close to the median agree with it. */
const AGREEMENT: Millis = 15_000
const MIN_VOTES = 3
/** A step further than this wants more votes: it cannot easily be undone. */
const FAR: Millis = 24 * 3_600_000
const FAR_VOTES = 5
const STEP_EVERY: Millis = 10 * 60_000
/** A vote older than this no longer counts: the machine may have slept since. */
const VOTE_LIFE: Millis = 30 * 60_000
/** Networks heard at once; the oldest vote goes first. */
const MAX_VOTES = 64
/** Clock qualities (mesh design, "Clock"): known from elsewhere, never moved by peers; and confirmed by peers. */
const TRUSTED = 3
const CONFIRMED = 2

interface Vote {
  readonly network: string
  offset: number
  readonly at: Millis
}

export class Skew {
  readonly #own: number
  #confirmed = false
  #steppedAt: Millis = Number.NEGATIVE_INFINITY
  #stepped = 0
  /** By peer, oldest first. */
  readonly #votes = new Map<HashKey, Vote>()

  /** `own`: what the machine's date is worth before any peer, 0 to 4. */
  constructor(own: number) {
    this.#own = own
  }

  get quality(): number {
    return this.#confirmed ? Math.max(this.#own, CONFIRMED) : this.#own
  }

  /** By how much it had the clock step in all, ms. */
  get stepped(): number {
    return this.#stepped
  }

  /**
   * The clock of `peer`, which we dialled at `address`, is `offset` ms ahead of ours. Returns by how much ours shall step: 0
   * mostly.
   */
  heard(peer: Hash, address: string, offset: number, now: Millis): number {
    const ip = ipBytes(address)
    if (ip === undefined) return 0
    const network = networkOf(ip)
    this.#vote(hashKey(peer), { network, offset, at: now })
    const median = this.#median()
    this.#confirmed = median !== undefined
    if (median === undefined || Math.abs(median) < TOLERANCE || this.#own >= TRUSTED) return 0
    if (now < this.#steppedAt + STEP_EVERY) return 0
    if (Math.abs(median) > FAR && this.#votes.size < FAR_VOTES) return 0
    for (const vote of this.#votes.values()) vote.offset -= median
    this.#steppedAt = now
    this.#stepped += median
    return median
  }

  /** The latest of a network replaces what it said before, whoever of it spoke. */
  #vote(peer: HashKey, vote: Vote): void {
    for (const [voter, { network, at }] of this.#votes)
      if (voter === peer || network === vote.network || at + VOTE_LIFE <= vote.at) this.#votes.delete(voter)
    this.#votes.set(peer, vote)
    if (this.#votes.size > MAX_VOTES) this.#votes.delete(this.#votes.keys().next().value!)
  }

  /** What more than half of all votes agree on, and enough of them. */
  #median(): number | undefined {
    const offsets = [...this.#votes.values()].map((v) => v.offset).sort((a, b) => a - b)
    const median = offsets[offsets.length >> 1]
    if (median === undefined) return undefined
    const agreeing = offsets.filter((o) => Math.abs(o - median) <= AGREEMENT).length
    return agreeing >= MIN_VOTES && 2 * agreeing > offsets.length ? median : undefined
  }
}
