/**
 * How a router is reached: its addresses one after the other, the next beside one that takes long; through an introducer when it
 * publishes nothing else; not at all for a while after it failed.
 */
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import { Deadlines } from '../../base/deadlines.ts'
import type { Random } from '../../base/random.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { type Choice, dialable, introducible } from './addresses.ts'
import { Backoff } from './backoff.ts'
import type { TransportEvent } from './events.ts'
import type { TransportLimits } from './limits.ts'
import type { Links } from './links.ts'
import type { Ntcp2 } from './ntcp2.ts'
import type { Peer } from './peer.ts'
import type { Reception } from './reception.ts'
import type { Ssu2 } from './ssu2.ts'

// Implementation constants

/**
 * An attempt that has not succeeded by then gets company: the router's next address, over the other transport or family. Long
 * enough for two round trips of a bad wireless link.
 */
const NEXT_ATTEMPT_MS: Millis = 2_000

interface Attempts {
  readonly routerInfo: RouterInfo
  readonly peer: Peer
  /** Addresses not tried yet. */
  readonly left: Choice[]
  /** Its introducers are being asked. */
  introducing: boolean
}

export interface DiallerOptions {
  readonly limits: TransportLimits
  readonly links: Links
  readonly reception: Reception
  readonly ntcp2: Ntcp2
  readonly ssu2: Ssu2 | undefined
  readonly random: Random
}

export class Dialler {
  readonly #o: DiallerOptions
  readonly #backoff: Backoff
  readonly #attempts = new Map<HashKey, Attempts>()
  /** When the next address of a router is tried beside the one before. */
  readonly #next = new Deadlines<HashKey>()

  constructor(options: DiallerOptions) {
    this.#o = options
    this.#backoff = new Backoff(options.random)
  }

  /** The peer under way, whose messages wait for whichever attempt succeeds. */
  underWay(key: HashKey): Peer | undefined {
    return this.#attempts.get(key)?.peer
  }

  /** Undefined when there is no way, it failed lately, or too much is under way. */
  dial(routerInfo: RouterInfo, now: Millis, out: Sink<TransportEvent>): Peer | undefined {
    const { limits, links, reception } = this.#o
    const key = hashKey(routerInfo.hash)
    const choices = dialable(routerInfo, limits)
    const introducing = choices.length === 0 && introducible(routerInfo, limits) !== undefined
    if (choices.length === 0 && !introducing) return undefined
    if (this.#attempts.size >= limits.maxDialling || this.#backoff.waits(key, routerInfo.published, now))
      return undefined
    if (!reception.makeRoom(now, out)) return undefined
    const peer = links.peer(routerInfo.hash)
    const first = this.#backoff.count(key) % Math.max(choices.length, 1)
    const left = [...choices.slice(first), ...choices.slice(0, first)]
    this.#attempts.set(key, { routerInfo, peer, left, introducing })
    if (introducing) out.event({ kind: 'introduce', routerInfo })
    else this.tryNext(key, now, out)
    return peer
  }

  /** SSU2 to a router with or without another session. False when it has no such address. */
  dialSsu2(routerInfo: RouterInfo, now: Millis, out: Sink<TransportEvent>): boolean {
    const { limits, links, reception, ssu2 } = this.#o
    const [choice] = dialable(routerInfo, { ...limits, ntcp2: false })
    if (choice?.transport !== 'ssu2' || links.dialling >= limits.maxDialling) return false
    if (!reception.makeRoom(now, out)) return false
    ssu2?.dial(routerInfo, choice, links.peer(routerInfo.hash), now, out)
    return true
  }

  /** An introducer has told where the router is and that it expects us. */
  introduced(
    routerInfo: RouterInfo,
    endpoint: Endpoint,
    token: Uint8Array,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    const key = hashKey(routerInfo.hash)
    const attempts = this.#attempts.get(key)
    const choice = introducible(routerInfo, this.#o.limits)
    if (attempts === undefined || choice === undefined) return
    attempts.introducing = false
    const { address, port } = endpoint
    this.#o.ssu2?.dial(routerInfo, { ...choice, address, port }, attempts.peer, now, out, token)
  }

  /** No introducer could help. */
  notIntroduced(hash: Hash, now: Millis, out: Sink<TransportEvent>): void {
    const key = hashKey(hash)
    const attempts = this.#attempts.get(key)
    if (attempts?.introducing !== true) return
    this.#o.links.forget(attempts.peer)
    this.failed(attempts.peer, attempts.routerInfo.published, now, out)
  }

  /** False when every address was tried. */
  tryNext(key: HashKey, now: Millis, out: Sink<TransportEvent>): boolean {
    const attempts = this.#attempts.get(key)
    const choice = attempts?.left.shift()
    if (attempts === undefined || choice === undefined) return false
    if (attempts.left.length > 0) this.#next.set(key, now + NEXT_ATTEMPT_MS)
    // Where the first attempt failed our clock may be wrong.
    const padded = this.#backoff.count(key) === 0
    const { routerInfo, peer } = attempts
    if (choice.transport === 'ntcp2') this.#o.ntcp2.dial(routerInfo, choice, peer, padded, now, out)
    else this.#o.ssu2?.dial(routerInfo, choice, peer, now, out)
    return true
  }

  succeeded(key: HashKey): void {
    this.#backoff.succeeded(key)
    this.#over(key)
  }

  failed(peer: Peer, published: WallMillis, now: Millis, out: Sink<TransportEvent>): void {
    this.#over(peer.key)
    this.#backoff.failed(peer.key, published, now)
    out.event({ kind: 'dial-failed', peer: peer.hash })
  }

  timeout(now: Millis, out: Sink<TransportEvent>): void {
    for (let key = this.#next.due(now); key !== undefined; key = this.#next.due(now))
      this.tryNext(key, now, out)
  }

  nextTimeout(): Millis | undefined {
    return this.#next.next()
  }

  #over(key: HashKey): void {
    this.#attempts.delete(key)
    this.#next.clear(key)
  }
}
