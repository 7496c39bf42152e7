/**
 * The network database of one router (netDb page; i2np, "DatabaseStore" to "DeliveryStatus"): what we know of others, how we
 * find out more, how we make ourselves known, and, as a floodfill, what we keep for all. Knows no tunnel and no transport.
 */
import { Reader, sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { earliest } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import { jitter } from '../../base/random.ts'
import { type Rates, Throttle } from '../../base/throttle.ts'
import { readDatabaseLookup } from '../../protocol/i2np/database-lookup.ts'
import { readDatabaseSearchReply } from '../../protocol/i2np/database-search-reply.ts'
import { type DatabaseStore, readDatabaseStore } from '../../protocol/i2np/database-store.ts'
import { readDeliveryStatus } from '../../protocol/i2np/delivery-status.ts'
import { type I2npMessage, MessageType } from '../../protocol/i2np/message.ts'
import { type Hash, hashKey } from '../../protocol/structures/hash.ts'
import {
  checkLeaseSet,
  type LeaseSet,
  readLeaseSet,
  StoreType,
  verifyLeaseSet,
} from '../../protocol/structures/lease-set.ts'
import {
  checkRouterInfo,
  type RouterInfo,
  readRouterInfo,
  verifyRouterInfo,
} from '../../protocol/structures/router-info.ts'
import type { Arrival, Client, NetDbOptions, NetDbSink } from './events.ts'
import { FLOOD_TO, Floodfill } from './floodfill.ts'
import { type Day, utcDay } from './kademlia.ts'
import { LeaseStore } from './lease-store.ts'
import { Lookups } from './lookups.ts'
import { LeasePublisher } from './publish-leases.ts'
import { RouterPublisher } from './publish-router.ts'
import { readRecords, routerInfoRecord } from './records.ts'
import { MAX_KEPT_AGE, MAX_STORE_AGE, RouterStore } from './router-store.ts'

// Implementation constants
/**
 * Entries that one neighbour may bring us: a floodfill of the public network passes on a few a second. Those whose sender is hidden
 * by garlic come together: what is published straight to us. Each costs a signature: some 0.5 ms on a small machine.
 */
const STORES: Rates = {
  each: { perSecond: 5, burst: 300 },
  unnamed: { perSecond: 35, burst: 2000 },
  all: { perSecond: 100, burst: 3000 },
}
/** Questions likewise: each costs a look at every router we know. Who has many asks through tunnels. */
const LOOKUPS: Rates = {
  each: { perSecond: 5, burst: 100 },
  unnamed: { perSecond: 50, burst: 500 },
  all: { perSecond: 100, burst: 1000 },
}
/** Neighbours whose rates are remembered: more than a router has sessions. */
const MAX_THROTTLED = 1024
/** How often old entries are dropped and the day is looked at. */
const SWEEP: Millis = 3 * 60_000
/** Below this many routers we explore; every vain attempt doubles the pause. */
const ENOUGH_ROUTERS = 75
const EXPLORE_SOON: Millis = 15_000
const EXPLORE_SELDOM: Millis = 30 * 60_000

export class NetDb {
  readonly routers: RouterStore
  readonly #options: NetDbOptions
  readonly #leases = new LeaseStore()
  readonly #lookups: Lookups
  readonly #floodfill: Floodfill
  readonly #ownRouter: RouterPublisher
  readonly #ownLeases: LeasePublisher
  readonly #stores = new Throttle(STORES, MAX_THROTTLED)
  readonly #asked = new Throttle(LOOKUPS, MAX_THROTTLED)
  #sweepAt: Millis | undefined
  #exploreAt: Millis | undefined
  #explorePause: Millis = EXPLORE_SOON
  #exploredAtSize = 0
  #day: Day | undefined

  constructor(options: NetDbOptions) {
    this.#options = options
    this.routers = new RouterStore(options)
    this.#lookups = new Lookups(options, this.routers)
    this.#floodfill = new Floodfill(options, this.routers, this.#leases)
    this.#ownRouter = new RouterPublisher(options, this.routers)
    this.#ownLeases = new LeasePublisher(options, this.routers, this.#leases)
  }

  /** A router's verified RouterInfo, if we know it. */
  get(hash: Hash): RouterInfo | undefined {
    return this.routers.get(hash)
  }

  /** Routers known. */
  get size(): number {
    return this.routers.size
  }

  /** Floodfills that could be asked. */
  get floodfills(): number {
    return this.routers.floodfills()
  }

  /** Lease sets held for others. */
  get leaseSets(): number {
    return this.#leases.size
  }

  /** What `client` found and may still use. */
  leaseSet(client: Client, hash: Hash, now: Millis): LeaseSet | undefined {
    return this.#leases.getFor(client, hash, this.#options.clock.wall(now))
  }

  /** A RouterInfo whose signature the transport has checked, from its owner's own session. */
  addRouterInfo(ri: RouterInfo, now: Millis, out: NetDbSink): 'new' | 'newer' | 'old' | 'refused' {
    const added = this.#addRouter(ri, undefined, now, out)
    this.#settle(now, out)
    return added
  }

  /** `from`: the neighbour that sent it directly. Out of a tunnel it is from anyone. */
  handle(from: Hash | undefined, message: I2npMessage, arrival: Arrival, now: Millis, out: NetDbSink): void {
    try {
      this.#handle(from, message, arrival, now, out)
    } catch (e) {
      if (!(e instanceof MalformedError)) throw e
      this.#options.log.write('debug', `message of type ${message.type} dropped: ${e.message}`)
    }
    this.#settle(now, out)
  }

  /** A 'router' or 'not-found' follows. */
  lookupRouter(hash: Hash, now: Millis, out: NetDbSink): void {
    const known = this.routers.get(hash)
    if (known !== undefined) out.event({ kind: 'router', routerInfo: known })
    else this.#lookups.start({ purpose: 'router', key: hash, wanted: true }, now, out)
    this.#settle(now, out)
  }

  /** A 'lease-set' or 'not-found' for `client` follows. */
  lookupLeaseSet(hash: Hash, client: Client | undefined, now: Millis, out: NetDbSink): void {
    const held = this.#everythingIsHere() ? this.#leases.get(hash, this.#options.clock.wall(now)) : undefined
    if (held !== undefined) this.#leaseSetFound(held, client, out)
    else this.#lookups.start({ purpose: 'lease-set', key: hash, client, wanted: true }, now, out)
    this.#settle(now, out)
  }

  /** Our own RouterInfo, whenever it changes, and signed anew every 40 minutes or so: others forget it within the hour. */
  publishRouterInfo(ri: RouterInfo, now: Millis, out: NetDbSink): void {
    this.#arm(now)
    this.#ownRouter.publish(ri, now, out)
    this.#settle(now, out)
  }

  /** A lease set of a destination of ours, whenever it changes. */
  publishLeaseSet(client: Client, leaseSet: LeaseSet, now: Millis, out: NetDbSink): void {
    this.#arm(now)
    this.#ownLeases.publish(client, leaseSet, now, out)
    this.#settle(now, out)
  }

  unpublish(hash: Hash): void {
    this.#ownLeases.unpublish(hash)
  }

  /** The client is gone: with it goes what it looked up. */
  forget(client: Client): void {
    this.#leases.forget(client)
  }

  timeout(now: Millis, out: NetDbSink): void {
    this.#lookups.timeout(now, out)
    this.#ownRouter.timeout(now, out)
    for (const request of this.#ownLeases.timeout(now, out)) this.#lookups.start(request, now, out)
    if (this.#exploreAt !== undefined && now >= this.#exploreAt) this.#explore(now, out)
    if (this.#sweepAt !== undefined && now >= this.#sweepAt) this.#sweep(now)
    this.#settle(now, out)
  }

  nextTimeout(): Millis | undefined {
    const publishing = earliest(this.#ownRouter.nextTimeout(), this.#ownLeases.nextTimeout())
    const housekeeping = earliest(this.#sweepAt, this.#exploreAt)
    return earliest(earliest(this.#lookups.nextTimeout(), publishing), housekeeping)
  }

  /** Records for `restore`. Lease sets are not kept: they are shorter-lived than a restart, and nobody else's business. */
  *snapshot(): IterableIterator<Uint8Array> {
    for (const ri of this.routers.values()) yield routerInfoRecord(ri)
  }

  /** One record or many, one after another, all checked as if a peer had sent them. Returns how many were taken. */
  restore(bytes: Uint8Array, now: Millis): number {
    const { netId, clock, local } = this.#options
    let taken = 0
    for (const ri of readRecords(bytes)) {
      if (checkRouterInfo(ri, netId, clock.wall(now), MAX_KEPT_AGE) !== 'ok') continue
      if (hashKey(ri.hash) !== hashKey(local) && this.routers.add(ri, now) !== 'old') taken++
    }
    this.#arm(now)
    return taken
  }

  #handle(from: Hash | undefined, message: I2npMessage, arrival: Arrival, now: Millis, out: NetDbSink): void {
    const r = new Reader(message.payload)
    switch (message.type) {
      case MessageType.DatabaseStore: {
        if (arrival === 'session' && !this.#stores.take(from && hashKey(from), now)) return
        const store = readDatabaseStore(r)
        if (store.type === StoreType.RouterInfo) this.#storeRouter(store, from, arrival, now, out)
        else this.#storeLeases(store, from, arrival, now, out)
        return
      }
      case MessageType.DatabaseLookup:
        // Through a tunnel of ours somebody would find out whose tunnel it is.
        if (arrival !== 'session' || !this.#options.floodfill) return
        if (this.#asked.take(from && hashKey(from), now)) {
          this.#floodfill.answer(readDatabaseLookup(r), from, this.#ownRouter.own, now, out)
        }
        return
      case MessageType.DatabaseSearchReply:
        this.#lookups.searchReply(readDatabaseSearchReply(r), from, arrival, now, out)
        return
      case MessageType.DeliveryStatus: {
        const { messageId } = readDeliveryStatus(r)
        if (arrival === 'session') this.#ownRouter.acknowledged(messageId)
        else this.#ownLeases.acknowledged(messageId, arrival.client, now)
        return
      }
      default:
        return
    }
  }

  #storeRouter(
    store: DatabaseStore,
    from: Hash | undefined,
    arrival: Arrival,
    now: Millis,
    out: NetDbSink,
  ): void {
    if (arrival !== 'session' && !this.#lookups.wants('router', store.key, arrival.client)) return
    const known = this.routers.get(store.key)
    let added: 'new' | 'newer' | 'old' | 'refused' = 'old'
    if (known === undefined || !sameBytes(known.bytes, store.data)) {
      const unverified = readRouterInfo(store.data)
      if (!sameBytes(unverified.claimed.hash, store.key)) return
      const ri = verifyRouterInfo(unverified)
      if (ri === undefined) return
      added = this.#addRouter(ri, from, now, out)
      if (added === 'refused') return
    }
    if (arrival === 'session') this.#stored(store, added, from, now, out)
  }

  #storeLeases(
    store: DatabaseStore,
    from: Hash | undefined,
    arrival: Arrival,
    now: Millis,
    out: NetDbSink,
  ): void {
    const { floodfill, clock } = this.#options
    const tunnel = arrival === 'session' ? undefined : arrival
    if (tunnel === undefined ? !floodfill : !this.#lookups.wants('lease-set', store.key, tunnel.client))
      return
    const wall = clock.wall(now)
    const held = tunnel === undefined ? this.#leases.get(store.key, wall) : undefined
    if (held !== undefined && sameBytes(held.bytes, store.data)) {
      this.#stored(store, 'old', from, now, out)
      return
    }
    const unverified = readLeaseSet(store.type, store.data)
    if (!sameBytes(unverified.claimed.hash, store.key)) return
    const leaseSet = verifyLeaseSet(unverified)
    if (leaseSet === undefined || checkLeaseSet(leaseSet, wall) !== 'ok') return
    if (tunnel !== undefined) {
      if (this.#lookups.leaseSetArrived(leaseSet, tunnel.client, now, out))
        this.#leaseSetFound(leaseSet, tunnel.client, out)
    } else if (!leaseSet.unpublished) this.#stored(store, this.#leases.add(leaseSet), from, now, out)
  }

  /** A valid entry came to us as a floodfill. Only from its publisher, who wants an answer, is it passed on. */
  #stored(
    store: DatabaseStore,
    added: 'new' | 'newer' | 'old',
    from: Hash | undefined,
    now: Millis,
    out: NetDbSink,
  ): void {
    if (!this.#options.floodfill || store.reply === undefined) return
    this.#floodfill.acknowledge(store.reply, from, now, out)
    if (added !== 'old') this.#floodfill.flood(store, from, now, out)
  }

  #addRouter(
    ri: RouterInfo,
    from: Hash | undefined,
    now: Millis,
    out: NetDbSink,
  ): 'new' | 'newer' | 'old' | 'refused' {
    const { netId, clock, local, log } = this.#options
    this.#arm(now)
    if (hashKey(ri.hash) === hashKey(local)) return 'refused'
    const check = checkRouterInfo(ri, netId, clock.wall(now), MAX_STORE_AGE)
    if (check !== 'ok') {
      if (log.enabled('debug')) log.write('debug', `RouterInfo refused: ${check}`)
      return 'refused'
    }
    const added = this.routers.add(ri, now)
    if (added !== 'old') out.event({ kind: 'router', routerInfo: this.routers.get(ri.hash)! })
    if (added === 'new') {
      this.#ownRouter.routerAdded(now)
      this.#ownLeases.routerAdded(ri, now)
    }
    this.#lookups.routerArrived(ri, from, now, out)
    return added
  }

  #leaseSetFound(leaseSet: LeaseSet, client: Client | undefined, out: NetDbSink): void {
    if (client !== undefined) this.#leases.addFor(client, leaseSet)
    out.event({ kind: 'lease-set', leaseSet, client })
  }

  /**
   * With so few floodfills every entry is flooded to every one of them, so what we hold as one of them is all there is, and
   * answering ourselves shows nobody anything. In a larger network it would show that a client of ours asked.
   */
  #everythingIsHere(): boolean {
    return this.#options.floodfill && this.routers.floodfills() <= FLOOD_TO
  }

  /** Tells what became of lookups that have ended. */
  #settle(now: Millis, out: NetDbSink): void {
    for (let ended = this.#lookups.takeFinished(); ended.length > 0; ended = this.#lookups.takeFinished()) {
      for (const { purpose, key, client, wanted, found } of ended) {
        if (purpose === 'verify') this.#ownLeases.verified(key, found, now, out)
        else if (purpose !== 'explore' && !found && wanted)
          out.event({ kind: 'not-found', key, what: purpose, client })
      }
    }
  }

  /** Housekeeping begins with the first thing that happens: a constructor has no clock. */
  #arm(now: Millis): void {
    if (this.#sweepAt !== undefined) return
    this.#day = utcDay(this.#options.clock.wall(now))
    this.#sweepAt = now + SWEEP
    this.#exploreAt = now + jitter(this.#options.random, EXPLORE_SOON, 0.3)
  }

  #sweep(now: Millis): void {
    const wall = this.#options.clock.wall(now)
    this.#sweepAt = now + SWEEP
    this.routers.expire(wall)
    this.#leases.expire(wall)
    const day = utcDay(wall)
    if (day === this.#day) return
    this.#day = day
    this.#ownRouter.dayChanged(now)
    this.#ownLeases.dayChanged(now)
  }

  /** Asks for a random key, to hear of routers we do not know (netDb page, "Exploration"). */
  #explore(now: Millis, out: NetDbSink): void {
    const { random } = this.#options
    const size = this.routers.size
    const fruitful = size > this.#exploredAtSize
    this.#exploredAtSize = size
    this.#explorePause = fruitful ? EXPLORE_SOON : Math.min(EXPLORE_SELDOM, this.#explorePause * 2)
    this.#exploreAt = now + jitter(random, this.#explorePause, 0.3)
    if (size >= ENOUGH_ROUTERS || this.routers.floodfills() === 0) return
    this.#lookups.start({ purpose: 'explore', key: random.bytes(32) }, now, out)
  }
}
