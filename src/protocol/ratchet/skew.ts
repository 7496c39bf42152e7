/** How far a DateTime may be off (ecies, "Parameters"). */
import type { WallMillis } from '../../base/clock.ts'

// Specification constants

/** "-5 minutes to +2 minutes": the sender's date against ours. */
const MAX_PAST = 5 * 60_000
const MAX_FUTURE = 2 * 60_000

/** How long a message stays acceptable after it first was: what a replay filter has to remember. */
export const SKEW_SPAN: number = MAX_PAST + MAX_FUTURE

/** `dateTime` is in seconds since 1970. */
export function inSkew(dateTime: number, wall: WallMillis): boolean {
  const age = wall - dateTime * 1000
  return age <= MAX_PAST && age >= -MAX_FUTURE
}
