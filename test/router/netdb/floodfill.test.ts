import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/base/bytes.ts'
import { type DatabaseLookup, writeDatabaseLookup } from '../../../src/protocol/i2np/database-lookup.ts'
import { readDatabaseSearchReply } from '../../../src/protocol/i2np/database-search-reply.ts'
import { readDatabaseStore, writeDatabaseStore } from '../../../src/protocol/i2np/database-store.ts'
import { readDeliveryStatus } from '../../../src/protocol/i2np/delivery-status.ts'
import { readGarlic } from '../../../src/protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import { unwrapWithKey } from '../../../src/protocol/ratchet/symmetric-garlic.ts'
import { type Hash, hashKey } from '../../../src/protocol/structures/hash.ts'
import type { NetDbEvent } from '../../../src/router/netdb/events.ts'
import { NET_ID, Network, type Node } from './network.ts'

function setUp(seed: number, others = 8): { network: Network; node: Node; floodfills: Node[] } {
  const network = new Network(seed)
  const node = network.add()
  const floodfills = network.many(others)
  network.introduce([node], floodfills)
  network.filter = () => false // only what `node` does is looked at
  node.events.length = 0
  return { network, node, floodfills }
}

function message(network: Network, type: number, payload: Uint8Array): I2npMessage {
  return { type, id: 1, expiration: network.wall() + 8000, payload }
}

function give(network: Network, node: Node, from: Hash | undefined, m: I2npMessage): NetDbEvent[] {
  const before = node.events.length
  network.do(node, (out) => node.db.handle(from, m, 'session', network.now, out))
  return node.events.slice(before)
}

function store(
  network: Network,
  key: Hash,
  type: number,
  data: Uint8Array,
  token = 0,
  gateway?: Hash,
  tunnelId = 0,
): I2npMessage {
  const reply = token === 0 ? {} : { reply: { token, tunnelId, gateway: gateway! } }
  return message(network, MessageType.DatabaseStore, writeDatabaseStore({ key, type, ...reply, data }))
}

const kinds = (events: readonly NetDbEvent[]): string[] => events.map((e) => e.kind)

