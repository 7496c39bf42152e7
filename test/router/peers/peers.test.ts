import { describe, expect, it } from 'vitest'
import { WallClock } from '../../../src/base/clock.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { type Hash, type HashKey, hashKey } from '../../../src/protocol/structures/hash.ts'
import type { RouterInfo } from '../../../src/protocol/structures/router-info.ts'
import { capacity, eligible, networks } from '../../../src/router/peers/candidate.ts'
import { hopsForMesh } from '../../../src/router/peers/mesh-hops.ts'
import { PeerProfiles } from '../../../src/router/peers/profiles.ts'
import { hopSelector, type SelectorOptions } from '../../../src/router/peers/selector.ts'
import { Usage } from '../../../src/router/tunnel/pool.ts'
import type { Direction, PoolView } from '../../../src/router/tunnel/tunnel-event.ts'

const random = seededRandom(5)
const WALL = 1_700_000_000_000
const self = random.bytes(32)

interface Spec {
  readonly host?: string | undefined
  readonly caps?: string
  readonly version?: number
  readonly family?: string
  readonly encryptionType?: number
  readonly published?: number
}

function router(spec: Spec = {}): RouterInfo {
  const hash = random.bytes(32)
  const { host, caps = 'XR', version = 967, family, encryptionType = 4, published = WALL - 60_000 } = spec
  const options = new Map(family === undefined ? [] : [['family', family]])
  const address = new Map(
    host === undefined
      ? []
      : ([
          ['host', host],
          ['port', '1234'],
        ] as [string, string][]),
  )
  const identity = {
    hash,
    encryptionType,
    encryptionKey: random.bytes(32),
    signingType: 7,
    signingKey: hash,
    bytes: hash,
  }
  const addresses = [{ cost: 3, style: 'NTCP2', options: address }]
  return { identity, hash, published, addresses, options, caps, version, netId: 2, bytes: hash }
}

const ip = (): string => `${1 + random.below(220)}.${random.below(250)}.${random.below(250)}.1`

function options(routers: readonly RouterInfo[], over: Partial<SelectorOptions> = {}): SelectorOptions {
  const clock = new WallClock(WALL, 0)
  return {
    self,
    profiles: new PeerProfiles(),
    candidates: () => routers,
    connected: () => false,
    mesh: false,
    random,
    clock,
    ...over,
  }
}

function pool(usage = new Usage(), over: Partial<PoolView> = {}): PoolView {
  const none = new Set<HashKey>()
  return {
    name: 'p',
    kind: 'client',
    disjoint: false,
    trusted: undefined,
    key: random.bytes(32),
    usage,
    routers: () => none,
    ...over,
  }
}

const keys = (hops: readonly { hash: Hash }[]): string[] => hops.map((h) => hashKey(h.hash))

