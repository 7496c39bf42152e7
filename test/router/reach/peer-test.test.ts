import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/base/bytes.ts'
import { seconds } from '../../../src/base/clock.ts'
import { ipBytes } from '../../../src/base/ip.ts'
import { Ssu2BlockType } from '../../../src/protocol/ssu2/blocks.ts'
import { MessageType } from '../../../src/protocol/ssu2/header.ts'
import { inverse, openNoncePacket, sealNoncePacket } from '../../../src/protocol/ssu2/nonce-packet.ts'
import { readFirstPacket } from '../../../src/protocol/ssu2/out-of-session.ts'
import {
  type PeerTest,
  PeerTestCode,
  peerTestData,
  readPeerTest,
  signPeerTest,
  writePeerTest,
} from '../../../src/protocol/ssu2/peer-test.ts'
import { type Host, type HostOptions, type NatKind, NET_ID, WALL, Wire } from './wire.ts'

const SECOND = 1000
const MINUTE = 60_000
const TYPE = Ssu2BlockType.peerTest

/** Alice has a session with Bob, Bob one with Charlie; nobody but Alice has herself tested. */
function three(alice: HostOptions = {}, others: { bob?: HostOptions; charlie?: HostOptions } = {}, seed = 1) {
  const wire = new Wire(seed)
  const [a, b, c] = [
    wire.host('alice', { publishes: false, ...alice }),
    wire.host('bob', { quiet: true, ...others.bob }),
    wire.host('charlie', { quiet: true, ...others.charlie }),
  ] as const
  wire.connect(b, c)
  wire.connect(a, b)
  return { wire, a, b, c }
}

/** `from>to message/code` of each PeerTest block there was. */
function spoken(wire: Wire): string[] {
  return wire.blocks
    .filter(({ type }) => type === TYPE)
    .map(({ from, to, data }) => `${from.name}>${to.name} ${data[0]}/${data[1]}`)
}

/** The messages in the packets that a host sent. */
function packets(from: Host, to: Host): number[] {
  return from.sent.flatMap(({ bytes }) => {
    const packet = new Uint8Array(bytes)
    if (readFirstPacket(packet, to.introKey, NET_ID) === undefined) return []
    return [readPeerTest(new Reader(openNoncePacket(packet, to.introKey)!.block)).message]
  })
}

function messageOf(wire: Wire, name: string): (bytes: Uint8Array) => number {
  return (bytes) => {
    const host = wire.hosts.find((h) => h.name === name)!
    const packet = new Uint8Array(bytes)
    if (readFirstPacket(packet, host.introKey, NET_ID) === undefined) return 0
    return readPeerTest(new Reader(openNoncePacket(packet, host.introKey)!.block)).message
  }
}

const ACCEPTED = ['alice>bob 1/0', 'bob>charlie 2/0', 'charlie>bob 3/0', 'bob>alice 4/0']

describe('a peer test', () => {
  it('takes seven messages when all is well', () => {
    const { wire, a, b, c } = three()
    wire.run(2 * SECOND)
    expect(spoken(wire)).toEqual(ACCEPTED)
    expect([packets(c, a), packets(a, c), packets(b, a), packets(b, c)]).toEqual([[5, 7], [6], [], []])
    expect(a.verdicts()).toEqual(['ok'])
  })

  it.each<[NatKind, string[]]>([
    ['open', ['ok']],
    ['cone', ['ok']],
    ['restricted', ['firewalled']],
    // "SYMNAT, but needs confirmation with 2nd test"
    ['symmetric', ['firewalled', 'symmetric']],
  ])('behind %s NAT', (nat, verdicts) => {
    const { wire, a, b } = three({ nat })
    // Another Charlie for the second test: the first has been written to.
    const d = wire.host('dora', { quiet: true })
    wire.connect(b, d)
    wire.run(4 * MINUTE)
    expect(a.verdicts()).toEqual(verdicts)
  })

  it('over IPv6', () => {
    const wire = new Wire()
    const [a, b, c] = ['2a00:1::1', '2a00:2::1', '2a00:3::1'].map((ip, i) =>
      wire.host(`${i}`, { ip, quiet: i > 0 }),
    ) as [Host, Host, Host]
    wire.connect(b, c)
    wire.connect(a, b)
    wire.run(10 * SECOND)
    expect([a.reach.verdict(6), a.reach.verdict(4)]).toEqual(['ok', 'unknown'])
  })

  it('goes on at its pace: about every 68 minutes', () => {
    const { wire, a } = three()
    wire.run(24 * 60 * MINUTE)
    const asked = spoken(wire).filter((line) => line === 'alice>bob 1/0').length
    expect(asked).toBeGreaterThan(18)
    expect(asked).toBeLessThan(26)
    expect(a.verdicts()).toEqual(['ok'])
  })
})

