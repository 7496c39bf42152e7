import { describe, expect, it } from 'vitest'
import { compareBytes } from '../../../src/base/bytes.ts'
import { TerminationReason } from '../../../src/protocol/blocks/termination.ts'
import { signRouterInfo } from '../../../src/protocol/structures/router-info.ts'
import { WALL } from '../../protocol/ntcp2/parties.ts'
import { type Host, Wire } from './wire.ts'

function pair(seed = 1): { wire: Wire; a: Host; b: Host } {
  const wire = new Wire(seed)
  const [a, b] = [wire.host(2 * seed), wire.host(2 * seed + 1)]
  a.knows(b)
  b.knows(a)
  return { wire, a, b }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}

describe('sessions', () => {
  it('carry 1000 messages each way in order, over bytes split anywhere', () => {
    const { wire, a, b } = pair()
    for (let i = 0; i < 1000; i++) {
      expect(a.send(b, i + 1, 1 + (i % 1500))).toBe(true)
      wire.run(1)
      expect(b.send(a, 5000 + i, 1 + (i % 1100))).toBe(true)
    }
    wire.run(1000)
    expect(b.ids).toEqual(range(1, 1001))
    expect(a.ids).toEqual(range(5000, 6000))
    for (const e of b.seen('message')) {
      expect(e.from).toEqual(a.hash)
      expect(e.message.payload.length).toBe(1 + ((e.message.id - 1) % 1500))
      expect(e.message.payload.every((v) => v === (e.message.id & 255))).toBe(true)
    }
    expect([a.seen('session-open').length, b.seen('session-open').length]).toEqual([1, 1])
    expect(a.seen('session-open')[0]).toMatchObject({ initiator: true, linkName: undefined })
    expect(b.seen('session-open')[0]!.routerInfo.bytes).toEqual(a.party.routerInfo.bytes)
    expect(a.transport.isConnected(b.hash)).toBe(true)
    const [status] = [...b.transport.peers()]
    expect(status!.bytesIn).toBeGreaterThan(500_500)
    expect(status!.bytesIn).toBe([...a.transport.peers()][0]!.bytesOut)
    expect([...a.transport.peers()][0]!.rttMs).toBe(10)
  })

  it('carry the largest message, and nothing larger', () => {
    const { wire, a, b } = pair()
    const largest = 62_708 - 16
    expect(a.send(b, 1, largest)).toBe(true)
    expect(a.send(b, 2, largest + 1)).toBe(false)
    expect(a.send(b, 3, 0)).toBe(true)
    wire.run(100)
    expect(b.ids).toEqual([1, 3])
    expect(b.seen('message')[0]!.message.payload.length).toBe(largest)
  })

  it('put the messages of one turn into few frames', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100)
    a.writes = []
    a.turn(() => {
      for (let i = 2; i < 12; i++) {
        const message = { type: 18, id: i, expiration: WALL + 5000, payload: new Uint8Array(1028) }
        a.transport.send(b.hash, message, wire.now, a)
      }
      expect(a.transport.nextTimeout()).toBe(wire.now)
    })
    expect(a.writes.length).toBe(1)
    wire.run(100)
    expect(b.ids).toEqual(range(1, 12))
  })

  it('leave at the next timeout when nobody flushes', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100)
    const message = { type: 18, id: 2, expiration: WALL + 5000, payload: new Uint8Array(10) }
    a.transport.send(b.hash, message, wire.now, a)
    expect(b.ids).toEqual([1])
    wire.run(20)
    expect(b.ids).toEqual([1, 2])
  })

  it('drop what has expired or is dated too far ahead', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100)
    for (const [id, expiration] of [
      [2, WALL - 61_000],
      [3, WALL - 58_000],
      [4, WALL + 182_000],
    ] as const) {
      const message = { type: 18, id, expiration, payload: new Uint8Array(10) }
      a.turn((out) => a.transport.send(b.hash, message, wire.now, out))
    }
    wire.run(100)
    expect(b.ids).toEqual([1, 3])
    expect(a.transport.isConnected(b.hash)).toBe(true)
  })

  it('end when idle, with reason 2, and no earlier', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100_000)
    a.send(b, 2)
    wire.run(110_000)
    expect(a.transport.isConnected(b.hash)).toBe(true)
    wire.run(130_000)
    expect(a.seen('session-closed')[0]).toMatchObject({ reason: TerminationReason.idle })
    expect(b.seen('session-closed')[0]).toMatchObject({ reason: TerminationReason.idle })
    expect(a.pipes.size + b.pipes.size).toBe(0)
    // and can be had again
    expect(b.send(a, 9)).toBe(true)
    wire.run(100)
    expect(a.ids).toEqual([9])
  })

  it('say so when a router shuts down or disconnects', () => {
    const { wire, a, b } = pair()
    const c = wire.host(50)
    a.knows(c)
    a.send(b, 1)
    a.send(c, 1)
    wire.run(100)
    a.turn((out) => a.transport.disconnect(c.hash, TerminationReason.banned, wire.now, out))
    wire.run(100)
    expect(c.seen('session-closed')[0]).toMatchObject({ reason: TerminationReason.banned })
    a.send(b, 2)
    a.turn((out) => a.transport.shutdown(wire.now, out))
    wire.run(100)
    expect(b.ids).toEqual([1, 2])
    expect(b.seen('session-closed')[0]).toMatchObject({ reason: TerminationReason.shutdown })
    expect([...a.transport.peers()]).toEqual([])
  })

  it('pass on our RouterInfo now and then', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100)
    const { addresses, options } = a.party.routerInfo
    const newer = signRouterInfo({ addresses, options, published: WALL + 60_000 }, a.party.identity)
    a.transport.setRouterInfo(newer)
    for (let t = 0; t < 50 * 60_000; t += 60_000) {
      b.send(a, t + 1)
      wire.run(60_000)
    }
    const infos = b.seen('router-info')
    expect(infos.length).toBeGreaterThanOrEqual(1)
    expect(infos.length).toBeLessThanOrEqual(2)
    expect(infos[0]).toMatchObject({ flood: false, from: a.hash })
    expect(infos[0]!.routerInfo.bytes).toEqual(newer.bytes)
  })
})

