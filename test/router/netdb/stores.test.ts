import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/base/bytes.ts'
import { hashKey } from '../../../src/protocol/structures/hash.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { LeaseStore } from '../../../src/router/netdb/lease-store.ts'
import { Network } from './network.ts'

const HOUR = 3_600_000

describe('RouterInfos', () => {
  it('are replaced by newer ones only', () => {
    const network = new Network(1)
    const [node, other] = network.many(2)
    const add = (published: number): unknown => {
      let result: unknown
      const ri = network.routerInfo(other!, 'LR', published)
      network.do(node!, (out) => (result = node!.db.addRouterInfo(ri, network.now, out)))
      return result
    }
    const wall = network.wall()
    expect(add(wall - 5000)).toBe('new')
    expect(add(wall - 5000)).toBe('old')
    expect(add(wall)).toBe('newer')
    expect(add(wall - 1)).toBe('old')
    expect(add(wall + 121_000)).toBe('refused')
    expect(node!.db.size).toBe(1)
    network.do(node!, (out) =>
      expect(node!.db.addRouterInfo(network.routerInfo(node!), 0, out)).toBe('refused'),
    )
  })

  it('are bounded in number', () => {
    const network = new Network(2)
    const node = network.add()
    node.connected = false
    for (let i = 0; i < 520; i++) {
      const other = network.add({ floodfill: false })
      network.do(node, (out) => node.db.addRouterInfo(network.routerInfo(other, 'LR'), network.now + i, out))
    }
    expect(node.db.size).toBe(500)
    expect(node.db.get(network.nodes[1]!.identity.identity.hash)).toBeUndefined()
    expect(node.db.get(network.nodes[520]!.identity.identity.hash)).toBeDefined()
  })

  it('of old age go when there are many, and stay when there are few', () => {
    const network = new Network(3)
    const node = network.add()
    const add = (count: number, age: number): void => {
      for (const other of network.many(count, false)) {
        const ri = network.routerInfo(other, 'LR', network.wall() - age)
        network.do(node, (out) => node.db.addRouterInfo(ri, network.now, out))
      }
    }
    add(50, 20 * HOUR)
    network.run(8 * HOUR)
    expect(node.db.size).toBe(50)
    add(60, 0)
    network.run(10 * 60_000)
    expect(node.db.size).toBe(90)
  })

  it('survive a restart, each checked again', () => {
    const network = new Network(4)
    const nodes = network.many(6)
    const node = nodes[0]!
    network.introduce([node], nodes)
    const records = [...node.db.snapshot()]
    expect(records.length).toBe(5)
    const fresh = network.add()
    expect(fresh.db.restore(concat(...records), network.now)).toBe(5)
    expect(hashKey([...fresh.db.routers.values()][0]!.hash)).toBe(nodes[1]!.key)

    const damaged = records.map((r) => new Uint8Array(r))
    damaged[0]![200]! ^= 1 // a forged RouterInfo
    damaged[1]![0] = 9 // a kind of record of the future
    const torn = concat(...damaged).subarray(0, -1)
    expect(network.add().db.restore(torn, network.now)).toBe(2)
    expect(nodes[1]!.db.restore(records[0]!, network.now)).toBe(0) // itself
    expect(network.add().db.restore(network.random.bytes(5000), network.now)).toBe(0)
    const late = network.add()
    expect(late.db.restore(concat(...records), network.now + 31 * 24 * HOUR)).toBe(0)
  })
})

describe('floodfills', () => {
  it('are those that can be asked', () => {
    const network = new Network(5)
    const node = network.add()
    node.connected = false
    for (const caps of ['XfR', 'LfR', 'LR', 'XfHR', 'XfU', 'XfRD']) {
      network.do(node, (out) =>
        node.db.addRouterInfo(network.routerInfo(network.add(), caps), network.now, out),
      )
    }
    expect(node.db.floodfills).toBe(3)
    node.connected = true
    expect(node.db.floodfills).toBe(4)
  })

  it('that were silent come last until they answer or time has passed', () => {
    const network = new Network(6)
    const node = network.add()
    const others = network.many(3)
    network.introduce([node], others)
    const { routers } = node.db
    const hash = network.random.bytes(32)
    const order = (now: number): string[] =>
      routers.closestFloodfills(hash, 3, new Set(), network.wall(), now).map((ri) => hashKey(ri.hash))
    const before = order(0)
    routers.silent(routers.closestFloodfills(hash, 1, new Set(), network.wall(), 0)[0]!.hash, 0)
    expect(order(1)).toEqual([before[1], before[2], before[0]])
    expect(order(30_001)).toEqual(before)
  })
})

describe('lease sets', () => {
  it('keep the newest until it expires or is withdrawn', () => {
    const network = new Network(7)
    network.add()
    const store = new LeaseStore()
    const destination = newDestination(network.random)
    const wall = network.wall()
    const first = network.leaseSet(destination)
    const second = network.leaseSet(destination, wall + 1000)
    expect(store.add(first)).toBe('new')
    expect(store.add(second)).toBe('newer')
    expect(store.add(first)).toBe('old')
    expect(store.get(first.hash, wall)).toBe(second)
    expect(store.get(first.hash, second.expires)).toBeUndefined()
    store.expire(second.expires)
    expect(store.size).toBe(0)
    store.add(first)
    expect(store.add({ ...second, leases: [] })).toBe('newer')
    expect(store.size).toBe(0)
  })
})
