/** Which build requests of others are looked at, and which are granted (tunnel-implementation, "Throttling"). */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import type { Random } from '../../base/random.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import { TokenBucket } from './token-bucket.ts'
import type { TransitLimits } from './tunnel-event.ts'

// Implementation constants
/** Neighbours whose request rate is remembered: more than a router has sessions. */
const MAX_THROTTLED_PEERS = 2048
/** Share of the capacity from which requests are refused at random, so that load does not swing between all and nothing. */
const RANDOM_REFUSAL_FROM = 0.7
/** No neighbour may hold more of our capacity than this, once it has more tunnels than the floor. */
const PEER_SHARE = 0.25
const PEER_FLOOR = 100
/** Seconds of full rate that the bandwidth bucket saves up. */
const BANDWIDTH_BURST_SECONDS = 2
/** Seconds' worth of requests that may come at once from everyone: a neighbourhood that starts together. */
const TOTAL_BURST_SECONDS = 2

export class Admission {
  readonly bandwidth: TokenBucket
  readonly #random: Random
  #limits: TransitLimits
  readonly #peers = new Lru<HashKey, TokenBucket>(MAX_THROTTLED_PEERS)
  readonly #total: TokenBucket
  /** Tunnels in which a neighbour stands before or after us. */
  readonly #held = new Map<HashKey, number>()

  constructor(limits: TransitLimits, random: Random) {
    this.#limits = limits
    this.#random = random
    const rate = limits.transitBytesPerSecond
    this.bandwidth = new TokenBucket(rate, rate * BANDWIDTH_BURST_SECONDS)
    this.#total = new TokenBucket(limits.buildsPerSecond, limits.buildsPerSecond * TOTAL_BURST_SECONDS)
  }

  get limits(): TransitLimits {
    return this.#limits
  }

  set limits(limits: TransitLimits) {
    this.#limits = limits
    this.bandwidth.rate = limits.transitBytesPerSecond
    this.bandwidth.burst = limits.transitBytesPerSecond * BANDWIDTH_BURST_SECONDS
    this.#total.rate = limits.buildsPerSecond
    this.#total.burst = limits.buildsPerSecond * TOTAL_BURST_SECONDS
  }

  /** Before anything is decrypted. `from` is undefined for what came in garlic; that is one sender. */
  mayAsk(from: Hash | undefined, now: Millis): boolean {
    const key = from === undefined ? '' : hashKey(from)
    const { peerBuildsPerSecond, peerBuildBurst } = this.#limits
    let bucket = this.#peers.get(key)
    if (bucket === undefined) {
      // Garlic comes from all creators of inbound tunnels together.
      const scale = from === undefined ? 4 : 1
      bucket = new TokenBucket(peerBuildsPerSecond * scale, peerBuildBurst * scale)
      this.#peers.set(key, bucket)
    }
    // The neighbour's own rate first: what it sends in excess costs the others nothing.
    return bucket.take(1, now) && this.#total.take(1, now)
  }

  /** Whether there is room for one more among `transit` tunnels. */
  grants(transit: number, previous: Hash | undefined, next: Hash, now: Millis): boolean {
    const { maxTransit } = this.#limits
    if (transit >= maxTransit) return false
    const share = Math.max(PEER_FLOOR, maxTransit * PEER_SHARE)
    if (this.#count(next) >= share || (previous !== undefined && this.#count(previous) >= share)) return false
    const { burst } = this.bandwidth
    const used = Number.isFinite(burst) ? 1 - this.bandwidth.available(now) / burst : 0
    const load = Math.max(transit / maxTransit, used)
    const excess = (load - RANDOM_REFUSAL_FROM) / (1 - RANDOM_REFUSAL_FROM)
    return excess <= 0 || this.#random.below(1 << 16) >= excess * (1 << 16)
  }

  /** A tunnel between these two was granted (1) or is over (-1). */
  hold(previous: Hash | undefined, next: Hash, by: 1 | -1): void {
    if (previous !== undefined) this.#add(previous, by)
    this.#add(next, by)
  }

  #count(peer: Hash): number {
    return this.#held.get(hashKey(peer)) ?? 0
  }

  #add(peer: Hash, by: number): void {
    const key = hashKey(peer)
    const count = (this.#held.get(key) ?? 0) + by
    if (count > 0) this.#held.set(key, count)
    else this.#held.delete(key)
  }
}
