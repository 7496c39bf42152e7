import { describe, expect, it } from 'vitest'
import { hex, Reader } from '../../../src/base/bytes.ts'
import { seconds } from '../../../src/base/clock.ts'
import { ipBytes } from '../../../src/base/ip.ts'
import { Ssu2BlockType } from '../../../src/protocol/ssu2/blocks.ts'
import { MessageType } from '../../../src/protocol/ssu2/header.ts'
import { openNoncePacket, sealNoncePacket } from '../../../src/protocol/ssu2/nonce-packet.ts'
import { readFirstPacket } from '../../../src/protocol/ssu2/out-of-session.ts'
import {
  RelayCode,
  type RelayResponse,
  readRelayIntro,
  readRelayRequest,
  readRelayResponse,
  signRelayRequest,
  signRelayResponse,
  writeRelayIntro,
  writeRelayRequest,
  writeRelayResponse,
} from '../../../src/protocol/ssu2/relay.ts'
import type { Introducer } from '../../../src/protocol/structures/router-address.ts'
import type { ReachEvent } from '../../../src/router/reach/events.ts'
import { type Block, type Host, type HostOptions, NET_ID, WALL, Wire } from './wire.ts'

const SECOND = 1000
const MINUTE = 60_000
const TAG = 0x01020304
const { relayRequest, relayIntro, relayResponse } = Ssu2BlockType

/** Charlie, behind a NAT, has a session with Bob, who gave him a tag; Alice, who has one with Bob too, knows of it. */
function three(options: { alice?: HostOptions; charlie?: HostOptions; bob?: HostOptions } = {}, seed = 1) {
  const wire = new Wire(seed)
  const a = wire.host('alice', {
    quiet: true,
    ...options.alice,
    reach: { families: [4], ...options.alice?.reach },
  })
  const b = wire.host('bob', { quiet: true, ...options.bob })
  const c = wire.host('charlie', { quiet: true, nat: 'restricted', ...options.charlie })
  wire.connect(c, b, { relayTag: TAG, grantedTag: TAG })
  wire.connect(a, b)
  a.events.length = 0
  const target = c.describe(false, [{ hash: b.hash, tag: TAG, expires: WALL + 60 * MINUTE }])
  const introduce = (introducers?: Introducer[]): boolean => {
    let begun = false
    const ri = introducers === undefined ? target : c.describe(false, introducers)
    a.turn((out) => {
      begun = a.reach.introduce(ri, wire.now, out)
    })
    return begun
  }
  return { wire, a, b, c, introduce }
}

/** What was said, by name and type of block, with the code of answers. */
function spoken(wire: Wire): string[] {
  return wire.blocks.flatMap(({ from, to, type, data }) => {
    if (type === relayRequest) return [`${from.name}>${to.name} request`]
    if (type === relayIntro) return [`${from.name}>${to.name} intro`]
    if (type === relayResponse) return [`${from.name}>${to.name} response ${data[1]}`]
    return []
  })
}

/** How it ended for Alice. */
function ends(a: Host): ReachEvent[] {
  return a.events.filter(({ kind }) => kind === 'reached' || kind === 'introduction-failed')
}

function reached(a: Host): { address: string; port: number; token: Uint8Array } | undefined {
  const event = ends(a)[0]
  return event?.kind === 'reached' ? { ...event.endpoint, token: event.token } : undefined
}

function wanted(a: Host): string[] {
  return a.events.flatMap((event) => (event.kind === 'want-session' ? [hex(event.peer)] : []))
}

const failed = (c: Host): ReachEvent => ({ kind: 'introduction-failed', peer: c.hash, family: 4 })

describe('an introduction', () => {
  it('goes over Bob and comes back both ways', () => {
    const { wire, a, c, introduce } = three()
    expect(introduce()).toBe(true)
    wire.run(80)
    expect(spoken(wire)).toEqual([
      'alice>bob request',
      'bob>charlie intro',
      'charlie>bob response 0',
      'bob>alice response 0',
    ])
    // Where Charlie's NAT sends from, and a token for Alice's address.
    const token = Uint8Array.of(...a.at.ip, 9000 >>> 8, 9000 & 255, 7, 7)
    expect(reached(a)).toEqual({ address: c.nat.ip, port: 20_000, token })
  })
})

