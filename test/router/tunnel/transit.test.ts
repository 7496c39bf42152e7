import { describe, expect, it } from 'vitest'
import { Reader, sameBytes, Writer } from '../../../src/base/bytes.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import {
  createBuild,
  type Hop,
  readBuildReplies,
  type TunnelBuild,
} from '../../../src/protocol/build/creator.ts'
import { sealRequest } from '../../../src/protocol/build/hop-keys.ts'
import { type BuildRequest, buildMinutes, writeShortRequest } from '../../../src/protocol/build/record.ts'
import {
  type I2npMessage,
  MessageType,
  readMessage,
  writeMessage,
} from '../../../src/protocol/i2np/message.ts'
import { readTunnelBuild } from '../../../src/protocol/i2np/tunnel-build.ts'
import { readTunnelGateway } from '../../../src/protocol/i2np/tunnel-gateway.ts'
import { unwrapWithKey } from '../../../src/protocol/ratchet/symmetric-garlic.ts'
import { Fragmenter } from '../../../src/protocol/tunnel-data/fragmenter.ts'
import { CreatorLayers, MAX_BATCH } from '../../../src/protocol/tunnel-data/layers.ts'
import type { TransitLimits } from '../../../src/router/tunnel/tunnel-event.ts'
import { LIMITS, Net, type Node, pool, START } from './harness.ts'

/** A router under test and a creator made of codecs alone, who asks it as its neighbour. */
class Asker {
  readonly net: Net
  readonly router: Node
  readonly self: Uint8Array
  readonly sent: { to: Uint8Array; message: I2npMessage }[] = []
  constructor(limits: TransitLimits = LIMITS, seed = 1) {
    this.net = new Net(1, seed, limits)
    this.router = this.net.nodes[0]!
    this.self = this.net.random.bytes(32)
    this.net.tap = ({ to, message }) => {
      this.sent.push({ to, message })
      return true
    }
  }

  get hop(): Hop {
    return { hash: this.router.hash, encryptionKey: this.router.local.encryption.publicKey }
  }

  build(minutes = buildMinutes(START + this.net.now)): TunnelBuild {
    const end = { direction: 'outbound', gateway: this.self, tunnelId: 55 } as const
    return createBuild([this.hop], end, 99, minutes, this.net.random)!
  }

  ask(
    payload: Uint8Array,
    from: Uint8Array = this.self,
    expiration: number = START + this.net.now + 10_000,
  ): void {
    const message = {
      type: MessageType.ShortTunnelBuild,
      id: 7,
      expiration,
      payload: Uint8Array.from(payload),
    }
    this.router.tunnels.handle(from, message, this.net.now, this.router)
  }

  /** A message of one record with this request in it. */
  record(over: Partial<BuildRequest>): Uint8Array {
    const { random } = this.net
    const request: BuildRequest = {
      role: 'participant',
      receiveTunnelId: 1000,
      nextTunnelId: 2000,
      nextHop: this.self,
      layerEncryption: 0,
      requestTime: buildMinutes(START + this.net.now),
      lifetime: 600,
      nextMessageId: 3000,
      ...over,
    }
    const sealed = sealRequest(
      this.hop.encryptionKey,
      generateX25519(random),
      writeShortRequest(request, random),
    )!
    return new Writer(1 + 218).u8(1).put(this.router.hash.subarray(0, 16)).put(sealed.sealed).bytes
  }

  get count(): number {
    return this.router.tunnels.counts().transit
  }
}

/** The statuses in an OutboundTunnelBuildReply that went out as garlic in a TunnelGateway. */
function replied(build: TunnelBuild, message: I2npMessage): readonly (number | undefined)[] | undefined {
  const { tunnelId, message: inner } = readTunnelGateway(new Reader(message.payload))
  const garlic = readMessage(new Reader(inner))
  expect([message.type, tunnelId, garlic.type]).toEqual([MessageType.TunnelGateway, 55, MessageType.Garlic])
  const { key, tag } = build.garlicReply!
  const clove = unwrapWithKey(key, tag, garlic.payload.subarray(4))!
  expect([clove.delivery.kind, clove.message.type, clove.message.id]).toEqual(['local', 26, 99])
  return readBuildReplies(build, clove.message.payload)
}

