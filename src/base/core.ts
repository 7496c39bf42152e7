/**
 * The shape of everything in the protocol zone that keeps state: bytes and time come in as arguments, what should happen goes
 * out through a Sink. A core never throws on a peer's input, owns no socket and starts no timer.
 */
import type { Millis } from './clock.ts'

/** One TCP connection, numbered by the host (accepted) or by the core's Sink (opened). Never reused. */
export type LinkId = number

/** `address` is an IP address; a link-local one carries its interface: `fe80::1%wlan0`. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface Sink<E> {
  udp(to: Endpoint, bytes: Uint8Array): void
  /** Asks for a connection; `connected` or `closed` follows with this id. */
  tcpOpen(to: Endpoint): LinkId
  /** The bytes are handed over: the caller must not change them later. */
  tcpData(id: LinkId, bytes: Uint8Array): void
  /** Ends a connection after what was written; `reset` drops unsent data and sends RST. */
  tcpEnd(id: LinkId, reset?: boolean): void
  event(e: E): void
}

/** The TCP half of a core. Cores without TCP leave it out. */
export interface TcpCore<E> {
  /** A connection that someone made to us. */
  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<E>): void
  connected(id: LinkId, now: Millis, out: Sink<E>): void
  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<E>): void
  /** Also after our own tcpEnd, and instead of `connected` when the attempt failed. */
  closed(id: LinkId, now: Millis, out: Sink<E>): void
  /**
   * Every byte handed over with `tcpData` has gone to the operating system. The host says so after each turn that wrote
   * something, as soon as it is true; a core that does not hear it stops writing.
   */
  writable(id: LinkId, now: Millis, out: Sink<E>): void
}

export interface Datagram {
  readonly from: Endpoint
  readonly bytes: Uint8Array
}

/** The UDP half of a core. Cores without UDP leave it out. */
export interface UdpCore<E> {
  /** What came in together, to be answered together. The bytes are the core's from now on. */
  datagrams(burst: readonly Datagram[], now: Millis, out: Sink<E>): void
}

export interface TimedCore<E> {
  timeout(now: Millis, out: Sink<E>): void
  /** When `timeout` next wants to be called. Kept, not computed by a scan. */
  nextTimeout(): Millis | undefined
}
