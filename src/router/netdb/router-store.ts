/** The RouterInfos we know, all verified, with what we experienced of each (netDb page, "RouterInfo"; peer-selection). */
import type { Millis, WallMillis } from '../../base/clock.ts'
import { SignatureType } from '../../crypto/signature.ts'
import { EncryptionType } from '../../protocol/structures/certificate.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { NetDbOptions } from './events.ts'
import { compareDistance, type Day, routingKey, utcDay } from './kademlia.ts'

// Specification constants
/** The netId of the public network. */
const PUBLIC_NETWORK = 2
/** Floodfills older than this are not asked on the public network: Java's and i2pd's floor. */
const MIN_FLOODFILL_VERSION = 959
/** On private networks the first version that answers lookups encrypted for ECIES is enough. */
const MIN_PRIVATE_FLOODFILL_VERSION = 946
/** No store of an older RouterInfo is accepted. */
export const MAX_STORE_AGE: Millis = 27 * 3_600_000

// Implementation constants
/** While we know no more routers than this, an old RouterInfo is better than none. */
const FEW_ROUTERS = 90
/** How old a RouterInfo on disk may be: a device that comes out of a drawer starts with what it has. */
export const MAX_KEPT_AGE: Millis = 30 * 86_400_000
/** Age limits by the number known: a larger table can afford to be younger. */
const AGE_BY_SIZE: readonly (readonly [number, Millis])[] = [
  [2000, 3 * 3_600_000],
  [600, 8 * 3_600_000],
  [0, MAX_STORE_AGE],
]
/** A live router publishes every 40 minutes or so: one with an older RouterInfo may be gone, and is asked after all others. */
const FRESH: Millis = 90 * 60_000
/** A router that did not answer comes last for so long, twice as long each time in a row. */
const FIRST_PENALTY: Millis = 30_000
const MAX_PENALTY: Millis = 1_800_000

interface Entry {
  routerInfo: RouterInfo
  floodfill: boolean
  /** When it was last received, or last answered us. */
  usedAt: Millis
  penalty: Millis
  penalisedUntil: Millis
  routingDay: Day
  routingKey: Hash
}

export class RouterStore {
  readonly #entries = new Map<HashKey, Entry>()
  readonly #options: NetDbOptions

  constructor(options: NetDbOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#entries.size
  }

  get(hash: Hash): RouterInfo | undefined {
    return this.#entries.get(hashKey(hash))?.routerInfo
  }

  *values(): IterableIterator<RouterInfo> {
    for (const entry of this.#entries.values()) yield entry.routerInfo
  }

  /** Verified, of our network and dated well: the caller has seen to that. Never our own. */
  add(ri: RouterInfo, now: Millis): 'new' | 'newer' | 'old' {
    const key = hashKey(ri.hash)
    const entry = this.#entries.get(key)
    if (entry !== undefined) {
      if (ri.published <= entry.routerInfo.published) return 'old'
      entry.routerInfo = ri
      entry.floodfill = this.#isFloodfill(ri)
      entry.usedAt = now
      return 'newer'
    }
    if (this.#entries.size >= this.#options.maxRouters) this.#evict()
    this.#entries.set(key, {
      routerInfo: ri,
      floodfill: this.#isFloodfill(ri),
      usedAt: now,
      penalty: 0,
      penalisedUntil: now,
      routingDay: -1,
      routingKey: ri.hash,
    })
    return 'new'
  }

  /** It did what it was asked. */
  answered(hash: Hash, now: Millis): void {
    const entry = this.#entries.get(hashKey(hash))
    if (entry === undefined) return
    entry.usedAt = now
    entry.penalty = 0
    entry.penalisedUntil = now
  }

  /** It let a question time out. */
  silent(hash: Hash, now: Millis): void {
    const entry = this.#entries.get(hashKey(hash))
    if (entry === undefined || now < entry.penalisedUntil) return
    entry.penalty = entry.penalty === 0 ? FIRST_PENALTY : Math.min(MAX_PENALTY, entry.penalty * 2)
    entry.penalisedUntil = now + entry.penalty
  }