describe('choice of hops', () => {
  it('keeps every rule over a thousand tunnels', () => {
    const routers = Array.from({ length: 3000 }, (_, i) =>
      router({
        host: ip(),
        caps: ['XR', 'OR', 'LR', 'PRD', 'XRE', 'XRG'][i % 6]!,
        ...(i % 9 === 0 ? { family: `f${i % 5}` } : {}),
      }),
    )
    const byKey = new Map(routers.map((r) => [hashKey(r.hash), r]))
    const select = hopSelector(options(routers))
    const usage = new Usage()
    const p = pool(usage)
    for (let i = 0; i < 1000; i++) {
      const hops = select(p, i % 2 === 0 ? 'inbound' : 'outbound', 3, 0)!
      const ris = keys(hops).map((k) => byKey.get(k)!)
      expect(new Set(ris).size).toBe(3)
      expect(new Set(ris.flatMap(networks)).size).toBe(3)
      const families = ris.map((r) => r.options.get('family')).filter((f) => f !== undefined)
      expect(new Set(families).size).toBe(families.length)
      for (const ri of ris) expect(ri.caps).not.toMatch(/[EG]/)
      usage.add(keys(hops), 1)
    }
    for (const k of byKey.keys()) expect(usage.count(k)).toBeLessThan(330)
  }, 120_000)

  it('holds a third of our tunnels at most, even of the best', () => {
    const routers = Array.from({ length: 100 }, (_, i) => router({ host: ip(), caps: i < 3 ? 'XR' : 'KR' }))
    const usage = new Usage()
    const select = hopSelector(options(routers))
    for (let i = 0; i < 300; i++) usage.add(keys(select(pool(usage), 'outbound', 2, 0)!), 1)
    for (const r of routers) expect(usage.count(hashKey(r.hash))).toBeLessThanOrEqual(100)
  })

  it('never changes the order of two routers in a pool; another pool has another', () => {
    const routers = Array.from({ length: 12 }, () => router({ host: ip() }))
    const select = hopSelector(options(routers))
    const orders = [pool(), pool()].map((p) => {
      const before = new Set<string>()
      for (let i = 0; i < 500; i++) {
        const direction: Direction = i % 2 === 0 ? 'inbound' : 'outbound'
        const hops = keys(select(p, direction, 3, 0)!)
        if (direction === 'inbound') hops.reverse()
        for (const [a, b] of [
          [0, 1],
          [0, 2],
          [1, 2],
        ] as const) {
          before.add(`${hops[a]}${hops[b]}`)
          expect(before.has(`${hops[b]}${hops[a]}`)).toBe(false)
        }
      }
      return before
    })
    expect([...orders[0]!].some((pair) => !orders[1]!.has(pair))).toBe(true)
  })

  it('drops its demands in a small network, but not all', () => {
    const routers = Array.from({ length: 3 }, () => router({ host: '10.1.2.3', family: 'one' }))
    const select = hopSelector(options(routers))
    const usage = new Usage()
    const p = pool(usage, { disjoint: true, routers: () => new Set(routers.map((r) => hashKey(r.hash))) })
    for (let i = 0; i < 20; i++) {
      const hops = select(p, 'outbound', 3, 0)!
      expect(new Set(keys(hops)).size).toBe(3)
      usage.add(keys(hops), 1)
    }
    expect(select(p, 'outbound', 4, 0)).toBeUndefined()
    const others = [
      router({ host: ip(), caps: 'XRG' }),
      router({ host: ip(), version: 950 }),
      router({ host: ip(), encryptionType: 0 }),
    ]
    expect(hopSelector(options(others))(p, 'outbound', 1, 0)).toBeUndefined()
  })

  it('keeps directions apart where it can', () => {
    const routers = Array.from({ length: 4 }, () => router({ host: ip() }))
    const inbound = new Set(routers.slice(0, 2).map((r) => hashKey(r.hash)))
    const p = pool(new Usage(), { disjoint: true, routers: (d) => (d === 'inbound' ? inbound : new Set()) })
    const select = hopSelector(options(routers))
    for (let i = 0; i < 30; i++)
      for (const k of keys(select(p, 'outbound', 2, 0)!)) expect(inbound.has(k)).toBe(false)
  })

  it('prefers routers that are connected already for the place next to us', () => {
    const routers = Array.from({ length: 50 }, () => router({ host: ip() }))
    const near = new Set(routers.slice(0, 10).map((r) => hashKey(r.hash)))
    const select = hopSelector(options(routers, { connected: (h) => near.has(hashKey(h)) }))
    let first = 0
    let last = 0
    for (let i = 0; i < 200; i++) {
      if (near.has(keys(select(pool(), 'outbound', 3, 0)!)[0]!)) first++
      if (near.has(keys(select(pool(), 'inbound', 3, 0)!)[2]!)) last++
    }
    expect(first).toBeGreaterThan(110)
    expect(last).toBeGreaterThan(110)
  })

  it('in a mesh begins at a neighbour, whatever the order', () => {
    const routers = Array.from({ length: 5 }, () => router({ caps: 'LD' }))
    const neighbour = hashKey(routers[3]!.hash)
    const select = hopSelector(options(routers, { mesh: true, connected: (h) => hashKey(h) === neighbour }))
    for (let i = 0; i < 50; i++) {
      expect(keys(select(pool(), 'outbound', 2, 0)!)[0]).toBe(neighbour)
      expect(keys(select(pool(), 'inbound', 2, 0)!)[1]).toBe(neighbour)
    }
    expect(hopSelector(options(routers, { mesh: true }))(pool(), 'outbound', 1, 0)).toBeUndefined()
  })

  it('uses firewalled routers only next to us, outwards, while connected', () => {
    const firewalled = router({ caps: 'LU' })
    const open = Array.from({ length: 3 }, () => router({ host: ip() }))
    const select = hopSelector(options([firewalled, ...open], { connected: () => true }))
    const key = hashKey(firewalled.hash)
    for (let i = 0; i < 100; i++) {
      expect(keys(select(pool(), 'inbound', 2, 0)!)).not.toContain(key)
      expect(keys(select(pool(), 'outbound', 2, 0)!)[1]).not.toBe(key)
    }
    const alone = hopSelector(options([firewalled], { connected: () => true }))
    expect(alone(pool(), 'outbound', 1, 0)).toHaveLength(1)
    const behind = hopSelector(options(open, { reachable: () => false }))
    expect(behind(pool(), 'inbound', 1, 0)).toBeUndefined()
  })

  it('keeps to trusted routers when told to', () => {
    const routers = Array.from({ length: 20 }, () => router({ host: '10.1.2.3' }))
    const trusted = routers.slice(0, 2).map((r) => r.hash)
    const select = hopSelector(options(routers))
    for (let i = 0; i < 20; i++) {
      const hops = keys(select(pool(new Usage(), { trusted }), 'outbound', 2, 0)!)
      expect(new Set(hops)).toEqual(new Set(trusted.map(hashKey)))
    }
    expect(select(pool(new Usage(), { trusted }), 'outbound', 3, 0)).toBeUndefined()
  })

  it('avoids those that decline or drop, and comes back to them', () => {
    const profiles = new PeerProfiles()
    const [bad, ...good] = Array.from({ length: 6 }, () => router({ host: ip() }))
    const select = hopSelector(options([bad!, ...good], { profiles }))
    const uses = (now: number): number => {
      let n = 0
      for (let i = 0; i < 200; i++)
        if (keys(select(pool(), 'outbound', 1, now)!)[0] === hashKey(bad!.hash)) n++
      return n
    }
    profiles.record(bad!.hash, 'declined', 0)
    expect(uses(1000)).toBe(0)
    expect(uses(400_000)).toBeGreaterThan(5)
    for (let i = 0; i < 6; i++) profiles.record(bad!.hash, 'test-failed', 400_000 + i * 30_000)
    for (const g of good) for (let i = 0; i < 4; i++) profiles.record(g.hash, 'accepted', 400_000)
    expect(uses(600_000)).toBe(0)
    expect(uses(600_000 + 6 * 3_600_000)).toBeGreaterThan(5)
  })
})