describe('finding routers', () => {
  it('asks for a router it does not know and dials when told', () => {
    const { wire, a, b } = pair()
    a.known.clear()
    expect(a.send(b, 1)).toBe(true)
    expect(a.send(b, 2)).toBe(true)
    expect(a.seen('unknown-router')).toEqual([{ kind: 'unknown-router', peer: b.hash }])
    wire.run(3000)
    a.turn((out) => a.transport.routerFound(b.party.routerInfo, wire.now, out))
    wire.run(100)
    expect(b.ids).toEqual([1, 2])
  })

  it('forgets the messages when the router is not found, or not in time', () => {
    const { wire, a, b } = pair()
    a.known.clear()
    a.send(b, 1)
    a.transport.routerNotFound(b.hash)
    a.turn((out) => a.transport.routerFound(b.party.routerInfo, wire.now, out))
    a.send(b, 2)
    wire.run(10_001)
    a.turn((out) => a.transport.routerFound(b.party.routerInfo, wire.now, out))
    wire.run(100)
    expect(b.ids).toEqual([])
    expect(a.transport.nextTimeout()).toBeUndefined()
  })

  it('holds messages for a bounded number of unknown routers', () => {
    const { a, wire } = pair()
    let taken = 0
    for (let i = 0; i < 200; i++) if (a.send(wire.host(1000 + i), 1)) taken++
    expect(taken).toBe(64)
    const [one] = a.seen('unknown-router')
    let more = 0
    const message = { type: 18, id: 1, expiration: WALL, payload: new Uint8Array(10) }
    for (let i = 0; i < 50; i++) if (a.transport.send(one!.peer, message, wire.now, a)) more++
    expect(more).toBe(15)
  })

  it('backs off from a router that does not answer: 1 s, doubled up to 10 min', () => {
    const wire = new Wire()
    const [a, b] = [wire.host(2), wire.host(3)]
    a.knows(b)
    wire.hosts.delete(b.address)
    const tries: number[] = []
    for (let t = 0; t < 3_600_000 && tries.length < 13; t += 100) {
      if (a.send(b, 1)) tries.push(wire.now)
      wire.run(100)
    }
    expect(a.seen('dial-failed').length).toBe(tries.length)
    const pauses = tries.slice(1).map((t, i) => t - tries[i]!)
    expect(pauses[0]).toBeGreaterThanOrEqual(800)
    expect(pauses[0]).toBeLessThanOrEqual(1400)
    expect(pauses[4]).toBeGreaterThan(12_000)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(720_100)
    // A newer RouterInfo is worth a try at once.
    const { addresses, options } = b.party.routerInfo
    const newer = signRouterInfo({ addresses, options, published: WALL + 1 }, b.party.identity)
    expect(a.send(b, 2)).toBe(false)
    a.known.clear()
    a.transport.send(b.hash, { type: 18, id: 3, expiration: WALL, payload: new Uint8Array(1) }, wire.now, a)
    wire.hosts.set(b.address, b)
    a.turn((out) => a.transport.routerFound(newer, wire.now, out))
    wire.run(100)
    expect(a.transport.isConnected(b.hash)).toBe(true)
  })

  it('gives up on a connection that is accepted and then silent', () => {
    const { wire, a, b } = pair()
    b.stalled = true
    a.send(b, 1)
    wire.run(40_000)
    expect(a.seen('dial-failed').length).toBe(1)
    expect(a.transport.isConnected(b.hash)).toBe(false)
  })

  /** A router that publishes a dead address before a good one. */
  function twoAddresses(): { wire: Wire; a: Host; b: Host; dead: string; good: string } {
    const wire = new Wire()
    const [dead, good] = ['21.7.7.7', '21.8.8.8']
    const [a, b] = [wire.host(2), wire.host(3, { host: dead, otherHost: good })]
    wire.hosts.delete(dead)
    wire.hosts.set(good, b)
    a.knows(b)
    return { wire, a, b, dead, good }
  }

  it('takes the next address when one refuses, and says nothing of it', () => {
    const { wire, a, b, dead, good } = twoAddresses()
    a.send(b, 1)
    a.send(b, 2)
    wire.run(500)
    expect(b.ids).toEqual([1, 2])
    expect(wire.dialled.map((d) => d.address)).toEqual([dead, good])
    expect(wire.dialled[1]!.at - wire.dialled[0]!.at).toBeLessThanOrEqual(wire.latency)
    expect(a.seen('dial-failed')).toEqual([])
  })

  it('tries the next address beside one that does not answer, and drops what is left over', () => {
    const { wire, a, b, dead, good } = twoAddresses()
    wire.silent.add(dead)
    a.send(b, 1)
    wire.run(1_900)
    expect(b.ids).toEqual([])
    wire.run(600)
    expect(b.ids).toEqual([1])
    expect(wire.dialled).toEqual([
      { address: dead, at: 0 },
      { address: good, at: 2_000 },
    ])
    wire.run(60_000)
    expect(a.seen('dial-failed')).toEqual([])
    expect(a.transport.isConnected(b.hash)).toBe(true)
  })

  it('fails once when no address answers', () => {
    const { wire, a, b, dead, good } = twoAddresses()
    wire.silent.add(dead).add(good)
    a.send(b, 1)
    wire.run(60_000)
    expect(a.seen('dial-failed').length).toBe(1)
    expect(wire.dialled.length).toBe(2)
    expect(a.send(b, 2)).toBe(true)
    expect(wire.dialled[2]!.address).toBe(good)
  })

  it('dials only published addresses outside reserved ranges', () => {
    const wire = new Wire()
    const [a, near, hidden] = [
      wire.host(2),
      wire.host(3, { host: '10.1.2.3' }),
      wire.host(4, { limits: { allowReserved: true } }),
    ]
    a.knows(near)
    expect(a.transport.canDial(near.party.routerInfo)).toBe(false)
    expect(a.send(near, 1)).toBe(false)
    hidden.knows(near)
    expect(hidden.transport.canDial(near.party.routerInfo)).toBe(true)
    expect(a.transport.canDial(a.party.routerInfo)).toBe(false)
    expect(a.send(a, 1)).toBe(false)
    expect(hidden.transport.canDial(hidden.party.routerInfo)).toBe(false)
  })
})