describe('ways to Charlie', () => {
  it('at once by the hole punch, which comes first', () => {
    const { wire, a, introduce } = three()
    wire.alter = ({ to, type, data }) => (to.name === 'alice' && type === relayResponse ? undefined : data)
    introduce()
    wire.run(70)
    expect(reached(a)).toBeDefined()
    wire.run(MINUTE)
    expect(ends(a)).toHaveLength(1)
  })

  it('by the answer, when the hole punch does not come in', () => {
    const { wire, a, c, introduce } = three({ alice: { nat: 'restricted' } })
    introduce()
    wire.run(90)
    // It waits for nothing: behind a NAT hole punches are lost.
    expect(reached(a)).toMatchObject({ address: c.nat.ip, port: 20_000 })
  })

  it('at another port than he says, from behind a symmetric NAT', () => {
    const { wire, a, introduce } = three({ charlie: { nat: 'symmetric' } })
    introduce()
    wire.run(SECOND)
    expect(reached(a)!.port).toBeGreaterThan(20_000)
  })

  it('patiently, where a hole punch may come', () => {
    const { wire, a, c, introduce } = three({ charlie: { nat: 'symmetric' } })
    a.turn((out) => a.reach.configured(4, a.at, wire.now, out))
    a.events.length = 0
    // The first hole punch is slower than all that goes over Bob.
    wire.passes = (from, bytes) => {
      if (from !== c || c.sent.length > 1) return true
      const port = from.nat.out({ address: a.nat.ip, port: 9000 }, wire.now).port
      wire.latency = 400
      wire.later(() => wire.arrive(a, { address: c.nat.ip, port }, bytes))
      wire.latency = 20
      return false
    }
    introduce()
    wire.run(300)
    expect(ends(a)).toEqual([])
    wire.run(300)
    expect(reached(a)!.port).toBeGreaterThan(20_000)
  })

  it('not for ever', () => {
    const { wire, a, introduce } = three()
    a.turn((out) => a.reach.configured(4, a.at, wire.now, out))
    a.events.length = 0
    wire.passes = () => false
    introduce()
    wire.run(700)
    expect(reached(a)!.port).toBe(20_000)
  })

  it('not twice at once', () => {
    const { wire, a, introduce } = three()
    expect([introduce(), introduce()]).toEqual([true, false])
    wire.run(SECOND)
    expect(ends(a)).toHaveLength(1)
    expect(introduce()).toBe(true)
  })

  it('not to those who publish an address or no introducer, nor while we know no address of ours', () => {
    const { a, b, c, introduce } = three()
    a.turn((out) => {
      expect(a.reach.introduce(b.routerInfo, 0, out)).toBe(false)
      expect(a.reach.introduce(c.routerInfo, 0, out)).toBe(false)
    })
    a.turn((out) => a.reach.networkChanged(0, out))
    expect(introduce()).toBe(false)
  })
})

describe('introducers', () => {
  it('with a session are asked first, then those that are known, then others', () => {
    const { wire, a, c, introduce } = three()
    const [d, e] = [wire.host('dora', { quiet: true }), wire.host('eve', { quiet: true })]
    a.knows(e)
    const b = wire.hosts[1]!
    wire.alter = ({ from, data }) => (from === b ? undefined : data)
    introduce([d, e, b].map(({ hash }) => ({ hash, tag: TAG })))
    expect(spoken(wire)).toEqual(['alice>bob request'])
    wire.run(7 * SECOND)
    expect(wanted(a)).toEqual([hex(e.hash)])
    a.turn((out) => a.reach.dialFailed(e.hash, wire.now, out))
    expect(wanted(a)).toEqual([hex(e.hash), hex(d.hash)])
    wire.run(11 * SECOND)
    expect(ends(a)).toEqual([failed(c)])
  })

  it('are asked as soon as there is a session', () => {
    const { wire, a, c } = three()
    const d = wire.host('dora', { quiet: true })
    wire.connect(c, d, { relayTag: 99, grantedTag: 99 })
    const target = c.describe(false, [{ hash: d.hash, tag: 99 }])
    a.turn((out) => a.reach.introduce(target, wire.now, out))
    wire.run(SECOND)
    wire.connect(a, d)
    wire.run(SECOND)
    expect(reached(a)).toMatchObject({ address: c.nat.ip })
  })

  it('are not asked when they have expired, or are ourselves or Charlie', () => {
    const { wire, a, b, c, introduce } = three()
    introduce([
      { hash: b.hash, tag: TAG, expires: WALL - 1000 },
      { hash: a.hash, tag: TAG },
      { hash: c.hash, tag: TAG },
    ])
    wire.run(SECOND)
    expect([spoken(wire), ends(a)]).toEqual([[], [failed(c)]])
  })

  it('that end the session while asked are passed over', () => {
    const { wire, a, b, c, introduce } = three()
    wire.alter = () => undefined
    introduce()
    wire.disconnect(a, b)
    expect(ends(a)).toEqual([failed(c)])
  })

  it('are forgotten once Charlie is there by another way', () => {
    const { wire, a, c, introduce } = three()
    wire.alter = () => undefined
    introduce()
    wire.connect(c, a)
    wire.run(MINUTE)
    expect(ends(a)).toEqual([])
  })

  it('are sought for a bounded number of routers', () => {
    const { wire, a } = three()
    const b = wire.hosts[1]!
    wire.alter = () => undefined
    let begun = 0
    for (let i = 0; i < 100; i++) {
      const target = wire.host(`${i}`, {
        publishes: false,
        introducers: [{ hash: b.hash, tag: 7 }],
        quiet: true,
      })
      a.turn((out) => {
        if (a.reach.introduce(target.routerInfo, wire.now, out)) begun++
      })
    }
    expect(begun).toBe(64)
  })
})

