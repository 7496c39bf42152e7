/**
 * What a small mesh can and cannot hide (mesh design, "Small meshes, honestly"). R is the number of other reachable routers, counted
 * by distinct link neighbours and verified contacts.
 */

// Specification constants
/** R from which tunnels have one, two, three hops. */
const ONE_HOP = 2
const TWO_HOPS = 5
const THREE_HOPS = 8
/** Twenty routers with ours: below that an observer's guess is good. */
const MODERATE = 19

/** The most hops that R routers allow, up to `wanted`. Power has no say in it. */
export function allowedHops(reachable: number, wanted: number): number {
  const most = reachable >= THREE_HOPS ? 3 : reachable >= TWO_HOPS ? 2 : reachable >= ONE_HOP ? 1 : 0
  return Math.min(wanted, most)
}

export type AnonymityLevel = 'none' | 'weak' | 'moderate'

export interface Anonymity {
  readonly level: AnonymityLevel
  /** For people: status and console show it as it is. */
  readonly sentence: string
}

export function anonymity(reachable: number): Anonymity {
  if (reachable === 0) return { level: 'none', sentence: 'No other machine in reach: nothing to hide among.' }
  if (reachable < ONE_HOP) {
    return {
      level: 'none',
      sentence: "Two machines: encrypted only. Each knows that all traffic is the other one's.",
    }
  }
  const size = `${reachable + 1} machines`
  if (reachable < MODERATE) {
    return {
      level: 'weak',
      sentence: `${size}: weak. Content is hidden; who talks to whom can be guessed by anyone in range.`,
    }
  }
  return {
    level: 'moderate',
    sentence: `${size}: moderate against participants, not against radio observers.`,
  }
}
