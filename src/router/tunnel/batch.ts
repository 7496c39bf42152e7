/**
 * Blocks of one tunnel that come in one turn get their layers together, which costs half as much (see `TunnelLayerCipher`).
 * What is left to do with each follows in the order in which they came.
 */
import type { Millis } from '../../base/clock.ts'
import { type Layers, MAX_BATCH } from '../../protocol/tunnel-data/layers.ts'
import { TUNNEL_ID_LENGTH, type TunnelTable } from './table.ts'
import type { TunnelSink } from './tunnel-event.ts'

export class Batch<T> {
  readonly #table: TunnelTable
  readonly #layers: Layers
  readonly #done: (item: T, block: Uint8Array, now: Millis, out: TunnelSink) => void
  #items: T[] = []
  #blocks: Uint8Array[] = []

  /** `done` gets each item and its block, layered. */
  constructor(
    table: TunnelTable,
    layers: Layers,
    done: (item: T, block: Uint8Array, now: Millis, out: TunnelSink) => void,
  ) {
    this.#table = table
    this.#layers = layers
    this.#done = done
  }

  /** `payload` is a TunnelData's, of 1028 bytes, and this tunnel's own from now on. */
  add(item: T, payload: Uint8Array, now: Millis, out: TunnelSink): void {
    if (this.#items.length === 0) this.#table.wait(this, now)
    this.#items.push(item)
    this.#blocks.push(payload.subarray(TUNNEL_ID_LENGTH))
    if (this.#items.length === MAX_BATCH) this.flush(now, out)
  }

  flush(now: Millis, out: TunnelSink): void {
    const items = this.#items
    const blocks = this.#blocks
    if (items.length === 0) return
    this.#items = []
    this.#blocks = []
    this.#layers.apply(blocks)
    for (let i = 0; i < items.length; i++) this.#done(items[i]!, blocks[i]!, now, out)
  }
}
