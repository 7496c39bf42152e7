/** What lies between an I2pSocket and whatever moves its bytes: a router in this process, or a pair in memory. */
import type { CloseReason } from '../protocol/streaming/events.ts'

/** The commands of one stream. */
export interface StreamPort {
  /** How many of the bytes were taken, by copy; `streamDrain` follows when not all. */
  write(bytes: Uint8Array): number
  /** Nothing more will be written. */
  end(): void
  /** The socket is gone: deliver what was written, throw away what comes. */
  release(): void
  /** Breaks the stream off. */
  reset(): void
  /** `bytes` of what `streamData` gave are out of the way. */
  consumed(bytes: number): void
}

/** What a stream tells its socket. */
export interface StreamListener {
  streamOpen(): void
  streamData(bytes: Uint8Array): void
  streamDrain(): void
  streamEnd(): void
  /** The last call. */
  streamClosed(reason: CloseReason): void
}
