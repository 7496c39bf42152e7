import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/base/bytes.ts'
import { readDatabaseLookup } from '../../../src/protocol/i2np/database-lookup.ts'
import { writeDatabaseSearchReply } from '../../../src/protocol/i2np/database-search-reply.ts'
import { writeDatabaseStore } from '../../../src/protocol/i2np/database-store.ts'
import { MessageType } from '../../../src/protocol/i2np/message.ts'
import { hashKey } from '../../../src/protocol/structures/hash.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { compareDistance, routingKey, utcDay } from '../../../src/router/netdb/kademlia.ts'
import { Network, type Node } from './network.ts'

/** The floodfills of a network, closest to `hash` first. */
function closest(network: Network, nodes: readonly Node[], hash: Uint8Array): Node[] {
  const day = utcDay(network.wall())
  const goal = routingKey(hash, day)
  const key = (n: Node): Uint8Array => routingKey(n.identity.identity.hash, day)
  return [...nodes].sort((a, b) => compareDistance(goal, key(a), key(b)))
}

describe('lease set lookups', () => {
  it('converge although each router knows only a few others', () => {
    const network = new Network(21)
    const floodfills = network.many(40)
    for (const node of floodfills) {
      const known = floodfills.filter(() => network.random.below(4) === 0)
      network.introduce([node], known)
    }
    const server = network.add({ floodfill: false })
    const client = network.add({ floodfill: false })
    network.introduce([server, client], floodfills.slice(0, 8))
    const ls = network.leaseSet()
    network.do(server, (out) => server.db.publishLeaseSet(7, ls, network.now, out))
    network.run(20_000)
    const asked = network.now
    network.do(client, (out) => client.db.lookupLeaseSet(ls.hash, 3, network.now, out))
    network.run(3_000)
    const found = network.seen(client, 'lease-set')
    expect(found.length).toBe(1)
    expect(found[0]!.client).toBe(3)
    expect(hashKey(found[0]!.leaseSet.hash)).toBe(hashKey(ls.hash))
    expect(client.db.leaseSet(3, ls.hash, network.now)).toBeDefined()
    expect(client.db.leaseSet(4, ls.hash, network.now)).toBeUndefined()
    expect(network.now - asked).toBeLessThanOrEqual(3_000)
  })

  it('go through tunnels only, with an encrypted answer, to two floodfills at first', () => {
    const network = new Network(22)
    const floodfills = network.many(20)
    const client = network.add({ floodfill: false })
    network.introduce([client], floodfills)
    const hash = network.random.bytes(32)
    network.do(client, (out) => client.db.lookupLeaseSet(hash, 3, network.now, out))
    expect(client.events.map((e) => e.kind).filter((k) => k !== 'router')).toEqual([
      'reply-key',
      'send-garlic',
      'reply-key',
      'send-garlic',
    ])
    const asked = network.seen(client, 'send-garlic').map((e) => hashKey(e.to))
    expect(asked).toEqual(
      closest(network, floodfills, hash)
        .slice(0, 2)
        .map((n) => n.key),
    )
    network.run(20_000)
    const direct = network.seen(client, 'send').filter((e) => e.message.type === MessageType.DatabaseLookup)
    expect(
      direct.filter((e) => readDatabaseLookup(new Reader(e.message.payload)).kind === 'lease-set'),
    ).toEqual([])
    expect(network.seen(client, 'send-garlic').filter((e) => e.client === 3).length).toBeLessThanOrEqual(7)
    expect(network.seen(client, 'not-found').map((e) => [e.what, e.client])).toEqual([['lease-set', 3]])
  })

  it('tell soon when everybody says no, and survive silent floodfills', () => {
    const network = new Network(23)
    const [a, b] = network.many(2)
    const client = network.add({ floodfill: false })
    network.introduce([a!, b!])
    network.introduce([client], [a!, b!])
    network.do(client, (out) => client.db.lookupLeaseSet(network.random.bytes(32), 1, network.now, out))
    network.run(200)
    expect(network.seen(client, 'not-found').length).toBe(1)

    const server = network.add({ floodfill: false })
    network.introduce([server], [a!, b!])
    const ls = network.leaseSet()
    network.do(server, (out) => server.db.publishLeaseSet(7, ls, network.now, out))
    network.run(1_000)
    const [first] = closest(network, [a!, b!], ls.hash)
    first!.up = false
    network.do(client, (out) => client.db.lookupLeaseSet(ls.hash, 1, network.now, out))
    network.run(200)
    expect(network.seen(client, 'lease-set').length).toBe(1)
  })

  it('wait for tunnels at start-up', () => {
    const network = new Network(24)
    const floodfills = network.many(3)
    network.introduce(floodfills)
    const client = network.add({ floodfill: false })
    network.introduce([client], floodfills)
    client.paths = false
    const ls = network.leaseSet()
    for (const f of floodfills) {
      const payload = writeDatabaseStore({ key: ls.hash, type: 3, data: ls.bytes })
      const message = { type: 1, id: 1, expiration: network.wall() + 8000, payload }
      network.do(f, (out) => f.db.handle(undefined, message, 'session', network.now, out))
    }
    network.do(client, (out) => client.db.lookupLeaseSet(ls.hash, 1, network.now, out))
    network.run(2_000)
    expect(network.seen(client, 'send-garlic').length).toBe(0)
    client.paths = true
    network.run(400)
    expect(network.seen(client, 'lease-set').length).toBe(1)
  })

  it('end when there is no floodfill at all', () => {
    const network = new Network(25)
    const client = network.add({ floodfill: false })
    network.do(client, (out) => client.db.lookupLeaseSet(network.random.bytes(32), 1, network.now, out))
    network.run(3_000)
    expect(network.seen(client, 'not-found').length).toBe(0)
    network.run(2_000)
    expect(network.seen(client, 'not-found').length).toBe(1)
  })

  it('of two clients end for both, each in its own store', () => {
    const network = new Network(26)
    const floodfills = network.many(6)
    network.introduce(floodfills)
    const client = network.add({ floodfill: false })
    network.introduce([client], floodfills)
    const ls = network.leaseSet()
    network.do(client, (out) => client.db.publishLeaseSet(9, ls, network.now, out))
    network.run(1_000)
    for (const id of [1, 2])
      network.do(client, (out) => client.db.lookupLeaseSet(ls.hash, id, network.now, out))
    network.run(1_000)
    expect(new Set(network.seen(client, 'lease-set').map((e) => e.client))).toEqual(new Set([1, 2]))
    expect(client.db.leaseSet(1, ls.hash, network.now)).toBeDefined()
    client.db.forget(1)
    expect(client.db.leaseSet(1, ls.hash, network.now)).toBeUndefined()
    expect(client.db.leaseSet(2, ls.hash, network.now)).toBeDefined()
  })
})

