import { describe, expect, it } from 'vitest'
import { sameBytes } from '../../../src/base/bytes.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import type { PoolId } from '../../../src/router/tunnel/tunnel-event.ts'
import { LATENCY, Net, type Node, pool, START } from './harness.ts'

function data(net: Net, size: number): I2npMessage {
  return {
    type: MessageType.Data,
    id: 1 + net.random.below(1e9),
    expiration: START + net.now + 10_000,
    payload: net.random.bytes(size),
  }
}

function start(node: Node, net: Net, length: number, quantity = 2): PoolId {
  const id = node.tunnels.addPool(pool(length, quantity))
  node.tunnels.start(net.now, node)
  return id
}

/** From `a`'s outbound tunnel to `b`'s inbound tunnel. */
function send(net: Net, a: Node, aPool: PoolId, b: Node, bPool: PoolId, message: I2npMessage): boolean {
  const to = b.tunnels.inbound(bPool)[0]!
  return a.tunnels.send(
    aPool,
    { kind: 'tunnel', gateway: to.gateway, tunnelId: to.gatewayTunnelId },
    message,
    net.now,
    a,
  )
}

describe('tunnels', () => {
  for (let length = 0; length <= 4; length++) {
    it(`of ${length} hops are built and carry messages of every size`, () => {
      const net = new Net(10)
      const [a, b] = [net.nodes[0]!, net.nodes[1]!]
      const [pa, pb] = [start(a, net, length), start(b, net, length)]
      net.run(1000)
      for (const [node, id] of [
        [a, pa],
        [b, pb],
      ] as const) {
        expect(node.tunnels.inbound(id)).toHaveLength(2)
        expect(node.tunnels.outboundCount(id)).toBe(2)
        expect(node.tunnels.inbound(id)[0]!.zeroHop).toBe(length === 0)
      }
      for (const size of [1, 500, 1000, 5000, 61_000]) {
        const message = data(net, size)
        expect(send(net, a, pa, b, pb, message)).toBe(true)
        net.run(1000)
        const got = b.received.pop()!
        expect(got.pool).toBe(pb)
        expect([got.message.type, got.message.id]).toEqual([message.type, message.id])
        expect(sameBytes(got.message.payload, message.payload)).toBe(true)
      }
      expect(send(net, a, pa, b, pb, data(net, 62_800))).toBe(false)
    })
  }

  it('stand within a second of the first neighbours', () => {
    const net = new Net(8, 3)
    const a = net.nodes[0]!
    a.path = () => undefined
    const id = start(a, net, 2)
    const client = a.tunnels.addPool(pool(2, 2, { kind: 'client' }))
    net.run(10_000)
    expect(a.tunnels.outboundCount(id)).toBe(0)
    a.path = undefined
    a.tunnels.peersChanged(net.now, a)
    net.run(LATENCY * 30)
    expect(a.tunnels.inbound(id)).toHaveLength(2)
    expect(a.tunnels.outboundCount(id)).toBe(2)
    expect(a.tunnels.inbound(client)).toHaveLength(2)
    expect(a.tunnels.outboundCount(client)).toBe(2)
  })

  it('of a client never name their creator to an endpoint', () => {
    const net = new Net(8, 3)
    const a = net.nodes[0]!
    const seen: string[] = []
    net.tap = ({ from, to, message }) => {
      if (message.type === MessageType.TunnelGateway && sameBytes(to, a.hash))
        seen.push(`${net.nodes.indexOf(from)}`)
      return true
    }
    start(a, net, 2)
    net.run(1000)
    expect(seen.length).toBeGreaterThan(0)
    seen.length = 0
    a.tunnels.addPool(pool(2, 3, { kind: 'client' }))
    net.run(1000)
    expect(a.tunnels.counts().client).toBe(6)
    expect(seen).toEqual([])
  })

  it('are hidden: requests to gateways and replies of endpoints travel in garlic', () => {
    const net = new Net(10, 5)
    const a = net.nodes[0]!
    start(a, net, 2)
    net.run(1000)
    const types = new Set<number>()
    const client = a.tunnels.addPool(pool(2, 4, { kind: 'client' }))
    net.tap = ({ message }) => {
      if (message.type === MessageType.TunnelGateway) types.add(message.payload[6]!)
      return message.type !== MessageType.OutboundTunnelBuildReply
    }
    net.run(1000)
    expect(a.tunnels.outboundCount(client)).toBe(4)
    expect([...types]).toEqual([MessageType.Garlic])
  })

  it('work when the endpoint is the gateway of the reply, and the gateway of an inbound build the endpoint of its path', () => {
    const net = new Net(3)
    const [a, b] = net.nodes as [Node, Node, Node]
    a.path = () => [b]
    const id = start(a, net, 1, 1)
    net.run(1000)
    const client = a.tunnels.addPool(pool(1, 2, { kind: 'client' }))
    net.run(1000)
    expect([a.tunnels.outboundCount(id), a.tunnels.inbound(id).length]).toEqual([1, 1])
    expect([a.tunnels.outboundCount(client), a.tunnels.inbound(client).length]).toEqual([2, 2])
  })

  it('deliver to routers, ourselves included', () => {
    const net = new Net(6)
    const [a, b] = [net.nodes[0]!, net.nodes[1]!]
    const id = start(a, net, 2)
    net.run(1000)
    const seen: I2npMessage[] = []
    net.tap = ({ to, message }) => {
      if (message.type === MessageType.Data && sameBytes(to, b.hash)) seen.push(message)
      return true
    }
    const message = data(net, 100)
    a.tunnels.send(id, { kind: 'router', hash: b.hash }, message, net.now, a)
    a.tunnels.send(id, { kind: 'router', hash: a.hash }, data(net, 10), net.now, a)
    net.run(1000)
    expect(seen.map((m) => m.id)).toEqual([message.id])
    const zero = a.tunnels.addPool(pool(0, 1, { kind: 'client' }))
    net.run(100)
    a.tunnels.send(zero, { kind: 'router', hash: a.hash }, data(net, 10), net.now, a)
    expect(a.locals).toHaveLength(1)
  })

  it('are replaced before they end, over an hour, and nothing is left over', () => {
    const net = new Net(12, 9)
    const a = net.nodes[0]!
    const id = start(a, net, 3)
    net.run(2000)
    let least = 4
    for (let minute = 0; minute < 360; minute++) {
      net.run(10_000)
      const now = START + net.now
      for (const t of a.tunnels.inbound(id)) expect(t.expires).toBeGreaterThan(now)
      least = Math.min(least, a.tunnels.inbound(id).length, a.tunnels.outboundCount(id))
    }
    expect(least).toBe(2)
    const { buildsTried, buildsSucceeded } = a.tunnels.counts()
    expect(buildsSucceeded).toBe(buildsTried)
    expect(buildsTried).toBeLessThan(4 * 9)
    expect(a.count('peer-result', 'test-failed')).toBe(0)
    expect(a.count('peer-result', 'test-ok')).toBeGreaterThan(100)
    a.tunnels.removePool(id)
    net.run(700_000)
    for (const node of net.nodes) expect(node.tunnels.counts().transit).toBe(0)
    for (const node of net.nodes) expect(node.tunnels.nextTimeout()).toBeUndefined()
  })

  it('whose router dies are noticed and replaced', () => {
    const net = new Net(10, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 2, 3)
    net.run(5000)
    const dead = net.nameOf(a.tunnels.inbound(id)[0]!.gateway)!
    net.tap = ({ from, to }) => from !== dead && !sameBytes(to, dead.hash)
    const living = net.nodes.filter((n) => n !== a && n !== dead)
    a.path = (_d, n) => living.slice(net.random.below(living.length - n), living.length).slice(0, n)
    net.run(150_000)
    const gateways = a.tunnels.inbound(id).map((t) => t.gateway)
    expect(gateways.some((g) => sameBytes(g, dead.hash))).toBe(false)
    expect(a.tunnels.inbound(id).length).toBeGreaterThanOrEqual(3)
    expect(a.count('peer-result', 'test-failed')).toBeGreaterThan(0)
  })

  it('of an unreachable neighbour are given up at once', () => {
    const net = new Net(6, 4)
    const [a, b, c] = net.nodes as [Node, Node, Node]
    net.tap = ({ to }) => !sameBytes(to, b.hash)
    a.path = () => [b]
    const id = start(a, net, 1, 1)
    net.run(100)
    a.path = () => [c]
    a.tunnels.unreachable(b.hash, net.now, a)
    net.run(1500)
    expect(a.tunnels.outboundCount(id)).toBe(1)
    expect(a.tunnels.inbound(id)).toHaveLength(1)
  })

  it('fail slower and slower, but not for ever', () => {
    const net = new Net(6, 4)
    const a = net.nodes[0]!
    let requests = 0
    let lose = true
    net.tap = () => {
      requests++
      return !lose
    }
    const id = start(a, net, 2)
    net.run(120_000)
    expect(requests).toBeGreaterThan(20)
    expect(requests).toBeLessThan(250)
    lose = false
    net.run(20_000)
    expect(a.tunnels.outboundCount(id)).toBe(2)
    expect(a.tunnels.inbound(id)).toHaveLength(2)
  })

  it('become fewer by ending, and more at once', () => {
    const net = new Net(10, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 2, 3)
    net.run(3000)
    a.tunnels.setQuantity(id, 1, 1, net.now, a)
    net.run(1000)
    expect(a.tunnels.inbound(id)).toHaveLength(3)
    net.run(620_000)
    expect(a.tunnels.inbound(id)).toHaveLength(1)
    expect(a.tunnels.outboundCount(id)).toBe(1)
    a.tunnels.setQuantity(id, 4, 2, net.now, a)
    net.run(1000)
    expect(a.tunnels.inbound(id)).toHaveLength(4)
    expect(a.tunnels.outboundCount(id)).toBe(2)
  })

  it('get another length by being replaced', () => {
    const net = new Net(10, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 0)
    net.run(1000)
    expect(a.tunnels.inbound(id).every((t) => t.zeroHop)).toBe(true)
    a.tunnels.setLength(id, 2, 2, net.now, a)
    net.run(1000)
    expect(a.tunnels.inbound(id)).toHaveLength(2)
    expect(a.tunnels.inbound(id).some((t) => t.zeroHop)).toBe(false)
  })

  it('of another length are wanted while tunnels are being built', () => {
    const net = new Net(12, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 1)
    net.run(5)
    expect(a.tunnels.inboundHops(id)).toEqual([])
    a.tunnels.setLength(id, 2, 2, net.now, a)
    net.run(1000)
    expect(a.tunnels.inbound(id)).toHaveLength(2)
    const hops = new Map(a.tunnels.inboundHops(id).map((t) => [t.gatewayTunnelId, t.hops.length]))
    expect(a.tunnels.inbound(id).map((t) => hops.get(t.gatewayTunnelId))).toEqual([2, 2])
    for (let i = 0; i < 9; i++) expect(a.tunnels.outboundHops(id, net.random.bytes(32))).toHaveLength(2)
  })

  it('of another length do not wait for lost builds', () => {
    const net = new Net(12, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 1)
    net.run(1000)
    net.tap = ({ message }) => message.type !== MessageType.ShortTunnelBuild
    a.tunnels.setLength(id, 2, 2, net.now, a)
    net.run(1000)
    net.tap = () => true
    net.run(3000)
    const hops = new Map(a.tunnels.inboundHops(id).map((t) => [t.gatewayTunnelId, t.hops.length]))
    expect(a.tunnels.inbound(id).map((t) => hops.get(t.gatewayTunnelId))).toEqual([2, 2])
  })

  it('keep a conversation in one tunnel until it is lost', () => {
    const net = new Net(12, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 2, 4)
    net.run(3000)
    const firsts = new Set<string>()
    net.tap = ({ from, to, message }) => {
      if (from === a && message.type === MessageType.TunnelData) {
        firsts.add(
          Buffer.from(to).toString('hex') + Buffer.from(message.payload.subarray(0, 4)).toString('hex'),
        )
      }
      return true
    }
    const remote = net.random.bytes(32)
    const to = { kind: 'router', hash: net.nodes[1]!.hash } as const
    for (let i = 0; i < 20; i++) a.tunnels.send(id, to, data(net, 10), net.now, a, remote)
    net.run(20)
    expect(firsts.size).toBe(1)
    a.tunnels.conversationLost(id, remote)
    for (let i = 0; i < 20; i++) a.tunnels.send(id, to, data(net, 10), net.now, a, remote)
    net.run(20)
    expect(firsts.size).toBe(2)
    for (let i = 0; i < 50; i++) a.tunnels.send(id, to, data(net, 10), net.now, a)
    net.run(20)
    expect(firsts.size).toBe(4)
  })

  it('share blocks in a burst and do not wait when there is none', () => {
    const net = new Net(6, 4)
    const a = net.nodes[0]!
    const id = start(a, net, 1, 1)
    net.run(3000)
    let blocks = 0
    net.tap = ({ from, message }) => {
      if (from === a && message.type === MessageType.TunnelData) blocks++
      return true
    }
    const to = { kind: 'router', hash: net.nodes[1]!.hash } as const
    a.tunnels.send(id, to, data(net, 60), net.now, a)
    a.tunnels.flush(net.now, a)
    expect(blocks).toBe(1)
    for (let i = 0; i < 8; i++) a.tunnels.send(id, to, data(net, 60), net.now, a)
    a.tunnels.flush(net.now, a)
    expect(blocks).toBe(1)
    net.run(10)
    expect(blocks).toBe(2)
  })
})
