/**
 * Who introduces us while nobody can dial us: which peers gave us tags, whom to ask for one, what to publish as `ih`, `itag` and `iexp`
 * (ssu2, "RelayTagRequest", "RelayTag", "Published Addresses"). An introducer reaches us only as long as our NAT remembers it, so
 * the ways are kept open: all in one moment, since each waking of a radio costs.
 */
import type { Millis } from '../../base/clock.ts'
import { earliest } from '../../base/deadlines.ts'
import { jitter, shuffle } from '../../base/random.ts'
import { Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { Introducer } from '../../protocol/structures/router-address.ts'
import { FAMILIES, type Family, type ReachOptions, type ReachSink } from './events.ts'
import { offerOf, type Peer, type Peers } from './peers.ts'

// Specification constants

/** `ih0` to `ih2`. */
const MAX_PUBLISHED = 3

// Implementation constants

/** As i2pd: a tag is published for so long after it was given, and another sought after three quarters of it. */
const LIFE_MS: Millis = 80 * 60_000
const FRESH_MS: Millis = 60 * 60_000
/** Below the 30 s after which many NATs forget who has not written. */
const KEEP_ALIVE_MS: Millis = 25_000
const JITTER = 0.1
/** Between requests to dial one more. */
const WANT_MS: Millis = 30_000
/** Tags kept: those of as many sessions. */
const MAX_TAGS = 64

interface Tagged {
  readonly hash: Hash
  readonly family: Family
  readonly tag: number
  readonly since: Millis
}

interface Ours {
  needed: boolean
  published: readonly Tagged[]
  tickAt: Millis | undefined
  wantAt: Millis
}

export class Introducers {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #tagged = new Map<HashKey, Tagged>()
  /** When each was last asked. */
  readonly #asked = new Map<HashKey, Millis>()
  readonly #ours: Readonly<Record<Family, Ours>> = { 4: none(), 6: none() }

  constructor(options: ReachOptions, peers: Peers) {
    this.#options = options
    this.#peers = peers
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#ours[4].tickAt, this.#ours[6].tickAt)
  }

  /** The tag by which `hash` introduces others to us. */
  tagOf(hash: Hash): number | undefined {
    return this.#tagged.get(hashKey(hash))?.tag
  }

  published(family: Family, now: Millis): Introducer[] {
    const offset = this.#options.clock.wall(now) - now
    return this.#ours[family].published.map(({ hash, tag, since }) => ({
      hash,
      tag,
      expires: since + LIFE_MS + offset,
    }))
  }

  /** Whether strangers need somebody to introduce them. */
  need(family: Family, needed: boolean, now: Millis, out: ReachSink): void {
    const ours = this.#ours[family]
    if (ours.needed === needed) return
    ours.needed = needed
    ours.tickAt = needed ? this.#tick(now) : undefined
    this.#update(family, now, out)
  }

  /** `peer` gave us a tag. */
  tag(peer: Peer, tag: number, now: Millis, out: ReachSink): void {
    if (this.#tagged.size >= MAX_TAGS && !this.#tagged.has(peer.key)) return
    this.#tagged.set(peer.key, { hash: peer.hash, family: peer.family, tag, since: now })
    this.#update(peer.family, now, out)
  }

  connected(peer: Peer, now: Millis, out: ReachSink): void {
    if (this.#ours[peer.family].published.length < MAX_PUBLISHED) this.#update(peer.family, now, out)
  }

  /** Its session has ended. */
  forget(hash: Hash, now: Millis, out: ReachSink): void {
    const key = hashKey(hash)
    this.#asked.delete(key)
    const tagged = this.#tagged.get(key)
    if (tagged === undefined) return
    this.#tagged.delete(key)
    this.#update(tagged.family, now, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (const family of FAMILIES) {
      const ours = this.#ours[family]
      if (ours.tickAt === undefined || ours.tickAt > now) continue
      ours.tickAt = this.#tick(now)
      this.#update(family, now, out)
      for (const tagged of this.#tagged.values())
        if (tagged.family === family) out.event({ kind: 'keep-alive', peer: tagged.hash })
    }
  }

  #update(family: Family, now: Millis, out: ReachSink): void {
    const ours = this.#ours[family]
    const chosen = ours.needed ? this.#choose(family, now) : []
    const before = ours.published
    ours.published = chosen
    if (chosen.length !== before.length || chosen.some((tagged) => !before.includes(tagged)))
      out.event({ kind: 'introducers', family, introducers: this.published(family, now) })
    const fresh = chosen.filter((tagged) => isFresh(tagged, now)).length
    if (ours.needed && fresh < MAX_PUBLISHED) this.#ask(family, MAX_PUBLISHED - fresh, now, out)
  }

  /** Those published stay while they are fresh; old ones are better than none. */
  #choose(family: Family, now: Millis): Tagged[] {
    const usable: Tagged[] = []
    for (const [key, tagged] of this.#tagged) {
      if (now >= tagged.since + LIFE_MS) this.#tagged.delete(key)
      else if (tagged.family === family) usable.push(tagged)
    }
    const { published } = this.#ours[family]
    const worth = (tagged: Tagged): number =>
      (isFresh(tagged, now) ? 2 : 0) + (published.includes(tagged) ? 1 : 0)
    shuffle(this.#options.random, usable)
    return usable.sort((a, b) => worth(b) - worth(a)).slice(0, MAX_PUBLISHED)
  }

  /** Peers that introduce others and have not been asked lately; when there are too few, one more is dialled. */
  #ask(family: Family, count: number, now: Millis, out: ReachSink): void {
    let left = count
    for (const peer of this.#peers.all()) {
      if (left === 0) return
      const askedAt = this.#asked.get(peer.key)
      if (askedAt !== undefined && now < askedAt + FRESH_MS) continue
      if (peer.family !== family || this.#tagged.has(peer.key) || !canIntroduce(peer)) continue
      this.#asked.set(peer.key, now)
      left--
      out.event({
        kind: 'block',
        to: peer.hash,
        type: Ssu2BlockType.relayTagRequest,
        data: new Uint8Array(0),
      })
    }
    const ours = this.#ours[family]
    if (left === 0 || now < ours.wantAt) return
    ours.wantAt = now + WANT_MS
    out.event({ kind: 'want-peer', family, capability: 'C' })
  }

  #tick(now: Millis): Millis {
    return now + jitter(this.#options.random, KEEP_ALIVE_MS, JITTER)
  }
}

function none(): Ours {
  return { needed: false, published: [], tickAt: undefined, wantAt: 0 }
}

function isFresh({ since }: Tagged, now: Millis): boolean {
  return now < since + FRESH_MS
}

/** Those who want to be introduced must be able to dial it. */
function canIntroduce({ routerInfo }: Peer): boolean {
  return FAMILIES.some((family) => {
    const offer = offerOf(routerInfo, family)
    return offer?.at !== undefined && offer.caps.includes('C')
  })
}