describe('build requests', () => {
  it('are granted, and answered in garlic', () => {
    const a = new Asker()
    const build = a.build()
    a.ask(build.payload)
    expect(a.sent).toHaveLength(1)
    expect(sameBytes(a.sent[0]!.to, a.self)).toBe(true)
    expect(replied(build, a.sent[0]!.message)).toEqual([0])
    expect(a.count).toBe(1)
  })

  it('are refused with 30 when there is no room', () => {
    const a = new Asker({ ...LIMITS, maxTransit: 0 })
    const lone = a.build()
    a.ask(lone.payload)
    expect(replied(lone, a.sent[0]!.message)).toEqual([30])
    expect(a.count).toBe(0)
  })

  it('are ignored when replayed', () => {
    const a = new Asker()
    const { payload } = a.build()
    a.ask(payload)
    a.ask(payload)
    a.net.now += 59 * 60_000
    a.ask(payload)
    expect(a.sent).toHaveLength(1)
  })

  it('are ignored when their time is off', () => {
    for (const [minutes, answered] of [
      [-70, 0],
      [-66, 0],
      [-64, 1],
      [0, 1],
      [4, 1],
      [6, 0],
    ] as const) {
      const a = new Asker()
      a.ask(a.build(buildMinutes(START) + minutes).payload)
      expect(a.sent).toHaveLength(answered)
    }
  })

  it('are ignored when malformed, expired or for someone else', () => {
    const a = new Asker()
    const { payload } = a.build()
    const nine = new Uint8Array(1 + 9 * 218)
    nine.set(payload)
    nine[0] = 9
    a.ask(nine)
    a.ask(payload.subarray(0, 800))
    a.ask(new Uint8Array([...payload, 0]))
    a.ask(new Uint8Array(0))
    a.ask(payload, a.self, START - 61_000)
    const broken = Uint8Array.from(payload)
    for (let i = 0; i < 4; i++) broken[1 + 218 * i + 100]! ^= 1
    a.ask(broken)
    a.ask(a.record({ layerEncryption: 1 }))
    a.ask(a.record({ nextHop: a.router.hash }))
    a.ask(a.record({ receiveTunnelId: 0 }))
    expect(a.sent).toHaveLength(0)
    const elsewhere = new Asker(LIMITS, 2)
    a.ask(elsewhere.build().payload)
    expect(a.sent).toHaveLength(0)
    a.ask(payload)
    expect(a.sent).toHaveLength(1)
  })

  it('for a middle hop may not come in garlic', () => {
    const a = new Asker()
    const unwrapped = (payload: Uint8Array): void =>
      a.router.tunnels.handleUnwrapped(
        { type: 25, id: 1, expiration: START + 5000, payload: Uint8Array.from(payload) },
        undefined,
        0,
        a.router,
      )
    unwrapped(a.record({}))
    unwrapped(a.record({ role: 'outbound-endpoint' }))
    expect(a.sent).toHaveLength(0)
    unwrapped(a.record({ role: 'inbound-gateway' }))
    expect(a.sent.map(({ message }) => [message.type, message.id])).toEqual([[25, 3000]])
  })

  it('with a tunnel id that is taken are refused', () => {
    const a = new Asker()
    a.ask(a.record({ receiveTunnelId: 5 }))
    a.ask(a.record({ receiveTunnelId: 5 }))
    expect(a.sent).toHaveLength(2)
    expect(a.count).toBe(1)
  })

  it('at 100 a second from one neighbour leave room for the others', () => {
    const a = new Asker()
    const greedy = a.net.random.bytes(32)
    const modest = a.net.random.bytes(32)
    let answeredModest = 0
    for (let i = 0; i < 1000; i++) {
      a.net.now = i * 10
      a.ask(a.build().payload, greedy)
      if (i % 100 !== 50) continue
      const before = a.sent.length
      a.ask(a.build().payload, modest)
      answeredModest += a.sent.length - before
    }
    expect(answeredModest).toBe(10)
    expect(a.sent.length - answeredModest).toBeLessThanOrEqual(
      LIMITS.peerBuildBurst + 10 * LIMITS.peerBuildsPerSecond + 1,
    )
  })

  it('are refused ever more often as the router fills, and always when it is full', () => {
    const a = new Asker({ ...LIMITS, maxTransit: 60, peerBuildBurst: 1e6, buildsPerSecond: 1e6 })
    const statuses: number[] = []
    for (let i = 0; i < 400; i++) {
      const build = a.build()
      a.ask(build.payload, a.net.random.bytes(32))
      statuses.push(replied(build, a.sent.pop()!.message)![0]!)
    }
    expect(new Set(statuses)).toEqual(new Set([0, 30]))
    expect(statuses.slice(0, 40)).not.toContain(30)
    expect(a.count).toBeLessThanOrEqual(60)
    expect(a.count).toBeGreaterThan(42)
  })

  it('are forgotten 11 minutes later', () => {
    const a = new Asker()
    a.ask(a.build().payload)
    a.net.run(659_000)
    expect(a.count).toBe(1)
    a.net.run(2000)
    expect(a.count).toBe(0)
    expect(a.router.tunnels.nextTimeout()).toBeUndefined()
  })
})

