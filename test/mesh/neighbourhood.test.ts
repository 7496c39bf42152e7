import { describe, expect, test } from 'vitest'
import { newAnnouncement } from '../../src/mesh/announcement.ts'
import { linkLocalBytes } from '../../src/mesh/link.ts'
import { meshKeys } from '../../src/mesh/secret.ts'
import { MESSAGE_1 } from '../../src/protocol/hello/hello.ts'
import { Air, KEYS, PRIVATE, type ToyNode, toRecords } from './segment.ts'

const DISCOVERY = 5_000
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]

function allConnected(nodes: readonly ToyNode[]): boolean {
  return nodes.every((a) => nodes.every((b) => a === b || a.knows(b)))
}

/** Both ends must believe in the same link, or one of them talks to nobody. */
function expectOneSessionEach(nodes: readonly ToyNode[]): void {
  for (const a of nodes) {
    expect([...a.core.peers()].filter((p) => p.connectedAt !== undefined).length).toBe(nodes.length - 1)
    expect(a.sessions.size).toBe(nodes.length - 1)
  }
}

describe('discovery', () => {
  test.each(SEEDS)('two find each other (seed %i)', (seed) => {
    const air = new Air(seed)
    const [a, b] = [air.node().up(), air.node().up()]
    expect(air.until(() => allConnected([a, b]), 10_000)).toBeLessThan(DISCOVERY)
    expect(a.core.status().waitingFor).toBeUndefined()
    air.run(60_000)
    expectOneSessionEach([a, b])
  })

  test.each(SEEDS)('one that comes later finds one that has been there long (seed %i)', (seed) => {
    const air = new Air(seed)
    const a = air.node().up()
    air.run(20 * 60_000 + seed * 3_337)
    const b = air.node().up()
    expect(air.until(() => allConnected([a, b]), 10_000)).toBeLessThan(DISCOVERY)
  })

  test.each(SEEDS)('six find one another, with a fifth of the multicast lost (seed %i)', (seed) => {
    const air = new Air(seed)
    air.multicastLoss = 0.2
    const nodes = Array.from({ length: 6 }, () => air.node().up())
    expect(air.until(() => allConnected(nodes), 20_000)).toBeLessThan(DISCOVERY)
    air.run(120_000)
    expectOneSessionEach(nodes)
  })

  test('a listener says nothing and finds who announces', () => {
    const air = new Air(1)
    const a = air.node().up()
    const b = air.node({ policy: { ...PRIVATE, announce: 'listen' } }).up()
    expect(air.until(() => allConnected([a, b]), 10_000)).toBeLessThan(DISCOVERY)
    expect(air.packets.every((p) => p.from === a.addressOn('wlan0'))).toBe(true)
  })

  test('two listeners stay alone, and the status says why', () => {
    const air = new Air(1)
    const policy = { ...PRIVATE, announce: 'listen' } as const
    const [a] = [air.node({ policy }).up(), air.node({ policy }).up()]
    air.run(120_000)
    expect(air.packets).toEqual([])
    expect(a.core.status().waitingFor).toBe('neighbours: listening only on wlan0 (mesh.announce = "listen")')
  })

  test('another secret never connects, and neither end asks for a link', () => {
    const air = new Air(1)
    const [a, b] = [air.node().up(), air.node({ keys: meshKeys({ name: 'test', secret: 'other' }) }).up()]
    air.run(10 * 60_000)
    expect([a.sessions.size, b.sessions.size]).toEqual([0, 0])
    expect([a.core.status().heard, b.core.status().heard]).toEqual([0, 0])
    expect(air.nextLink).toBe(1)
  })

  test('the right announcement key but another hello key: silence, then back-off', () => {
    const air = new Air(1)
    const keys = { ...KEYS, hello: new Uint8Array(32) }
    const [a, b] = [air.node().up(), air.node({ keys }).up()]
    air.run(10 * 60_000)
    expect([a.sessions.size, b.sessions.size]).toEqual([0, 0])
    const dials = air.nextLink / 2
    expect(dials).toBeGreaterThan(2)
    expect(dials).toBeLessThan(60)
  })

  test('in a mesh of several links one session is enough, and another link takes over', () => {
    const air = new Air(3)
    const segments = { wlan0: 'air', eth0: 'cable' }
    const [a, b] = [air.node({ segments }).up(), air.node({ segments }).up()]
    air.until(() => allConnected([a, b]), 10_000)
    air.run(60_000)
    expectOneSessionEach([a, b])
    const { linkName } = [...a.core.peers()][0]!
    const gone = { address: undefined }
    a.up(...(linkName === 'wlan0' ? [gone, {}] : [{}, gone]))
    a.sessions.clear()
    b.sessions.clear()
    for (const peer of [...b.core.peers()]) b.core.peerDisconnected(peer.hash, air.now)
    expect(air.until(() => allConnected([a, b]), 10_000)).toBeLessThan(DISCOVERY)
  })
})

