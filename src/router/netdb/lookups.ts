/**
 * Iterative lookups (netDb page, "Lookup"): ask the floodfills closest to a key, then those that their answers name, two at a
 * time. A query that takes long makes the next one start but is still listened to, so one slow floodfill costs little.
 */
import type { Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'
import {
  type DatabaseLookup,
  ECIES_TAG_LENGTH,
  REPLY_KEY_LENGTH,
  writeDatabaseLookup,
} from '../../protocol/i2np/database-lookup.ts'
import type { DatabaseSearchReply } from '../../protocol/i2np/database-search-reply.ts'
import { MessageType } from '../../protocol/i2np/message.ts'
import { type Hash, type HashKey, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import type { LeaseSet } from '../../protocol/structures/lease-set.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { type Arrival, type Client, type NetDbOptions, type NetDbSink, newMessage } from './events.ts'
import type { RouterStore } from './router-store.ts'

// Specification constants
/** Floodfills asked for one key. Verification wants to know about those that should have it, not whether anybody has. */
const MAX_ASKED: Readonly<Record<Purpose, number>> = { 'lease-set': 7, router: 7, verify: 2, explore: 2 }
/** Those that are silent do not count, up to so many times the number: devices of a mesh go without saying so. */
const ASKED_IN_ALL = 2
/** Of these so many are kept for routers that answers named and whose RouterInfo is still on its way. */
const RESERVED = 2

// Implementation constants
/** Queries in flight for one key: the second costs little and hides the loss of the first. */
const PARALLEL = 2
/** Then the next floodfill is asked too. Through four hops an answer takes well under a second on a good network. */
const QUERY_TIMEOUT: Millis = 1_500
/** How long a lookup goes on listening when everybody was asked. */
const LATE_GRACE: Millis = 2_500
/** How often a lookup looks for a reply path or a floodfill that was missing: only at start-up. */
const RETRY: Millis = 200
/** With no floodfill known at all there is little hope. */
const NO_FLOODFILL_WAIT: Millis = 4_000
/** Bounds of the whole: i2pd's 12 s for lease sets; a transport waits 10 s for a RouterInfo. */
const LIMIT: Readonly<Record<Purpose, Millis>> = {
  'lease-set': 12_000,
  verify: 7_000,
  router: 6_000,
  explore: 5_000,
}
/** Lookups at once: a busy proxy opens tens of sites, a floodfill meets tens of unknown routers. */
const MAX_LOOKUPS = 256
/** Of these so many are for lease sets alone: anybody can make us look for routers, by asking for answers to unknown ones. */
const KEPT_FOR_CLIENTS = 64
/** Named routers of one answer that we look at, and unknown ones of one lookup whose RouterInfo we fetch. */
const MAX_NAMED = 8
const MAX_FETCHED = 9

/** `verify` is a lease set of our own, asked for to see that it is there. */
type Purpose = 'router' | 'lease-set' | 'verify' | 'explore'

export interface LookupRequest {
  readonly purpose: Purpose
  readonly key: Hash
  readonly client?: Client | undefined
  /** Asked before all others: it named the key. */
  readonly first?: Hash | undefined
  /** Not asked. */
  readonly except?: Iterable<HashKey>
  /** Of an older lease set than this nothing is believed. */
  readonly since?: number
  /** Somebody outside the netDb waits for the outcome. */
  readonly wanted?: boolean
  /** Whoever is asked must not see that it is this router that wants to know. */
  readonly hidden?: boolean
  /** Started by an answer to another lookup: starts no more. */
  readonly nested?: boolean
}

export interface Finished {
  readonly purpose: Purpose
  readonly key: Hash
  readonly client: Client | undefined
  readonly wanted: boolean
  readonly found: boolean
}

interface Lookup {
  readonly id: string
  readonly request: LookupRequest
  readonly keyText: HashKey
  /** Us, the asked, and who must not be asked. */
  readonly excluded: Set<HashKey>
  readonly asked: Map<HashKey, Query>
  /** Routers that answers named, whose RouterInfo is on its way. */
  readonly fetching: Set<HashKey>
  fetched: number
  wanted: boolean
  readonly started: Millis
  end: Millis
}

interface Query {
  readonly lookup: Lookup
  readonly peer: Hash
  /** Without tunnels, and so is the answer. */
  readonly direct: boolean
  state: 'pending' | 'overdue' | 'answered'
}

export class Lookups {
  readonly #lookups = new Map<string, Lookup>()
  readonly #deadlines = new Deadlines<Lookup | Query>()
  readonly #options: NetDbOptions
  readonly #routers: RouterStore
  #finished: Finished[] = []

  constructor(options: NetDbOptions, routers: RouterStore) {
    this.#options = options
    this.#routers = routers
  }

  get size(): number {
    return this.#lookups.size
  }

  start(request: LookupRequest, now: Millis, out: NetDbSink): void {
    const keyText = hashKey(request.key)
    const id = `${request.purpose} ${request.client ?? ''} ${keyText}`
    const wanted = request.wanted ?? false
    const running = this.#lookups.get(id)
    if (running !== undefined) {
      running.wanted ||= wanted
      return
    }
    const most = kindOf(request.purpose) === 'lease-set' ? MAX_LOOKUPS : MAX_LOOKUPS - KEPT_FOR_CLIENTS
    if (this.#lookups.size >= most) {
      const { purpose, key, client } = request
      this.#finished.push({ purpose, key, client, wanted, found: false })
      return
    }
    const lookup: Lookup = {
      id,
      request,
      keyText,
      excluded: new Set([hashKey(this.#options.local), ...(request.except ?? [])]),
      asked: new Map(),
      fetching: new Set(),
      fetched: 0,
      wanted,
      started: now,
      end: now + LIMIT[request.purpose],
    }
    this.#lookups.set(id, lookup)
    this.#advance(lookup, now, out)
  }

  /** Whether an answer about this key is awaited out of a tunnel of `client`. */
  wants(what: 'router' | 'lease-set', key: Hash, client: Client | undefined): boolean {
    const text = hashKey(key)
    for (const { request, keyText } of this.#lookups.values()) {
      if (keyText === text && kindOf(request.purpose) === what && request.client === client) return true
    }
    return false
  }

  /** A verified RouterInfo is in the store now. `from` is the router that sent it. */
  routerArrived(ri: RouterInfo, from: Hash | undefined, now: Millis, out: NetDbSink): void {
    const key = hashKey(ri.hash)
    for (const lookup of [...this.#lookups.values()]) {
      if (lookup.request.purpose === 'router' && lookup.keyText === key) {
        if (from !== undefined && lookup.asked.has(hashKey(from))) this.#routers.answered(from, now)
        this.#finish(lookup, true, now)
      }
    }
    this.#fetchEnded(key, now, out)
  }

  /**
   * A verified lease set out of a tunnel of `client`. True when it waited for that; it is believed for verification only when
   * it is new enough.
   */
  leaseSetArrived(ls: LeaseSet, client: Client | undefined, now: Millis, out: NetDbSink): boolean {
    const key = hashKey(ls.hash)
    let wanted = false
    for (const lookup of [...this.#lookups.values()]) {
      const { purpose, since } = lookup.request
      if (lookup.keyText !== key || lookup.request.client !== client) continue
      if (purpose === 'lease-set') {
        wanted = true
        this.#finish(lookup, true, now)
      } else if (purpose === 'verify') {
        if (ls.published >= (since ?? 0)) this.#finish(lookup, true, now)
        else {
          for (const query of lookup.asked.values()) this.#answered(query)
          this.#advance(lookup, now, out)
        }
      }
    }
    return wanted
  }

  /** Taken only from whom we asked, about what we asked; nothing proves `reply.from` but that is all it can spoil. */
  searchReply(
    reply: DatabaseSearchReply,
    from: Hash | undefined,
    arrival: Arrival,
    now: Millis,
    out: NetDbSink,
  ): void {
    const fromKey = hashKey(reply.from)
    if (from !== undefined && hashKey(from) !== fromKey) return
    const key = hashKey(reply.key)
    for (const lookup of [...this.#lookups.values()]) {
      if (lookup.keyText !== key) continue
      const query = lookup.asked.get(fromKey)
      if (query === undefined || query.state === 'answered') continue
      const { client } = lookup.request
      if (
        arrival === 'session'
          ? !query.direct || from === undefined
          : query.direct || arrival.client !== client
      )
        continue
      this.#answered(query)
      this.#routers.answered(query.peer, now)
      this.#fetchNamed(lookup, reply, now, out)
      if (lookup.request.purpose === 'explore') this.#finish(lookup, true, now)
      else this.#advance(lookup, now, out)
    }
  }

  /** The lookups that have ended since the last call. */
  takeFinished(): readonly Finished[] {
    const finished = this.#finished
    if (finished.length > 0) this.#finished = []
    return finished
  }

  timeout(now: Millis, out: NetDbSink): void {
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) {
      if ('peer' in due) {
        due.state = 'overdue'
        this.#advance(due.lookup, now, out)
      } else if (now >= due.end) {
        this.#finish(due, false, now)
        this.#fetchEnded(due.keyText, now, out)
      } else this.#advance(due, now, out)
    }
  }

  nextTimeout(): Millis | undefined {
    return this.#deadlines.next()
  }

  #advance(lookup: Lookup, now: Millis, out: NetDbSink): void {
    if (this.#lookups.get(lookup.id) !== lookup) return // ended meanwhile
    this.#deadlines.set(lookup, lookup.end)
    const { request, asked } = lookup
    const parallel = request.purpose === 'router' || request.purpose === 'lease-set' ? PARALLEL : 1
    let pending = count(lookup, 'pending')
    const most = MAX_ASKED[request.purpose] - Math.min(RESERVED, lookup.fetching.size)
    const silent = count(lookup, 'overdue')
    const mayAsk = (): boolean => asked.size - silent < most && asked.size < most * ASKED_IN_ALL
    while (pending < parallel && mayAsk()) {
      const peer = this.#next(lookup, now)
      if (peer === undefined) break
      if (!this.#ask(lookup, peer, now, out)) {
        this.#deadlines.set(lookup, Math.min(lookup.end, now + RETRY))
        return
      }
      pending++
    }
    if (pending > 0 || lookup.fetching.size > 0) return
    if (asked.size === 0) {
      lookup.end = Math.min(lookup.end, lookup.started + NO_FLOODFILL_WAIT)
      this.#deadlines.set(lookup, Math.min(lookup.end, now + RETRY))
    } else if (silent > 0) {
      lookup.end = Math.min(lookup.end, now + LATE_GRACE)
      this.#deadlines.set(lookup, lookup.end)
    } else {
      this.#finish(lookup, false, now)
      this.#fetchEnded(lookup.keyText, now, out)
    }
  }

  #next(lookup: Lookup, now: Millis): Hash | undefined {
    const { first, key } = lookup.request
    if (first !== undefined && !lookup.excluded.has(hashKey(first)) && this.#routers.get(first) !== undefined)
      return first
    const wall = this.#options.clock.wall(now)
    return this.#routers.closestFloodfills(key, 1, lookup.excluded, wall, now)[0]?.hash
  }

  /** False while there is no way to ask. */
  #ask(lookup: Lookup, peer: Hash, now: Millis, out: NetDbSink): boolean {
    const options = this.#options
    const message = this.#question(lookup, peer, out)
    if (message === undefined) return false
    const payload = writeDatabaseLookup(message)
    const i2np = newMessage(options, MessageType.DatabaseLookup, payload, now)
    const direct = message.replyTunnelId === undefined
    if (direct) out.event({ kind: 'send', to: peer, message: i2np, traffic: 'own' })
    else out.event({ kind: 'send-garlic', client: lookup.request.client, to: peer, message: i2np })
    const query: Query = { lookup, peer, direct, state: 'pending' }
    lookup.asked.set(hashKey(peer), query)
    lookup.excluded.add(hashKey(peer))
    this.#deadlines.set(query, Math.min(lookup.end, now + QUERY_TIMEOUT))
    if (options.log.enabled('debug')) {
      options.log.write(
        'debug',
        `ask ${shortHash(peer)} for ${lookup.request.purpose} ${shortHash(lookup.request.key)}`,
      )
    }
    return true
  }

  /**
   * Lease sets only ever through the client's tunnels. RouterInfos directly from a router that we are connected to anyway, or
   * when there is no tunnel yet.
   */
  #question(lookup: Lookup, peer: Hash, out: NetDbSink): DatabaseLookup | undefined {
    const { local, random, paths } = this.#options
    const { purpose, client, key, hidden } = lookup.request
    const leaseSet = kindOf(purpose) === 'lease-set'
    // Exploratory answers name no floodfills, so half of the time we ask for a router that does not exist.
    const exploratory = purpose === 'explore' && key[0]! % 2 === 0
    const kind = exploratory ? 'exploratory' : leaseSet ? 'lease-set' : 'router'
    const excluded = [...lookup.asked.values()].map((query) => query.peer)
    const direct = !leaseSet && hidden !== true && this.#options.connected(peer)
    const path = direct ? undefined : paths.reply(client)
    if (path === undefined) return leaseSet ? undefined : { key, from: local, kind, excluded }
    const replyKey = random.bytes(REPLY_KEY_LENGTH)
    const tag = random.bytes(ECIES_TAG_LENGTH)
    out.event({ kind: 'reply-key', client, key: replyKey, tag })
    const encryption = { scheme: 'ecies', key: replyKey, tags: [tag] } as const
    return { key, from: path.gateway, replyTunnelId: path.tunnelId, kind, excluded, encryption }
  }

  /**
   * Fetches what an answer names and we do not know. For a client's lookup not from the router that answered and not under
   * our own name: it would see which router the client lives on.
   */
  #fetchNamed(lookup: Lookup, reply: DatabaseSearchReply, now: Millis, out: NetDbSink): void {
    if (lookup.request.nested === true) return
    const hidden = kindOf(lookup.request.purpose) === 'lease-set'
    for (const peer of reply.peers.slice(0, MAX_NAMED)) {
      const key = hashKey(peer)
      if (lookup.fetched >= MAX_FETCHED) return
      if (lookup.excluded.has(key) || lookup.fetching.has(key) || this.#routers.get(peer) !== undefined)
        continue
      lookup.fetched++
      lookup.fetching.add(key)
      const first = hidden ? undefined : reply.from
      this.start({ purpose: 'router', key: peer, first, hidden, nested: true }, now, out)
    }
  }

  #fetchEnded(key: HashKey, now: Millis, out: NetDbSink): void {
    for (const lookup of [...this.#lookups.values()]) {
      if (lookup.fetching.delete(key)) this.#advance(lookup, now, out)
    }
  }

  #answered(query: Query): void {
    query.state = 'answered'
    this.#deadlines.clear(query)
  }

  #finish(lookup: Lookup, found: boolean, now: Millis): void {
    if (!this.#lookups.delete(lookup.id)) return
    this.#deadlines.clear(lookup)
    for (const query of lookup.asked.values()) {
      this.#deadlines.clear(query)
      if (query.state === 'overdue') this.#routers.silent(query.peer, now)
    }
    const { purpose, key, client } = lookup.request
    this.#finished.push({ purpose, key, client, wanted: lookup.wanted, found })
  }
}

function kindOf(purpose: Purpose): 'router' | 'lease-set' | 'explore' {
  return purpose === 'verify' ? 'lease-set' : purpose
}

function count(lookup: Lookup, state: Query['state']): number {
  let n = 0
  for (const query of lookup.asked.values()) if (query.state === state) n++
  return n
}
