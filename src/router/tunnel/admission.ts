/** Which build requests of others are looked at, and which are granted (tunnel-implementation, "Throttling"). */
import type { Millis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { Throttle } from '../../base/throttle.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { Policer } from './policer.ts'
import type { TransitLimits } from './tunnel-event.ts'

// Implementation constants
/** Neighbours whose request rate is remembered: more than a router has sessions. */
const MAX_THROTTLED_PEERS = 2048
/** Share of the capacity from which requests are refused at random, so that load does not swing between all and nothing. */
const RANDOM_REFUSAL_FROM = 0.7
/** No neighbour may hold more of our capacity than this, once it has more tunnels than the floor. */
const PEER_SHARE = 0.25
const PEER_FLOOR = 100
/** Seconds' worth of requests that may come at once from everyone: a neighbourhood that starts together. */
const TOTAL_BURST_SECONDS = 2

export class Admission {
  readonly #random: Random
  readonly #policer: Policer
  readonly #asked: Throttle
  /** Tunnels in which a neighbour stands before or after us. */
  readonly #held = new Map<HashKey, number>()
  limits: TransitLimits

  /** The rates of requests in `limits` are those of now: later limits leave them as they are. */
  constructor(limits: TransitLimits, policer: Policer, random: Random) {
    this.limits = limits
    this.#policer = policer
    this.#random = random
    const { peerBuildsPerSecond, peerBuildBurst, buildsPerSecond } = limits
    const rates = {
      each: { perSecond: peerBuildsPerSecond, burst: peerBuildBurst },
      // Garlic comes from all creators of inbound tunnels together.
      unnamed: { perSecond: 4 * peerBuildsPerSecond, burst: 4 * peerBuildBurst },
      all: { perSecond: buildsPerSecond, burst: TOTAL_BURST_SECONDS * buildsPerSecond },
    }
    this.#asked = new Throttle(rates, MAX_THROTTLED_PEERS)
  }

  /** Before anything is decrypted. `from` is undefined for what came in garlic. */
  mayAsk(from: Hash | undefined, now: Millis): boolean {
    return this.#asked.take(from && hashKey(from), now)
  }

  /** Whether there is room for one more among `transit` tunnels. */
  grants(transit: number, previous: Hash | undefined, next: Hash, now: Millis): boolean {
    const { maxTransit } = this.limits
    if (transit >= maxTransit) return false
    const share = Math.max(PEER_FLOOR, maxTransit * PEER_SHARE)
    if (this.#count(next) >= share || (previous !== undefined && this.#count(previous) >= share)) return false
    const load = Math.max(transit / maxTransit, this.#policer.load(now))
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