describe('loss and return', () => {
  test('an interface that is deleted and recreated', () => {
    const air = new Air(5)
    const [a, b] = [air.node().up(), air.node().up()]
    air.until(() => allConnected([a, b]), 10_000)
    a.down()
    expect(a.core.status().waitingFor).toBe('neighbours: no usable interface')
    expect([a.joined.size, a.listening.size]).toEqual([0, 0])
    air.run(7_000)
    a.up({ index: 9, address: 'fe80::99' })
    expect(air.until(() => a.knows(b) && b.knows(a), 30_000)).toBeLessThan(DISCOVERY)
    air.run(60_000)
    expectOneSessionEach([a, b])
  })

  test('a session that breaks is dialled again', () => {
    const air = new Air(5)
    const [a, b] = [air.node().up(), air.node().up()]
    air.until(() => allConnected([a, b]), 10_000)
    air.run(5 * 60_000)
    a.tcpEnd(a.sessions.get(b.key)!.link)
    a.sessions.clear()
    a.core.peerDisconnected(b.routerInfo.hash, air.now)
    expect(air.until(() => allConnected([a, b]) && b.knows(a), 30_000)).toBeLessThan(DISCOVERY)
    air.run(60_000)
    expectOneSessionEach([a, b])
  })

  test('a neighbour that is switched off is forgotten after its records expire', () => {
    const air = new Air(5)
    const [a, b] = [air.node().up(), air.node().up()]
    air.until(() => allConnected([a, b]), 10_000)
    b.kill()
    air.run(60_000)
    expect(a.core.status()).toMatchObject({ heard: 1, connected: 0 })
    air.run(90_000)
    expect(a.core.status()).toMatchObject({ heard: 0, connected: 0 })
    expect(a.core.status().waitingFor).toBe('neighbours: none heard yet on wlan0')
    const before = air.nextLink
    air.run(10 * 60_000)
    expect(air.nextLink).toBe(before)
  })

  test('a neighbour that lost its power comes back while we still believe in the old session', () => {
    for (const seed of SEEDS) {
      const air = new Air(seed)
      const [a, b] = [air.node().up(), air.node().up()]
      air.until(() => allConnected([a, b]), 10_000)
      air.run(5 * 60_000)
      b.kill(true)
      air.run(20_000)
      const links = air.nextLink
      const again = air.node({ local: b.local }).up({ address: b.addressOn('wlan0')! })
      expect(air.until(() => again.knows(a), 10_000)).toBeLessThan(DISCOVERY)
      air.run(10 * 60_000)
      expectOneSessionEach([a, again])
      expect(air.nextLink - links).toBeLessThanOrEqual(6)
    }
  })

  test('a goodbye is believed at once, and nothing is left to do after it', () => {
    const air = new Air(5)
    const [a, b] = [air.node().up(), air.node().up()]
    air.until(() => allConnected([a, b]), 10_000)
    b.core.shutdown(b)
    b.kill()
    air.run(10)
    expect(a.core.status()).toMatchObject({ heard: 0, connected: 0 })
    expect(b.core.nextTimeout()).toBeUndefined()
    expect([b.joined.size, b.listening.size]).toEqual([0, 0])
  })

  test('a session that does not come to be is given up and tried again', () => {
    const air = new Air(2)
    const [a, b] = [air.node().up(), air.node().up()]
    air.tcpBlocked = true
    air.run(60_000)
    expect(a.core.status().waitingFor).toBe('neighbours: 1 heard on wlan0, connecting')
    air.tcpBlocked = false
    air.until(() => allConnected([a, b]), 120_000)
    expectOneSessionEach([a, b])
  })

  test('epochs change while sessions stay', () => {
    const air = new Air(4)
    const nodes = [air.node().up(), air.node().up(), air.node().up()]
    air.until(() => allConnected(nodes), 10_000)
    const links = air.nextLink
    const before = new Set(
      air.packets.flatMap((p) => p.records.filter((r) => r.type === 'SRV').map((r) => r.name)),
    )
    air.run(3 * 3_600_000)
    const after = new Set(
      air.packets.flatMap((p) => p.records.filter((r) => r.type === 'SRV').map((r) => r.name)),
    )
    expect(after.size).toBeGreaterThanOrEqual(before.size + 3 * 2)
    expect(air.nextLink).toBe(links)
    expectOneSessionEach(nodes)
    for (const n of nodes) expect(n.listening.size).toBeLessThanOrEqual(2)
    for (let i = 0; i < 120; i++) {
      air.run(60_000)
      const open = nodes.filter((n) => n.listening.size > 1).length
      // The port of a former epoch is open for half a minute of each quarter of an hour at most.
      if (open > 0) air.run(31_000)
      for (const n of nodes) if (open > 0) expect(n.listening.size).toBe(1)
    }
    for (const n of nodes) expect(n.core.status().heard).toBe(2)
  })
})