describe('Bob', () => {
  /** What Bob and Charlie say to a request that Alice did not make herself. */
  function answers(
    change: Partial<{
      tag: number
      port: number
      ip: string
      at: number
      bob: Host
      signer: Host
      repeat: number
    }> = {},
    options: HostOptions = {},
  ): string[] {
    const { wire, a, b, c } = three({ bob: options })
    const content = {
      nonce: 4711,
      tag: change.tag ?? TAG,
      timestamp: change.at ?? seconds(WALL),
      address: { ip: ipBytes(change.ip ?? a.nat.ip)!, port: change.port ?? 9000 },
    }
    const request = signRelayRequest(
      (change.signer ?? a).identity.signing,
      (change.bob ?? b).hash,
      c.hash,
      content,
    )
    for (let i = change.repeat ?? 1; i > 0; i--)
      wire.block(a, b.hash, relayRequest, writeRelayRequest(request))
    wire.run(SECOND)
    return spoken(wire).filter((line) => !line.startsWith('alice'))
  }

  it('carries what is right, once', () => {
    const all = ['bob>charlie intro', 'charlie>bob response 0', 'bob>alice response 0']
    expect(answers()).toEqual(all)
    expect(answers({ repeat: 3 })).toEqual(all)
  })

  it.each<[string, Parameters<typeof answers>[0], number]>([
    ['a tag that he has not given', { tag: 5 }, RelayCode.tagNotFound],
    ['another signature', { signer: new Wire(7).host('mallory') }, RelayCode.bobSignature],
    ['a signature for another', { bob: new Wire(7).host('other') }, RelayCode.bobSignature],
    ['an old request', { at: seconds(WALL) - 150 }, RelayCode.bobUnspecified],
    ['a port where services are', { port: 53 }, RelayCode.bobUnspecified],
    ["an address that is not Alice's", { ip: '99.0.0.1' }, RelayCode.bobUnspecified],
    ['a private address', { ip: '10.0.0.1' }, RelayCode.bobUnspecified],
    ['an address of a family by which he has no way to Charlie', { ip: '2a00::1' }, RelayCode.tagNotFound],
  ])('refuses %s', (_, change, code) => {
    expect(answers(change)).toEqual([`bob>alice response ${code}`])
  })

  it('signs his refusals', () => {
    const { wire, a, b, introduce } = three()
    introduce([{ hash: b.hash, tag: 9 }])
    wire.run(SECOND)
    const { data } = wire.blocks.find(({ type, from }) => type === relayResponse && from === b)!
    const response = readRelayResponse(new Reader(data))
    const content = {
      code: 5,
      nonce: response.nonce,
      timestamp: response.timestamp!,
      address: undefined,
      token: undefined,
    }
    expect(response).toEqual(signRelayResponse(b.identity.signing, b.hash, content))
    expect(ends(a)).toHaveLength(1)
  })

  it('forgets tags with the session', () => {
    const { wire, a, b, c, introduce } = three()
    wire.disconnect(c, b)
    introduce()
    wire.run(SECOND)
    expect(spoken(wire).at(-1)).toBe(`bob>alice response ${RelayCode.tagNotFound}`)
    expect(ends(a)).toEqual([failed(c)])
  })

  it('gives up on a Charlie who is silent', () => {
    const { wire, a, c, introduce } = three()
    wire.alter = ({ from, data }) => (from === c ? undefined : data)
    wire.passes = () => false
    introduce()
    wire.run(5.5 * SECOND)
    expect(spoken(wire).at(-1)).toBe(`bob>alice response ${RelayCode.bobUnspecified}`)
    expect(ends(a)).toEqual([failed(c)])
  })

  it('carries no answer that Charlie has not signed, nor one of somebody else', () => {
    const { wire, c, introduce } = three()
    wire.alter = ({ from, data }) => {
      if (from === c) data[30]! ^= 1
      return data
    }
    wire.passes = () => false
    introduce()
    wire.run(SECOND)
    expect(spoken(wire).at(-1)).toBe(`bob>alice response ${RelayCode.bobUnspecified}`)
    const other = three()
    const eve = other.wire.host('eve', { quiet: true })
    other.wire.connect(eve, other.b)
    other.wire.alter = (block) => {
      if (block.from !== other.c) return block.data
      other.wire.deliver({ ...block, from: eve })
      return undefined
    }
    other.introduce()
    other.wire.run(SECOND)
    expect(spoken(other.wire)).toHaveLength(3)
  })

  it('carries only so many for one router', () => {
    const { wire, a, b, c } = three()
    for (let nonce = 1; nonce <= 60; nonce++) {
      const content = { nonce, tag: TAG, timestamp: seconds(WALL), address: a.at }
      const request = signRelayRequest(a.identity.signing, b.hash, c.hash, content)
      wire.block(a, b.hash, relayRequest, writeRelayRequest(request))
    }
    wire.run(MINUTE)
    const said = spoken(wire)
    expect(said.filter((line) => line === 'bob>charlie intro')).toHaveLength(20)
    expect(said.filter((line) => line === `bob>alice response ${RelayCode.bobLimit}`)).toHaveLength(40)
    // Charlie limits what one host gets, whoever asks for it.
    expect(c.sent.length).toBeLessThanOrEqual(6 * 3)
  })
})