  /** How many floodfills could be asked. */
  floodfills(): number {
    let count = 0
    for (const entry of this.#entries.values()) if (this.#usable(entry)) count++
    return count
  }

  /**
   * The `count` usable floodfills closest to `target` on the day of `wall`, closest first; those that were silent lately, or
   * not heard of for long, after all others.
   */
  closestFloodfills(
    target: Hash,
    count: number,
    excluded: ReadonlySet<HashKey>,
    wall: WallMillis,
    now: Millis,
  ): RouterInfo[] {
    const likely = (e: Entry): boolean =>
      now >= e.penalisedUntil &&
      (e.routerInfo.published >= wall - FRESH || this.#options.connected(e.routerInfo.hash))
    const first = this.#closest(target, count, wall, (e, key) => {
      return !excluded.has(key) && this.#usable(e) && likely(e)
    })
    if (first.length >= count) return first
    const last = this.#closest(target, count - first.length, wall, (e, key) => {
      return !excluded.has(key) && this.#usable(e) && !likely(e)
    })
    return [...first, ...last]
  }

  /** For exploratory lookups: routers that answer no lookups themselves. */
  closestOthers(target: Hash, count: number, excluded: ReadonlySet<HashKey>, wall: WallMillis): RouterInfo[] {
    return this.#closest(target, count, wall, (e, key) => {
      return !e.floodfill && !excluded.has(key) && !e.routerInfo.caps.includes('H')
    })
  }

  /** Drops what is too old for the number we know; the last few stay. */
  expire(wall: WallMillis): void {
    const limit = AGE_BY_SIZE.find(([size]) => this.#entries.size >= size)![1]
    const old: [HashKey, WallMillis][] = []
    for (const [key, { routerInfo }] of this.#entries) {
      if (routerInfo.published < wall - limit) old.push([key, routerInfo.published])
    }
    old.sort((a, b) => a[1] - b[1])
    for (const [key] of old) {
      if (this.#entries.size <= FEW_ROUTERS) return
      this.#entries.delete(key)
    }
  }

  #closest(
    target: Hash,
    count: number,
    wall: WallMillis,
    wanted: (e: Entry, key: HashKey) => boolean,
  ): RouterInfo[] {
    const day = utcDay(wall)
    const goal = routingKey(target, day)
    const best: Entry[] = []
    for (const [key, entry] of this.#entries) {
      if (!wanted(entry, key)) continue
      if (entry.routingDay !== day) {
        entry.routingKey = routingKey(entry.routerInfo.hash, day)
        entry.routingDay = day
      }
      let at = best.length
      while (at > 0 && compareDistance(goal, entry.routingKey, best[at - 1]!.routingKey) < 0) at--
      if (at === count) continue
      best.splice(at, 0, entry)
      if (best.length > count) best.pop()
    }
    return best.map((e) => e.routerInfo)
  }

  #isFloodfill(ri: RouterInfo): boolean {
    const { caps, identity, version } = ri
    const floor =
      this.#options.netId === PUBLIC_NETWORK ? MIN_FLOODFILL_VERSION : MIN_PRIVATE_FLOODFILL_VERSION
    return (
      caps.includes('f') &&
      !caps.includes('H') &&
      version >= floor &&
      identity.encryptionType === EncryptionType.X25519 &&
      identity.signingType === SignatureType.EdDSA_SHA512_Ed25519
    )
  }

  #usable(entry: Entry): boolean {
    if (!entry.floodfill) return false
    const ri = entry.routerInfo
    return (this.#options.reachable?.(ri) ?? !ri.caps.includes('U')) || this.#options.connected(ri.hash)
  }

  /** Makes room: the one longest unused that we have no session with. */
  #evict(): void {
    let worst: HashKey | undefined
    let usedAt = Number.POSITIVE_INFINITY
    for (const [key, entry] of this.#entries) {
      if (entry.usedAt >= usedAt || this.#options.connected(entry.routerInfo.hash)) continue
      worst = key
      usedAt = entry.usedAt
    }
    worst ??= this.#entries.keys().next().value
    if (worst !== undefined) this.#entries.delete(worst)
  }
}
