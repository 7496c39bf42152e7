/**
 * What a small mesh can and cannot hide, for people (mesh design, "Small meshes, honestly"). R is the number of other reachable routers, counted
 * by distinct link neighbours and verified contacts.
 */

// Specification constants
/** R from which there is a hop at all between two. */
const ONE_HOP = 2
/** Twenty routers with ours: below that an observer's guess is good. */
const MODERATE = 19

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
