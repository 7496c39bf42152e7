/**
 * Between the sessions and the room that learns whether strangers reach us (reach/): what the transport tells is handed to it, what it
 * wants done is done, and what it has found out becomes part of what we tell of ourselves.
 */
import type { Clock, Millis } from '../base/clock.ts'
import type { Sink } from '../base/core.ts'
import { ipBytes, ipText } from '../base/ip.ts'
import { type Random, randomId } from '../base/random.ts'
import { writeDatabaseStore } from '../protocol/i2np/database-store.ts'
import { MessageType } from '../protocol/i2np/message.ts'
import { Ssu2BlockType } from '../protocol/ssu2/blocks.ts'
import { type Hash, type HashKey, hashKey } from '../protocol/structures/hash.ts'
import { StoreType } from '../protocol/structures/lease-set.ts'
import { type Introducer, MAX_INTRODUCERS, ssu2Address } from '../protocol/structures/router-address.ts'
import type { RouterInfo } from '../protocol/structures/router-info.ts'
import { isReserved } from './ip-ranges.ts'
import type { NetDb } from './netdb/netdb.ts'
import type { RouterOptions } from './options.ts'
import type { Family, ReachEvent, Verdict } from './reach/events.ts'
import { Reach } from './reach/reach.ts'
import type { PublicAddress, PublishedIntroducer, SelfDescription } from './self.ts'
import type { TransportEvent } from './transport/events.ts'
import type { Transport } from './transport/transport.ts'

// Implementation constants

/** Introducers whose RouterInfo is being looked up before they can be dialled. */
const MAX_SOUGHT = 16
/** Life of a RouterInfo on its way to one peer, ms. */
const STORE_LIFETIME: Millis = 10_000
/** What an introducer is sent so that our NAT keeps the way from it open: a challenge, which it answers. */
const PING_LENGTH = 8

interface IntroductionsOptions {
  readonly reach: Reach
  readonly transport: Transport
  readonly netdb: NetDb
  readonly transportSink: Sink<TransportEvent>
  readonly netdbSink: Parameters<NetDb['lookupRouter']>[2]
  readonly families: readonly Family[]
  /** Our UDP port: what NAT leaves as it is, it leaves for TCP too. */
  readonly port: number
  /** Whether each transport may be published. */
  readonly publish: { readonly ntcp2: boolean; readonly ssu2: boolean }
  /** What we tell of ourselves is another. */
  readonly changed: (now: Millis) => void
  readonly random: Random
  readonly clock: Clock
}

/** What they join. */
type Joined = Pick<IntroductionsOptions, 'transport' | 'netdb' | 'transportSink' | 'netdbSink'>

/** Undefined without SSU2 and where no NAT can be in the way. */
export function introductions(
  options: RouterOptions,
  joined: Joined,
  changed: (now: Millis) => void,
  now: Millis,
): Introductions | undefined {
  const { ssu2, local, random, clock, self, allowReservedRanges } = options
  if (ssu2?.reach === undefined) return undefined
  const { families, port, publish, quorum } = ssu2.reach
  const reach = new Reach(
    {
      local,
      introKey: ssu2.introKey,
      netId: self.netId,
      random,
      clock,
      routers: joined.netdb,
      mayReach: (ip) =>
        families.includes(ip.length === 4 ? 4 : 6) && (allowReservedRanges || !isReserved(ip)),
      giveToken: (to, at) => joined.transport.giveToken(to, at),
      families,
      serve: true,
      ...(quorum === undefined ? {} : { quorum }),
    },
    now,
  )
  return new Introductions({ ...joined, reach, families, port, publish, changed, random, clock })
}

export class Introductions {
  readonly #o: IntroductionsOptions
  readonly #events: ReachEvent[] = []
  readonly #sink: Sink<ReachEvent>
  /** Routers that reach/ wants a session with, until they are found. */
  readonly #sought = new Set<HashKey>()

  constructor(options: IntroductionsOptions) {
    this.#o = options
    this.#sink = { ...options.transportSink, event: (e) => void this.#events.push(e) }
  }

  get needsIntroducers(): boolean {
    return this.#o.reach.needsIntroducers
  }

  freshTag(family: Family): number | undefined {
    return this.#o.reach.freshTag(family)
  }

  verdict(family: Family): Verdict {
    return this.#o.reach.verdict(family)
  }

  /** The user says that strangers reach us at `at`. */
  configured(at: PublicAddress, now: Millis): void {
    const ip = ipBytes(at.host)
    if (ip !== undefined)
      this.#o.reach.configured(ip.length === 4 ? 4 : 6, { ip, port: at.port }, now, this.#sink)
  }

  /** Our NAT forwards to us what comes for `at`; undefined when it does no longer. */
  mapped(at: PublicAddress | undefined, now: Millis): void {
    const ip = at && ipBytes(at.host)
    const address = at === undefined || ip === undefined ? undefined : { ip, port: at.port }
    this.#o.reach.mapped(4, address, now, this.#sink)
  }