describe('participants', () => {
  /** A block that the router will pass on as a participant. */
  function participant(over: Partial<TransitLimits> = {}): {
    a: Asker
    data: (from?: Uint8Array, block?: Uint8Array) => number
  } {
    const a = new Asker({ ...LIMITS, ...over })
    a.ask(a.record({}))
    a.sent.length = 0
    const data = (from = a.self, block = a.net.random.bytes(1024)): number => {
      const before = a.sent.length
      const payload = new Writer(1028).u32(1000).put(block).bytes
      const message = { type: MessageType.TunnelData, id: 1, expiration: START + a.net.now + 7777, payload }
      a.router.tunnels.handle(from, message, a.net.now, a.router)
      a.router.tunnels.flush(a.net.now, a.router)
      return a.sent.length - before
    }
    return { a, data }
  }

  it('change the tunnel id, add a layer and keep the expiration', () => {
    const { a, data } = participant()
    const block = a.net.random.bytes(1024)
    expect(data(a.self, block)).toBe(1)
    const { to, message } = a.sent[0]!
    expect(sameBytes(to, a.self)).toBe(true)
    expect([message.type, message.expiration, message.payload.length]).toEqual([18, START + 7777, 1028])
    expect(new Reader(message.payload).u32()).toBe(2000)
    expect(message.id).not.toBe(1)
    expect(sameBytes(message.payload.subarray(4), block)).toBe(false)
  })

  it('take data from the previous hop only', () => {
    const { a, data } = participant()
    expect(data(a.net.random.bytes(32))).toBe(0)
    expect(data()).toBe(1)
  })

  it('drop what came before, even with another tail', () => {
    const { a, data } = participant()
    const block = a.net.random.bytes(1024)
    expect(data(a.self, Uint8Array.from(block))).toBe(1)
    expect(data(a.self, Uint8Array.from(block))).toBe(0)
    block[1000]! ^= 1
    expect(data(a.self, block)).toBe(0)
  })

  it('drop unknown tunnels, wrong sizes and expired messages', () => {
    const { a } = participant()
    const send = (payload: Uint8Array, expiration = START + 1000): void =>
      a.router.tunnels.handle(a.self, { type: 18, id: 1, expiration, payload }, 0, a.router)
    send(new Writer(1028).u32(1001).bytes)
    send(new Writer(1027).u32(1000).bytes)
    send(new Writer(1029).u32(1000).bytes)
    send(new Uint8Array(0))
    send(new Writer(1028).u32(1000).bytes, START - 61_000)
    send(new Writer(1028).u32(1000).bytes, START + 181_000)
    a.router.tunnels.flush(0, a.router)
    expect(a.sent).toHaveLength(0)
  })

  it('pass on what a turn brings when it ends, or when there is a batch of it, each in its order', () => {
    const { a } = participant()
    a.ask(a.record({ receiveTunnelId: 1001, nextTunnelId: 2001 }))
    a.sent.length = 0
    const send = (tunnelId: number, n: number): void => {
      const payload = new Writer(1028).u32(tunnelId).put(a.net.random.bytes(1024)).bytes
      const message = { type: MessageType.TunnelData, id: 1, expiration: START + n, payload }
      a.router.tunnels.handle(a.self, message, 0, a.router)
    }
    const passed = (tunnelId: number): number[] =>
      a.sent
        .filter(({ message }) => new Reader(message.payload).u32() === tunnelId)
        .map(({ message }) => message.expiration - START)
    for (let n = 0; n < MAX_BATCH + 3; n++) {
      send(1000, n)
      if (n < 2) send(1001, n)
    }
    expect(passed(2000)).toHaveLength(MAX_BATCH)
    expect(passed(2001)).toHaveLength(0)
    expect(a.router.tunnels.nextTimeout()).toBe(0)
    a.router.tunnels.flush(0, a.router)
    expect(passed(2000)).toEqual(Array.from({ length: MAX_BATCH + 3 }, (_, n) => n))
    expect(passed(2001)).toEqual([0, 1])
    expect(a.router.tunnels.nextTimeout()).toBeGreaterThan(0)
  })

  it('carry no more than their share of the bandwidth', () => {
    const { a, data } = participant({ transitBytesPerSecond: 10_280 })
    let passed = 0
    for (let i = 0; i < 1000; i++) {
      a.net.now = i * 10
      passed += data()
    }
    expect(passed).toBeGreaterThan(100)
    expect(passed).toBeLessThanOrEqual(121)
  })

  it('give way when more comes in than may', () => {
    const { a, data } = participant()
    const { inbound } = a.net
    inbound.rate = inbound.burst = 10_000
    expect(data()).toBe(1)
    inbound.spend(15_000, a.net.now)
    expect(data()).toBe(0)
    a.net.now += 400
    expect(data()).toBe(0)
    a.net.now += 200
    expect(data()).toBe(1)
    expect(a.router.tunnels.counts().transitBytes).toBe(2 * 1028)
  })
})