describe('Charlie', () => {
  /** What he says to an introduction as Bob makes it, and what he sends. */
  function asked(
    change: Partial<{
      tag: number
      port: number
      ip: string
      at: number
      signer: Host
      from: 'bob' | 'eve'
      known: boolean
    }> = {},
    before: (parts: { wire: Wire; a: Host; c: Host }) => void = () => {},
  ) {
    const { wire, a, b, c } = three()
    const eve = wire.host('eve', { quiet: true })
    wire.connect(c, eve)
    if (change.known !== false) c.knows(a)
    before({ wire, a, c })
    c.sent.length = 0
    wire.blocks.length = 0
    const content = {
      nonce: 4711,
      tag: change.tag ?? TAG,
      timestamp: change.at ?? seconds(WALL),
      address: { ip: ipBytes(change.ip ?? a.nat.ip)!, port: change.port ?? 9000 },
    }
    const bob = change.from === 'eve' ? eve : b
    const request = signRelayRequest((change.signer ?? a).identity.signing, bob.hash, c.hash, content)
    const data = writeRelayIntro({ alice: a.hash, request })
    wire.block(bob, c.hash, relayIntro, data)
    wire.block(bob, c.hash, relayIntro, data)
    wire.run(4 * SECOND)
    return { said: spoken(wire).filter((line) => line.startsWith('charlie')), sent: c.sent, wire, a, c }
  }

  it('answers, and punches a hole, and again a few times', () => {
    const { said, sent, wire, a, c } = asked()
    expect(said).toEqual(['charlie>bob response 0'])
    wire.run(MINUTE)
    expect(sent.map(({ to }) => to)).toEqual(new Array(3).fill({ address: a.nat.ip, port: 9000 }))
    const packet = new Uint8Array(sent[0]!.bytes)
    expect(readFirstPacket(packet, a.introKey, NET_ID)!.type).toBe(MessageType.holePunch)
    const { id, address, block } = openNoncePacket(packet, a.introKey)!
    expect([id, address]).toEqual([4711, a.at])
    // "The Relay Response and Hole Punch contain the identical signed Relay Response block."
    expect(block).toEqual(wire.blocks.find(({ from }) => from === c)!.data)
  })

  it('stops when Alice is there', () => {
    const { wire, a, c, introduce } = three()
    introduce()
    wire.run(100)
    wire.connect(a, c)
    wire.run(MINUTE)
    expect(c.sent).toHaveLength(1)
  })

  it.each<[string, Parameters<typeof asked>[0], number]>([
    ['of whom he has no tag', { from: 'eve' }, RelayCode.charlieUnspecified],
    ['with another tag', { tag: 8 }, RelayCode.charlieUnspecified],
    ['that are old', { at: seconds(WALL) - 150 }, RelayCode.charlieUnspecified],
    ['that Alice has not signed', { signer: new Wire(7).host('mallory') }, RelayCode.charlieSignature],
    ['to a port where services are', { port: 25 }, RelayCode.charlieAddress],
    ['to a private address', { ip: '10.0.0.9' }, RelayCode.charlieAddress],
    ['to one whose RouterInfo never comes', { known: false }, RelayCode.aliceUnknown],
  ])('sends nothing to strangers for introductions %s', (_, change, code) => {
    const { said, sent } = asked(change)
    expect([[...new Set(said)], sent]).toEqual([[`charlie>${change!.from ?? 'bob'} response ${code}`], []])
  })

  it('has no need of whom he is connected with', () => {
    const { said, sent } = asked({}, ({ wire, a, c }) => wire.connect(a, c))
    expect([said, sent]).toEqual([[`charlie>bob response ${RelayCode.alreadyConnected}`], []])
  })
})

