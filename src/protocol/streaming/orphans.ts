/** Packets of streams whose SYNCHRONIZE has not come yet: tunnels reorder (docs/api/streaming, "Setup"). */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import type { Hash } from '../structures/hash.ts'

// Implementation constants

/** Streams waited for at once, and packets each: more than the first flight of a peer. */
const MAX_STREAMS = 64
const MAX_PACKETS = 16
/** A SYNCHRONIZE that comes later than this is sent again with all the rest. */
const LIFETIME: Millis = 10_000

export interface Orphan {
  readonly bytes: Uint8Array
  readonly from: Hash | undefined
}

interface Waiting {
  readonly since: Millis
  readonly packets: Orphan[]
}

export class Orphans {
  /** By the sender's stream id, oldest first. */
  readonly #waiting = new Lru<number, Waiting>(MAX_STREAMS)

  get size(): number {
    return this.#waiting.size
  }

  add(id: number, orphan: Orphan, now: Millis): void {
    this.expire(now)
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) this.#waiting.set(id, { since: now, packets: [orphan] })
    else if (waiting.packets.length < MAX_PACKETS) waiting.packets.push(orphan)
  }

  /** What came ahead of `id`'s SYNCHRONIZE. */
  take(id: number): readonly Orphan[] {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting?.packets ?? []
  }

  /** Returns when to call again. */
  expire(now: Millis): Millis | undefined {
    let next: Millis | undefined
    for (const [id, { since }] of this.#waiting.entries()) {
      const at = since + LIFETIME
      if (at <= now) this.#waiting.delete(id)
      else if (next === undefined || at < next) next = at
    }
    return next
  }
}
