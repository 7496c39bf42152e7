/** What has arrived out of order, and what is missing before it. */
import { MAX_NACKS, type StreamPacket } from './packet.ts'

// Implementation constants

/** Sequence numbers kept ahead of the next one due: twice the largest window, so that a full one behind a gap is kept. */
const MAX_AHEAD = 1024

export type Inserted = 'next' | 'ahead' | 'duplicate' | 'beyond'

export interface AckState {
  readonly ackThrough: number
  readonly nacks: readonly number[]
}

const NO_NACKS: readonly number[] = []

export class ReceiveWindow {
  readonly #ahead = new Map<number, StreamPacket>()
  #next = 0
  #highest = -1
  #bytes = 0

  /** The next sequence number due. */
  get next(): number {
    return this.#next
  }

  /** Payload held because of gaps or not taken yet. */
  get bytes(): number {
    return this.#bytes
  }

  /** Packets held. */
  get size(): number {
    return this.#ahead.size
  }

  get hasGaps(): boolean {
    return this.#highest >= this.#next
  }

  insert(packet: StreamPacket): Inserted {
    const { sequence } = packet
    if (sequence < this.#next || this.#ahead.has(sequence)) return 'duplicate'
    if (sequence >= this.#next + MAX_AHEAD) return 'beyond'
    this.#ahead.set(sequence, packet)
    this.#bytes += packet.payload.length
    this.#highest = Math.max(this.#highest, sequence)
    return sequence === this.#next ? 'next' : 'ahead'
  }

  /** The next packet in order, if it is here. */
  shift(): StreamPacket | undefined {
    const packet = this.#ahead.get(this.#next)
    if (packet === undefined) return undefined
    this.#ahead.delete(this.#next)
    this.#bytes -= packet.payload.length
    this.#next++
    return packet
  }

  /** No more NACKs than a packet has room for: then the acknowledgement stops short of what they would have to cover. */
  ackState(): AckState {
    if (!this.hasGaps) return { ackThrough: this.#next - 1, nacks: NO_NACKS }
    const nacks: number[] = []
    for (let sequence = this.#next; sequence < this.#highest; sequence++) {
      if (this.#ahead.has(sequence)) continue
      if (nacks.length === MAX_NACKS) return { ackThrough: sequence - 1, nacks }
      nacks.push(sequence)
    }
    return { ackThrough: this.#highest, nacks }
  }

  clear(): void {
    this.#ahead.clear()
    this.#bytes = 0
    this.#highest = this.#next - 1
  }
}