describe('what goes out', () => {
  test.each(SEEDS)('at most three packets a minute once the first is over (seed %i)', (seed) => {
    const air = new Air(seed)
    air.node().up()
    const hours = 4
    air.run(hours * 3_600_000)
    const times = air.packets.map((p) => p.at)
    expect(times.length).toBeGreaterThan(hours * 60)
    for (let i = 0; i < times.length; i++) {
      if (times[i]! < 60_000) continue
      expect(times.filter((t) => t >= times[i]! && t < times[i]! + 60_000).length).toBeLessThanOrEqual(3)
    }
  })

  test('on battery an announcement is repeated three times in its first minute', () => {
    const air = new Air(1)
    const a = air.node()
    a.core.setCadence(36_000, true)
    a.up()
    air.run(9_500)
    expect(air.packets.filter((p) => p.kind === 'records').length).toBe(4)
    air.run(60_000 - 9_500)
    expect(air.packets.filter((p) => p.kind === 'records').length).toBeLessThanOrEqual(5)
  })

  test('nothing but random names and this link’s own address', () => {
    const air = new Air(1)
    const a = air.node({ segments: { wlan0: 'air', eth0: 'cable' } }).up()
    air.run(3_600_000)
    for (const p of air.packets) {
      for (const r of p.records) {
        if (r.type === 'AAAA') expect(r.data).toBe(p.from)
        else if (r.type === 'SRV') expect(r.name).toMatch(/^[a-z2-7]{13}\._mesh1\._tcp\.local$/)
        else if (r.type === 'PTR') expect(r.data).toMatch(/^[a-z2-7]{13}\._mesh1\._tcp\.local$/)
        else expect((r.data as Buffer[]).map((b) => b.toString().split('=', 1)[0])).toEqual(['v', 'e', 't'])
      }
    }
    const names = (name: string) =>
      new Set(
        air.packets
          .filter((p) => p.from === a.addressOn(name))
          .flatMap((p) => p.records.map((r) => JSON.stringify(r.data))),
      )
    const shared = [...names('wlan0')].filter((n) => names('eth0').has(n))
    expect(shared).toEqual([])
  })

  test('strangers that ask and ask get no more than the bound', () => {
    const air = new Air(1)
    air.node().up()
    air.run(120_000)
    air.packets.length = 0
    for (let i = 0; i < 600; i++) {
      air.inject('air', `fe80::bad:${(i % 50).toString(16)}`, 'query', [])
      air.run(100)
    }
    expect(air.packets.length).toBeLessThan(20)
  })
})

