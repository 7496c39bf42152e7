/** The near end of a tunnel: an outbound tunnel's gateway is its creator, an inbound tunnel's some hop. */
import type { Millis } from '../../base/clock.ts'
import type { Traffic } from '../../protocol/blocks/output-queue.ts'
import { MessageType } from '../../protocol/i2np/message.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { TunnelDelivery } from '../../protocol/tunnel-data/delivery.ts'
import { Fragmenter } from '../../protocol/tunnel-data/fragmenter.ts'
import type { Layers } from '../../protocol/tunnel-data/layers.ts'
import { Batch } from './batch.ts'
import { setTunnelId, type TunnelTable } from './table.ts'
import type { Due, TunnelSink } from './tunnel-event.ts'

// Implementation constants
/**
 * A block that is not full leaves at once unless another did so less than this ago: a lone message is never late, and a burst
 * shares blocks.
 */
const FLUSH_INTERVAL: Millis = 5

export class Gateway implements Due {
  readonly #table: TunnelTable
  readonly #batch: Batch<Uint8Array>
  readonly #fragmenter: Fragmenter
  readonly #blocks: Uint8Array[] = []
  #flushedAt: Millis = Number.NEGATIVE_INFINITY

  constructor(table: TunnelTable, next: Hash, nextTunnelId: number, layers: Layers, traffic: Traffic) {
    this.#table = table
    this.#batch = new Batch(table, layers, (payload, _block, now, out) => {
      setTunnelId(payload, nextTunnelId)
      const message = table.envelope(MessageType.TunnelData, payload, now)
      out.event({ kind: 'send', to: next, message, traffic })
    })
    this.#fragmenter = new Fragmenter(table.random)
  }

  /** `message` has its standard header and is at most `MAX_MESSAGE` long. */
  send(delivery: TunnelDelivery, message: Uint8Array, now: Millis, out: TunnelSink): void {
    this.#fragmenter.add(delivery, message, this.#blocks)
    if (this.#fragmenter.held > 0) {
      const flushAt = this.#flushedAt + FLUSH_INTERVAL
      if (now >= flushAt) this.#flush(now)
      else this.#table.deadlines.set(this, flushAt)
    }
    this.#emit(now, out)
  }

  due(now: Millis, out: TunnelSink): void {
    this.#flush(now)
    this.#emit(now, out)
  }

  /** Forgets what waits: the tunnel is over. */
  close(): void {
    this.#table.deadlines.clear(this)
  }

  #flush(now: Millis): void {
    this.#flushedAt = now
    this.#table.deadlines.clear(this)
    this.#fragmenter.flush(this.#blocks)
  }

  #emit(now: Millis, out: TunnelSink): void {
    const blocks = this.#blocks
    for (let i = 0; i < blocks.length; i++) this.#batch.add(blocks[i]!, blocks[i]!, now, out)
    blocks.length = 0
  }
}
