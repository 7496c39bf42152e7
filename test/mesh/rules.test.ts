import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { ClockConsensus } from '../../src/mesh/clock-consensus.ts'
import {
  type AnnouncePolicy,
  announceDecision,
  type LinkInterface,
  type LinkKind,
  linkLocalBytes,
  scoped,
  zoneOf,
} from '../../src/mesh/link.ts'
import { Peers, wasSteady } from '../../src/mesh/peers.ts'
import { anonymity } from '../../src/mesh/small-mesh.ts'

describe('announce, listen or off', () => {
  const AUTO: AnnouncePolicy = { announce: 'auto', interfaces: ['auto'], open: false, allowed: new Set() }
  const link = (kind: LinkKind, more: Partial<LinkInterface> = {}): LinkInterface => ({
    name: 'x0',
    index: 2,
    address: 'fe80::1',
    kind,
    defaultRoute: false,
    network: '',
    ...more,
  })
  const mode = (l: LinkInterface, policy: Partial<AnnouncePolicy> = {}) =>
    announceDecision(l, { ...AUTO, ...policy }).mode

  test('a private mesh is announced on every link to other machines', () => {
    for (const kind of ['wifi', 'wired', 'mesh', 'veth', 'bridge'] as const)
      expect(mode(link(kind, { defaultRoute: true }))).toBe('announce')
    for (const kind of ['vpn', 'cellular', 'port', 'other'] as const) expect(mode(link(kind))).toBe('off')
  })

  test('an open mesh only where nobody else is told, or where it was allowed', () => {
    const open = { open: true }
    expect(mode(link('wifi'), open)).toBe('announce')
    expect(mode(link('wifi', { defaultRoute: true, network: 'n' }), open)).toBe('listen')
    expect(
      mode(link('wifi', { defaultRoute: true, network: 'n' }), { ...open, allowed: new Set(['n']) }),
    ).toBe('announce')
    expect(mode(link('mesh', { defaultRoute: true }), open)).toBe('announce')
    expect(mode(link('vpn'), open)).toBe('off')
  })

  test('what the user says', () => {
    expect(mode(link('wifi'), { interfaces: ['y0'] })).toBe('off')
    expect(mode(link('vpn'), { interfaces: ['x0'] })).toBe('announce')
    expect(mode(link('vpn'), { interfaces: ['auto', 'x0'] })).toBe('announce')
    expect(mode(link('wifi'), { announce: 'off' })).toBe('off')
    expect(mode(link('wifi'), { announce: 'listen' })).toBe('listen')
    expect(mode(link('wifi', { defaultRoute: true }), { announce: 'announce', open: true })).toBe('announce')
    expect(mode(link('cellular'), { announce: 'announce' })).toBe('off')
  })
})

test('addresses: the zone is part of a link-local one; loopback has none and is a link of its own', () => {
  expect(scoped('fe80::1', 'wlan0')).toBe('fe80::1%wlan0')
  expect(zoneOf('fe80::1%wlan0')).toBe('wlan0')
  expect(scoped('127.0.0.2', 'lo')).toBe('127.0.0.2')
  expect(zoneOf('127.0.0.2')).toBe('lo')
  expect(linkLocalBytes('127.0.0.2')?.join()).toBe('0,0,0,0,0,0,0,0,0,0,255,255,127,0,0,2')
  for (const other of ['127.0.0.256', '127.0.0', '127.0.0.1.1', '127.a.0.1', '10.0.0.1', '::1', 'fec0::1']) {
    expect(linkLocalBytes(other)).toBeUndefined()
  }
  expect(zoneOf('10.0.0.1')).toBeUndefined()
})

test('honesty by the number of other routers', () => {
  expect([0, 1, 2, 5, 18, 19].map((r) => anonymity(r).level)).toEqual([
    'none',
    'none',
    'weak',
    'weak',
    'weak',
    'moderate',
  ])
  expect(anonymity(1).sentence).toMatch(/^Two machines: encrypted only/)
  expect(anonymity(30).sentence).toMatch(/moderate against participants, not against radio observers/)
})

