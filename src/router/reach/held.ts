/** Blocks that name a router of which we have not heard yet: its RouterInfo was sent before them, and may have been lost. */
import type { Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'

// Implementation constants

/** For the sender to find out that a packet was lost, and to repeat it. */
const WAIT_MS: Millis = 3_000
const MAX_HELD = 32
/** Of one peer. */
const MAX_HELD_EACH = 4

export interface HeldBlock {
  readonly from: Hash
  readonly type: number
  readonly data: Uint8Array
}

interface Entry extends HeldBlock {
  readonly router: HashKey
}

export class Held {
  readonly #entries = new Map<number, Entry>()
  readonly #deadlines = new Deadlines<number>()
  #next = 0

  nextTimeout(): Millis | undefined {
    return this.#deadlines.next()
  }

  /** False when there is no room: then it has to do without. */
  hold(router: Hash, block: HeldBlock, now: Millis): boolean {
    const from = hashKey(block.from)
    let each = 0
    for (const entry of this.#entries.values()) if (hashKey(entry.from) === from) each++
    if (each >= MAX_HELD_EACH || this.#entries.size >= MAX_HELD) return false
    const id = this.#next++
    this.#entries.set(id, { ...block, router: hashKey(router) })
    this.#deadlines.set(id, now + WAIT_MS)
    return true
  }

  /** Those that waited for this router. */
  found(router: Hash): HeldBlock[] {
    const found: HeldBlock[] = []
    if (this.#entries.size === 0) return found
    const key = hashKey(router)
    for (const [id, entry] of this.#entries) {
      if (entry.router !== key) continue
      this.#entries.delete(id)
      this.#deadlines.clear(id)
      found.push(entry)
    }
    return found
  }

  /** Those that waited in vain. */
  expired(now: Millis): HeldBlock[] {
    const expired: HeldBlock[] = []
    for (let id = this.#deadlines.due(now); id !== undefined; id = this.#deadlines.due(now)) {
      expired.push(this.#entries.get(id)!)
      this.#entries.delete(id)
    }
    return expired
  }
}
