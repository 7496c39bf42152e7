/** What leaves a transport at its limits, on a network without any: every delay and every loss here is our own doing. */
import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../../src/base/token-bucket.ts'
import { MAX_TRANSIT_AGE, type Traffic } from '../../../src/protocol/blocks/output-queue.ts'
import type { OutRates } from '../../../src/router/transport/shaper.ts'
import { type Host, Wire } from './wire.ts'

const LIMIT = 64_000
const TUNNEL_MESSAGE = 1028
const MINUTE = 60_000
const ENDLESS = Number.POSITIVE_INFINITY

interface Sent {
  readonly peer: number
  readonly size: number
  readonly traffic: Traffic
  readonly at: number
  /** Ms until it arrived. */
  delay: number | undefined
}

class Rig {
  readonly wire = new Wire(7)
  readonly inbound = new TokenBucket(LIMIT, LIMIT)
  readonly router: Host
  readonly peers: Host[]
  readonly #sent = new Map<number, Sent>()
  readonly #from: number

  constructor(peers: number, rates: OutRates) {
    this.router = this.wire.host(1, { bandwidth: { out: rates, inbound: this.inbound } })
    this.peers = Array.from({ length: peers }, (_, i) => this.wire.host(100 + i))
    this.router.knows(...this.peers)
    for (const peer of this.peers) {
      peer.event = (e) => {
        const sent = e.kind === 'message' ? this.#sent.get(e.message.id) : undefined
        if (sent !== undefined) sent.delay = this.wire.now - sent.at
      }
      this.router.send(peer, 0)
    }
    this.wire.run(5_000) // the handshakes are paid for
    this.#from = this.out
  }