describe('clock', () => {
  const HOUR = 3_600_000

  test('free steps: to the later of two, until the first session', () => {
    const c = new ClockConsensus(0)
    expect(c.sample('a', -5 * HOUR, 0, 0)).toBe(0)
    expect(c.sample('b', 1_500, 0, 1)).toBe(0)
    expect(c.sample('b', 5 * HOUR, 0, 2)).toBe(5 * HOUR)
    expect(c.quality).toBe(0)
    c.settle()
    expect(c.quality).toBe(1)
    expect(c.sample('d', 5 * HOUR, 0, 4)).toBe(0)
  })

  test('who is free goes to those who are not, even backwards', () => {
    for (const quality of [1, 2, 3, 4] as const)
      expect(new ClockConsensus(0).sample('a', -9 * HOUR, quality, 0)).toBe(-9 * HOUR)
  })

  test('a clock that is known to be right never moves', () => {
    for (const quality of [3, 4] as const) {
      const c = new ClockConsensus(quality)
      for (const peer of ['a', 'b', 'c', 'd', 'e', 'f']) expect(c.sample(peer, 99_999, 4, 0)).toBe(0)
    }
  })

  test('afterwards the median of three and ours, once in ten minutes', () => {
    const c = new ClockConsensus(0)
    c.settle()
    expect(c.sample('liar', 20 * HOUR, 4, 0)).toBe(0)
    expect(c.sample('a', 30_000, 1, 0)).toBe(0)
    expect(c.sample('b', 31_000, 1, 0)).toBe(31_000)
    expect(c.quality).toBe(2)
    for (const peer of ['a', 'b', 'c', 'd']) expect(c.sample(peer, 50_000, 1, 300_000)).toBe(0)
    expect(c.sample('e', 50_000, 1, 700_000)).toBe(50_000)
  })

  test('two pairs that meet: the earlier one moves, once', () => {
    const clocks = [0, 0, HOUR, HOUR]
    const all = clocks.map(() => new ClockConsensus(0))
    for (const c of all) c.settle()
    let steps = 0
    for (let round = 0; round < 20; round++) {
      for (const [i, c] of all.entries()) {
        for (const j of all.keys()) {
          if (i === j) continue
          const by = c.sample(`${j}`, clocks[j]! - clocks[i]!, 1, round * 60_000)
          clocks[i]! += by
          if (by !== 0) steps++
        }
      }
    }
    expect(clocks).toEqual([HOUR, HOUR, HOUR, HOUR])
    expect(steps).toBe(2)
  })

  test('two liars of five; one vote a router; old votes expire', () => {
    const c = new ClockConsensus(1)
    c.settle()
    for (const honest of ['a', 'b', 'c']) expect(c.sample(honest, 0, 1, 1)).toBe(0)
    for (const liar of ['x', 'y', 'x', 'y', 'x']) expect(c.sample(liar, 5 * HOUR, 3, 2)).toBe(0)
    expect(c.sample('z', 5 * HOUR, 1, 3 * HOUR)).toBe(0)
  })

  test('who is still free has no vote', () => {
    const c = new ClockConsensus(0)
    c.settle()
    for (const peer of ['a', 'b', 'c', 'd', 'e']) expect(c.sample(peer, HOUR, 0, 0)).toBe(0)
  })

  test('far ahead needs five', () => {
    const c = new ClockConsensus(0)
    c.settle()
    const day = 25 * HOUR
    expect(['a', 'b', 'c', 'd', 'e'].map((p) => c.sample(p, day, 1, 0))).toEqual([0, 0, 0, 0, day])
  })
})

describe('peers', () => {
  const LOW = new Uint8Array(32).fill(1)
  const HIGH = new Uint8Array(32).fill(2)
  const peer = (hash: Uint8Array, role: 'initiator' | 'responder', connectedAt?: number) => ({
    hash,
    endpoint: { address: 'fe80::2%x0', port: 1 },
    linkName: 'x0',
    role,
    quality: 0 as const,
    connectedAt,
  })

  test('two links begun at once: both ends keep the same one', () => {
    // Each has already taken the link it dialled, and now the other's hello is complete.
    const low = new Peers()
    low.set(peer(HIGH, 'initiator'))
    const high = new Peers()
    high.set(peer(LOW, 'initiator'))
    expect(low.wants(HIGH, LOW, 'responder', 'fe80::2%x0')).toBe(false)
    expect(high.wants(LOW, HIGH, 'responder', 'fe80::1%x0')).toBe(true)
    // Each has already taken the link it accepted.
    low.set(peer(HIGH, 'responder'))
    high.set(peer(LOW, 'responder'))
    expect(low.wants(HIGH, LOW, 'initiator', 'fe80::2%x0')).toBe(true)
    expect(high.wants(LOW, HIGH, 'initiator', 'fe80::1%x0')).toBe(false)
  })

  test('a connected neighbour is not dialled again, but may come again', () => {
    const peers = new Peers()
    peers.set(peer(HIGH, 'initiator', 5))
    expect(peers.wants(HIGH, LOW, 'initiator', 'fe80::2%x0')).toBe(false)
    expect(peers.wants(HIGH, LOW, 'responder', 'fe80::2%x0')).toBe(true)
    expect(wasSteady(peer(HIGH, 'initiator', 0), 60_000)).toBe(true)
    expect(wasSteady(peer(HIGH, 'initiator', 0), 59_999)).toBe(false)
  })

  test('no crowd at one address', () => {
    const peers = new Peers()
    const random = seededRandom(1)
    for (let i = 0; i < 3; i++) peers.set(peer(random.bytes(32), 'responder', 1))
    expect(peers.wants(HIGH, LOW, 'responder', 'fe80::2%x0')).toBe(false)
    expect(peers.wants(HIGH, LOW, 'responder', 'fe80::3%x0')).toBe(true)
  })
})
