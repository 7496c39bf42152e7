/** What whoever is asked, or keeps our lease set, may try to find out who asks and what lives on the same router. */
import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/base/bytes.ts'
import { writeDatabaseSearchReply } from '../../../src/protocol/i2np/database-search-reply.ts'
import { readDatabaseStore, writeDatabaseStore } from '../../../src/protocol/i2np/database-store.ts'
import { writeDeliveryStatus } from '../../../src/protocol/i2np/delivery-status.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import type { Hash } from '../../../src/protocol/structures/hash.ts'
import type { Arrival } from '../../../src/router/netdb/events.ts'
import { Network, type Node } from './network.ts'

const CLIENT = 1
const OTHER = 2
const ELSEWHERE: readonly Arrival[] = ['session', { client: OTHER }, { client: undefined }]

function setUp(seed: number): { network: Network; node: Node } {
  const network = new Network(seed)
  const floodfills = network.many(8)
  const node = network.add({ floodfill: false })
  network.introduce([node], floodfills)
  network.filter = () => false
  return { network, node }
}

function arrive(
  network: Network,
  node: Node,
  type: number,
  payload: Uint8Array,
  arrival: Arrival,
  from?: Hash,
): void {
  const message: I2npMessage = { type, id: 1, expiration: network.wall() + 8000, payload }
  network.do(node, (out) => node.db.handle(from, message, arrival, network.now, out))
}

describe('an answer that comes another way than was asked for', () => {
  it('finds no lease set', () => {
    const { network, node } = setUp(201)
    const ls = network.leaseSet()
    network.do(node, (out) => node.db.lookupLeaseSet(ls.hash, CLIENT, network.now, out))
    const store = writeDatabaseStore({ key: ls.hash, type: 3, data: ls.bytes })
    for (const arrival of ELSEWHERE) arrive(network, node, MessageType.DatabaseStore, store, arrival)
    expect(network.seen(node, 'lease-set')).toHaveLength(0)
    arrive(network, node, MessageType.DatabaseStore, store, { client: CLIENT })
    expect(network.seen(node, 'lease-set')).toHaveLength(1)
  })

  it('makes no lookup go on', () => {
    const { network, node } = setUp(202)
    const key = network.random.bytes(32)
    network.do(node, (out) => node.db.lookupLeaseSet(key, CLIENT, network.now, out))
    const questions = (): number => network.seen(node, 'send-garlic').length
    const before = questions()
    const asked = network.seen(node, 'send-garlic')[0]!.to
    const reply = writeDatabaseSearchReply({ key, peers: [], from: asked })
    for (const arrival of ELSEWHERE) {
      const from = arrival === 'session' ? asked : undefined
      arrive(network, node, MessageType.DatabaseSearchReply, reply, arrival, from)
    }
    expect(questions()).toBe(before)
    arrive(network, node, MessageType.DatabaseSearchReply, reply, { client: CLIENT })
    expect(questions()).toBe(before + 1)
  })

  it('finds no router', () => {
    const { network, node } = setUp(203)
    node.connected = false
    const stranger = network.add()
    const ri = network.routerInfo(stranger)
    network.do(node, (out) => node.db.lookupRouter(ri.hash, network.now, out))
    const store = writeDatabaseStore({ key: ri.hash, type: 0, data: ri.bytes })
    arrive(network, node, MessageType.DatabaseStore, store, { client: CLIENT })
    expect(node.db.get(ri.hash)).toBeUndefined()
    arrive(network, node, MessageType.DatabaseStore, store, { client: undefined })
    expect(node.db.get(ri.hash)).toBeDefined()
  })

  it('acknowledges no lease set', () => {
    const { network, node } = setUp(204)
    const ls = network.leaseSet()
    network.do(node, (out) => node.db.publishLeaseSet(CLIENT, ls, network.now, out))
    const sent = (): number => network.seen(node, 'send-garlic').length
    const token = (): number => {
      const { message } = network.seen(node, 'send-garlic').at(-1)!
      return readDatabaseStore(new Reader(message.payload)).reply!.token
    }
    const status = (): Uint8Array => writeDeliveryStatus({ messageId: token(), timestamp: new Uint8Array(8) })
    for (const arrival of ELSEWHERE) arrive(network, node, MessageType.DeliveryStatus, status(), arrival)
    network.run(4_000)
    expect(sent()).toBe(2)
    arrive(network, node, MessageType.DeliveryStatus, status(), { client: CLIENT })
    network.run(4_000)
    expect(sent()).toBe(2)
  })
})

describe('lookups that anybody can cause', () => {
  it('leave room for those of our clients', () => {
    const { network, node } = setUp(205)
    for (let i = 0; i < 400; i++)
      network.do(node, (out) => node.db.lookupRouter(network.random.bytes(32), network.now, out))
    const before = network.seen(node, 'send-garlic').length
    network.do(node, (out) => node.db.lookupLeaseSet(network.random.bytes(32), CLIENT, network.now, out))
    expect(network.seen(node, 'send-garlic').length).toBeGreaterThan(before)
  })
})
