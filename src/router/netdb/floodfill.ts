/** What others ask of us: stores, their flooding, and lookups (netDb page, "Floodfill", "Lookup"; i2np, "DatabaseLookup"). */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { Throttle } from '../../base/throttle.ts'
import type { DatabaseLookup } from '../../protocol/i2np/database-lookup.ts'
import { writeDatabaseSearchReply } from '../../protocol/i2np/database-search-reply.ts'
import {
  type DatabaseStore,
  type StoreReply,
  writeDatabaseStore,
} from '../../protocol/i2np/database-store.ts'
import { writeDeliveryStatus } from '../../protocol/i2np/delivery-status.ts'
import { writeGarlic } from '../../protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../protocol/i2np/message.ts'
import { LOCAL_DELIVERY } from '../../protocol/ratchet/clove.ts'
import { wrapWithKey } from '../../protocol/ratchet/symmetric-garlic.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import { StoreType } from '../../protocol/structures/lease-set.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { type NetDbOptions, type NetDbSink, newMessage } from './events.ts'
import { untilMidnight } from './kademlia.ts'
import type { LeaseStore } from './lease-store.ts'
import type { RouterStore } from './router-store.ts'

// Specification constants
/** An entry goes to this many other floodfills. */
export const FLOOD_TO = 3
/** Near midnight also to those that will be closest: i2pd's figures. */
const FLOOD_TO_NEXT_DAY = 2
const NEXT_DAY_ROUTER_INFO: Millis = 45 * 60_000
const NEXT_DAY_LEASE_SET: Millis = 10 * 60_000
const DAY: Millis = 86_400_000
/** Routers named in an answer. */
const MAX_NAMED = 3
/** i2pd means "no reply" by it. */
const NO_REPLY_TOKEN = 0xffffffff

// Implementation constants
/** Answers to one target, that nobody may be flooded with them by way of us: a page's worth of sites at once is legal. */
const REPLIES_TO_ONE = { perSecond: 6, burst: 60 } as const
/** Targets remembered: more than a router answers within that time. */
const MAX_TARGETS = 1024

export class Floodfill {
  readonly #options: NetDbOptions
  readonly #routers: RouterStore
  readonly #leases: LeaseStore
  readonly #replies = new Throttle({ each: REPLIES_TO_ONE }, MAX_TARGETS)

  constructor(options: NetDbOptions, routers: RouterStore, leases: LeaseStore) {
    this.#options = options
    this.#routers = routers
    this.#leases = leases
  }

