/** How many bytes a second a router may use, and for what. */
import { TokenBucket } from '../base/token-bucket.ts'
import type { OutRates } from './transport/shaper.ts'
import type { TransitLimits } from './tunnel/tunnel-event.ts'

// Implementation constants

/** Seconds of the rate that may come in at once, and that may be owed, before others' messages are dropped. */
const INBOUND_BURST_SECONDS = 1

export class Bandwidth {
  /** What comes in. Only others' tunnel messages can be refused, so they give way to everything else. */
  readonly inbound: TokenBucket = new TokenBucket(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  out!: OutRates

  /** `all`: of everything, each way. */
  constructor(transit: TransitLimits, all?: number) {
    this.set(transit, all)
  }

  set(transit: TransitLimits, all: number = Number.POSITIVE_INFINITY): void {
    this.out = { all, transit: transit.transitBytesPerSecond }
    this.inbound.rate = all
    this.inbound.burst = all * INBOUND_BURST_SECONDS
  }
}
