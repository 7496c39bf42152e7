/**
 * What we believe of one family: whether strangers can reach us (ssu2, "Results State Machine": "requiring the same results on two or
 * more peer tests is recommended"). One result is enough to begin with; what is known changes when two in a row say the same.
 */
import type { Millis } from '../../base/clock.ts'
import { jitter, type Random } from '../../base/random.ts'
import { networkOf } from '../ip-ranges.ts'
import type { Verdict } from './events.ts'

// Implementation constants

/** Between tests once a verdict is known; i2pd's mean. */
const TEST_MS: Millis = 68 * 60_000
const TEST_JITTER = 0.15
/** To have a result confirmed that differs from what is known. */
const CONFIRM_MS: Millis = 60_000
/** Tests that tell nothing are repeated, three times at once as i2pd does, then more and more seldom. */
const RETRY_MS: Millis = 3_000
const QUICK_RETRIES = 3
const SLOW_RETRY_MS: Millis = 60_000
const MAX_RETRY_MS: Millis = 20 * 60_000
/** Just started, we may be reached by those who knew us before, through what our NAT remembers of them. */
const STRANGERS_AFTER_MS: Millis = 5 * 60_000

export class Reachability {
  readonly #random: Random
  readonly #startedAt: Millis
  #verdict: Verdict = 'unknown'
  /** The last result, when it differs from the verdict. */
  #differing: Verdict | undefined
  #fruitless = 0
  /** Networks of strangers that reached us, against the verdict. */
  readonly #strangers = new Set<string>()
  #waits = false
  testAt: Millis

  constructor(random: Random, now: Millis) {
    this.#random = random
    this.#startedAt = now
    this.testAt = now
  }

  get verdict(): Verdict {
    return this.#verdict
  }

  /** Whether a test would begin if there were a Bob. */
  get waits(): boolean {
    return this.#waits
  }

  /** Of a peer test. True when the verdict changes, as in all that follow. */
  result(result: Verdict, now: Millis): boolean {
    if (result === 'unknown') {
      this.#fruitless++
      this.testAt = now + jitter(this.#random, this.#retryAfter(), TEST_JITTER)
      return false
    }
    this.#fruitless = 0
    if (result === this.#verdict) {
      this.#settle(now)
      return false
    }
    if (this.#verdict === 'unknown') return this.#first(result, now)
    if (result === this.#differing) return this.#change(result, now)
    this.#differing = result
    this.testAt = now + jitter(this.#random, CONFIRM_MS, TEST_JITTER)
    return false
  }

  /** The user says that our address can be reached, or the NAT that it forwards a port: so until tests say otherwise, twice. */
  asserted(now: Millis): boolean {
    if (this.#verdict === 'unknown') {
      this.#verdict = 'ok'
      return true
    }
    // It may be what changes matters: look soon.
    if (this.#verdict !== 'ok') this.testAt = Math.min(this.testAt, now)
    return false
  }

  /** What forwarded a port does so no longer. */
  retracted(now: Millis): void {
    this.testAt = Math.min(this.testAt, now)
  }

  /** Somebody at `ip`, to whom no packet of ours had gone, has begun a session with us. */
  stranger(ip: Uint8Array, now: Millis): boolean {
    if (now < this.#startedAt + STRANGERS_AFTER_MS) return false
    if (this.#verdict === 'ok') {
      // Better than a test, and it costs nothing.
      this.#settle(now)
      return false
    }
    this.#strangers.add(networkOf(ip))
    if (this.#verdict !== 'unknown' && this.#strangers.size < 2) return false
    return this.#change('ok', now)
  }

  /** A test has begun, and is over by then. */
  begun(end: Millis): void {
    this.#waits = false
    this.testAt = end
  }

  /** There is nobody to test us: try again then, or when there is. */
  wait(until: Millis): void {
    this.#waits = true
    this.testAt = until
  }

  /** We are in another network. */
  forget(now: Millis): boolean {
    const known = this.#verdict !== 'unknown'
    this.#verdict = 'unknown'
    this.#differing = undefined
    this.#strangers.clear()
    this.#fruitless = 0
    this.testAt = now
    return known
  }

  /** "SYMNAT, but needs confirmation with 2nd test": until then it is what it is at the least. */
  #first(result: Verdict, now: Millis): boolean {
    if (result !== 'symmetric') return this.#change(result, now)
    this.#verdict = 'firewalled'
    this.#differing = result
    this.testAt = now + jitter(this.#random, CONFIRM_MS, TEST_JITTER)
    return true
  }

  #change(verdict: Verdict, now: Millis): true {
    this.#verdict = verdict
    this.#settle(now)
    return true
  }

  #settle(now: Millis): void {
    this.#differing = undefined
    this.#strangers.clear()
    this.#fruitless = 0
    this.testAt = now + jitter(this.#random, TEST_MS, TEST_JITTER)
  }

  #retryAfter(): Millis {
    if (this.#fruitless <= QUICK_RETRIES) return RETRY_MS
    return Math.min(SLOW_RETRY_MS * 2 ** (this.#fruitless - QUICK_RETRIES - 1), MAX_RETRY_MS)
  }
}
