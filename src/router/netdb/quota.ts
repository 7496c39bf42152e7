/** How often one peer may ask something of us. */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import type { HashKey } from '../../protocol/structures/hash.ts'

// Implementation constants
/** Peers remembered at once: more than a router talks to within a window. */
const MAX_PEERS = 1024

export class Quota {
  readonly #used = new Lru<HashKey, { count: number; readonly until: Millis }>(MAX_PEERS)
  readonly #limit: number
  readonly #window: Millis

  /** At most `limit` per peer in each `window`. */
  constructor(limit: number, window: Millis) {
    this.#limit = limit
    this.#window = window
  }

  /** False when `peer` has had its share. */
  take(peer: HashKey, now: Millis): boolean {
    const used = this.#used.get(peer)
    if (used === undefined || now >= used.until) {
      this.#used.set(peer, { count: 1, until: now + this.#window })
      return true
    }
    if (used.count >= this.#limit) return false
    used.count++
    return true
  }
}
