/** The Sink that sessions get. */
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../base/core.ts'
import type { TransportEvent } from './events.ts'
import type { SessionEvent } from './session.ts'

/** What sessions write to: bytes pass through, events come to the transport first. */
export class SessionSink implements Sink<SessionEvent> {
  readonly #handle: (e: SessionEvent, now: Millis, out: Sink<TransportEvent>) => void
  now: Millis = 0
  outer!: Sink<TransportEvent>
  /** Bytes that all sessions wrote. */
  sent = 0

  constructor(handle: (e: SessionEvent, now: Millis, out: Sink<TransportEvent>) => void) {
    this.#handle = handle
  }

  /** Set anew at every entry into the transport. */
  with(now: Millis, outer: Sink<TransportEvent>): this {
    this.now = now
    this.outer = outer
    return this
  }

  udp(to: Endpoint, bytes: Uint8Array): void {
    this.sent += bytes.length
    this.outer.udp(to, bytes)
  }

  tcpOpen(to: Endpoint): LinkId {
    return this.outer.tcpOpen(to)
  }

  tcpData(id: LinkId, bytes: Uint8Array): void {
    this.sent += bytes.length
    this.outer.tcpData(id, bytes)
  }

  tcpEnd(id: LinkId, reset?: boolean): void {
    this.outer.tcpEnd(id, reset)
  }

  event(e: SessionEvent): void {
    this.#handle(e, this.now, this.outer)
  }
}
