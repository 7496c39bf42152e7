/** How many connections strangers may begin: each source, and all of them. */
import type { Millis } from '../../base/clock.ts'
import { Throttle } from '../../base/throttle.ts'
import { sourceKey } from './addresses.ts'
import type { TransportLimits } from './limits.ts'

// Implementation constants

/** Sources remembered; an attacker with more addresses than this meets the common rate. */
const MAX_SOURCES = 4096
/** A source whose handshake was refused pays for as many more, so that probing is slow. */
const PENALTY = 3

export class InboundRate {
  readonly #rates: Throttle

  constructor(limits: TransportLimits) {
    const each = { perSecond: 1000 / limits.sourceIntervalMs, burst: limits.sourceBurst }
    const all = { perSecond: 1000 / limits.handshakeIntervalMs, burst: limits.handshakeBurst }
    this.#rates = new Throttle({ each, all }, MAX_SOURCES)
  }

  /** Whether one more connection from `address` may begin. */
  allow(address: string, now: Millis): boolean {
    return this.#rates.take(sourceKey(address), now)
  }

  /** Its handshake was refused. */
  failed(address: string, now: Millis): void {
    this.#rates.penalise(sourceKey(address), PENALTY, now)
  }
}