describe('router lookups', () => {
  it('ask directly a floodfill that we are connected to', () => {
    const network = new Network(31)
    const floodfills = network.many(10)
    network.introduce(floodfills)
    const node = network.add({ floodfill: false })
    const wanted = floodfills[9]!
    network.introduce([node], floodfills.slice(0, 5))
    network.do(node, (out) => node.db.lookupRouter(wanted.identity.identity.hash, network.now, out))
    network.run(300)
    expect(network.seen(node, 'send-garlic').length).toBe(0)
    expect(node.db.get(wanted.identity.identity.hash)).toBeDefined()
    expect(network.seen(node, 'router').some((e) => hashKey(e.routerInfo.hash) === wanted.key)).toBe(true)
    const events = node.events.length
    network.do(node, (out) => node.db.lookupRouter(wanted.identity.identity.hash, network.now, out))
    expect(node.events.slice(events).map((e) => e.kind)).toEqual(['router'])
  })

  it('go through exploratory tunnels otherwise, and directly when there are none', () => {
    const network = new Network(32)
    const floodfills = network.many(6)
    network.introduce(floodfills)
    const node = network.add({ floodfill: false })
    node.connected = false
    network.introduce([node], floodfills.slice(0, 5))
    const lookup = (): void =>
      network.do(node, (out) => node.db.lookupRouter(network.random.bytes(32), network.now, out))
    lookup()
    expect(network.seen(node, 'send-garlic').map((e) => e.client)).toEqual([undefined, undefined])
    expect(network.seen(node, 'send').length).toBe(0)
    network.run(8_000)
    expect(network.seen(node, 'not-found').map((e) => e.what)).toEqual(['router'])
    node.paths = false
    lookup()
    expect(network.seen(node, 'send').length).toBe(2)
  })
})