describe('lost messages', () => {
  it('one message 5 of an open host does not matter', () => {
    const { wire, a } = three()
    let lost = 0
    wire.passes = (from) => from.name !== 'charlie' || lost++ > 0
    wire.run(12 * SECOND)
    expect([a.verdicts(), lost]).toEqual([['ok'], 3])
  })

  it('message 5 that comes after message 6 proves nothing', () => {
    const { wire, a } = three({ nat: 'restricted' })
    const message = messageOf(wire, 'alice')
    // Charlie's answers are lost, but not what he repeats through the hole that message 6 made.
    wire.passes = (from, bytes) => !(from.name === 'charlie' && message(bytes) === 7)
    wire.run(30 * SECOND)
    expect(a.verdicts()).toEqual(['firewalled'])
  })

  it('message 4 is done without, once 5 has come', () => {
    const { wire, a } = three()
    wire.alter = ({ data }) => (data[0] === 4 ? undefined : data)
    wire.run(30 * SECOND)
    expect(a.verdicts()).toEqual(['ok'])
  })

  it('message 4 alone is enough to be firewalled', () => {
    const { wire, a, c } = three()
    wire.passes = () => false
    wire.run(30 * SECOND)
    expect(a.verdicts()).toEqual(['firewalled'])
    expect([packets(c, a), packets(a, c)]).toEqual([
      [5, 5, 5],
      [6, 6, 6],
    ])
  })

  it('nothing at all tells nothing, and is tried again', () => {
    const { wire, a } = three()
    wire.alter = ({ data, to }) => (to.name === 'charlie' || to.name === 'alice' ? undefined : data)
    wire.run(2 * MINUTE)
    expect(a.verdicts()).toEqual([])
    expect(spoken(wire).filter((line) => line === 'alice>bob 1/0').length).toBeGreaterThan(3)
  })

  it('RouterInfos are waited for, whichever way they are late', () => {
    const { wire, a, b, c } = three()
    let late = 0
    wire.passesRouterInfo = (from, to) => {
      if (from.name !== 'bob') return true
      const [ri, host] = to.name === 'charlie' ? [a.routerInfo, c] : [c.routerInfo, a]
      wire.latency = 900
      wire.later(() => {
        host.knows(to.name === 'charlie' ? a : c)
        host.turn((out) => host.reach.routerFound(ri, wire.now, out))
      })
      wire.latency = 20
      late++
      return false
    }
    wire.run(4 * SECOND)
    expect([a.verdicts(), late]).toEqual([['ok'], 2])
    expect(b.events).toEqual([])
  })

  it('RouterInfos that never come end the test', () => {
    const { wire, a } = three()
    wire.passesRouterInfo = () => false
    wire.run(4 * SECOND)
    expect(spoken(wire).slice(0, 4)).toEqual([
      'alice>bob 1/0',
      'bob>charlie 2/0',
      'charlie>bob 3/70',
      'bob>alice 4/70',
    ])
    expect(a.verdicts()).toEqual([])
  })
})