describe('outbound endpoints', () => {
  it('do not deliver to themselves by the local instruction, nor what is expired', () => {
    const a = new Asker()
    const build = a.build()
    a.ask(build.payload)
    a.sent.length = 0
    const layers = new CreatorLayers(build.hops)
    const deliver = (kind: 'local' | 'router', expiration: number): number => {
      const before = a.sent.length
      const blocks: Uint8Array[] = []
      const f = new Fragmenter(a.net.random)
      const inner = writeMessage({ type: 20, id: 5, expiration, payload: new Uint8Array(10) })
      f.add(kind === 'local' ? { kind } : { kind, hash: a.self }, inner, blocks)
      f.flush(blocks)
      for (const payload of blocks) {
        layers.apply([payload.subarray(4)])
        new Writer(payload).u32(build.hops[0]!.receiveTunnelId)
        a.router.tunnels.handle(a.self, { type: 18, id: 1, expiration: START + 1000, payload }, 0, a.router)
      }
      a.router.tunnels.flush(0, a.router)
      return a.sent.length - before
    }
    expect(deliver('router', START + 1000)).toBe(1)
    expect(deliver('local', START + 1000)).toBe(0)
    expect(deliver('router', START - 61_000)).toBe(0)
    expect(a.router.locals).toHaveLength(0)
  })
})

