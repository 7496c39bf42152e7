/** What a machine can afford at present: said by power/, followed by a router and a neighbourhood. Hops are not in it. */
import type { Millis } from './clock.ts'

/** Steps, not a scale, so that peers cannot follow a battery's charge. */
export type PowerProfile = 'mains' | 'high' | 'half' | 'low'

export interface Budget {
  readonly profile: PowerProfile
  /** Of a client pool, each way. */
  readonly clientTunnels: number
  readonly exploratoryTunnels: number
  /** Of the configured limit on tunnels carried for others; 0 to 1. */
  readonly transitShare: number
  /** Mean time between announcements to neighbours. */
  readonly announceInterval: Millis
  /** Whether a link that comes up is announced on a little less. */
  readonly onBattery: boolean
}