describe('what comes in', () => {
  function heardPacket(air: Air) {
    return air.packets.find((p) => p.kind === 'records')!
  }

  test('an announcement replayed from another address, or for another port, is nobody’s', () => {
    const air = new Air(1)
    const a = air.node().up()
    air.run(5_000)
    const { records } = heardPacket(air)
    const b = air.node().up()
    a.kill()
    air.run(100)
    const heard = b.core.status().heard
    air.inject('air', 'fe80::666', 'records', records)
    const forged = records.map((r) => (r.type === 'SRV' ? { ...r, data: { port: 1, target: 'x.local' } } : r))
    air.inject('air', `fe80::10`, 'records', forged)
    air.run(100)
    expect(b.core.status().heard).toBe(heard)
  })

  test('a replay on the same link changes nothing: it names its true sender', () => {
    const air = new Air(1)
    const [a, b] = [air.node().up(), air.node().up()]
    air.until(() => allConnected([a, b]), 10_000)
    const links = air.nextLink
    for (let i = 0; i < 20; i++) {
      air.inject('air', a.addressOn('wlan0')!, 'records', heardPacket(air).records)
      air.run(1_000)
    }
    expect(air.nextLink).toBe(links)
    expectOneSessionEach([a, b])
  })

  test('a recorded message 1 is answered by no other member, and by its receiver for two epochs at most', () => {
    const air = new Air(1)
    const [a, b] = [air.node().up(), air.node().up()]
    const first = new Set<Uint8Array>()
    for (const n of [a, b]) {
      const send = n.tcpData.bind(n)
      n.tcpData = (id, bytes) => {
        if (bytes.length === MESSAGE_1) first.add(bytes)
        send(id, bytes)
      }
    }
    air.until(() => allConnected([a, b]), 10_000)
    const recorded = [...first]
    const c = air.node().up()
    air.run(5_000)
    const answers = (n: ToyNode): number => {
      let sent = 0
      const out: ToyNode = Object.create(n, { tcpData: { value: () => sent++ } }) as ToyNode
      let id = 5_000
      for (const m1 of recorded) {
        n.core.accepted(++id, { address: `fe80::5:${id}%wlan0`, port: 5 }, air.now, out)
        n.core.received(id, m1, air.now, out)
        n.core.closed(id, air.now, out)
      }
      return sent
    }
    expect(recorded.length).toBeGreaterThan(0)
    expect(answers(a) + answers(b)).toBeGreaterThan(0)
    expect(answers(c)).toBe(0)
    air.run(2.5 * 3_600_000)
    expect(answers(a) + answers(b)).toBe(0)
  })

  test('own echo, global sources, other interfaces and junk are ignored', () => {
    const air = new Air(1)
    const a = air.node({ segments: { wlan0: 'air', eth0: 'air' } }).up()
    air.run(60_000)
    expect(a.core.status().heard).toBe(0)
    const { records } = heardPacket(air)
    for (const from of ['2001:db8::1%wlan0', 'fe80::10', 'fe80::10%eth0', '10.0.0.1', '', '%wlan0'])
      a.core.heardRecords('wlan0', from, records, air.now)
    a.core.heardRecords('nosuch0', 'fe80::10%nosuch0', records, air.now)
    const junk: unknown[] = [
      undefined,
      null,
      5,
      'x',
      {},
      [],
      [{}],
      { port: 'x' },
      new Uint8Array(3),
      [new Uint8Array(2)],
    ]
    for (const data of junk) {
      for (const type of ['PTR', 'SRV', 'TXT', 'AAAA', 'A', 'NSEC'])
        a.core.heardRecords(
          'wlan0',
          'fe80::77%wlan0',
          [...records, { name: '_mesh1._tcp.local', type, ttl: 1, data }],
          air.now,
        )
    }
    expect(a.core.status().heard).toBe(0)
  })

  test('a holder of the key cannot fill the table, nor make us dial without end', () => {
    const air = new Air(1)
    const a = air.node().up()
    air.run(60_000)
    const { random } = air
    for (let i = 0; i < 1_000; i++) {
      const address = `fe80::${(0x100 + (i % 250)).toString(16)}`
      const announcement = newAnnouncement(KEYS.discovery, address, 1 + random.below(65535), random)
      const records = toRecords({ kind: 'announce', linkName: 'wlan0', address, announcement, goodbyes: [] })
      air.inject('air', address, 'records', records)
      air.run(20)
    }
    expect(a.core.status().heard).toBe(128)
    const before = air.nextLink
    air.run(60_000)
    expect(air.nextLink - before).toBeLessThan(128 * 6)
    air.run(120_000)
    expect(a.core.status().heard).toBe(0)
  })

  test('inbound junk gets no answer and the link dies later', () => {
    const air = new Air(1)
    const a = air.node().up()
    air.run(1_000)
    const sent: Uint8Array[] = []
    const ended: number[] = []
    const out = {
      udp: () => {},
      tcpOpen: () => 0,
      tcpData: (_: number, b: Uint8Array) => sent.push(b),
      tcpEnd: (id: number) => ended.push(id),
      event: () => {},
    }
    a.core.accepted(900, { address: 'fe80::5%wlan0', port: 5 }, air.now, out)
    for (let i = 0; i < 20; i++) a.core.received(900, new Uint8Array(500).fill(i), air.now + i, out)
    expect([sent.length, ended.length]).toEqual([0, 0])
    a.core.timeout(air.now + 2_000, out)
    expect(ended).toEqual([])
    a.core.timeout(air.now + 16_000, out)
    expect(ended).toEqual([900])
    expect(a.core.owns(900)).toBe(false)
  })

  test('too many connections are refused', () => {
    const air = new Air(1)
    const a = air.node().up()
    const ended: number[] = []
    const out = {
      udp: () => {},
      tcpOpen: () => 0,
      tcpData: () => {},
      tcpEnd: (id: number) => ended.push(id),
      event: () => {},
    }
    for (let i = 0; i < 10; i++) a.core.accepted(900 + i, { address: 'fe80::5%wlan0', port: i }, air.now, out)
    expect(ended.length).toBe(6)
    a.core.accepted(950, { address: 'fe80::6%nosuch', port: 1 }, air.now, out)
    a.core.accepted(951, { address: '10.0.0.1', port: 1 }, air.now, out)
    expect(ended.slice(-2)).toEqual([950, 951])
  })
})

