import { describe, expect, it } from 'vitest'
import { hex, Reader } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { readRelayTag, Ssu2BlockType, writeRelayTag } from '../../../src/protocol/ssu2/blocks.ts'
import type { Introducer } from '../../../src/protocol/structures/router-address.ts'
import { Tags } from '../../../src/router/reach/tags.ts'
import { type Host, WALL, Wire } from './wire.ts'

const SECOND = 1000
const MINUTE = 60_000
const { relayTag, relayTagRequest } = Ssu2BlockType

/** Alice, of whom tests say that she is firewalled, and as many routers that introduce others; none connected yet. */
function firewalled(count: number) {
  const wire = new Wire()
  const a = wire.host('alice', { nat: 'restricted', reach: { serve: false } })
  const bobs = Array.from({ length: count }, (_, i) => wire.host(`bob${i}`, { caps: 'C' }))
  for (const bob of bobs) bob.turn((out) => bob.reach.configured(4, bob.at, 0, out))
  const [b, c] = [
    wire.host('tester', { caps: 'B', quiet: true }),
    wire.host('charlie', { caps: 'B', quiet: true }),
  ]
  wire.connect(b, c)
  wire.connect(a, b)
  wire.run(30 * SECOND)
  expect(a.reach.verdict(4)).toBe('firewalled')
  a.events.length = 0
  wire.blocks.length = 0
  return { wire, a, bobs }
}

/** Names of whom Alice would publish, after each change. */
function published(wire: Wire, a: Host): string[][] {
  return a.events.flatMap((event) => (event.kind === 'introducers' ? [names(wire, event.introducers)] : []))
}

function names(wire: Wire, introducers: readonly Introducer[]): string[] {
  return introducers.map(({ hash }) => wire.hosts.find((h) => hex(h.hash) === hex(hash))!.name).sort()
}

/** What kind of block went where. */
function spoken(wire: Wire): string[] {
  const kinds: Record<number, string> = { [relayTag]: 'tag', [relayTagRequest]: 'request' }
  return wire.blocks.flatMap(({ from, to, type }) =>
    type in kinds ? [`${from.name}>${to.name} ${kinds[type]}`] : [],
  )
}

