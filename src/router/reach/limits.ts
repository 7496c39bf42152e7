/** How much others may ask of us, and what no request may have. */
import { type Millis, seconds, type WallMillis } from '../../base/clock.ts'
import { Throttle } from '../../base/throttle.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'

// Specification constants

/** "Within a valid skew (recommended +/- 2 minutes)" (ssu2, "Replay Prevention"), in seconds. */
const MAX_SKEW = 120

// Implementation constants

/** "Port validation should reject privileged ports": below is where other people's services are. */
const MIN_PORT = 1024
/** A nonce is remembered for longer than its timestamp is good. */
export const NONCE_MS: Millis = 2 * MAX_SKEW * 1000
/** Nonces remembered; the allowances let pass far fewer. */
export const MAX_NONCES = 2048
/** Tests, and introductions, under way at once for others, by role. */
export const MAX_SERVED = 32
/** Askers remembered; beyond that the least recent starts anew. */
const MAX_ASKERS = 1024

/** Whether a signed timestamp is close enough to our date. */
export function isTimely(timestamp: number | undefined, wall: WallMillis): boolean {
  return timestamp !== undefined && Math.abs(timestamp - seconds(wall)) <= MAX_SKEW
}

/** Whether `to` is a place that we send to because somebody asks us to. */
export function isTarget(to: IpPort, mayReach: (ip: Uint8Array) => boolean): boolean {
  return to.port >= MIN_PORT && mayReach(to.ip)
}

/** So many in any window, for each that asks. */
/** So many at once, and so many in each window after that, for each that asks. */
export function allowance(count: number, window: Millis): Throttle {
  return new Throttle({ each: { perSecond: (1000 * count) / window, burst: count } }, MAX_ASKERS)
}
