/** What a transport may use. The owner lowers these on small machines; tests raise or lower them. */
import type { Millis } from '../../base/clock.ts'

export interface TransportLimits {
  /** Established sessions. Each costs about 5 KB idle and at most OutputQueue's bound when its peer is slow. */
  readonly maxSessions: number
  /** Outgoing connections being set up. */
  readonly maxDialling: number
  /** Incoming connections that have not proved who they are; each costs at most 10 KB. */
  readonly maxHalfOpen: number
  /** Incoming connections from one source: this many at once ... */
  readonly sourceBurst: number
  /** ... and then one per this many ms. */
  readonly sourceIntervalMs: Millis
  /** Incoming connections altogether: a handshake costs about 1 ms on a Pi. */
  readonly handshakeBurst: number
  readonly handshakeIntervalMs: Millis
  /** To connect, and again from there to an established session. */
  readonly handshakeMs: Millis
  /** i2pd closes after 115 to 125 s; ours is no shorter, so that it is seldom we who end it. */
  readonly idleMs: Millis
  /** A session idle for at least this long may be closed when there are too many. */
  readonly evictIdleMs: Millis
  /** Transports to dial with. */
  readonly ntcp2: boolean
  readonly ssu2: boolean
  readonly ipv4: boolean
  readonly ipv6: boolean
  /** Dial and accept reserved address ranges: for test networks only. */
  readonly allowReserved: boolean
}

// Implementation constants

export const DEFAULT_LIMITS: TransportLimits = {
  maxSessions: 500,
  maxDialling: 64,
  maxHalfOpen: 64,
  sourceBurst: 8,
  sourceIntervalMs: 2_000,
  handshakeBurst: 64,
  handshakeIntervalMs: 20,
  // For the connection and again for the handshake: wireless multi-hop links have a p99 round trip of 2 s.
  handshakeMs: 15_000,
  idleMs: 125_000,
  evictIdleMs: 20_000,
  ntcp2: true,
  ssu2: true,
  ipv4: true,
  ipv6: true,
  allowReserved: false,
}
