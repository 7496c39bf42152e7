/** Chooses the hops of our tunnels (peer-selection; tunnel-implementation, "Peer Ordering"). */
import { compareBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { sha256 } from '../../crypto/sha256.ts'
import type { Hop } from '../../protocol/build/creator.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { Direction, HopSelector, PoolView } from '../tunnel/tunnel-event.ts'
import { capacity, eligible, family, networks, published } from './candidate.ts'
import type { PeerProfiles } from './profiles.ts'

// Specification constants
/** No router in more than a third of our tunnels. */
const MAX_SHARE = 0.33

// Implementation constants
/** How much rather a router is our neighbour in a tunnel when we are connected already: no handshake to wait for. */
const CONNECTED_WEIGHT = 8
/** How much rather a mesh's tunnel takes a router that no other tunnel of its pool and direction has. */
const SPREAD = 16
/** Exponents of the score: a client's tunnels are for speed, exploratory ones also to get to know routers. */
const CLIENT_SCORE_POWER = 3
const EXPLORATORY_SCORE_POWER = 1
/** Routers looked at beside those we are connected to, by lot: enough to choose from, and few enough for a slow machine. */
const SAMPLE = 500
/** Neighbours tried before a demand is dropped: a choice looks at every router we know once for each. */
const MAX_NEAR_TRIED = 32

/**
 * What is demanded beside the things that are never given up. In small networks the demands are dropped one after another
 * until there are enough routers; the order is that of the harm.
 */
type Demand = 'share' | 'disjoint' | 'good' | 'network' | 'family' | 'order'
const DEMANDS: readonly Demand[] = ['share', 'disjoint', 'good', 'network', 'family', 'order']

export interface SelectorOptions {
  readonly self: Hash
  readonly profiles: PeerProfiles
  /** Routers we know, verified and of our network. */
  readonly candidates: () => Iterable<RouterInfo>
  readonly connected: (hash: Hash) => boolean
  /** In a mesh routers publish no address: our neighbour in a tunnel has to be a neighbour on a link. */
  readonly mesh: boolean
  /** Whether we can dial it; by default whether it has published an address. */
  readonly canDial?: (ri: RouterInfo) => boolean
  /** Whether others can dial us; by default yes. */
  readonly reachable?: () => boolean
  readonly random: Random
  readonly clock: Clock
}

interface Candidate {
  readonly ri: RouterInfo
  readonly key: HashKey
  /** May stand next to us. */
  readonly near: boolean
  /** May stand behind another hop, which has to dial it. */
  readonly far: boolean
  readonly avoided: boolean
  /** Random, smaller for better routers: taking them in this order is a weighted draw. */
  readonly draw: number
  readonly nearDraw: number
  /** Place in the pool's order, worked out when asked for. */
  place: Uint8Array | undefined
}

interface Choice {
  readonly pool: PoolView
  readonly demands: ReadonlySet<Demand>
  /** Routers of the other direction. */
  readonly others: ReadonlySet<HashKey>
  readonly chosen: Candidate[]
}

export function hopSelector(options: SelectorOptions): HopSelector {
  return (pool, direction, length, now) => {
    const candidates = gather(options, pool, direction, now)
    const others = pool.routers(direction === 'inbound' ? 'outbound' : 'inbound')
    const first = firstDemand(pool)
    for (let dropped = first; dropped <= DEMANDS.length; dropped++) {
      const demands = new Set(DEMANDS.slice(dropped))
      if (!pool.disjoint) demands.delete('disjoint')
      const chosen = choose(candidates, { pool, demands, others, chosen: [] }, length)
      if (chosen !== undefined) return path(chosen, direction)
    }
    return undefined
  }
}

/** Of routers that the user trusts nothing is demanded but that they are different ones, in the pool's order. */
function firstDemand(pool: PoolView): number {
  return pool.trusted === undefined ? 0 : DEMANDS.indexOf('order')
}

/** `chosen` begins next to us. */
function path(chosen: readonly Candidate[], direction: Direction): Hop[] {
  const hops = chosen.map(({ ri }) => ({ hash: ri.hash, encryptionKey: ri.identity.encryptionKey }))
  return direction === 'outbound' ? hops : hops.reverse()
}

/** Everyone who may be a hop at all, in the order of a weighted draw. */
function gather(o: SelectorOptions, pool: PoolView, direction: Direction, now: Millis): Candidate[] {
  const wall = o.clock.wall(now)
  const self = hashKey(o.self)
  const trusted = pool.trusted === undefined ? undefined : new Set(pool.trusted.map(hashKey))
  const power = pool.kind === 'client' ? CLIENT_SCORE_POWER : EXPLORATORY_SCORE_POWER
  const inboundNeedsSession = direction === 'inbound' && o.reachable?.() === false
  const used = pool.routers(direction)
  const gathered: Candidate[] = []
  const known = [...o.candidates()]
  const skip = trusted === undefined ? 1 - SAMPLE / known.length : 0
  for (const ri of known) {
    const connected = o.connected(ri.hash)
    if (!connected && skip > 0 && o.random.below(1 << 16) < skip * (1 << 16)) continue
    const key = hashKey(ri.hash)
    if (key === self || !eligible(ri, wall) || (trusted !== undefined && !trusted.has(key))) continue
    const dialable = o.mesh || published(ri)
    const ours = !o.mesh && !inboundNeedsSession && (o.canDial?.(ri) ?? dialable)
    const near = connected || ours
    if (!near && !dialable) continue
    // Behind a firewall it can take what comes over our session, and nothing else.
    if (!dialable && direction === 'inbound') continue
    const use = pool.kind === 'client' ? capacity(ri) : Math.sqrt(capacity(ri))
    // With so few, chance often takes the same ones for all tunnels of a pool, and then one that leaves takes them all along.
    const spread = o.mesh && used.has(key) ? 1 / SPREAD : 1
    const weight = o.profiles.score(key, now) ** power * use * spread
    const draw = -Math.log((1 + o.random.below(1 << 30)) / (1 << 30)) / weight
    const nearDraw = connected ? draw / CONNECTED_WEIGHT : draw
    const avoided = o.profiles.avoid(key, now)
    gathered.push({ ri, key, near, far: dialable, avoided, draw, nearDraw, place: undefined })
  }
  return gathered.sort((a, b) => a.draw - b.draw)
}

/** The routers of one tunnel, from us outwards: in the pool's order, so that two of them never change places. */
function choose(candidates: readonly Candidate[], choice: Choice, length: number): Candidate[] | undefined {
  if (candidates.length < length) return undefined
  const { pool } = choice
  const ordered = choice.demands.has('order')
  const near = candidates.filter((c) => c.near && fits(c, choice)).sort((a, b) => a.nearDraw - b.nearDraw)
  for (const first of near.slice(0, MAX_NEAR_TRIED)) {
    const chosen = [first]
    const next: Choice = { ...choice, chosen }
    for (const c of candidates) {
      if (chosen.length === length) break
      if (!c.far || chosen.includes(c) || !fits(c, next)) continue
      if (!ordered || compareBytes(place(first, pool), place(c, pool)) < 0) chosen.push(c)
    }
    if (chosen.length < length) continue
    return [first, ...chosen.slice(1).sort((a, b) => compareBytes(place(a, pool), place(b, pool)))]
  }
  return undefined
}

function fits(c: Candidate, { pool, demands, others, chosen }: Choice): boolean {
  const { usage } = pool
  const share = Math.max(1, Math.floor(MAX_SHARE * (usage.tunnels + 1)))
  if (demands.has('share') && usage.count(c.key) >= share) return false
  if (demands.has('disjoint') && others.has(c.key)) return false
  if (demands.has('good') && c.avoided) return false
  if (demands.has('network') && chosen.some((o) => shareNetwork(o.ri, c.ri))) return false
  const name = family(c.ri)
  return !demands.has('family') || name === undefined || chosen.every((o) => family(o.ri) !== name)
}

function shareNetwork(a: RouterInfo, b: RouterInfo): boolean {
  const ours = networks(a)
  return networks(b).some((n) => ours.includes(n))
}

/** Where a router stands in a pool's order: its distance from the pool's key, which nobody else can work out. */
function place(c: Candidate, { key }: PoolView): Uint8Array {
  if (c.place === undefined) {
    c.place = sha256(c.ri.hash, key)
    for (let i = 0; i < key.length; i++) c.place[i] = c.place[i]! ^ key[i]!
  }
  return c.place
}
