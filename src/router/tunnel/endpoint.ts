/** The far end of a tunnel: blocks in, messages out. */
import type { Millis } from '../../base/clock.ts'
import { type FragmentBudget, type Reassembled, Reassembler } from '../../protocol/tunnel-data/reassembler.ts'
import type { TunnelTable } from './table.ts'
import type { Due } from './tunnel-event.ts'

export class Endpoint implements Due {
  readonly #table: TunnelTable
  readonly #reassembler: Reassembler

  constructor(table: TunnelTable, budget: FragmentBudget) {
    this.#table = table
    this.#reassembler = new Reassembler(budget)
  }

  /** `block` is decrypted. What came out whole. */
  receive(block: Uint8Array, now: Millis): readonly Reassembled[] {
    const done: Reassembled[] = []
    const waited = this.#reassembler.pending > 0
    if (!this.#reassembler.receive(block, now, done))
      this.#table.log.write('debug', 'malformed tunnel message')
    if (waited || this.#reassembler.pending > 0) this.#schedule()
    return done
  }

  due(now: Millis): void {
    this.#reassembler.timeout(now)
    this.#schedule()
  }

  /** Forgets unfinished messages: the tunnel is over. */
  close(): void {
    this.#reassembler.clear()
    this.#schedule()
  }

  #schedule(): void {
    const at = this.#reassembler.nextTimeout()
    if (at === undefined) this.#table.deadlines.clear(this)
    else this.#table.deadlines.set(this, at)
  }
}