describe('clock', () => {
  const YEAR = 365 * 86_400_000

  test.each([
    ['both unsure', 0, 0, 0, YEAR],
    ['one knows', 0, 3, 5 * YEAR, 0],
    ['the other knows', 3, 0, 0, -YEAR],
  ] as const)('%s: they agree before the session', (_, qa, qb, aheadA, aheadB) => {
    const air = new Air(1)
    const DATE = 1_760_000_000_000
    const a = air.node({ clockQuality: qa, wall: DATE + aheadA }).up()
    const b = air.node({ clockQuality: qb, wall: DATE + aheadB }).up()
    air.until(() => allConnected([a, b]), 10_000)
    expect(Math.abs(a.clock.wall(air.now) - b.clock.wall(air.now))).toBeLessThan(100)
    const expected = qa === 3 ? DATE + aheadA : qb === 3 ? DATE + aheadB : DATE + Math.max(aheadA, aheadB)
    expect(Math.abs(a.clock.wall(air.now) - expected - air.now)).toBeLessThan(100)
    for (const n of [a, b]) {
      const step = n.events.findIndex((e) => e.kind === 'clock-step')
      if (step >= 0) expect(step).toBeLessThan(n.events.findIndex((e) => e.kind === 'neighbour'))
    }
  })

  test('one who comes later joins the others wherever they are', () => {
    for (const ahead of [-YEAR, YEAR]) {
      const air = new Air(2)
      const DATE = 1_760_000_000_000
      const nodes = [0, 1_000_000, 5_000].map((off) => air.node({ clockQuality: 0, wall: DATE + off }).up())
      air.until(() => allConnected(nodes), 10_000)
      nodes.push(air.node({ clockQuality: 0, wall: DATE + ahead }).up())
      air.until(() => allConnected(nodes), 10_000)
      expectOneSessionEach(nodes)
      const walls = nodes.map((n) => n.clock.wall(air.now))
      expect(Math.max(...walls) - Math.min(...walls)).toBeLessThan(10_000)
    }
  })
})

test('link-local addresses', () => {
  expect(linkLocalBytes('fe80::1%wlan0')).toEqual(
    Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
  )
  expect(linkLocalBytes('FE80:0:0:0:1:2:3:ffff')!.subarray(8)).toEqual(
    Uint8Array.of(0, 1, 0, 2, 0, 3, 0xff, 0xff),
  )
  expect(linkLocalBytes('fe80::')).toHaveLength(16)
  for (const bad of [
    '',
    '::1',
    'fe80',
    '2001:db8::1',
    'fe80::1::2',
    'fe80:1:2:3:4:5:6:7:8',
    'fe80::g',
    '1.2.3.4',
    'fe80::12345',
    'fe80:0:0:0:0:0:0::1x',
  ])
    expect(linkLocalBytes(bad)).toBeUndefined()
})
