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

/** As i2pd: a tag is published for so long at a time. Those who gave it keep it as long as the session lasts. */
const LIFE_MS: Millis = 80 * 60_000
/** So far ahead of the end it is published anew. */
const RENEW_MS: Millis = 20 * 60_000
/** Until one that was asked counts as unwilling, and until it is asked again. */
const ANSWER_MS: Millis = 10_000
const ASK_AGAIN_MS: Millis = 60 * 60_000
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
  readonly expires: Millis
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
    return this.#ours[family].published.map(({ hash, tag, expires }) => ({
      hash,
      tag,
      expires: expires + offset,
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
    this.#tagged.set(peer.key, { hash: peer.hash, family: peer.family, tag, expires: now + LIFE_MS })
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
    if (ours.needed) this.#ask(family, MAX_PUBLISHED - chosen.length, now, out)
  }

  /** Those published stay. */
  #choose(family: Family, now: Millis): Tagged[] {
    const { published } = this.#ours[family]
    const usable: { readonly tagged: Tagged; readonly stays: boolean }[] = []
    for (const [key, tagged] of this.#tagged) {
      if (tagged.family !== family) continue
      const renewed = now < tagged.expires - RENEW_MS ? tagged : { ...tagged, expires: now + LIFE_MS }
      this.#tagged.set(key, renewed)
      usable.push({ tagged: renewed, stays: published.includes(tagged) })
    }
    shuffle(this.#options.random, usable)
    usable.sort((a, b) => Number(b.stays) - Number(a.stays))
    return usable.slice(0, MAX_PUBLISHED).map(({ tagged }) => tagged)
  }

  /** Peers that introduce others; when there are too few, one more is dialled. */
  #ask(family: Family, missing: number, now: Millis, out: ReachSink): void {
    let left = missing
    const candidates: Peer[] = []
    for (const peer of this.#peers.all()) {
      if (peer.family !== family || this.#tagged.has(peer.key) || !canIntroduce(peer)) continue
      const askedAt = this.#asked.get(peer.key)
      if (askedAt === undefined || now >= askedAt + ASK_AGAIN_MS) candidates.push(peer)
      else if (now < askedAt + ANSWER_MS) left--
    }
    for (const peer of candidates) {
      if (left <= 0) return
      left--
      this.#asked.set(peer.key, now)
      out.event({
        kind: 'block',
        to: peer.hash,
        type: Ssu2BlockType.relayTagRequest,
        data: new Uint8Array(0),
      })
    }
    const ours = this.#ours[family]
    if (left <= 0 || now < ours.wantAt) return
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

/** Those who want to be introduced must be able to dial it. */
function canIntroduce({ routerInfo }: Peer): boolean {
  return FAMILIES.some((family) => {
    const offer = offerOf(routerInfo, family)
    return offer?.at !== undefined && offer.caps.includes('C')
  })
}
