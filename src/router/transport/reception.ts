/** Whether a stranger is heard at all, and whether there is room for one more session: the same for both transports. */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Sink } from '../../base/core.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import { type Hash, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { isReserved } from '../ip-ranges.ts'
import type { TransportEvent } from './events.ts'
import type { TransportLimits } from './limits.ts'
import type { Links } from './links.ts'
import { InboundRate } from './rate-limit.ts'
import type { SessionSink } from './session-sink.ts'

export class Reception {
  readonly #ours: Hash
  readonly #limits: TransportLimits
  readonly #links: Links
  readonly #sink: SessionSink
  readonly rate: InboundRate

  constructor(ours: Hash, limits: TransportLimits, links: Links, sink: SessionSink) {
    this.#ours = ours
    this.#limits = limits
    this.#links = links
    this.#sink = sink
    this.rate = new InboundRate(limits)
  }

  /** Whether a handshake from `source` (`address` in text) may begin. */
  admits(source: Uint8Array, address: string, now: Millis, out: Sink<TransportEvent>): boolean {
    if (isReserved(source) && !this.#limits.allowReserved) return false
    return this.rate.allow(address, now) && this.#makeHalfOpenRoom(now, out)
  }

  /** The reason why someone who has just proved to be `ri` cannot stay, within a turn of the sink. */
  refuse(ri: RouterInfo): number | undefined {
    if (sameBytes(ri.hash, this.#ours)) return TerminationReason.banned
    // Only now, so that nobody unauthenticated can push an idle session out.
    const { now, outer } = this.#sink
    const known = this.#links.find(hashKey(ri.hash))?.current !== undefined
    return known || this.makeRoom(now, outer) ? undefined : TerminationReason.normal
  }

  /** False when there are as many sessions as allowed and none of them is idle. */
  makeRoom(now: Millis, out: Sink<TransportEvent>): boolean {
    if (this.#links.established + this.#links.dialling < this.#limits.maxSessions) return true
    const idlest = this.#links.idlest()?.session
    if (idlest === undefined || now - idlest.lastActive < this.#limits.evictIdleMs) return false
    idlest.terminate(TerminationReason.idle, 'making room', now, this.#sink.with(now, out))
    return true
  }

  #makeHalfOpenRoom(now: Millis, out: Sink<TransportEvent>): boolean {
    const { halfOpen } = this.#links
    if (halfOpen.size < this.#limits.maxHalfOpen) return true
    // A refused stranger who is only being kept waiting makes room for one who may be honest.
    for (const { session } of halfOpen) {
      if (session.state !== 'draining') continue
      session.terminate(TerminationReason.normal, 'too many handshakes', now, this.#sink.with(now, out))
      return true
    }
    return false
  }
}
