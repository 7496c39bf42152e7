/**
 * Publishing the lease sets of our destinations: through the client's own tunnels, acknowledged, and looked up afterwards at
 * another floodfill (netDb page, "LeaseSet Publication Verification"). One that was swallowed goes elsewhere.
 */
import type { Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'
import { writeDatabaseStore } from '../../protocol/i2np/database-store.ts'
import { MessageType } from '../../protocol/i2np/message.ts'
import { type Hash, type HashKey, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import type { LeaseSet } from '../../protocol/structures/lease-set.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { type Client, type NetDbOptions, type NetDbSink, newMessage } from './events.ts'
import type { LeaseStore } from './lease-store.ts'
import type { LookupRequest } from './lookups.ts'
import { replyToken } from './publish-router.ts'
import type { RouterStore } from './router-store.ts'

// Specification constants
/** Verification waits for the flooding: between these, at random. */
const VERIFY_FROM: Millis = 5_000
const VERIFY_TO: Millis = 10_000

// Implementation constants
/** Between two publications of one destination; a quarter of i2pd's, since leases on radio links change more often. */
const MIN_INTERVAL: Millis = 5_000
/** For an acknowledgement through two tunnels. */
const ACK_TIMEOUT: Millis = 3_000
/** Floodfills tried for one version, then a pause. */
const MAX_TRIES = 6
const RETRY: Millis = 30_000
/** How often we look for tunnels that are missing: soon at first, for they take a second to build, then at leisure. */
const PATH_WAIT: Millis = 250
const PATH_LATE: Millis = 10_000
const PATH_LATE_WAIT: Millis = 2_000
/** While so few routers are known, each one that joins may be where everybody looks now. */
const SMALL_NETWORK = 90
/** Destinations of one router. */
const MAX_PUBLICATIONS = 256

interface Publication {
  readonly key: HashKey
  client: Client
  leaseSet: LeaseSet
  /** When this version was handed to us. */
  since: Millis
  /** When a version was last sent for the first time. */
  sentAt: Millis
  /** Floodfills that have this version, or should. */
  readonly tried: Set<HashKey>
  state:
    | { readonly step: 'waiting'; readonly floodfill?: true }
    | { readonly step: 'sent'; readonly token: number; readonly floodfill: Hash }
    | { readonly step: 'acknowledged' }
    | { readonly step: 'verifying' }
    | { readonly step: 'done' }
}

export class LeasePublisher {
  readonly #options: NetDbOptions
  readonly #routers: RouterStore
  readonly #leases: LeaseStore
  readonly #publications = new Map<HashKey, Publication>()
  readonly #deadlines = new Deadlines<Publication>()

  constructor(options: NetDbOptions, routers: RouterStore, leases: LeaseStore) {
    this.#options = options
    this.#routers = routers
    this.#leases = leases
  }

  publish(client: Client, leaseSet: LeaseSet, now: Millis, out: NetDbSink): void {
    const key = hashKey(leaseSet.hash)
    const running = this.#publications.get(key)
    if (running === undefined) {
      if (this.#publications.size >= MAX_PUBLICATIONS) return
      const added: Publication = {
        key,
        client,
        leaseSet,
        since: now,
        sentAt: now - MIN_INTERVAL,
        tried: new Set(),
        state: { step: 'waiting' },
      }
      this.#publications.set(key, added)
      this.#send(added, now, out)
      return
    }
    running.client = client
    running.leaseSet = leaseSet
    running.since = now
    this.#restart(running, running.sentAt + MIN_INTERVAL)
    if (now >= running.sentAt + MIN_INTERVAL) this.#send(running, now, out)
  }

  unpublish(hash: Hash): void {
    const publication = this.#publications.get(hashKey(hash))
    if (publication === undefined) return
    this.#publications.delete(publication.key)
    this.#deadlines.clear(publication)
  }

  /** Tells the new day's floodfills, each destination at a random moment of the next minute. */
  dayChanged(now: Millis): void {
    for (const publication of this.#publications.values()) {
      this.#restart(publication, now + this.#options.random.below(60_000))
    }
  }

  /** A router was not known before. What waits for a floodfill, or belongs nearer to this one, goes out again. */
  routerAdded(ri: RouterInfo, now: Millis): void {
    for (const publication of this.#publications.values()) {
      const { state, sentAt, leaseSet } = publication
      if (state.step === 'waiting' && state.floodfill === true) this.#deadlines.set(publication, now)
      else if (state.step === 'done' && this.#routers.size <= SMALL_NETWORK) {
        const { local, clock } = this.#options
        const self = new Set([hashKey(local)])
        const closest = this.#routers.closestFloodfills(leaseSet.hash, 1, self, clock.wall(now), now)[0]
        if (closest?.hash === ri.hash) this.#restart(publication, Math.max(now, sentAt + MIN_INTERVAL))
      }
    }
  }

  /** A DeliveryStatus came out of a tunnel of `client`. */
  acknowledged(token: number, client: Client | undefined, now: Millis): void {
    for (const publication of this.#publications.values()) {
      const { state } = publication
      if (state.step !== 'sent' || state.token !== token || publication.client !== client) continue
      this.#routers.answered(state.floodfill, now)
      if (this.#closest(publication, now) === undefined) this.#done(publication)
      else {
        publication.state = { step: 'acknowledged' }
        this.#deadlines.set(
          publication,
          now + VERIFY_FROM + this.#options.random.below(VERIFY_TO - VERIFY_FROM),
        )
      }
      return
    }
  }

  /** The outcome of a lookup that `timeout` asked for. */
  verified(key: Hash, found: boolean, now: Millis, out: NetDbSink): void {
    const publication = this.#publications.get(hashKey(key))
    if (publication?.state.step !== 'verifying') return
    if (found) this.#done(publication)
    else this.#send(publication, now, out)
  }

  /** Returns the verifications that are to be looked up now. */
  timeout(now: Millis, out: NetDbSink): LookupRequest[] {
    const lookups: LookupRequest[] = []
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) {
      const { state, client, leaseSet } = due
      if (state.step === 'acknowledged') {
        due.state = { step: 'verifying' }
        const { hash: key, published: since } = leaseSet
        lookups.push({ purpose: 'verify', key, client, except: [...due.tried], since })
      } else if (state.step === 'sent') {
        this.#routers.silent(state.floodfill, now)
        this.#send(due, now, out)
      } else if (state.step === 'waiting') {
        due.tried.clear()
        this.#send(due, now, out)
      }
    }
    return lookups
  }

  nextTimeout(): Millis | undefined {
    return this.#deadlines.next()
  }

  #restart(publication: Publication, at: Millis): void {
    publication.tried.clear()
    publication.state = { step: 'waiting' }
    this.#deadlines.set(publication, at)
  }

  #send(publication: Publication, now: Millis, out: NetDbSink): void {
    const { random, clock, paths, floodfill: floodfillSelf, log } = this.#options
    const { client, leaseSet, tried, since } = publication
    publication.state = { step: 'waiting' }
    if (leaseSet.expires <= clock.wall(now)) {
      this.#done(publication)
      return
    }
    const floodfill = tried.size < MAX_TRIES ? this.#closest(publication, now) : undefined
    if (floodfill === undefined) {
      // With nobody else to keep it we do, so that a router alone, and whoever joins it, finds its destinations.
      if (floodfillSelf) this.#leases.add(leaseSet)
      if (tried.size === 0) publication.state = { step: 'waiting', floodfill: true }
      this.#deadlines.set(publication, now + RETRY)
      return
    }
    const path = paths.reply(client)
    if (path === undefined) {
      this.#deadlines.set(publication, now + (now < since + PATH_LATE ? PATH_WAIT : PATH_LATE_WAIT))
      return
    }
    const token = replyToken(random)
    if (tried.size === 0) publication.sentAt = now
    tried.add(hashKey(floodfill))
    publication.state = { step: 'sent', token, floodfill }
    this.#deadlines.set(publication, now + ACK_TIMEOUT)
    const { hash: key, type, bytes: data } = leaseSet
    const payload = writeDatabaseStore({ key, type, reply: { token, ...path }, data })
    const message = newMessage(this.#options, MessageType.DatabaseStore, payload, now)
    out.event({ kind: 'send-garlic', client, to: floodfill, message })
    if (log.enabled('debug')) log.write('debug', `publish ${shortHash(key)} at ${shortHash(floodfill)}`)
  }

  /** The closest floodfill, other than us, that has not had it. */
  #closest(publication: Publication, now: Millis): Hash | undefined {
    const { local, clock } = this.#options
    const excluded = new Set([hashKey(local), ...publication.tried])
    return this.#routers.closestFloodfills(publication.leaseSet.hash, 1, excluded, clock.wall(now), now)[0]
      ?.hash
  }

  #done(publication: Publication): void {
    publication.state = { step: 'done' }
    this.#deadlines.clear(publication)
  }
}