describe('what a RouterInfo says', () => {
  it('counts', () => {
    expect(eligible(router(), WALL)).toBe(true)
    for (const spec of [
      { caps: 'XRG' },
      { caps: 'XRE' },
      { caps: 'XH' },
      { version: 950 },
      { encryptionType: 0 },
    ]) {
      expect(eligible(router(spec), WALL)).toBe(false)
    }
    expect(eligible(router({ caps: 'XRE', published: WALL - 16 * 60_000 }), WALL)).toBe(true)
    expect(capacity(router({ caps: 'XR' }))).toBeGreaterThan(capacity(router({ caps: 'XRD' })))
    expect(capacity(router({ caps: 'PR' }))).toBeGreaterThan(capacity(router({ caps: 'LR' })))
    expect(networks(router({ host: '1.2.3.4' }))).toEqual(['1.2'])
    expect(networks(router({ host: '2001:db8::1' }))).toEqual(['2001.db8'])
    expect(networks(router())).toEqual([])
  })
})

describe('hops of a mesh', () => {
  it('follow from its size', () => {
    const hops = [0, 1, 2, 4, 5, 7, 8, 30].map((r) => hopsForMesh(r, 2))
    expect(hops).toEqual([0, 0, 1, 1, 2, 2, 2, 2])
    expect([4, 7, 8].map((r) => hopsForMesh(r, 3))).toEqual([1, 2, 3])
    expect(hopsForMesh(30, 0)).toBe(0)
  })
})