describe('stores', () => {
  it('of a lease set are acknowledged by tunnel and flooded to three, once', () => {
    const { network, node } = setUp(101)
    const ls = network.leaseSet()
    const gateway = network.random.bytes(32)
    const m = store(network, ls.hash, 3, ls.bytes, 77, gateway, 5)
    const events = give(network, node, undefined, m)
    expect(kinds(events)).toEqual(['send-tunnel', 'send', 'send', 'send'])
    const ack = events[0] as Extract<NetDbEvent, { kind: 'send-tunnel' }>
    expect([ack.gateway, ack.tunnelId]).toEqual([gateway, 5])
    expect(readDeliveryStatus(new Reader(ack.message.payload)).messageId).toBe(77)
    for (const e of events.slice(1)) {
      const flooded = readDatabaseStore(
        new Reader((e as Extract<NetDbEvent, { kind: 'send' }>).message.payload),
      )
      expect(flooded.reply).toBeUndefined()
      expect(flooded.data).toEqual(ls.bytes)
    }
    expect(kinds(give(network, node, undefined, m))).toEqual(['send-tunnel'])
  })

  it('without token are kept but not passed on', () => {
    const { network, node, floodfills } = setUp(102)
    const ls = network.leaseSet()
    const from = floodfills[0]!.identity.identity.hash
    expect(give(network, node, from, store(network, ls.hash, 3, ls.bytes))).toEqual([])
    expect(node.db.leaseSets).toBe(1)
  })

  it('of a RouterInfo are acknowledged to the router itself only', () => {
    const { network, node } = setUp(103)
    const other = network.add()
    const ri = network.routerInfo(other, 'LR')
    const m = store(network, ri.hash, 0, ri.bytes, 9, ri.hash)
    const events = give(network, node, ri.hash, m)
    expect(kinds(events)).toEqual(['router', 'send', 'send', 'send', 'send'])
    expect(node.db.get(ri.hash)).toBeDefined()
    const victim = network.random.bytes(32)
    const newer = network.routerInfo(other, 'LR', ri.published + 5000)
    const reflected = give(network, node, ri.hash, store(network, ri.hash, 0, newer.bytes, 9, victim))
    const to = reflected.filter((e) => e.kind === 'send').map((e) => hashKey(e.to))
    expect(to).not.toContain(hashKey(victim))
  })

  it('that are bad are neither kept nor flooded nor acknowledged', () => {
    const { network, node } = setUp(104)
    const other = network.add()
    const wall = network.wall()
    const good = network.routerInfo(other, 'LR')
    const forged = new Uint8Array(good.bytes)
    forged[500]! ^= 1
    const hour = 3_600_000
    const bad: [string, Hash, number, Uint8Array][] = [
      ['forged', good.hash, 0, forged],
      ['another key', network.random.bytes(32), 0, good.bytes],
      ['future', good.hash, 0, network.routerInfo(other, 'LR', wall + 180_000).bytes],
      ['old', good.hash, 0, network.routerInfo(other, 'LR', wall - 28 * hour).bytes],
      ['network', good.hash, 0, network.routerInfo(other, 'LR', wall, NET_ID + 1).bytes],
      ['lease set as RouterInfo', good.hash, 0, network.leaseSet().bytes],
      ['noise', good.hash, 3, network.random.bytes(600)],
    ]
    const ls = network.leaseSet()
    const forgedLs = new Uint8Array(ls.bytes)
    forgedLs[450]! ^= 1
    const expired = network.leaseSet(undefined, wall - 700_000)
    const future = network.leaseSet(undefined, wall + 180_000)
    const unpublished = network.leaseSet(undefined, wall, 2)
    bad.push(['forged lease set', ls.hash, 3, forgedLs], ['wrong type', ls.hash, 7, ls.bytes])
    bad.push(['expired', expired.hash, 3, expired.bytes], ['future', future.hash, 3, future.bytes])
    bad.push(['unpublished', unpublished.hash, 3, unpublished.bytes])
    for (const [what, key, type, data] of bad) {
      const m = store(network, key, type, data, 9, good.hash)
      expect(give(network, node, good.hash, m), what).toEqual([])
    }
    expect(node.db.leaseSets).toBe(0)
    expect(node.db.get(good.hash)).toBeUndefined()
    for (const type of [1, 2, 3, 10]) {
      for (let i = 0; i < 50; i++) {
        const noise = message(network, type, network.random.bytes(network.random.below(300)))
        expect(kinds(give(network, node, undefined, noise)).filter((k) => k !== 'send-tunnel')).toEqual([])
      }
    }
  })

  it('from one neighbour have a quota', () => {
    const { network, node, floodfills } = setUp(105)
    const from = floodfills[0]!.identity.identity.hash
    for (let i = 0; i < 400; i++) {
      give(network, node, from, store(network, network.random.bytes(32), 3, network.random.bytes(10)))
    }
    const ls = network.leaseSet()
    give(network, node, from, store(network, ls.hash, 3, ls.bytes))
    expect(node.db.leaseSets).toBe(0)
    give(network, node, undefined, store(network, ls.hash, 3, ls.bytes))
    expect(node.db.leaseSets).toBe(1)
  })

  it('near midnight also go to the floodfills of tomorrow', () => {
    const network = new Network(106, Date.UTC(2026, 10, 22, 23, 55))
    const node = network.add()
    network.introduce([node], network.many(30))
    network.filter = () => false
    const ls = network.leaseSet()
    const events = give(
      network,
      node,
      undefined,
      store(network, ls.hash, 3, ls.bytes, 5, network.random.bytes(32), 5),
    )
    expect(events.filter((e) => e.kind === 'send').length).toBe(5)
  })
})