describe('Bob', () => {
  /** What Bob says of a message 1 that Alice did not make herself. */
  function answers(make: (a: Host, b: Host) => PeerTest, options: HostOptions = {}): string[] {
    const { wire, a, b } = three(options)
    wire.run(5 * SECOND)
    wire.blocks.length = 0
    const data = writePeerTest(make(a, b))
    wire.block(a, b.hash, TYPE, data)
    wire.run(SECOND)
    return spoken(wire).slice(1)
  }

  function question(
    a: Host,
    b: Host,
    change: { port?: number; ip?: string; at?: number; bob?: Host } = {},
  ): PeerTest {
    const address = { ip: change.ip === undefined ? a.at.ip : ipBytes(change.ip)!, port: change.port ?? 9000 }
    const data = peerTestData(4711, change.at ?? seconds(WALL), address)
    const signature = signPeerTest(a.identity.signing, (change.bob ?? b).hash, undefined, data)
    return { message: 1, code: 0, data, signature }
  }

  it('asks Charlie', () => {
    // He was asked before, and has written to Alice since: the only other would be asked next.
    expect(answers((a, b) => question(a, b))[0]).toBe('bob>charlie 2/0')
  })

  it('refuses what is not signed, or for another', () => {
    expect(answers((a, b) => ({ ...question(a, b), signature: new Uint8Array(64) }))).toEqual([
      'bob>alice 4/4',
    ])
    expect(answers((a, b) => question(a, b, { bob: a }))).toEqual(['bob>alice 4/4'])
  })

  it('refuses old and early questions', () => {
    for (const at of [seconds(WALL) - 130, seconds(WALL) + 200])
      expect(answers((a, b) => question(a, b, { at }))).toEqual(['bob>alice 4/1'])
  })

  it('refuses to have others tested, and ports where services are', () => {
    expect(answers((a, b) => question(a, b, { ip: '99.1.2.3' }))).toEqual(['bob>alice 4/5'])
    expect(answers((a, b) => question(a, b, { port: 53 }))).toEqual(['bob>alice 4/5'])
    expect(answers((a, b) => question(a, b, { port: 0 }))).toEqual(['bob>alice 4/5'])
    expect(answers((a, b) => question(a, b, { ip: '2a00::1' }))).toEqual(['bob>alice 4/5'])
  })

  it('has nobody to ask but who is connected, published, a tester, elsewhere', () => {
    const wire = new Wire()
    const b = wire.host('bob', { quiet: true })
    const a = wire.host('alice', { publishes: false })
    for (const options of [{ caps: 'C' }, { publishes: false }, { ip: '2a00:7::1' }, { ip: a.nat.ip }])
      wire.connect(b, wire.host('other', { ...options, quiet: true }))
    wire.connect(a, b)
    wire.run(SECOND)
    expect(spoken(wire)).toEqual(['alice>bob 1/0', 'bob>alice 4/2'])
  })

  it('tries another Charlie when the first will not', () => {
    const { wire, a, b, c } = three()
    const d = wire.host('dora', { quiet: true })
    wire.connect(b, d)
    // Both have written to Alice.
    for (const host of [c, d]) host.reach.dialled({ address: a.nat.ip, port: 1 }, wire.now)
    wire.run(2 * SECOND)
    const said = spoken(wire)
    expect(said.filter((line) => line.endsWith('2/0')).sort()).toEqual(['bob>charlie 2/0', 'bob>dora 2/0'])
    expect(said.at(-1)).toBe(`bob>alice 4/${PeerTestCode.alreadyConnected}`)
    expect(a.verdicts()).toEqual([])
  })

  it('gives up on a Charlie who is silent', () => {
    const { wire, a } = three()
    wire.alter = ({ data, from }) => (from.name === 'charlie' ? undefined : data)
    wire.run(9 * SECOND)
    expect(spoken(wire).at(-1)).toBe('bob>alice 4/1')
    expect(a.verdicts()).toEqual([])
  })

  it('forwards no answer that Charlie has not signed, or of another question', () => {
    for (const change of [
      (data: Uint8Array) => (data[data.length - 1]! ^= 1),
      // Another port.
      (data: Uint8Array) => (data[14]! ^= 1),
    ]) {
      const { wire, a } = three()
      wire.alter = ({ data, from }) => {
        if (from.name === 'charlie') change(data)
        return data
      }
      wire.run(2 * SECOND)
      expect(spoken(wire).at(-1)).toBe('bob>alice 4/1')
      expect(a.verdicts()).toEqual([])
    }
  })

  it('hears only the Charlie that it asked', () => {
    const { wire, a, b } = three()
    const eve = wire.host('eve', { caps: 'C', quiet: true })
    wire.connect(eve, b)
    wire.alter = (block) => {
      if (block.from.name !== 'charlie') return block.data
      const { data, signature } = readPeerTest(new Reader(block.data))
      wire.deliver({ ...block, from: eve, data: writePeerTest({ message: 3, code: 0, data, signature }) })
      return undefined
    }
    wire.run(2 * SECOND)
    expect(spoken(wire)).toEqual(ACCEPTED.slice(0, 3))
    expect(a.events).toEqual([])
  })

  it('answers a question once, however often it comes', () => {
    const { wire, a, b } = three()
    wire.run(2 * SECOND)
    const first = wire.blocks.find(({ data, type }) => type === TYPE && data[0] === 1)!
    wire.blocks.length = 0
    for (let i = 0; i < 3; i++) wire.deliver(first)
    wire.run(MINUTE)
    expect(spoken(wire)).toEqual([])
    expect([a.sent.length, b.sent.length]).toEqual([1, 0])
  })

  it('is asked only so often by one router, and only for so many at once', () => {
    const { wire, a, b, c } = three()
    wire.run(5 * SECOND)
    wire.blocks.length = 0
    for (let nonce = 1; nonce <= 50; nonce++) {
      const data = peerTestData(nonce, seconds(WALL), a.at)
      const signature = signPeerTest(a.identity.signing, b.hash, undefined, data)
      wire.block(a, b.hash, TYPE, writePeerTest({ message: 1, code: 0, data, signature }))
    }
    wire.run(MINUTE)
    const said = spoken(wire)
    expect(said.filter((line) => line.startsWith('bob>charlie')).length).toBeLessThan(7)
    expect(said.filter((line) => line === 'bob>alice 4/3').length).toBeGreaterThan(43)
    // Alice hears at most one answer for one question.
    expect(said.filter((line) => line.startsWith('bob>alice')).length).toBeLessThanOrEqual(50)
    expect(c.sent.length).toBeLessThan(6)
  })

  it('does nothing when it serves nobody', () => {
    const { wire } = three({}, { bob: { reach: { serve: false } } })
    wire.run(10 * SECOND)
    expect(spoken(wire)).toEqual(['alice>bob 1/0'])
  })
})