describe('answers', () => {
  it('are ignored unless asked for, from whom we asked', () => {
    const network = new Network(41)
    const floodfills = network.many(12)
    const client = network.add({ floodfill: false })
    network.introduce([client], floodfills)
    const stranger = network.add()
    const hash = network.random.bytes(32)
    const reply = (
      from: Uint8Array,
      key: Uint8Array,
    ): { type: number; id: number; expiration: number; payload: Uint8Array } => ({
      type: MessageType.DatabaseSearchReply,
      id: 1,
      expiration: network.wall() + 8000,
      payload: writeDatabaseSearchReply({ key, peers: [network.random.bytes(32)], from }),
    })
    const arrive = (m: ReturnType<typeof reply>, from?: Uint8Array): void =>
      network.do(client, (out) =>
        client.db.handle(from, m, from === undefined ? { client: 1 } : 'session', network.now, out),
      )
    const sent = (): number =>
      network.seen(client, 'send').length + network.seen(client, 'send-garlic').length

    arrive(reply(floodfills[0]!.identity.identity.hash, hash))
    expect(sent()).toBe(0)
    network.filter = () => false
    network.do(client, (out) => client.db.lookupLeaseSet(hash, 1, network.now, out))
    expect(sent()).toBe(2)
    const asked = network.seen(client, 'send-garlic').map((e) => e.to)
    arrive(reply(stranger.identity.identity.hash, hash))
    arrive(reply(asked[0]!, network.random.bytes(32)))
    arrive(reply(asked[0]!, hash), stranger.identity.identity.hash)
    expect(sent()).toBe(2)
    arrive(reply(asked[0]!, hash))
    expect(sent()).toBeGreaterThan(2)
    const after = sent()
    arrive(reply(asked[0]!, hash))
    expect(sent()).toBe(after)
  })

  it('with a lease set nobody asked for, or a forged one, change nothing', () => {
    const network = new Network(42)
    const floodfills = network.many(5)
    const client = network.add({ floodfill: true })
    network.introduce([client], floodfills)
    const ls = network.leaseSet()
    const forged = new Uint8Array(ls.bytes)
    forged[400]! ^= 1
    const arrive = (key: Uint8Array, data: Uint8Array): void => {
      const payload = writeDatabaseStore({ key, type: 3, data })
      const message = { type: 1, id: 1, expiration: network.wall() + 8000, payload }
      network.do(client, (out) => client.db.handle(undefined, message, { client: 1 }, network.now, out))
    }
    arrive(ls.hash, ls.bytes)
    expect(client.db.leaseSets).toBe(0)
    network.filter = () => false
    network.do(client, (out) => client.db.lookupLeaseSet(ls.hash, 1, network.now, out))
    arrive(ls.hash, forged)
    arrive(ls.hash, network.leaseSet(newDestination(network.random)).bytes)
    arrive(ls.hash, network.random.bytes(500))
    expect(network.seen(client, 'lease-set').length).toBe(0)
    arrive(ls.hash, ls.bytes)
    expect(network.seen(client, 'lease-set').length).toBe(1)
    expect(client.db.leaseSets).toBe(0)
  })
})

describe('exploration', () => {
  it('finds the rest of a network from one floodfill, and quiets down', () => {
    const network = new Network(51)
    const floodfills = network.many(8)
    const others = network.many(8, false)
    network.introduce(floodfills)
    for (const f of floodfills) {
      for (const o of others)
        network.do(f, (out) => f.db.addRouterInfo(network.routerInfo(o, 'LR'), network.now, out))
    }
    const node = network.add({ floodfill: false })
    network.introduce([node], [floodfills[0]!])
    network.run(10 * 60_000)
    expect(node.db.size).toBeGreaterThan(12)
    const before = node.events.length
    network.run(3_600_000)
    expect(node.events.length - before).toBeLessThan(60)
  })
})
