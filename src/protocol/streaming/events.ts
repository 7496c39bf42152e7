/** What streams tell the router and the host. */
import type { Hash } from '../structures/hash.ts'
import type { Identity } from '../structures/identity.ts'

/** A stream of ours: the id that the far side writes into packets for it. Random, non-zero, unique within a StreamSet. */
export type StreamId = number

/** As they stand in packets that we send: ours first. */
export interface Ports {
  readonly sourcePort: number
  readonly destinationPort: number
}

/**
 * `closed`: both sides ended and all was acknowledged, or the far side has gone quiet after its own end. `reset`: the far side
 * broke it off. `refused`: it did so at once. `aborted`: we did. `timeout`: no answer. `unreachable`: no lease set.
 */
export type CloseReason = 'closed' | 'reset' | 'refused' | 'aborted' | 'timeout' | 'unreachable'

export type StreamSetEvent =
  /** To be wrapped as a payload. `lost`: the path in use has swallowed packets, another one would be better. */
  | {
      readonly kind: 'send'
      readonly to: Hash
      readonly ports: Ports
      readonly packet: Uint8Array
      readonly lost: boolean
    }
  /** Somebody wants a stream: answer with `accept` or `reset`, at once or within `acceptTimeout`. */
  | { readonly kind: 'incoming'; readonly id: StreamId; readonly from: Identity; readonly ports: Ports }
  /** The far side answered a `connect`. */
  | { readonly kind: 'open'; readonly id: StreamId }
  /** The bytes are handed over. Say `consumed` once they are out of the way. */
  | { readonly kind: 'data'; readonly id: StreamId; readonly bytes: Uint8Array }
  /** There is room again after a `write` that did not take everything. */
  | { readonly kind: 'drain'; readonly id: StreamId }
  /** The far side will send nothing more. */
  | { readonly kind: 'end'; readonly id: StreamId }
  /** The last event of a stream; its id means nothing any more. */
  | { readonly kind: 'closed'; readonly id: StreamId; readonly reason: CloseReason }
  /** The answer to `ping`. */
  | { readonly kind: 'pong'; readonly id: number; readonly payload: Uint8Array }

export interface StreamSink {
  event(e: StreamSetEvent): void
}