describe('Charlie', () => {
  /** Bob asks for a test of `address`, signed by Alice and with her RouterInfo; what Charlie says, and how many packets it sends. */
  function asked(
    change: Partial<{ ip: string; port: number; at: number; signer: Host; nonce: number }> = {},
    before: (wire: Wire, a: Host, c: Host) => void = () => {},
  ) {
    const wire = new Wire()
    const [a, b, c] = ['alice', 'bob', 'charlie'].map((name) => wire.host(name, { quiet: true })) as [
      Host,
      Host,
      Host,
    ]
    wire.connect(b, c)
    c.knows(a)
    before(wire, a, c)
    wire.blocks.length = 0
    c.sent.length = 0
    const ask = (nonce: number, ip = change.ip ?? a.nat.ip): void => {
      const address = { ip: ipBytes(ip)!, port: change.port ?? 9000 }
      const data = peerTestData(nonce, change.at ?? seconds(WALL), address)
      const signature = signPeerTest((change.signer ?? a).identity.signing, b.hash, undefined, data)
      wire.block(b, c.hash, TYPE, writePeerTest({ message: 2, code: 0, hash: a.hash, data, signature }))
    }
    ask(change.nonce ?? 1)
    wire.run(3 * SECOND)
    const said = spoken(wire).filter((line) => line.startsWith('charlie'))
    return { said, sent: c.sent, wire, a, b, c, ask }
  }

  it('writes to Alice, and again a few times while she is silent', () => {
    const { said, wire, a, c, sent } = asked()
    expect(said).toEqual(['charlie>bob 3/0'])
    wire.run(5 * MINUTE)
    expect(packets(c, a)).toEqual([5, 5, 5])
    expect(sent.every(({ bytes }) => bytes.length < 250)).toBe(true)
  })

  it('writes to nobody who has not asked for it, nor where services or others are', () => {
    const wire = new Wire(9)
    const mallory = wire.host('mallory')
    for (const [change, code] of [
      [{ signer: mallory }, PeerTestCode.charlieSignature],
      [{ port: 80 }, PeerTestCode.charlieAddress],
      [{ port: 1023 }, PeerTestCode.charlieAddress],
      [{ ip: '10.0.0.1' }, PeerTestCode.charlieAddress],
      [{ ip: '2a00::1' }, PeerTestCode.charlieAddress],
      [{ at: seconds(WALL) - 200 }, PeerTestCode.charlieUnspecified],
    ] as const) {
      const { said, sent } = asked(change)
      expect([said, sent], JSON.stringify(code)).toEqual([[`charlie>bob 3/${code}`], []])
    }
  })

  it('is no stranger to whom it knows, or knew just now', () => {
    const session = asked({}, (wire, a, c) => wire.connect(c, a))
    expect([session.said, session.sent]).toEqual([[`charlie>bob 3/${PeerTestCode.alreadyConnected}`], []])
    const past = asked({}, (wire, a, c) => {
      wire.connect(c, a)
      wire.disconnect(c, a)
    })
    expect(past.said).toEqual([`charlie>bob 3/${PeerTestCode.alreadyConnected}`])
    const dialled = asked({}, (wire, a, c) => c.reach.dialled({ address: a.nat.ip, port: 1 }, wire.now))
    expect(dialled.said).toEqual([`charlie>bob 3/${PeerTestCode.alreadyConnected}`])
  })

  it('answers a question once', () => {
    const { wire, c, ask } = asked()
    const before = c.sent.length
    wire.blocks.length = 0
    ask(1)
    wire.run(100)
    expect([spoken(wire), c.sent.length]).toEqual([['bob>charlie 2/0'], before])
  })

  it('lets one Bob have only so many, and one host fewer', () => {
    const { wire, c, ask } = asked()
    for (let nonce = 2; nonce < 100; nonce++) ask(nonce, `99.${nonce}.0.1`)
    wire.run(5 * MINUTE)
    expect(c.sent.length).toBeLessThanOrEqual(6 * 3)
    expect(spoken(wire).filter((line) => line === `charlie>bob 3/${PeerTestCode.charlieLimit}`)).toHaveLength(
      93,
    )
  })

  /** A message 6, as whoever knows the nonce can make it. */
  function message6(c: Host, a: Host, b: Host, signature: 'good' | 'bad' | 'none', id = inverse(1)) {
    const data = peerTestData(1, seconds(WALL), a.at)
    const good = signPeerTest(a.identity.signing, b.hash, undefined, data)
    const which = { good, bad: new Uint8Array(64), none: new Uint8Array(0) }[signature]
    return sealNoncePacket(
      {
        type: MessageType.peerTest,
        id,
        dateTime: WALL,
        address: c.at,
        block: writePeerTest({ message: 6, code: 0, data, signature: which }),
      },
      c.introKey,
      NET_ID,
      a.wire.random,
    )
  }

  it('answers message 6 where it comes from, one for one and three at most', () => {
    const { wire, a, b, c } = asked()
    const before = c.sent.length
    const from = { address: a.nat.ip, port: 5555 }
    for (let i = 0; i < 9; i++) wire.arrive(c, from, message6(c, a, b, i % 2 === 0 ? 'good' : 'none'))
    wire.run(5 * MINUTE)
    expect(packets(c, a).slice(before)).toEqual([7, 7, 7])
    expect(c.sent.slice(before).every(({ to }) => to.port === 5555)).toBe(true)
  })

  it('answers no message 6 with a wrong signature or id, to a low port, of nobody, or too late', () => {
    const { wire, a, b, c } = asked()
    const from = { address: a.nat.ip, port: 5555 }
    const before = c.sent.length
    wire.arrive(c, from, message6(c, a, b, 'bad'))
    wire.arrive(c, from, message6(c, a, b, 'good', 1))
    wire.arrive(c, from, message6(c, a, b, 'good', inverse(2)))
    wire.arrive(c, { ...from, port: 53 }, message6(c, a, b, 'good'))
    wire.arrive(c, { ...from, address: '10.1.1.1' }, message6(c, a, b, 'good'))
    wire.arrive(c, { address: '2a00::1', port: 5555 }, message6(c, a, b, 'good'))
    expect(c.sent).toHaveLength(before)
    wire.run(100 * SECOND)
    const after = c.sent.length
    wire.arrive(c, from, message6(c, a, b, 'good'))
    expect(c.sent).toHaveLength(after)
  })
})

