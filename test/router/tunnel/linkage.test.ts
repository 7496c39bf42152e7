/** What the endpoint of an outbound tunnel may try to find out who built it. */
import { describe, expect, it } from 'vitest'
import { copy } from '../../../src/base/bytes.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import type { PoolId } from '../../../src/router/tunnel/tunnel-event.ts'
import { Net, type Node, pool } from './harness.ts'

const CLIENT = { kind: 'client' } as const

describe('a build reply', () => {
  it('counts only out of a tunnel of the pool that waits for it', () => {
    const net = new Net(8)
    const a = net.nodes[0]!
    const exploratory = a.tunnels.addPool(pool(2, 1))
    a.tunnels.start(0, a)
    net.run(1000)
    const replies: { message: I2npMessage; from: PoolId | undefined }[] = []
    a.clove = ({ message }, from) => void replies.push({ message, from })
    const client = a.tunnels.addPool(pool(2, 1, CLIENT))
    net.run(1000)
    const again = (message: I2npMessage): I2npMessage => ({ ...message, payload: copy(message.payload) })
    const { message, from } = replies[0]!
    expect(from).toBe(exploratory)
    const built = (): number => a.tunnels.outboundCount(client)
    for (const node of net.nodes) a.tunnels.handle((node as Node).hash, again(message), net.now, a)
    a.tunnels.handleUnwrapped(again(message), undefined, net.now, a)
    a.tunnels.handleUnwrapped(again(message), client, net.now, a)
    expect(built()).toBe(0)
    a.tunnels.handleUnwrapped(again(message), exploratory, net.now, a)
    expect(built()).toBe(1)
  })
})

describe('a test', () => {
  it('counts only out of a tunnel of its own pool', () => {
    const net = new Net(8)
    const a = net.nodes[0]!
    const exploratory = a.tunnels.addPool(pool(1, 1))
    const client = a.tunnels.addPool(pool(1, 1, CLIENT))
    const tests: { message: I2npMessage; from: PoolId | undefined }[] = []
    const clove = a.clove.bind(a)
    a.clove = (c, from) => {
      if (c.message.type === MessageType.DeliveryStatus) tests.push({ message: c.message, from })
      else clove(c, from)
    }
    a.tunnels.start(0, a)
    for (let i = 0; i < 700 && tests.length === 0; i++) net.run(100)
    const { message, from } = tests[0]!
    const other = from === client ? exploratory : client
    expect(a.tunnels.deliveryStatus(message, other, a)).toBe(false)
    expect(a.tunnels.deliveryStatus(message, from!, a)).toBe(true)
  })
})