describe('lookups', () => {
  const ask = (network: Network, lookup: DatabaseLookup): I2npMessage =>
    message(network, MessageType.DatabaseLookup, writeDatabaseLookup(lookup))

  it('through a tunnel are answered encrypted', () => {
    const { network, node } = setUp(111)
    const ls = network.leaseSet()
    give(network, node, undefined, store(network, ls.hash, 3, ls.bytes))
    const gateway = network.random.bytes(32)
    const [key, tag] = [network.random.bytes(32), network.random.bytes(8)]
    const encryption = { scheme: 'ecies', key, tags: [tag] } as const
    const lookup: DatabaseLookup = {
      key: ls.hash,
      from: gateway,
      replyTunnelId: 6,
      kind: 'lease-set',
      excluded: [],
      encryption,
    }
    const [event] = give(network, node, undefined, ask(network, lookup))
    if (event?.kind !== 'send-tunnel') throw new Error('no answer')
    expect([event.gateway, event.tunnelId, event.message.type]).toEqual([gateway, 6, MessageType.Garlic])
    const clove = unwrapWithKey(key, tag, readGarlic(new Reader(event.message.payload)))!
    expect(clove.message.type).toBe(MessageType.DatabaseStore)
    expect(readDatabaseStore(new Reader(clove.message.payload)).data).toEqual(ls.bytes)
    const aes = { ...lookup, encryption: { scheme: 'aes', key, tags: [network.random.bytes(32)] } } as const
    expect(give(network, node, undefined, ask(network, aes))).toEqual([])
  })

  it('for what is not here name the three closest floodfills, without the excluded', () => {
    const { network, node, floodfills } = setUp(112)
    const excluded = floodfills.slice(0, 3).map((n) => n.identity.identity.hash)
    const asker = network.add({ floodfill: false })
    const from = asker.identity.identity.hash
    const lookup: DatabaseLookup = { key: network.random.bytes(32), from, kind: 'lease-set', excluded }
    const [event] = give(network, node, from, ask(network, lookup))
    if (event?.kind !== 'send') throw new Error('no answer')
    const reply = readDatabaseSearchReply(new Reader(event.message.payload))
    expect(reply.peers.length).toBe(3)
    expect(hashKey(reply.from)).toBe(node.key)
    const named = reply.peers.map(hashKey)
    for (const hash of excluded) expect(named).not.toContain(hashKey(hash))
  })

  it('that explore hear of routers that are no floodfills', () => {
    const { network, node } = setUp(113)
    const others = network.many(5, false)
    for (const o of others)
      network.do(node, (out) => node.db.addRouterInfo(network.routerInfo(o, 'LR'), network.now, out))
    const from = network.random.bytes(32)
    const lookup: DatabaseLookup = { key: network.random.bytes(32), from, kind: 'exploratory', excluded: [] }
    const [event] = give(network, node, from, ask(network, lookup))
    if (event?.kind !== 'send') throw new Error('no answer')
    const { peers } = readDatabaseSearchReply(new Reader(event.message.payload))
    expect(peers.length).toBe(3)
    for (const peer of peers) expect(others.map((o) => o.key)).toContain(hashKey(peer))
  })

  it('for our own RouterInfo are answered', () => {
    const { network, node } = setUp(114)
    const own = network.routerInfo(node)
    network.do(node, (out) => node.db.publishRouterInfo(own, network.now, out))
    const from = network.random.bytes(32)
    const [event] = give(
      network,
      node,
      from,
      ask(network, { key: own.hash, from, kind: 'router', excluded: [] }),
    )
    if (event?.kind !== 'send') throw new Error('no answer')
    expect(new Uint8Array(readDatabaseStore(new Reader(event.message.payload)).data)).toEqual(own.bytes)
  })

  it('never show what a client of ours found or published', () => {
    const { network, node } = setUp(115)
    const found = network.leaseSet()
    network.do(node, (out) => node.db.lookupLeaseSet(found.hash, 1, network.now, out))
    const answer = store(network, found.hash, 3, found.bytes)
    network.do(node, (out) => node.db.handle(undefined, answer, { client: 1 }, network.now, out))
    const own = network.leaseSet()
    network.do(node, (out) => node.db.publishLeaseSet(1, own, network.now, out))
    expect(network.seen(node, 'lease-set').length).toBe(1)
    const from = network.random.bytes(32)
    for (const key of [found.hash, own.hash]) {
      const [event] = give(network, node, from, ask(network, { key, from, kind: 'any', excluded: [] }))
      if (event?.kind !== 'send') throw new Error('no answer')
      expect(event.message.type).toBe(MessageType.DatabaseSearchReply)
    }
  })

  it('do not make us throw stones, and have a quota', () => {
    const { network, node } = setUp(116)
    const from = network.random.bytes(32)
    const lookup: DatabaseLookup = { key: network.random.bytes(32), from, kind: 'router', excluded: [] }
    expect(give(network, node, network.random.bytes(32), ask(network, lookup))).toEqual([])
    expect(give(network, node, undefined, ask(network, lookup))).toEqual([])
    let answers = 0
    for (let i = 0; i < 200; i++) answers += give(network, node, from, ask(network, lookup)).length
    expect(answers).toBe(60)
    network.run(10_000)
    expect(give(network, node, from, ask(network, lookup)).filter((e) => e.kind === 'send').length).toBe(1)
  })

  it('and lease sets are nothing for a router that is no floodfill', () => {
    const network = new Network(117)
    const node = network.add({ floodfill: false })
    network.introduce([node], network.many(3))
    node.events.length = 0
    network.filter = () => false
    const from = network.random.bytes(32)
    expect(
      give(network, node, from, ask(network, { key: from, from, kind: 'router', excluded: [] })),
    ).toEqual([])
    const ls = network.leaseSet()
    expect(give(network, node, from, store(network, ls.hash, 3, ls.bytes, 5, from))).toEqual([])
    expect(node.db.leaseSets).toBe(0)
    const ri = network.routerInfo(network.add(), 'LR')
    expect(kinds(give(network, node, from, store(network, ri.hash, 0, ri.bytes, 5, from)))).toEqual([
      'router',
    ])
  })
})