  /** With what is known of our place, unless the user has said it. */
  describe(self: SelfDescription, now: Millis): SelfDescription {
    const { reach, families, publish, port } = this.#o
    if (self.ssu2 === undefined || self.ssu2.published !== undefined) return self
    for (const family of families) {
      const address = reach.address(family)
      if (reach.verdict(family) !== 'ok' || address === undefined) continue
      const at = { host: ipText(address.ip), port: address.port }
      const tcp = publish.ntcp2 && at.port === port ? at : undefined
      return {
        ...self,
        ntcp2: self.ntcp2 ?? tcp,
        ssu2: { ...self.ssu2, published: publish.ssu2 ? at : undefined },
      }
    }
    const introducers = families.flatMap((family) => reach.introducers(family, now))
    return {
      ...self,
      ssu2: { ...self.ssu2, introducers: introducers.slice(0, MAX_INTRODUCERS).map(published) },
    }
  }

  told(e: TransportEvent, now: Millis): void {
    const { reach, transport, transportSink } = this.#o
    switch (e.kind) {
      case 'ssu2-open':
        reach.connected(e, now, this.#sink)
        return
      case 'ssu2-moved':
        reach.moved(e.peer, e.endpoint, now)
        return
      case 'ssu2-closed':
        reach.disconnected(e.peer, now, this.#sink)
        return
      case 'dial-failed':
        reach.dialFailed(e.peer, now, this.#sink)
        return
      case 'dialled':
        reach.dialled(e.endpoint, now)
        return
      case 'block':
        reach.block(e.from, e.type, e.data, now, this.#sink)
        return
      case 'out-of-session':
        reach.packet(e.from, e.packet, now, this.#sink)
        return
      case 'our-address':
        reach.heardAddress(e.peer, e.address, now, this.#sink)
        return
      case 'introduce':
        if (!reach.introduce(e.routerInfo, now, this.#sink))
          transport.notIntroduced(e.routerInfo.hash, now, transportSink)
        return
      default:
    }
  }

  routerFound(ri: RouterInfo, now: Millis): void {
    const { reach, transport, transportSink } = this.#o
    reach.routerFound(ri, now, this.#sink)
    if (this.#sought.delete(hashKey(ri.hash)) && !transport.dialSsu2(ri, now, transportSink))
      reach.dialFailed(ri.hash, now, this.#sink)
  }

  timeout(now: Millis): void {
    if ((this.nextTimeout() ?? Infinity) <= now) this.#o.reach.timeout(now, this.#sink)
  }

  nextTimeout(): Millis | undefined {
    return this.#o.reach.nextTimeout()
  }

  /** Does what was asked for; returns how much that was. */
  settle(now: Millis): number {
    const events = this.#events.splice(0)
    for (const e of events) this.#asked(e, now)
    return events.length
  }

  #asked(e: ReachEvent, now: Millis): void {
    const { transport, transportSink, netdb, random, changed } = this.#o
    switch (e.kind) {
      case 'block':
        transport.sendBlock(e.to, e.type, e.data, now, transportSink)
        return
      case 'keep-alive':
        transport.sendBlock(
          e.peer,
          Ssu2BlockType.pathChallenge,
          random.bytes(PING_LENGTH),
          now,
          transportSink,
        )
        return
      case 'router-info':
        this.#sendRouterInfo(e.to, e.routerInfo, now)
        return
      case 'want-session':
        this.#wantSession(e.peer, now)
        return
      case 'want-peer': {
        const ri = this.#somebody(e.family, e.capability)
        if (ri !== undefined) transport.dialSsu2(ri, now, transportSink)
        return
      }
      case 'reached': {
        const ri = netdb.get(e.peer)
        if (ri !== undefined) transport.introduced(ri, e.endpoint, e.token, now, transportSink)
        return
      }
      case 'introduction-failed':
        transport.notIntroduced(e.peer, now, transportSink)
        return
      case 'verdict':
      case 'address':
      case 'introducers':
        changed(now)
        return
    }
  }

  #wantSession(peer: Hash, now: Millis): void {
    const { transport, transportSink, netdb, netdbSink, reach } = this.#o
    const ri = netdb.get(peer)
    if (ri === undefined) {
      if (this.#sought.size >= MAX_SOUGHT) this.#sought.clear()
      this.#sought.add(hashKey(peer))
      netdb.lookupRouter(peer, now, netdbSink)
    } else if (!transport.dialSsu2(ri, now, transportSink)) reach.dialFailed(peer, now, this.#sink)
  }

  #sendRouterInfo(to: Hash, ri: RouterInfo, now: Millis): void {
    const { transport, transportSink, random, clock } = this.#o
    const payload = writeDatabaseStore({ key: ri.hash, type: StoreType.RouterInfo, data: ri.bytes })
    const expiration = clock.wall(now) + STORE_LIFETIME
    const message = { type: MessageType.DatabaseStore, id: randomId(random), expiration, payload }
    transport.send(to, message, now, transportSink)
  }

  /** A router that can be dialled over SSU2 and does this for others. */
  #somebody(family: Family, capability: string): RouterInfo | undefined {
    const { netdb, random, transport } = this.#o
    let chosen: RouterInfo | undefined
    let seen = 0
    for (const ri of netdb.routers.values()) {
      const offers = ri.addresses.some((address) => {
        const ssu2 = ssu2Address(address)
        if (ssu2?.host === undefined || !ssu2.caps.includes(capability)) return false
        return ssu2.host.includes(':') === (family === 6)
      })
      // Each as likely as the others, whatever their number.
      if (offers && !transport.isConnected(ri.hash) && random.below(++seen) === 0) chosen = ri
    }
    return chosen
  }
}

function published({ hash, tag, expires }: Introducer): PublishedIntroducer {
  return { hash, tag, expires: expires ?? 0 }
}