  /** Tells the publisher that we hold a valid entry: without tunnel only when it is our neighbour itself. */
  acknowledge(reply: StoreReply, from: Hash | undefined, now: Millis, out: NetDbSink): void {
    if (reply.token === NO_REPLY_TOKEN) return
    if (reply.tunnelId === 0 && !same(from, reply.gateway)) return
    if (!this.#replies.take(hashKey(reply.gateway), now)) return
    const timestamp = this.#options.random.bytes(8)
    const payload = writeDeliveryStatus({ messageId: reply.token, timestamp })
    const message = newMessage(this.#options, MessageType.DeliveryStatus, payload, now)
    if (reply.tunnelId === 0) out.event({ kind: 'send', to: reply.gateway, message, traffic: 'transit' })
    else out.event({ kind: 'send-tunnel', gateway: reply.gateway, tunnelId: reply.tunnelId, message })
  }

  /** Passes a new entry on, once: without token, so that the next one keeps it to itself. */
  flood(store: DatabaseStore, from: Hash | undefined, now: Millis, out: NetDbSink): void {
    const { clock } = this.#options
    const wall = clock.wall(now)
    const excluded = new Set<HashKey>([hashKey(this.#options.local), hashKey(store.key)])
    if (from !== undefined) excluded.add(hashKey(from))
    const to = this.#routers.closestFloodfills(store.key, FLOOD_TO, excluded, wall, now)
    const rotation = store.type === StoreType.RouterInfo ? NEXT_DAY_ROUTER_INFO : NEXT_DAY_LEASE_SET
    if (untilMidnight(wall) < rotation) {
      for (const { hash } of to) excluded.add(hashKey(hash))
      to.push(...this.#routers.closestFloodfills(store.key, FLOOD_TO_NEXT_DAY, excluded, wall + DAY, now))
    }
    if (to.length === 0) return
    const payload = writeDatabaseStore({ key: store.key, type: store.type, data: store.data })
    for (const { hash } of to) {
      out.event({
        kind: 'send',
        to: hash,
        message: newMessage(this.#options, MessageType.DatabaseStore, payload, now),
        traffic: 'transit',
      })
    }
  }

  /** `own` is our own RouterInfo, which anyone may have. */
  answer(
    lookup: DatabaseLookup,
    from: Hash | undefined,
    own: RouterInfo | undefined,
    now: Millis,
    out: NetDbSink,
  ): void {
    // Without tunnel the answer goes to who asked us itself; otherwise we would throw stones for anybody.
    if (lookup.replyTunnelId === undefined && (from === undefined || hashKey(from) !== hashKey(lookup.from)))
      return
    if (lookup.encryption?.scheme === 'aes') return
    if (!this.#replies.take(hashKey(lookup.from), now)) return
    const answer = this.#wrap(lookup, this.#entry(lookup, own, now) ?? this.#others(lookup, now), now)
    if (lookup.replyTunnelId === undefined)
      out.event({ kind: 'send', to: lookup.from, message: answer, traffic: 'transit' })
    else
      out.event({
        kind: 'send-tunnel',
        gateway: lookup.from,
        tunnelId: lookup.replyTunnelId,
        message: answer,
      })
  }

  #entry(lookup: DatabaseLookup, own: RouterInfo | undefined, now: Millis): I2npMessage | undefined {
    const { key, kind } = lookup
    if (kind === 'exploratory') return undefined
    if (kind !== 'lease-set') {
      const ri = own !== undefined && hashKey(key) === hashKey(own.hash) ? own : this.#routers.get(key)
      if (ri !== undefined) return this.#store(key, StoreType.RouterInfo, ri.bytes, now)
    }
    if (kind === 'router') return undefined
    const ls = this.#leases.get(key, this.#options.clock.wall(now))
    return ls === undefined ? undefined : this.#store(key, ls.type, ls.bytes, now)
  }

  #store(key: Hash, type: number, data: Uint8Array, now: Millis): I2npMessage {
    return newMessage(this.#options, MessageType.DatabaseStore, writeDatabaseStore({ key, type, data }), now)
  }

  #others(lookup: DatabaseLookup, now: Millis): I2npMessage {
    const { key, kind, excluded } = lookup
    const { local, clock } = this.#options
    const wall = clock.wall(now)
    const not = new Set<HashKey>([hashKey(local), hashKey(lookup.from), ...excluded.map(hashKey)])
    const routers =
      kind === 'exploratory'
        ? this.#routers.closestOthers(key, MAX_NAMED, not, wall)
        : this.#routers.closestFloodfills(key, MAX_NAMED, not, wall, now)
    const payload = writeDatabaseSearchReply({ key, peers: routers.map((ri) => ri.hash), from: local })
    return newMessage(this.#options, MessageType.DatabaseSearchReply, payload, now)
  }

  #wrap(lookup: DatabaseLookup, message: I2npMessage, now: Millis): I2npMessage {
    const { encryption } = lookup
    if (encryption === undefined) return message
    const garlic = wrapWithKey(encryption.key, encryption.tags[0]!, { delivery: LOCAL_DELIVERY, message })
    return newMessage(this.#options, MessageType.Garlic, writeGarlic(garlic), now)
  }
}

function same(a: Hash | undefined, b: Hash): boolean {
  return a !== undefined && sameBytes(a, b)
}
