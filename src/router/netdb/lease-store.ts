/**
 * Lease sets, in stores that never mix (netDb page, "Multihoming"; Java's sub-databases): what others published to us as a
 * floodfill, which we serve, and what each client of ours looked up, which nobody else ever sees.
 */
import type { WallMillis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import { type LeaseSet, leaseSetEnd } from '../../protocol/structures/lease-set.ts'
import type { Client } from './events.ts'

// Implementation constants
/** A floodfill of the public network holds a few thousand; at 4 KiB each this is bounded memory. */
const MAX_PUBLISHED = 4096
/** Far destinations per client: as many as it has conversations with. */
const MAX_PER_CLIENT = 256
/** Local clients with lookups of their own. */
const MAX_CLIENTS = 64

export class LeaseStore {
  readonly #published = new Lru<HashKey, LeaseSet>(MAX_PUBLISHED)
  readonly #clients = new Lru<Client, Lru<HashKey, LeaseSet>>(MAX_CLIENTS)

  /** How many we hold as a floodfill. */
  get size(): number {
    return this.#published.size
  }

  /** Verified and dated well: the caller has seen to that. One without leases withdraws what we held. */
  add(ls: LeaseSet): 'new' | 'newer' | 'old' {
    const key = hashKey(ls.hash)
    const held = this.#published.get(key)
    if (held !== undefined && ls.published <= held.published) return 'old'
    if (ls.leases.length > 0) this.#published.set(key, ls)
    else if (held === undefined) return 'old'
    else this.#published.delete(key)
    return held === undefined ? 'new' : 'newer'
  }

  get(hash: Hash, wall: WallMillis): LeaseSet | undefined {
    return current(this.#published.get(hashKey(hash)), wall)
  }

  /** What `client` found. */
  addFor(client: Client, ls: LeaseSet): void {
    let own = this.#clients.get(client)
    if (own === undefined) {
      own = new Lru(MAX_PER_CLIENT)
      this.#clients.set(client, own)
    }
    const held = own.get(hashKey(ls.hash))
    if (held === undefined || ls.published > held.published) own.set(hashKey(ls.hash), ls)
  }

  getFor(client: Client, hash: Hash, wall: WallMillis): LeaseSet | undefined {
    return current(this.#clients.get(client)?.get(hashKey(hash)), wall)
  }

  forget(client: Client): void {
    this.#clients.delete(client)
  }

  expire(wall: WallMillis): void {
    dropOld(this.#published, wall)
    for (const [, own] of this.#clients.entries()) dropOld(own, wall)
  }
}

function current(ls: LeaseSet | undefined, wall: WallMillis): LeaseSet | undefined {
  return ls !== undefined && leaseSetEnd(ls) > wall ? ls : undefined
}

function dropOld(store: Lru<HashKey, LeaseSet>, wall: WallMillis): void {
  for (const [key, ls] of store.entries()) if (leaseSetEnd(ls) <= wall) store.delete(key)
}