describe('Alice', () => {
  it('believes no message 4 that Charlie has not signed for this test', () => {
    const cases: ((test: PeerTest, hosts: { a: Host; b: Host; c: Host }) => PeerTest)[] = [
      (test) => ({ ...test, signature: new Uint8Array(64) }),
      // Bob names himself.
      (test, { b }) => ({ ...test, hash: b.hash }),
      // Another address, and one that is old, both signed by a Charlie who plays along.
      (test, { a, b, c }) => {
        const data = peerTestData(test.data.nonce, seconds(WALL), { ...test.data.address, port: 4444 })
        return { ...test, data, signature: signPeerTest(c.identity.signing, b.hash, a.hash, data) }
      },
      (test, { a, b, c }) => {
        const data = peerTestData(test.data.nonce, seconds(WALL) - 1000, test.data.address)
        return { ...test, data, signature: signPeerTest(c.identity.signing, b.hash, a.hash, data) }
      },
      (test) => ({ ...test, code: PeerTestCode.noCharlie }),
    ]
    for (const [i, change] of cases.entries()) {
      const { wire, a, b, c } = three()
      wire.alter = (block) => {
        if (block.data[0] !== 4) return block.data
        return writePeerTest(change(readPeerTest(new Reader(block.data)), { a, b, c }))
      }
      wire.run(3 * SECOND)
      expect([a.verdicts(), packets(a, c)], `case ${i}`).toEqual([[], []])
    }
  })

  it('believes no message 5 of somebody whom its NAT lets in anyway', () => {
    const { wire, a, b } = three({ nat: 'restricted' })
    wire.alter = ({ data }) => (data[0] === 4 ? undefined : data)
    wire.run(10)
    const message1 = readPeerTest(new Reader(wire.blocks.find(({ data }) => data[0] === 1)!.data))
    const forged = sealNoncePacket(
      {
        type: MessageType.peerTest,
        id: message1.data.nonce,
        dateTime: WALL,
        address: undefined,
        block: writePeerTest({ ...message1, message: 5, signature: new Uint8Array(0) }),
      },
      a.introKey,
      NET_ID,
      wire.random,
    )
    wire.arrive(a, { address: b.nat.ip, port: 9000 }, forged)
    wire.arrive(a, { address: b.nat.ip, port: 9001 }, forged)
    wire.run(MINUTE)
    expect(a.verdicts()).toEqual([])
  })

  it('believes nothing that comes from elsewhere than Charlie', () => {
    const { wire, a, c } = three({ nat: 'restricted' })
    const message = messageOf(wire, 'alice')
    wire.passes = (from, bytes) => {
      if (from !== c) return true
      // Somebody on the way sends the same from an address of his own.
      if (message(bytes) === 5) wire.later(() => wire.arrive(a, { address: '66.6.6.6', port: 6666 }, bytes))
      return false
    }
    wire.run(30 * SECOND)
    expect(a.verdicts()).toEqual(['firewalled'])
  })

  it('has no test with a Charlie whom it knows', () => {
    const { wire, a, c } = three()
    a.reach.dialled({ address: c.nat.ip, port: 1 }, wire.now)
    wire.run(5 * SECOND)
    expect([a.verdicts(), a.sent]).toEqual([[], []])
  })

  it('asks for a Bob when there is none, and asks him as soon as he is there', () => {
    const wire = new Wire()
    const [a, b, c] = [
      wire.host('alice'),
      wire.host('bob', { quiet: true }),
      wire.host('charlie', { quiet: true }),
    ]
    wire.connect(b, c)
    wire.run(50 * SECOND)
    expect(a.kinds('want-peer').slice(0, 2)).toEqual([
      { kind: 'want-peer', family: 4, capability: 'B' },
      { kind: 'want-peer', family: 4, capability: 'B' },
    ])
    expect(a.kinds('want-peer')).toHaveLength(2)
    wire.connect(a, b)
    wire.run(SECOND)
    expect(a.verdicts()).toEqual(['ok'])
  })

  it('tests the address that the user or the NAT names', () => {
    const { wire, a } = three({ nat: 'cone' })
    const claimed = { ip: ipBytes(a.nat.ip)!, port: 31_000 }
    a.turn((out) => a.reach.mapped(4, claimed, 0, out))
    wire.run(50)
    expect(
      readPeerTest(new Reader(wire.blocks.find(({ data }) => data[0] === 1)!.data)).data.address,
    ).toEqual(claimed)
  })

  it('never throws, whatever a peer sends', () => {
    const { wire, a, b } = three()
    wire.run(5 * SECOND)
    for (let i = 0; i < 3000; i++) {
      const type = [7, 8, 9, 10, 15, 16][wire.random.below(6)]!
      const data = wire.random.bytes(wire.random.below(200))
      if (type === 10 && data.length > 0) data[0] = wire.random.below(9)
      a.turn((out) => a.reach.block(b.hash, type, data, wire.now, out))
    }
    wire.run(MINUTE)
    expect(a.verdicts()).toEqual(['ok'])
  })
})
