/**
 * The tuner: readings in, budgets out, one face after another. Never changes the length of a tunnel: that would lower anonymity without
 * anybody noticing.
 */
import type { Budget, PowerProfile } from '../base/budget.ts'
import type { Millis } from '../base/clock.ts'
import type { Sink, TimedCore } from '../base/core.ts'
import { Deadlines } from '../base/deadlines.ts'
import { type Log, named } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { budgetOf, type PowerReading, profileOf } from './profile.ts'

// Implementation constants
/** A profile is kept at least this long, so that a loose plug does not show outside. */
const MIN_STAY: Millis = 10 * 60_000
/** Between readings. A battery above `RELAXED` percent, or none, needs looking at less often. */
const READ_EVERY: Millis = 60_000
const READ_SELDOM: Millis = 300_000
const RELAXED = 80
/** A face follows after a delay of its own; two faces that changed together would be known to be one machine. */
const DELAY_MAX: Millis = 60_000
const FACES_APART: Millis = 10_000

export type TunerEvent =
  /** Read the power supply and answer with `measured`. */
  { readonly kind: 'measure' } | { readonly kind: 'budget'; readonly face: string; readonly budget: Budget }

export interface TunerOptions {
  readonly faces: readonly string[]
  /** `auto` follows the readings; anything else is what the user wants, always. */
  readonly profile: 'auto' | PowerProfile
  readonly random: Random
  readonly log: Log
}

type TimerKey = 'measure' | `face ${string}`

export class Tuner implements TimedCore<TunerEvent> {
  readonly #o: TunerOptions
  readonly #log: Log
  readonly #timers = new Deadlines<TimerKey>()
  #profile: PowerProfile | undefined
  #since: Millis = 0
  #reading: PowerReading | undefined

  constructor(options: TunerOptions) {
    this.#o = options
    this.#log = named(options.log, 'power')
  }

  /** What status shows. */
  get profile(): PowerProfile {
    return this.#profile ?? 'mains'
  }

  get reading(): PowerReading | undefined {
    return this.#reading
  }

  /** Every face gets its first budget at once, or with the first reading. */
  start(now: Millis, out: Sink<TunerEvent>): void {
    const { profile } = this.#o
    if (profile === 'auto') out.event({ kind: 'measure' })
    else this.#begin(profile, 'power.profile', now, out)
  }

  /** The answer to 'measure'. */
  measured(reading: PowerReading, now: Millis, out: Sink<TunerEvent>): void {
    this.#reading = reading
    const { percent } = reading
    this.#timers.set('measure', now + (percent === undefined || percent > RELAXED ? READ_SELDOM : READ_EVERY))
    const next = profileOf(reading, this.#profile)
    if (this.#profile === undefined) this.#begin(next, why(reading), now, out)
    else if (next !== this.#profile && now - this.#since >= MIN_STAY) this.#change(next, why(reading), now)
  }

  nextTimeout(): Millis | undefined {
    return this.#timers.next()
  }

  timeout(now: Millis, out: Sink<TunerEvent>): void {
    for (let key = this.#timers.due(now); key !== undefined; key = this.#timers.due(now)) {
      if (key === 'measure') out.event({ kind: 'measure' })
      else out.event({ kind: 'budget', face: key.slice('face '.length), budget: budgetOf(this.profile) })
    }
  }

  #begin(profile: PowerProfile, reason: string, now: Millis, out: Sink<TunerEvent>): void {
    this.#profile = profile
    this.#since = now
    const budget = budgetOf(profile)
    this.#log.write('info', `${profile} (${reason}): ${tunnels(budget)}`)
    for (const face of this.#o.faces) out.event({ kind: 'budget', face, budget })
  }

  #change(profile: PowerProfile, reason: string, now: Millis): void {
    const budget = budgetOf(profile)
    this.#log.write('info', `${this.profile} to ${profile} (${reason}): ${tunnels(budget)}`)
    this.#profile = profile
    this.#since = now
    let at = now
    for (const face of this.#o.faces) {
      at += FACES_APART + this.#o.random.below(DELAY_MAX)
      this.#timers.set(`face ${face}`, at)
    }
  }
}

function why({ percent, external, source }: PowerReading): string {
  if (percent === undefined) return `no battery known to ${source}`
  return `battery at ${Math.round(percent)} %${external === true ? ', on external power' : ''}`
}

function tunnels({ clientTunnels }: Budget): string {
  return `${clientTunnels} client tunnel${clientTunnels === 1 ? '' : 's'} a pool, their length unchanged`
}