describe('introducers of ours', () => {
  it('are asked for a tag, and published', () => {
    const { wire, a, bobs } = firewalled(1)
    wire.connect(a, bobs[0]!)
    wire.run(SECOND)
    expect(spoken(wire)).toEqual(['alice>bob0 request', 'bob0>alice tag'])
    expect(published(wire, a)).toEqual([['bob0']])
    const [introducer] = a.reach.introducers(4, wire.now)
    const { data } = wire.blocks.find(({ type }) => type === relayTag)!
    expect(introducer!.tag).toBe(readRelayTag(new Reader(data)))
    expect(introducer!.expires).toBeGreaterThan(WALL + wire.now + 79 * MINUTE)
    expect(introducer!.expires).toBeLessThanOrEqual(WALL + wire.now + 80 * MINUTE)
  })

  it('may have given one in the handshake', () => {
    const { wire, a, bobs } = firewalled(1)
    wire.connect(a, bobs[0]!, { relayTag: 77, grantedTag: 77 })
    wire.run(SECOND)
    expect([spoken(wire), a.reach.introducers(4, wire.now).map(({ tag }) => tag)]).toEqual([[], [77]])
  })

  it('are three, and no more are asked', () => {
    const { wire, a, bobs } = firewalled(6)
    for (const bob of bobs) wire.connect(a, bob)
    wire.run(10 * MINUTE)
    expect(spoken(wire)).toHaveLength(6)
    expect(published(wire, a).at(-1)).toHaveLength(3)
  })

  it('are sought while there are too few, now and then', () => {
    const { wire, a } = firewalled(0)
    wire.run(5 * MINUTE)
    const wanted = a
      .kinds('want-peer')
      .filter((event) => event.kind === 'want-peer' && event.capability === 'C')
    expect(wanted.length).toBeGreaterThan(4)
    expect(wanted.length).toBeLessThan(11)
  })

  it('are taken down with their session, and another takes the place', () => {
    const { wire, a, bobs } = firewalled(4)
    for (const bob of bobs) wire.connect(a, bob)
    wire.run(MINUTE)
    const [gone] = a.reach.introducers(4, wire.now)
    const bob = bobs.find((b) => hex(b.hash) === hex(gone!.hash))!
    wire.disconnect(a, bob)
    wire.run(MINUTE)
    expect(names(wire, a.reach.introducers(4, wire.now))).toHaveLength(3)
    expect(names(wire, a.reach.introducers(4, wire.now))).not.toContain(bob.name)
  })

  it('are published anew before they expire, as long as there is a session', () => {
    const { wire, a, bobs } = firewalled(3)
    for (const bob of bobs) wire.connect(a, bob)
    wire.run(MINUTE)
    a.events.length = 0
    for (let minute = 0; minute < 250; minute++) {
      wire.run(MINUTE)
      const introducers = a.reach.introducers(4, wire.now)
      expect(introducers).toHaveLength(3)
      // Peers keep our RouterInfo for some time.
      for (const { expires } of introducers) expect(expires! - WALL - wire.now).toBeGreaterThan(18 * MINUTE)
    }
    expect(published(wire, a)).toHaveLength(4)
    expect(spoken(wire)).toHaveLength(6)
  })

  it('that give none are asked seldom', () => {
    const { wire, a, bobs } = firewalled(1)
    wire.alter = ({ type, data }) => (type === relayTag ? undefined : data)
    wire.connect(a, bobs[0]!)
    wire.run(4.5 * 60 * MINUTE)
    expect(spoken(wire).filter((line) => line === 'alice>bob0 request')).toHaveLength(5)
  })

  it('are kept in reach, all at the same moments', () => {
    const { wire, a, bobs } = firewalled(3)
    for (const bob of bobs) wire.connect(a, bob)
    wire.run(SECOND)
    a.events.length = 0
    wire.run(10 * MINUTE)
    const kept = a.kinds('keep-alive').length
    expect(kept % 3).toBe(0)
    expect(kept / 3).toBeGreaterThan(20)
    expect(kept / 3).toBeLessThan(28)
  })

  it('are not needed by whom strangers reach', () => {
    const { wire, a, bobs } = firewalled(4)
    for (const bob of bobs) wire.connect(a, bob)
    wire.run(10 * MINUTE)
    a.events.length = 0
    for (const bob of bobs) wire.disconnect(a, bob)
    wire.run(4 * MINUTE)
    // The NAT lets them in now.
    for (const bob of bobs) wire.connect(bob, a)
    expect(a.reach.verdict(4)).toBe('ok')
    expect(a.reach.introducers(4, wire.now)).toEqual([])
    a.events.length = 0
    wire.run(10 * MINUTE)
    expect([a.kinds('keep-alive'), a.kinds('want-peer')]).toEqual([[], []])
  })

  it('give bounded numbers of tags, whoever sends them', () => {
    const { wire, a } = firewalled(0)
    for (let i = 0; i < 100; i++)
      wire.connect(a, wire.host(`${i}`, { caps: 'C', quiet: true }), { relayTag: i + 1 })
    a.events.length = 0
    wire.run(30 * SECOND)
    expect(a.kinds('keep-alive').length).toBeLessThanOrEqual(64 * 2)
    const stranger = wire.host('stranger')
    a.turn((out) => a.reach.block(stranger.hash, relayTag, writeRelayTag(5), wire.now, out))
    a.turn((out) => a.reach.block(wire.hosts[3]!.hash, relayTag, new Uint8Array(4), wire.now, out))
    expect(a.kinds('introducers')).toEqual([])
  })
})

describe('introducing others', () => {
  it('needs that strangers reach us', () => {
    const wire = new Wire()
    const [a, b] = [wire.host('alice'), wire.host('bob')]
    wire.connect(a, b)
    wire.block(a, b.hash, relayTagRequest, new Uint8Array(0))
    wire.run(100)
    expect([spoken(wire), b.reach.freshTag(4), b.reach.introducesOthers(4)]).toEqual([
      ['alice>bob request'],
      undefined,
      false,
    ])
    b.turn((out) => b.reach.configured(4, b.at, wire.now, out))
    wire.block(a, b.hash, relayTagRequest, new Uint8Array(0))
    wire.block(a, b.hash, relayTagRequest, new Uint8Array(0))
    wire.run(100)
    // The same both times.
    const tags = wire.blocks
      .filter(({ type }) => type === relayTag)
      .map(({ data }) => readRelayTag(new Reader(data)))
    expect([tags.length, new Set(tags).size, b.reach.introducesOthers(4)]).toEqual([2, 1, true])
    expect(b.reach.freshTag(4)).toBeGreaterThan(0)
  })

  it('has as many as it can bear, one tag each', () => {
    const tags = new Tags(seededRandom(1))
    const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n)
    const given = Array.from({ length: 200 }, (_, n) => tags.give(hash(n)))
    expect(given.filter((tag) => tag !== undefined)).toHaveLength(128)
    expect([tags.fresh(), tags.give(hash(3))]).toEqual([undefined, given[3]])
    expect(tags.owner(given[3]!)).toEqual(hash(3))
    tags.forget(hash(3))
    expect(tags.owner(given[3]!)).toBeUndefined()
    const fresh = tags.fresh()!
    tags.given(hash(200), fresh)
    expect(tags.owner(fresh)).toEqual(hash(200))
    // A new session, a new tag.
    tags.given(hash(200), fresh + 1)
    expect([tags.owner(fresh), tags.owner(fresh + 1)]).toEqual([undefined, hash(200)])
  })
})