describe('inbound gateways', () => {
  it('take messages from anyone, and lying lengths from nobody', () => {
    const net = new Net(6, 2)
    const [a, b] = net.nodes as [Node, Node]
    const id = a.tunnels.addPool(pool(1, 1))
    a.tunnels.start(0, a)
    net.run(500)
    const { gateway, gatewayTunnelId } = a.tunnels.inbound(id)[0]!
    const inner = writeMessage({
      type: 20,
      id: 5,
      expiration: START + net.now + 9000,
      payload: net.random.bytes(50),
    })
    const send = (claimed: number): void => {
      const payload = new Writer(6 + inner.length).u32(gatewayTunnelId).u16(claimed).put(inner).bytes
      net.send(b, gateway, { type: 19, id: 3, expiration: START + net.now + 9000, payload })
      net.run(100)
    }
    send(inner.length)
    expect(a.received.map(({ message }) => message.id)).toEqual([5])
    send(inner.length + 1)
    send(inner.length - 1)
    send(0)
    expect(a.received).toHaveLength(1)
  })
})

describe('random bytes', () => {
  it('of any type neither throw nor stay', () => {
    const a = new Asker()
    const { random } = a.net
    for (let i = 0; i < 3000; i++) {
      const type = [18, 19, 23, 24, 25, 26, 11, 99][i % 8]!
      const payload = random.bytes(random.below(i % 3 === 0 ? 20 : 1900))
      if (payload.length > 1 + 218 && type === 25) {
        payload[0] = 1 + random.below(8)
        payload.set(a.router.hash.subarray(0, 16), 1)
      }
      const message = { type, id: i, expiration: START + 1000, payload }
      a.router.tunnels.handle(a.self, message, 0, a.router)
      const unwrapped = { ...message, payload: Uint8Array.from(payload) }
      a.router.tunnels.handleUnwrapped(unwrapped, i % 2 === 0 ? 1 : undefined, 0, a.router)
      a.router.tunnels.deliveryStatus(message, 1, a.router)
    }
    expect([a.sent.length, a.count]).toEqual([0, 0])
  })
})

describe('many hops', () => {
  it('a refusal by one fails the build and no reply is lost', () => {
    const net = new Net(4, 3)
    const refusing = net.add({ ...LIMITS, maxTransit: 0 })
    const [a, b, c] = net.nodes as [Node, Node, Node]
    a.path = () => [b, refusing, c]
    a.tunnels.addPool(pool(3, 1))
    a.tunnels.start(0, a)
    net.run(300)
    expect(a.count('peer-result', 'declined')).toBe(2)
    expect(a.count('peer-result', 'accepted')).toBe(4)
    expect(a.tunnels.counts().exploratory).toBe(0)
    const declined = a.events.filter((e) => e.kind === 'peer-result' && e.what === 'declined')
    for (const e of declined) expect(e.kind === 'peer-result' && sameBytes(e.peer, refusing.hash)).toBe(true)
  })

  it('our own phony record comes back whole, or the tunnel is not used', () => {
    const net = new Net(4, 3)
    const [a, b, c] = net.nodes as [Node, Node, Node]
    a.path = () => [b, c]
    const id = a.tunnels.addPool(pool(2, 1))
    net.tap = ({ to, message }) => {
      if (message.type === MessageType.ShortTunnelBuild && sameBytes(to, a.hash)) {
        const ours = readTunnelBuild(new Reader(message.payload), 218).find((r) =>
          sameBytes(r.subarray(0, 16), a.hash.subarray(0, 16)),
        )!
        ours[200]! ^= 1
      }
      return true
    }
    a.tunnels.start(0, a)
    net.run(300)
    expect(a.tunnels.inbound(id)).toHaveLength(0)
    expect(a.tunnels.outboundCount(id)).toBe(1)
  })
})
