/** From a battery's state to one of four profiles, with hysteresis (wireless facts, 5.2), and what each profile affords. */
import type { Budget, PowerProfile } from '../base/budget.ts'

// Implementation constants
/** Percent. A profile is left downwards at its limit and entered again this much above it. */
const HYSTERESIS = 5
/** On external power a battery this full no longer matters. */
const FULL = 80
const HIGH_ABOVE = 50
const HALF_FROM = 20

export interface PowerReading {
  /** Of all batteries together; undefined without one. */
  readonly percent: number | undefined
  /** A charger or the mains is there. Undefined when nobody says. */
  readonly external: boolean | undefined
  /** Where this comes from, for people. */
  readonly source: string
}

/** `current` is what was in force; undefined at first. */
export function profileOf(reading: PowerReading, current: PowerProfile | undefined): PowerProfile {
  const { percent, external } = reading
  // A machine without a gauge is taken to hang on the mains: most do.
  if (percent === undefined) return 'mains'
  if (external === true && percent >= (current === 'mains' ? FULL - HYSTERESIS : FULL)) return 'mains'
  if (percent > threshold(HIGH_ABOVE, current, ['half', 'low'])) return 'high'
  return percent >= threshold(HALF_FROM, current, ['low']) ? 'half' : 'low'
}

function threshold(limit: number, current: PowerProfile | undefined, below: readonly PowerProfile[]): number {
  return current !== undefined && below.includes(current) ? limit + HYSTERESIS : limit
}

/** Announcements differ by less than their own jitter: the battery must not be heard. */
const BUDGETS: Readonly<Record<PowerProfile, Omit<Budget, 'profile'>>> = {
  mains: {
    clientTunnels: 3,
    exploratoryTunnels: 2,
    transitShare: 1,
    announceInterval: 30_000,
    onBattery: false,
  },
  high: {
    clientTunnels: 2,
    exploratoryTunnels: 1,
    transitShare: 0.25,
    announceInterval: 33_000,
    onBattery: true,
  },
  half: {
    clientTunnels: 1,
    exploratoryTunnels: 1,
    transitShare: 0,
    announceInterval: 33_000,
    onBattery: true,
  },
  low: {
    clientTunnels: 1,
    exploratoryTunnels: 1,
    transitShare: 0,
    announceInterval: 33_000,
    onBattery: true,
  },
}

export function budgetOf(profile: PowerProfile): Budget {
  return { profile, ...BUDGETS[profile] }
}