describe('Alice', () => {
  const bad: [string, (response: RelayResponse, hosts: { b: Host; c: Host }) => RelayResponse][] = [
    ['not signed', (response) => ({ ...response, signature: new Uint8Array(64) })],
    [
      "with Bob's signature",
      (response, { b }) =>
        signRelayResponse(b.identity.signing, b.hash, { ...response, timestamp: seconds(WALL) }),
    ],
    [
      'old',
      (response, { b, c }) => signRelayResponse(c.identity.signing, b.hash, { ...response, timestamp: 1000 }),
    ],
    [
      'leading to a private address',
      (response, { b, c }) =>
        signRelayResponse(c.identity.signing, b.hash, {
          ...response,
          timestamp: seconds(WALL),
          address: { ip: ipBytes('10.0.0.1')!, port: 9000 },
        }),
    ],
    [
      'leading to a low port',
      (response, { b, c }) =>
        signRelayResponse(c.identity.signing, b.hash, {
          ...response,
          timestamp: seconds(WALL),
          address: { ip: response.address!.ip, port: 80 },
        }),
    ],
  ]

  it.each(bad)('takes no answer that is %s, from Bob or in a hole punch', (_, change) => {
    const { wire, a, b, c, introduce } = three()
    const changed = (data: Uint8Array): Uint8Array =>
      writeRelayResponse(change(readRelayResponse(new Reader(data)), { b, c }))
    wire.alter = (block: Block) =>
      block.type === relayResponse && block.to === a ? changed(block.data) : block.data
    wire.passes = (from, bytes) => {
      if (from !== c) return true
      const packet = new Uint8Array(bytes)
      readFirstPacket(packet, a.introKey, NET_ID)
      const punch = openNoncePacket(packet, a.introKey)!
      const forged = sealNoncePacket(
        { ...punch, block: changed(punch.block) },
        a.introKey,
        NET_ID,
        wire.random,
      )
      wire.later(() => wire.arrive(a, { address: c.nat.ip, port: 20_000 }, forged))
      return false
    }
    introduce()
    wire.run(20 * SECOND)
    expect(ends(a)).toEqual([failed(c)])
  })

  it('takes no hole punch from another host, nor one for another introduction', () => {
    const { wire, a, c, introduce } = three()
    wire.alter = (block) => (block.type === relayResponse && block.to === a ? undefined : block.data)
    wire.passes = (from, bytes) => {
      if (from === c) wire.later(() => wire.arrive(a, { address: '99.9.9.9', port: 20_000 }, bytes))
      return false
    }
    introduce()
    wire.run(20 * SECOND)
    expect(ends(a)).toEqual([failed(c)])
  })

  it('hears only the Bob that she asked, and him once', () => {
    const { wire, a, b, introduce } = three()
    const eve = wire.host('eve', { quiet: true })
    wire.connect(eve, a)
    wire.passes = () => false
    let real: Block | undefined
    wire.alter = (block) => {
      if (block.type !== relayResponse || block.to !== a) return block.data
      real = block
      wire.deliver({ ...block, from: eve })
      return undefined
    }
    introduce()
    wire.run(SECOND)
    expect(ends(a)).toEqual([])
    wire.deliver(real!)
    wire.deliver(real!)
    wire.run(SECOND)
    expect(ends(a)).toHaveLength(1)
    expect(b.events).toEqual([])
  })
})

describe('blocks of an introduction', () => {
  it('are forwarded as they came', () => {
    const { wire, a, introduce } = three()
    introduce()
    wire.run(SECOND)
    const [request, intro, his, hers] = wire.blocks
      .filter(({ type }) => [relayRequest, relayIntro, relayResponse].includes(type as never))
      .map(({ data }) => data)
    expect(readRelayIntro(new Reader(intro!))).toEqual({
      alice: Uint8Array.from(a.hash),
      request: readRelayRequest(new Reader(request!)),
    })
    expect(hers).toEqual(his)
  })
})