describe('duplicate sessions', () => {
  it('that crossed: both routers keep the same one, and no message is lost', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { wire, a, b } = pair(seed)
      wire.latency = 3 + (seed % 50)
      wire.jitter = seed % 3 === 0 ? 200 : 0
      a.send(b, 1)
      wire.run(wire.random.below(4 * wire.latency))
      b.send(a, 1001)
      for (let i = 2; i < 30; i++) {
        a.send(b, i)
        wire.run(wire.random.below(wire.latency))
        b.send(a, 1000 + i)
      }
      wire.run(6000)
      const [ours, theirs] = [[...a.transport.peers()], [...b.transport.peers()]]
      expect([ours.length, theirs.length], `seed ${seed}`).toEqual([1, 1])
      expect(ours[0]!.initiator, `seed ${seed}`).toBe(!theirs[0]!.initiator)
      expect([a.pipes.size, b.pipes.size], `seed ${seed}`).toEqual([1, 1])
      expect(b.ids.sort((x, y) => x - y)).toEqual(range(1, 30))
      expect(a.ids.sort((x, y) => x - y)).toEqual(range(1001, 1030))
      expect(a.seen('session-open').length).toBe(1)
      expect(a.seen('session-closed').length + a.seen('dial-failed').length).toBe(0)
    }
  })

  it('that crossed, when the other router keeps the wrong one: what it keeps goes on', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { wire, a, b } = pair(seed)
      a.send(b, 1)
      b.send(a, 2)
      wire.run(40)
      expect([a.pipes.size, b.pipes.size]).toEqual([2, 2])
      // Both think alike; b's host now cuts the very connection that was to stay.
      const { initiator } = [...b.transport.peers()][0]!
      const stays = [...b.pipes.values()].find((p) => p.dialled === initiator)
      b.tcpEnd(stays!.id, true)
      wire.run(100)
      expect([a.transport.isConnected(b.hash), b.transport.isConnected(a.hash)]).toEqual([true, true])
      wire.run(6000)
      a.send(b, 3)
      wire.run(100)
      expect(b.ids).toContain(3)
      expect([a.seen('session-closed').length, b.seen('session-closed').length]).toEqual([0, 0])
    }
  })

  it('that did not cross: the newer replaces the older', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(60_000)
    // b lost its state without a word and comes back.
    wire.hosts.delete(b.address)
    const again = wire.host(3, { host: b.address })
    again.knows(a)
    b.stalled = true
    again.send(a, 7)
    wire.run(1000)
    expect(a.ids).toEqual([7])
    expect(a.seen('session-closed').length).toBe(0)
    a.send(again, 8)
    wire.run(100)
    expect(again.ids).toEqual([8])
    expect([...a.transport.peers()].length).toBe(1)
  })
})

