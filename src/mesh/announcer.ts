/**
 * When one link is spoken on, and as whom: the epochs of one link and the schedule of their announcements. Pure: says what is
 * due, sends nothing.
 */
import type { Millis } from '../base/clock.ts'
import { jitter, type Random } from '../base/random.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import { type Announcement, newAnnouncement } from './announcement.ts'

// Implementation constants
/** An epoch's life: long enough not to be a burden, short enough not to be a name (mesh design, "Discovery"). */
const EPOCH_MIN: Millis = 15 * 60_000
const EPOCH_MAX: Millis = 60 * 60_000
/** After the link comes up, as losses are likely then; later announcements follow the interval. */
const BURST: readonly Millis[] = [0, 1000, 3000, 9000, 27_000]
/** A battery machine says it once and repeats it three times in its first minute. */
const SHORT_BURST = 4
/** Neighbours that come up together must not speak together (RFC 6762, 8.3 has the same idea). */
const FIRST_DELAY: Millis = 120
const SPREAD = 0.25
/** Answers to newcomers and queries: soon, but not all at once, and never more than one a second (RFC 6762, 6). */
const ANSWER_MIN: Millis = 30
const ANSWER_SPREAD: Millis = 200
const MIN_GAP: Millis = 1000
/** Strangers can ask too: beyond this they wait for the interval. */
const ANSWER_BURST = 8
const ANSWER_EVERY: Millis = 10_000
/** The range ordinary I2P routers pick from; below Linux's ephemeral ports. */
const PORT_MIN = 9111
const PORT_MAX = 30_777

/** What to send now. */
export interface Due {
  readonly announcement: Announcement
  /** Instances that end with this packet. */
  readonly goodbyes: readonly string[]
  /** Ask who else is there: once, with the first announcement. */
  readonly query: boolean
  /** Set when the epoch is new: the one before it, whose port is not announced any more. */
  readonly former: Announcement | undefined
}

export interface AnnouncerOptions {
  readonly kd: Uint8Array
  /** This link's own address, without zone. */
  readonly address: string
  /** 0: another one each epoch. */
  readonly port: number
  readonly interval: Millis
  readonly shortBurst: boolean
  readonly random: Random
}

export class Announcer {
  readonly #o: AnnouncerOptions
  #current: Announcement
  #former: Announcement | undefined
  #rotateAt: Millis
  #burst: Millis[]
  #next: Millis
  #lastSent = Number.NEGATIVE_INFINITY
  #asked = false
  /** Instances to say goodbye to with the next packet. */
  #ended: string[] = []
  #interval: Millis
  readonly #answers = new TokenBucket(1000 / ANSWER_EVERY, ANSWER_BURST)

  constructor(options: AnnouncerOptions, now: Millis) {
    this.#o = options
    const { random } = options
    this.#interval = options.interval
    this.#current = this.#newEpoch()
    this.#rotateAt = this.#epochEnd(now)
    const first = now + random.below(FIRST_DELAY)
    this.#burst = BURST.slice(0, options.shortBurst ? SHORT_BURST : BURST.length).map(
      (after) => first + after,
    )
    this.#next = this.#burst.shift()!
  }

  get current(): Announcement {
    return this.#current
  }

  /** Those that a dialler may have heard of. */
  get epochs(): readonly Uint8Array[] {
    return [this.#current, this.#former].flatMap((a) => (a === undefined ? [] : [a.epoch]))
  }

  get next(): Millis {
    return this.#next
  }

  /** Takes effect after the next announcement, so that a change of profile does not show. */
  set interval(interval: Millis) {
    this.#interval = interval
  }

  /** Ours, now or just before: heard again, it is an echo. */
  isOwn(epoch: Uint8Array): boolean {
    return same(epoch, this.#current.epoch) || (this.#former !== undefined && same(epoch, this.#former.epoch))
  }

  /** The announcement that is due. */
  due(now: Millis): Due {
    let former: Announcement | undefined
    if (now >= this.#rotateAt) {
      former = this.#current
      this.#begin(now)
    }
    const query = !this.#asked
    this.#asked = true
    this.#lastSent = now
    this.#next = this.#burst.shift() ?? now + jitter(this.#o.random, this.#interval, SPREAD)
    const goodbyes = this.#ended
    this.#ended = []
    return { announcement: this.#current, goodbyes, query, former }
  }

  /** Someone new should hear of us. Bounded, as strangers can cause it. */
  answerSoon(now: Millis): void {
    const at = Math.max(now, this.#lastSent + MIN_GAP) + ANSWER_MIN + this.#o.random.below(ANSWER_SPREAD)
    if (at < this.#next && this.#answers.take(1, now)) {
      if (this.#burst.length > 0) this.#burst.unshift(this.#next)
      this.#next = at
    }
  }

  /** The port could not be had: another epoch, said soon. */
  otherPort(now: Millis): void {
    this.#begin(now)
    this.#next = Math.min(this.#next, Math.max(now, this.#lastSent + MIN_GAP))
  }

  #begin(now: Millis): void {
    this.#ended.push(this.#current.instance)
    this.#former = this.#current
    this.#current = this.#newEpoch()
    this.#rotateAt = this.#epochEnd(now)
  }

  #newEpoch(): Announcement {
    const { kd, address, port, random } = this.#o
    const chosen = port === 0 ? PORT_MIN + random.below(PORT_MAX - PORT_MIN + 1) : port
    return newAnnouncement(kd, address, chosen, random)
  }

  #epochEnd(now: Millis): Millis {
    return now + EPOCH_MIN + this.#o.random.below(EPOCH_MAX - EPOCH_MIN)
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i])
}
