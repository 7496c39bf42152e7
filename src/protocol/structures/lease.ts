/** Where a destination's tunnels begin (common-structures, "Lease" and "Lease2"). */
import type { Reader, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { HASH_LENGTH, type Hash } from './hash.ts'

// Specification constants
/** In one lease set. */
export const MAX_LEASES = 16
export const LEASE2_LENGTH = 40

export interface Lease {
  readonly gateway: Hash
  readonly tunnelId: number
  /** A Lease2 has whole seconds. */
  readonly end: WallMillis
}

/** 44 bytes, the date in milliseconds. */
export function readLease(r: Reader): Lease {
  return { gateway: r.take(HASH_LENGTH), tunnelId: r.u32(), end: r.u64() }
}

/** 40 bytes, the date in seconds. */
export function readLease2(r: Reader): Lease {
  return { gateway: r.take(HASH_LENGTH), tunnelId: r.u32(), end: r.u32() * 1000 }
}

export function writeLease2(lease: Lease, w: Writer): void {
  w.put(lease.gateway)
    .u32(lease.tunnelId)
    .u32(Math.floor(lease.end / 1000))
}