  /** Bytes that left since the handshakes, all included. */
  get out(): number {
    return this.router.transport.traffic().out - (this.#from ?? 0)
  }

  send(traffic: Traffic, peer: number, size = TUNNEL_MESSAGE): void {
    const id = this.#sent.size + 1
    this.#sent.set(id, { peer, size, traffic, at: this.wire.now, delay: undefined })
    this.router.send(this.peers[peer]!, id, size, traffic)
  }

  sent(traffic: Traffic): Sent[] {
    return [...this.#sent.values()].filter((s) => s.traffic === traffic)
  }

  /** Delays of what arrived. */
  delays(traffic: Traffic): number[] {
    return this.sent(traffic).flatMap(({ delay }) => (delay === undefined ? [] : [delay]))
  }

  /** Bytes a second of payload that one peer got in the minute. */
  rate(peer: number): number {
    let bytes = 0
    for (const s of this.#sent.values()) if (s.peer === peer && s.delay !== undefined) bytes += s.size
    return bytes / 60
  }

  /** Calls each task every so many ms for a minute. */
  minute(...tasks: readonly (readonly [every: number, task: (n: number) => void])[]): this {
    const from = this.wire.now
    for (let t = 0; t < MINUTE; t++) {
      for (const [every, task] of tasks) if (t % every === 0) task(t / every)
      this.wire.run(from + t + 1 - this.wire.now)
    }
    return this
  }
}

describe('a limit of 64 KB/s', () => {
  it('holds over a minute while eight tunnels push three times as much; the excess is dropped, not late', () => {
    const rig = new Rig(4, { all: LIMIT, transit: LIMIT })
    // 1028 bytes every 43 ms: 24 KB/s each.
    rig.minute(...Array.from({ length: 8 }, (_, i) => [43, () => rig.send('transit', i % 4)] as const))
    expect(rig.out / 60).toBeGreaterThan(0.95 * LIMIT)
    expect(rig.out / 60).toBeLessThan(1.05 * LIMIT)
    const delays = rig.delays('transit')
    expect(Math.max(...delays)).toBeLessThanOrEqual(rig.wire.latency + MAX_TRANSIT_AGE)
    expect(delays.length).toBeLessThan(0.4 * rig.sent('transit').length)
  })

  it('delays nothing of our own, however much others push', () => {
    const rig = new Rig(4, { all: LIMIT, transit: LIMIT })
    rig.minute(
      ...Array.from({ length: 8 }, (_, i) => [20, () => rig.send('transit', i % 4)] as const),
      // Pages of 20 KB, and what keeps tunnels alive.
      [2000, () => Array.from({ length: 20 }, () => rig.send('own', 1))],
      [170, (n) => rig.send('own', n % 4, 300)],
    )
    const delays = rig.delays('own')
    expect(delays.length).toBe(rig.sent('own').length)
    expect(Math.max(...delays)).toBe(rig.wire.latency)
    expect(rig.out / 60).toBeLessThan(1.05 * LIMIT)
  })

  it('leaves others what we do not use, and nothing when we use all', () => {
    const half = new Rig(2, { all: LIMIT, transit: LIMIT })
    half.minute([33, () => half.send('own', 0)], [5, () => half.send('transit', 1)])
    expect(half.rate(1)).toBeGreaterThan(0.4 * LIMIT)
    expect(half.rate(1)).toBeLessThan(0.5 * LIMIT)
    const all = new Rig(2, { all: LIMIT, transit: LIMIT })
    all.minute([10, () => all.send('own', 0)], [5, () => all.send('transit', 1)])
    expect(all.out / 60).toBeGreaterThan(0.95 * LIMIT)
    expect(all.out / 60).toBeLessThan(1.05 * LIMIT)
    expect(all.rate(1)).toBeLessThan(0.02 * LIMIT)
  })

  it('keeps others to their share', () => {
    const rig = new Rig(2, { all: LIMIT, transit: LIMIT / 2 })
    rig.minute([5, (n) => rig.send('transit', n % 2)])
    expect(rig.out / 60).toBeGreaterThan(0.95 * (LIMIT / 2))
    expect(rig.out / 60).toBeLessThan(1.05 * (LIMIT / 2))
  })

  it.each(['own', 'transit'] as const)(
    'is shared evenly by peers, whatever the size of their messages: %s',
    (traffic) => {
      const rig = new Rig(3, { all: LIMIT, transit: LIMIT })
      rig.minute(
        [4, () => rig.send(traffic, 0)],
        [4, () => rig.send(traffic, 1, 600)],
        [100, () => rig.send(traffic, 2, 6000)],
      )
      for (const peer of [0, 1, 2]) expect(Math.abs(rig.rate(peer) / (LIMIT / 3) - 1)).toBeLessThan(0.15)
    },
  )

  it('lets the largest messages of others pass, at their price', () => {
    const rig = new Rig(2, { all: LIMIT, transit: LIMIT })
    rig.minute([500, () => rig.send('transit', 0, 60_000)], [250, () => rig.send('own', 1, 300)])
    expect(rig.out / 60).toBeLessThan(1.05 * LIMIT)
    expect(rig.rate(0)).toBeGreaterThan(0.8 * LIMIT)
    expect(Math.max(...rig.delays('own'))).toBeLessThanOrEqual(50)
  })

  it('costs few wake-ups, and none when nothing waits', () => {
    const rig = new Rig(4, { all: LIMIT, transit: LIMIT })
    let timeouts = 0
    const { transport } = rig.router
    const timeout = transport.timeout.bind(transport)
    transport.timeout = (now, out) => {
      timeouts++
      timeout(now, out)
    }
    for (let i = 0; i < 100; i++) rig.send('transit', i % 4)
    rig.wire.run(1000)
    expect(timeouts).toBeLessThanOrEqual(50)
    expect(rig.delays('transit').length).toBeGreaterThan(25)
    timeouts = 0
    rig.wire.run(10_000)
    expect(timeouts).toBe(0)
  })

  it('can be changed, and lifted', () => {
    const rig = new Rig(2, { all: LIMIT, transit: LIMIT })
    for (let i = 0; i < 400; i++) rig.send('own', 0)
    rig.wire.run(1000)
    const before = rig.out
    rig.router.transport.setRates({ all: 2 * LIMIT, transit: LIMIT })
    rig.wire.run(1000)
    expect(Math.abs((rig.out - before) / (2 * LIMIT) - 1)).toBeLessThan(0.1)
    rig.router.transport.setRates({ all: ENDLESS, transit: ENDLESS })
    rig.wire.run(50)
    expect(rig.delays('own').length).toBe(400)
    expect(rig.router.transport.nextTimeout()).toBeGreaterThan(rig.wire.now + 1000)
  })
})

describe('what comes in', () => {
  it('is counted, and read whatever the limit', () => {
    const rig = new Rig(1, { all: LIMIT, transit: LIMIT })
    const before = rig.inbound.available(rig.wire.now)
    expect(before).toBe(LIMIT)
    const { router, wire } = rig
    rig.peers[0]!.knows(router)
    for (let i = 1; i <= 100; i++) rig.peers[0]!.send(router, i, TUNNEL_MESSAGE)
    wire.run(20)
    expect(router.ids.length).toBe(100)
    expect(rig.inbound.available(wire.now)).toBeLessThan(before - 100 * TUNNEL_MESSAGE + 0.05 * LIMIT)
  })
})

describe('without a limit', () => {
  it('what others send is still not sent late over a link that takes nothing', () => {
    const rig = new Rig(1, { all: ENDLESS, transit: ENDLESS })
    rig.peers[0]!.stalled = true
    for (let i = 0; i < 200; i++) {
      rig.send('transit', 0)
      rig.send('own', 0)
    }
    rig.wire.run(2000)
    rig.send('transit', 0)
    rig.peers[0]!.resume()
    rig.wire.run(1000)
    expect(rig.delays('own').length).toBe(200)
    // What the operating system had already, and the last one.
    expect(rig.delays('transit').length).toBeLessThan(64)
    expect(rig.sent('transit').at(-1)!.delay).toBeDefined()
  })
})