describe('limits', () => {
  it('bound what half-open handshakes hold, from many sources or one', () => {
    const wire = new Wire()
    const victim = wire.host(1, { limits: { sourceBurst: 8 } })
    const strangers = range(0, 500).map((i) => wire.host(1000 + i))
    for (const [i, s] of strangers.entries()) {
      const link = victim.dialledBy(s)
      wire.run(11)
      if (i % 2 === 0) s.tcpData(link, new Uint8Array(30))
    }
    wire.run(20)
    expect(victim.pipes.size).toBeLessThanOrEqual(64)
    expect(victim.resets).toBeGreaterThan(400)
    wire.run(20_000)
    expect(victim.pipes.size).toBe(0)
    expect(victim.transport.nextTimeout()).toBeUndefined()
    const before = victim.resets
    for (let i = 0; i < 20; i++) victim.dialledBy(strangers[0]!)
    wire.run(50)
    expect(victim.pipes.size).toBeLessThanOrEqual(8)
    expect(victim.resets - before).toBeGreaterThanOrEqual(12)
  })

  it('close the session idle for longest when there are too many, but no busy one', () => {
    const wire = new Wire()
    const a = wire.host(1, { limits: { maxSessions: 3 } })
    const [b, c, d, e] = [wire.host(2), wire.host(3), wire.host(4), wire.host(5)]
    a.knows(b, c, d, e)
    e.knows(a)
    for (const peer of [b, c, d]) {
      a.send(peer, 1)
      wire.run(1000)
    }
    expect(a.send(e, 1)).toBe(false)
    e.send(a, 1)
    wire.run(1000)
    expect(e.seen('session-closed').concat(e.seen('session-closed')).length).toBeGreaterThan(0)
    expect(a.transport.isConnected(e.hash)).toBe(false)
    wire.run(25_000)
    a.send(c, 2)
    a.send(d, 2)
    wire.run(1000)
    expect(a.send(e, 1)).toBe(true)
    wire.run(1000)
    expect([b, c, d, e].map((p) => a.transport.isConnected(p.hash))).toEqual([false, true, true, true])
  })

  it('hold a bounded amount for a peer that does not read, and go on when it does', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100)
    b.stalled = true
    a.writes = []
    for (let i = 2; i < 3000; i++) {
      expect(a.send(b, i, 1000)).toBe(true)
      if (i % 100 === 0) wire.run(1)
    }
    const written = a.writes.reduce((sum, n) => sum + n, 0)
    expect(written).toBeLessThanOrEqual(64 * 1024 + 17 * 1024)
    b.resume()
    wire.run(1000)
    const { ids } = b
    expect(ids.at(-1)).toBe(2999)
    expect(ids.length).toBeLessThan(700)
    expect(ids).toEqual([...ids].sort((x, y) => x - y))
    a.send(b, 4000)
    wire.run(100)
    expect(b.ids.at(-1)).toBe(4000)
  })

  it('do not wait for a peer that does not read when its session ends', () => {
    const { wire, a, b } = pair()
    a.send(b, 1)
    wire.run(100)
    b.stalled = true
    for (let i = 2; i < 200; i++) a.send(b, i, 1000)
    a.turn((out) => a.transport.disconnect(b.hash, TerminationReason.normal, wire.now, out))
    expect(a.resets).toBe(1)
  })

  it('refuse sources in reserved ranges, and unknown forms of address', () => {
    const wire = new Wire()
    const a = wire.host(1)
    for (const address of ['10.0.0.1', '127.0.0.1', '::1', 'fe80::1%eth0', 'somewhere']) {
      a.turn((out) => a.transport.accepted(wire.link(), { address, port: 5 }, wire.now, out))
    }
    expect(a.resets).toBe(5)
  })

  it('refuse a router that publishes another host than it comes from', () => {
    const wire = new Wire()
    const [a, b] = [wire.host(2), wire.host(3)]
    wire.hosts.delete(a.address)
    const moved = wire.host(2, { host: '21.9.9.9' })
    moved.transport.setRouterInfo(a.party.routerInfo)
    moved.knows(b)
    moved.send(b, 1)
    wire.run(200)
    expect(b.ids).toEqual([])
    expect(moved.seen('session-closed')[0]).toMatchObject({ reason: TerminationReason.banned })
  })
})

