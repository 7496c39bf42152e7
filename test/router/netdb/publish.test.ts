import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/base/bytes.ts'
import { readDatabaseLookup } from '../../../src/protocol/i2np/database-lookup.ts'
import { readDatabaseStore } from '../../../src/protocol/i2np/database-store.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import { hashKey } from '../../../src/protocol/structures/hash.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { Network, type Node } from './network.ts'

/** How many hold a lease set as floodfills: they answer with it. */
function holders(nodes: readonly Node[]): number {
  return nodes.filter((n) => n.db.leaseSets > 0).length
}

function isLeaseSetLookup(message: I2npMessage): boolean {
  if (message.type !== MessageType.DatabaseLookup) return false
  return readDatabaseLookup(new Reader(message.payload)).kind === 'lease-set'
}

function stores(network: Network, how: string): { from: Node; to: Node; token: number }[] {
  return network.traffic
    .filter((t) => t.how === how && t.message.type === MessageType.DatabaseStore)
    .map(({ from, to, message }) => ({
      from,
      to,
      token: readDatabaseStore(new Reader(message.payload)).reply?.token ?? 0,
    }))
}

describe('publishing our RouterInfo', () => {
  it('tells one floodfill, which tells three others', () => {
    const network = new Network(61)
    const floodfills = network.many(10)
    network.introduce(floodfills)
    const node = network.add({ floodfill: false })
    network.introduce([node], floodfills)
    network.do(node, (out) => node.db.publishRouterInfo(network.routerInfo(node, 'LR'), network.now, out))
    network.run(1_000)
    const hash = node.identity.identity.hash
    expect(floodfills.filter((f) => f.db.get(hash) !== undefined).length).toBe(4)
    const sent = stores(network, 'send')
    expect(sent.filter((s) => s.token !== 0).length).toBe(1)
    expect(sent.length).toBe(4)
    network.run(60_000)
    expect(stores(network, 'send').filter((s) => s.from === node).length).toBe(1)
    network.do(node, (out) => node.db.publishRouterInfo(network.routerInfo(node, 'LR'), network.now, out))
    network.run(1_000)
    expect(stores(network, 'send').length).toBe(8)
  })

  it('goes to the next floodfill when one is silent, and waits for the first', () => {
    const network = new Network(62)
    const floodfills = network.many(5)
    const node = network.add({ floodfill: false })
    network.do(node, (out) => node.db.publishRouterInfo(network.routerInfo(node, 'LR'), network.now, out))
    network.run(30_000)
    expect(network.traffic.length).toBe(0)
    let lost: Node | undefined
    network.filter = (_how, _from, to, message) => {
      if (message.type !== MessageType.DatabaseStore) return true
      lost ??= to
      return to !== lost
    }
    network.introduce([node], floodfills)
    network.run(3_000)
    expect(lost).toBeDefined()
    const sent = stores(network, 'send')
    expect(sent.length).toBe(1)
    expect(sent[0]!.to).not.toBe(lost)
  })

  it('is repeated when the day changes', () => {
    const network = new Network(63, Date.UTC(2026, 10, 22, 23, 55))
    const floodfills = network.many(4)
    const node = network.add({ floodfill: false })
    network.introduce([node], floodfills)
    network.do(node, (out) => node.db.publishRouterInfo(network.routerInfo(node, 'LR'), network.now, out))
    network.run(10 * 60_000)
    expect(stores(network, 'send').filter((s) => s.from === node).length).toBe(2)
  })
})

