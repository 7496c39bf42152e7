/** How much others may ask of us, and what no request may have. */
import { type Millis, seconds, type WallMillis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
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
/** Who asks is remembered; beyond that the least recent starts anew. */
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
export class Allowance {
  readonly #count: number
  readonly #window: Millis
  readonly #askers = new Lru<string, { since: Millis; used: number }>(MAX_ASKERS)

  constructor(count: number, window: Millis) {
    this.#count = count
    this.#window = window
  }

  take(asker: string, now: Millis): boolean {
    let account = this.#askers.get(asker)
    if (account === undefined || now >= account.since + this.#window) {
      account = { since: now, used: 0 }
      this.#askers.set(asker, account)
    }
    account.used++
    return account.used <= this.#count
  }
}
