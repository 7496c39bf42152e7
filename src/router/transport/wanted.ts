/** Messages for routers whose RouterInfo is being looked up. */
import type { Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'
import { OutputQueue, type Traffic } from '../../protocol/blocks/output-queue.ts'
import type { I2npMessage } from '../../protocol/i2np/message.ts'
import type { HashKey } from '../../protocol/structures/hash.ts'

// Implementation constants

/** A lookup that takes longer has failed, and most messages live no longer. */
const WANTED_MS = 10_000
/** Routers looked up at once for sending: tunnels ask for a few. */
const MAX_WANTED = 64
/** For one router: a few build messages; tunnel data goes only to routers that we know. */
const MAX_WANTED_MESSAGES = 16

export class Wanted {
  readonly #queues = new Map<HashKey, OutputQueue>()
  readonly #deadlines = new Deadlines<HashKey>()

  /** `new` when nobody asked for this router before; `full` when the message is not kept. */
  hold(key: HashKey, message: I2npMessage, traffic: Traffic, now: Millis): 'new' | 'held' | 'full' {
    const queue = this.#queues.get(key)
    if (queue !== undefined) {
      if (queue.size >= MAX_WANTED_MESSAGES) return 'full'
      queue.push(message, traffic, now)
      return 'held'
    }
    if (this.#queues.size >= MAX_WANTED) return 'full'
    const fresh = new OutputQueue()
    fresh.push(message, traffic, now)
    this.#queues.set(key, fresh)
    this.#deadlines.set(key, now + WANTED_MS)
    return 'new'
  }

  has(key: HashKey): boolean {
    return this.#queues.has(key)
  }

  /** What was held for `key`, no longer held here. */
  take(key: HashKey): OutputQueue | undefined {
    const queue = this.#queues.get(key)
    this.#queues.delete(key)
    this.#deadlines.clear(key)
    return queue
  }

  /** Forgets one router whose time is up; call until undefined. */
  expired(now: Millis): HashKey | undefined {
    const key = this.#deadlines.due(now)
    if (key !== undefined) this.#queues.delete(key)
    return key
  }

  next(): Millis | undefined {
    return this.#deadlines.next()
  }
}
