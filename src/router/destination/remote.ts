/** What one of our destinations knows of one far destination: its lease set, the lease in use, what waits for either. */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { Ring } from '../../base/ring.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { Lease } from '../../protocol/structures/lease.ts'
import type { LeaseSet } from '../../protocol/structures/lease-set.ts'

// Specification constants

/** X25519 in a lease set's key list (common-structures, "Crypto key types"). */
const ENCRYPTION_X25519 = 4

// Implementation constants

/** Payloads held while a lease set is looked up: a first window of streaming packets and its retransmissions. */
const MAX_WAITING = 64
/** A lease is left this long before its end: a message needs a few seconds through two tunnels. */
const LEASE_MARGIN: WallMillis = 10_000
/** The lease set is looked up anew when its last lease ends within this. */
const REFRESH_MARGIN: WallMillis = 60_000
/** A lease that lost packets is not chosen again for this long while there is another. */
const LEASE_PENALTY: Millis = 30_000
/** No second lookup within this, nor that soon after one that failed: the answer may be the lease set we have. */
const LOOKUP_BACKOFF: Millis = 2_000
/** A destination without lease set is asked for this long: one that was just started is published within seconds. */
const PATIENCE: Millis = 7_000

export class Remote {
  readonly hash: Hash
  readonly waiting: Ring<Uint8Array> = new Ring(MAX_WAITING)
  leaseSet: LeaseSet | undefined
  /** Number of our own lease set that it is known to hold; 0 for none. */
  heldLeaseSet = 0
  /** Our lease set that was last sent along, and when: not with every packet until the answer comes. */
  sentLeaseSet = 0
  sentLeaseSetAt: Millis = Number.NEGATIVE_INFINITY
  /** When anything was last sent to it. */
  sentAt: Millis = Number.NEGATIVE_INFINITY
  /** All its leases are known to be dead: only a newer lease set leads to it. */
  stranded = false
  /** Set while an acknowledgement for our lease set is awaited. */
  ackAwaited: number | undefined
  #looking = false
  #missingSince: Millis | undefined
  /** What was sent to its leases went unanswered: it may have others by now. */
  #doubtful = false
  #lookAgainAt: Millis = Number.NEGATIVE_INFINITY
  #lease: Lease | undefined
  readonly #penalties = new Map<string, Millis>()

  constructor(hash: Hash) {
    this.hash = hash
  }

  /** The X25519 key to encrypt to, wherever it stands in the list (its order differs between routers). */
  get encryptionKey(): Uint8Array | undefined {
    return this.leaseSet?.encryptionKeys.find((k) => k.type === ENCRYPTION_X25519)?.key
  }

  /** The lease in use. */
  get current(): Lease | undefined {
    return this.#lease
  }

  /** Takes `leaseSet` unless the one held is as new. */
  learn(leaseSet: LeaseSet): void {
    this.#looking = false
    this.#missingSince = undefined
    if (this.leaseSet !== undefined && this.leaseSet.published >= leaseSet.published) return
    this.leaseSet = leaseSet
    this.stranded = false
    const current = this.#lease
    this.#lease = leaseSet.leases.find((l) => current !== undefined && key(l) === key(current))
  }

  /** True when a lookup should start now: none is under way and the leases are missing, about to end, or in doubt. */
  wantsLookup(now: Millis, wall: WallMillis): boolean {
    if (this.#looking || now < this.#lookAgainAt) return false
    const last = this.leaseSet?.leases.reduce((end, l) => Math.max(end, l.end), 0) ?? 0
    if (last > wall + REFRESH_MARGIN && !this.#doubtful) return false
    this.#looking = true
    this.#doubtful = false
    this.#lookAgainAt = now + LOOKUP_BACKOFF
    return true
  }

  /** A lookup found nothing. Returns when to ask again; undefined when it is time to give up. */
  lookupFailed(now: Millis): Millis | undefined {
    this.#looking = false
    this.#lookAgainAt = now + LOOKUP_BACKOFF
    this.#missingSince ??= now
    if (now < this.#missingSince + PATIENCE) return this.#lookAgainAt
    this.#missingSince = undefined
    return undefined
  }

  /** The lease to send to: the same as long as it serves, else one at random that is neither about to end nor penalised. */
  lease(now: Millis, wall: WallMillis, random: Random): Lease | undefined {
    const leases = this.leaseSet?.leases ?? []
    const held = this.#lease
    if (held !== undefined && held.end > wall + LEASE_MARGIN) return held
    const alive = leases.filter((l) => l.end > wall + LEASE_MARGIN)
    const good = alive.filter((l) => (this.#penalties.get(key(l)) ?? 0) <= now)
    const from = good.length > 0 ? good : alive.length > 0 ? alive : leases.filter((l) => l.end > wall)
    this.#lease = from.length > 0 ? from[random.below(from.length)] : undefined
    return this.#lease
  }

  /** The next `wantsLookup` is answered with yes, if none is under way. */
  doubt(): void {
    this.#doubtful = true
  }

  /** That router is gone. True when leases went with it; `stranded` then says whether all did. */
  gatewayGone(gateway: Hash, now: Millis): boolean {
    const leases = this.leaseSet?.leases ?? []
    const dead = leases.filter((l) => sameBytes(l.gateway, gateway))
    if (dead.length === 0) return false
    for (const lease of dead) this.#penalties.set(key(lease), now + LEASE_PENALTY)
    if (this.#lease !== undefined && sameBytes(this.#lease.gateway, gateway)) this.#lease = undefined
    this.stranded = dead.length === leases.length
    this.#doubtful = true
    this.#lookAgainAt = now
    return true
  }

  /** Packets to the lease in use were lost: the next one goes elsewhere. */
  leaseFailed(now: Millis): void {
    this.#doubtful = true
    if (this.#lease === undefined) return
    if (this.#penalties.size >= 64) this.#penalties.clear()
    this.#penalties.set(key(this.#lease), now + LEASE_PENALTY)
    this.#lease = undefined
  }
}

function key(lease: Lease): string {
  return `${lease.tunnelId}/${lease.gateway[0]}/${lease.gateway[1]}/${lease.gateway[2]}`
}