describe('clocks', () => {
  it('reports the offset of every peer, also of one too far off to talk to', () => {
    const wire = new Wire()
    const [a, b, c] = [wire.host(2), wire.host(3, { ahead: 40_000 }), wire.host(4, { ahead: 120_000 })]
    a.knows(b, c)
    a.send(b, 1)
    a.send(c, 2)
    wire.run(1000)
    expect(b.ids).toEqual([1])
    expect(c.ids).toEqual([])
    const offsets = a.seen('clock')
    expect(offsets.map((e) => Math.round(e.offset / 1000))).toEqual([40, 120])
    expect(offsets.map((e) => e.peer)).toEqual([b.hash, c.hash])
    expect(b.seen('clock').map((e) => Math.round(e.offset / 1000))).toEqual([-40])
    // The stranger's clock is nobody's until it is authenticated.
    expect(c.seen('clock')).toEqual([])
    expect(a.seen('dial-failed').map((e) => e.peer)).toEqual([c.hash])
    expect(c.writes.length).toBe(1)
  })
})

describe('adopted streams', () => {
  const secret = new Uint8Array(32).fill(9)
  const mesh = (wire: Wire, seed: number, prologue = secret): Host => wire.host(seed, { prologue })

  it('become sessions between neighbours that know no published address', () => {
    const wire = new Wire()
    const [a, b] = [mesh(wire, 2), mesh(wire, 3)]
    a.adopt(b)
    a.send(b, 1)
    wire.run(100)
    b.send(a, 2)
    wire.run(100)
    expect([a.ids, b.ids]).toEqual([[2], [1]])
    expect(a.seen('session-open')[0]).toMatchObject({
      linkName: 'wlan0',
      endpoint: { address: 'fe80::1%wlan0' },
    })
    expect([...b.transport.peers()][0]).toMatchObject({ linkName: 'wlan0', initiator: false })
    a.turn((out) => a.transport.shutdown(wire.now, out))
    wire.run(100)
    expect([a.seen('link-closed').length, b.seen('link-closed').length]).toEqual([1, 1])
  })

  it('that both neighbours opened at once end up as one', () => {
    for (let seed = 1; seed < 20; seed++) {
      const wire = new Wire(seed)
      const [a, b] = [mesh(wire, 2 * seed), mesh(wire, 2 * seed + 1)]
      a.adopt(b)
      wire.run(wire.random.below(30))
      b.adopt(a)
      wire.run(6000)
      const [mine, theirs] = [[...a.transport.peers()], [...b.transport.peers()]]
      expect(mine.length + theirs.length).toBe(2)
      expect(mine[0]!.initiator).toBe(!theirs[0]!.initiator)
      expect(mine[0]!.initiator).toBe(compareBytes(a.hash, b.hash) < 0)
      expect([a.pipes.size, b.pipes.size]).toEqual([1, 1])
    }
  })

  it('fail without the mesh secret, and when the expected neighbour is another', () => {
    const wire = new Wire()
    const [a, b, other] = [mesh(wire, 2), mesh(wire, 3), mesh(wire, 4, new Uint8Array(32))]
    other.adopt(a)
    wire.run(30_000)
    expect(a.seen('session-open').length + other.seen('session-open').length).toBe(0)
    expect([a.seen('link-closed').length, other.seen('link-closed').length]).toEqual([1, 1])
    b.adopt(a, { expect: other.party.routerInfo })
    wire.run(200)
    expect(a.seen('session-open').length).toBe(0)
    expect(b.seen('session-closed')[0]).toMatchObject({ reason: TerminationReason.staticKeyMismatch })
  })
})