describe('publishing a lease set', () => {
  it('goes through tunnels, is flooded once, acknowledged and verified', () => {
    const network = new Network(71)
    const floodfills = network.many(12)
    network.introduce(floodfills)
    const server = network.add({ floodfill: false })
    network.introduce([server], floodfills)
    const ls = network.leaseSet()
    network.do(server, (out) => server.db.publishLeaseSet(7, ls, network.now, out))
    network.run(1_000)
    expect(stores(network, 'send-garlic').length).toBe(1)
    expect(stores(network, 'send').length).toBe(3)
    expect(stores(network, 'send').every((s) => s.token === 0)).toBe(true)
    expect(holders(floodfills)).toBe(4)
    expect(network.traffic.filter((t) => t.message.type === MessageType.DeliveryStatus).length).toBe(1)
    network.run(15_000)
    const lookups = network.traffic.filter((t) => t.from === server && isLeaseSetLookup(t.message))
    expect(lookups.length).toBe(1)
    expect(lookups[0]!.to).not.toBe(stores(network, 'send-garlic')[0]!.to)
    network.run(300_000)
    expect(stores(network, 'send-garlic').length).toBe(1)
    expect(network.seen(server, 'lease-set')).toEqual([])
    expect(network.seen(server, 'not-found')).toEqual([])
  })

  it('notices a floodfill that swallows it, within 30 s', () => {
    const network = new Network(72)
    const floodfills = network.many(8)
    network.introduce(floodfills)
    const server = network.add({ floodfill: false })
    network.introduce([server], floodfills)
    let thief: Node | undefined
    network.filter = (how, from, to, message) => {
      if (how === 'send-garlic' && message.type === MessageType.DatabaseStore) thief ??= to
      return !(from === thief && how === 'send')
    }
    const ls = network.leaseSet()
    network.do(server, (out) => server.db.publishLeaseSet(7, ls, network.now, out))
    network.run(4_000)
    expect(holders(floodfills)).toBe(1)
    network.run(26_000)
    expect(holders(floodfills)).toBeGreaterThanOrEqual(4)
  })

  it('goes elsewhere when the closest floodfill is dead', () => {
    const network = new Network(73)
    const floodfills = network.many(6)
    network.introduce(floodfills)
    const server = network.add({ floodfill: false })
    network.introduce([server], floodfills)
    const ls = network.leaseSet()
    let dead: Node | undefined
    network.filter = (how, _from, to) => {
      if (how === 'send-garlic' && dead === undefined) dead = to
      return to !== dead
    }
    network.do(server, (out) => server.db.publishLeaseSet(7, ls, network.now, out))
    network.run(4_000)
    expect(holders(floodfills)).toBeGreaterThanOrEqual(3)
    expect(dead!.db.leaseSets).toBe(0)
  })

  it('keeps a pause between versions, and sends the last of them', () => {
    const network = new Network(74)
    const floodfills = network.many(6)
    network.introduce(floodfills)
    const server = network.add({ floodfill: false })
    network.introduce([server], floodfills)
    const destination = newDestination(network.random)
    let last = network.leaseSet(destination)
    network.do(server, (out) => server.db.publishLeaseSet(7, last, network.now, out))
    for (let i = 1; i <= 4; i++) {
      network.run(500)
      last = network.leaseSet(destination, last.published + 1000)
      network.do(server, (out) => server.db.publishLeaseSet(7, last, network.now, out))
    }
    expect(stores(network, 'send-garlic').length).toBe(1)
    network.run(9_000)
    const sent = network.traffic.filter(
      (t) => t.how === 'send-garlic' && t.message.type === MessageType.DatabaseStore,
    )
    expect(sent.length).toBe(2)
    expect(readDatabaseStore(new Reader(sent[1]!.message.payload)).data).toEqual(last.bytes)
  })

  it('waits for a tunnel and for a floodfill, and can be taken back', () => {
    const network = new Network(75)
    const floodfills = network.many(2)
    network.introduce(floodfills)
    const server = network.add({ floodfill: false })
    server.paths = false
    const ls = network.leaseSet()
    network.do(server, (out) => server.db.publishLeaseSet(7, ls, network.now, out))
    network.run(2_000)
    network.introduce([server], floodfills)
    network.run(2_000)
    expect(stores(network, 'send-garlic').length).toBe(0)
    server.paths = true
    network.run(500)
    expect(stores(network, 'send-garlic').length).toBe(1)
    const other = network.leaseSet()
    server.paths = false
    network.do(server, (out) => server.db.publishLeaseSet(8, other, network.now, out))
    server.db.unpublish(other.hash)
    server.paths = true
    network.run(10_000)
    expect(stores(network, 'send-garlic').length).toBe(1)
  })

  it('reaches a router that joined a small network later', () => {
    const network = new Network(76)
    const nodes = network.many(3)
    network.introduce(nodes)
    const ls = network.leaseSet()
    network.do(nodes[0]!, (out) => nodes[0]!.db.publishLeaseSet(7, ls, network.now, out))
    network.run(30_000)
    const late = network.many(6)
    network.introduce([...nodes, ...late])
    network.run(30_000)
    for (const node of late) {
      network.do(node, (out) => node.db.lookupLeaseSet(ls.hash, 1, network.now, out))
      network.run(1_000)
      expect(network.seen(node, 'lease-set').length).toBe(1)
    }
  })
})

describe('tiny networks', () => {
  it.each([1, 2, 3, 5])('of %d floodfills publish and find', (size) => {
    const network = new Network(80 + size)
    const nodes = network.many(size)
    network.introduce(nodes)
    const sets = nodes.map((node, i) => {
      const ls = network.leaseSet()
      network.do(node, (out) => node.db.publishRouterInfo(network.routerInfo(node), network.now, out))
      network.do(node, (out) => node.db.publishLeaseSet(i, ls, network.now, out))
      return ls
    })
    network.run(2_000)
    for (const node of nodes) {
      for (const ls of sets) {
        node.events.length = 0
        network.do(node, (out) => node.db.lookupLeaseSet(ls.hash, 99, network.now, out))
        network.run(400)
        expect(network.seen(node, 'lease-set').map((e) => hashKey(e.leaseSet.hash))).toEqual([
          hashKey(ls.hash),
        ])
      }
    }
  })
})

describe('a mesh most of whose devices are gone', () => {
  it('still publishes and finds among the three that are left', () => {
    const network = new Network(91)
    const nodes = network.many(40)
    network.introduce(nodes)
    network.run(2 * 3_600_000)
    for (const gone of nodes.slice(3)) gone.up = false
    const left = nodes.slice(0, 3)
    for (const node of left) {
      network.do(node, (out) => node.db.publishRouterInfo(network.routerInfo(node), network.now, out))
    }
    network.introduce(left)
    const ls = network.leaseSet()
    network.do(left[0]!, (out) => left[0]!.db.publishLeaseSet(1, ls, network.now, out))
    network.run(4_000)
    network.do(left[1]!, (out) => left[1]!.db.lookupLeaseSet(ls.hash, 1, network.now, out))
    network.run(2_000)
    expect(network.seen(left[1]!, 'lease-set').length).toBe(1)
  })

  it('finds even when nobody can know yet who is gone', () => {
    const network = new Network(92)
    const nodes = network.many(14)
    network.introduce(nodes)
    const ls = network.leaseSet()
    network.do(nodes[0]!, (out) => nodes[0]!.db.publishLeaseSet(1, ls, network.now, out))
    network.run(20_000)
    const holder = nodes.filter((n) => n.db.leaseSets > 0)[0]!
    const client = nodes.find((n) => n.db.leaseSets === 0)!
    for (const node of nodes) node.up = node === holder || node === client || node === nodes[0]
    network.do(client, (out) => client.db.lookupLeaseSet(ls.hash, 1, network.now, out))
    network.run(12_000)
    expect(network.seen(client, 'lease-set').length).toBe(1)
  })
})
