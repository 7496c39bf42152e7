import { describe, expect, it } from 'vitest'
import { concat, Reader, Writer } from '../../src/base/bytes.ts'
import type { Millis } from '../../src/base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../src/base/core.ts'
import { type NodeContext, type SimCore, SimNetwork, type SimOptions } from './network.ts'

type ToyEvent =
  | { readonly kind: 'got'; readonly n: number }
  | { readonly kind: 'up' | 'down'; readonly link: LinkId }

/** Keeps one connection to a peer, sends numbers on it, tells what it gets. Numbers have four bytes, in a stream. */
class Toy implements SimCore<ToyEvent> {
  readonly #context: NodeContext
  readonly #peer: Endpoint | undefined
  readonly #partial = new Map<LinkId, Uint8Array>()
  #link: LinkId | undefined
  #up = false
  #next = 0
  #at: Millis | undefined

  constructor(context: NodeContext, peer?: Endpoint) {
    this.#context = context
    this.#peer = peer
    if (peer !== undefined) this.#at = context.now + 10
  }

  get wall(): number {
    return this.#context.clock.wall(0)
  }

  accepted(id: LinkId): void {
    this.#partial.set(id, new Uint8Array(0))
  }

  connected(id: LinkId, _now: Millis, out: Sink<ToyEvent>): void {
    this.#up = true
    out.event({ kind: 'up', link: id })
  }

  received(id: LinkId, bytes: Uint8Array, _now: Millis, out: Sink<ToyEvent>): void {
    const r = new Reader(concat(this.#partial.get(id)!, bytes))
    while (r.left >= 4) {
      const n = r.u32()
      if (n === 6_000_666) this.#context.log.write('error', 'the number of the beast')
      if (n === 6_000_999) throw new Error('out of fingers')
      out.event({ kind: 'got', n })
    }
    this.#partial.set(id, r.rest())
  }

  closed(id: LinkId, now: Millis, out: Sink<ToyEvent>): void {
    out.event({ kind: 'down', link: id })
    if (id !== this.#link) return
    this.#link = undefined
    this.#up = false
    this.#at = now + 500
  }

  writable(): void {}

  timeout(now: Millis, out: Sink<ToyEvent>): void {
    this.#at = now + 100
    if (this.#link === undefined) this.#link = out.tcpOpen(this.#peer!)
    else if (this.#up) this.send(this.#next++, out)
  }

  nextTimeout(): Millis | undefined {
    return this.#at
  }

  send(n: number, out: Sink<ToyEvent>): void {
    if (this.#link !== undefined) out.tcpData(this.#link, new Writer(4).u32(n).bytes)
  }

  end(out: Sink<ToyEvent>, reset: boolean): void {
    out.tcpEnd(this.#link!, reset)
  }

  spin(): void {
    this.#at = 0
    this.timeout = () => {}
  }
}

const TO_B = { address: '10.0.0.2', port: 1 }

function pair(seed: number, options: Partial<SimOptions> = {}): SimNetwork<Toy, ToyEvent> {
  const net = new SimNetwork<Toy, ToyEvent>(seed, options)
  net.add('b', '10.0.0.2', (c) => new Toy(c))
  net.add('a', '10.0.0.1', (c) => new Toy(c, TO_B), { clockOffset: 5000 })
  return net
}

function got(net: SimNetwork<Toy, ToyEvent>): number[] {
  return net.events.flatMap((e) => (e.event.kind === 'got' ? [e.event.n] : []))
}

describe('the virtual network', () => {
  it('delivers everything, in order, at the speed of its links', () => {
    const net = pair(1, { latency: [50, 50], jitter: 30 })
    net.run(10_000)
    const numbers = got(net)
    expect(numbers.length).toBeGreaterThan(90)
    expect(numbers).toEqual(numbers.map((_, i) => i))
    expect(net.events[0]).toMatchObject({ at: 110, node: 'a', event: { kind: 'up' } })
    expect(net.linkCount).toBe(1)
    expect(net.core('a').wall - net.core('b').wall).toBe(5000)
  })

  it('does the same for the same seed and something else for another', () => {
    const run = (seed: number): string => {
      const net = pair(seed, { breaking: 0.5, breakAfter: [100, 2000], refusing: 0.3 })
      net.at(5_000, () => net.restart('b'))
      net.at(6_000, () => net.breakLinks(1))
      net.run(30_000)
      return net.trace
    }
    expect(run(7)).toBe(run(7))
    expect(run(7)).not.toBe(run(8))
  })

  it('has bandwidth', () => {
    const net = pair(1, { latency: [10, 10], jitter: 0, bandwidth: 40 })
    net.run(2_000)
    net.events.length = 0
    net.do('a', (core, _now, out) => {
      for (let i = 0; i < 50; i++) core.send(1000 + i, out)
    })
    net.run(5_000)
    expect(got(net).length).toBeLessThan(31)
    net.run(20_000)
    expect(got(net).filter((n) => n >= 1000).length).toBe(50)
  })

  it('breaks links, refuses some, and tells both ends', () => {
    const net = pair(3, { breaking: 1, breakAfter: [500, 1500], refusing: 0.5 })
    net.run(60_000)
    const down = (node: string): number =>
      net.events.filter((e) => e.node === node && e.event.kind === 'down').length
    expect(net.linkCount).toBeGreaterThan(15)
    expect(down('b')).toBeGreaterThan(15)
    expect(down('a')).toBeGreaterThan(down('b'))
    expect(net.openLinks).toBeLessThanOrEqual(1)
  })

  it('ends a connection gracefully, after what was written, or at once', () => {
    for (const reset of [false, true]) {
      const net = pair(4, { latency: [50, 50], jitter: 0 })
      net.run(1_000)
      net.events.length = 0
      net.do('a', (core, _now, out) => {
        core.send(77, out)
        core.end(out, reset)
      })
      net.run(1_200)
      expect(got(net).includes(77)).toBe(!reset)
      expect(
        net.events
          .filter((e) => e.event.kind === 'down')
          .map((e) => e.node)
          .sort(),
      ).toEqual(['a', 'b'])
    }
  })

  it('holds data up during a short partition and drops the connection in a long one', () => {
    const net = pair(5)
    net.run(1_000)
    net.partition(['a'], ['b'])
    net.run(1_100)
    net.events.length = 0
    net.run(10_000)
    expect(net.events).toEqual([])
    net.heal()
    net.run(12_000)
    const numbers = got(net)
    expect(numbers.length).toBeGreaterThan(90)
    expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i))
    net.partition(['a'])
    net.run(60_000)
    expect(net.events.filter((e) => e.event.kind === 'down').length).toBeGreaterThanOrEqual(2)
    expect(net.openLinks).toBe(0)
    net.heal()
    net.run(100_000)
    expect(net.openLinks).toBe(1)
  })

  it('lets nodes die and come back', () => {
    const net = pair(6)
    net.run(1_000)
    net.crash('b')
    expect(net.isUp('b')).toBe(false)
    net.run(1_500)
    expect(net.events.at(-1)).toMatchObject({ node: 'a', event: { kind: 'down' } })
    net.run(5_000)
    net.events.length = 0
    net.restart('b')
    net.run(8_000)
    expect(got(net).length).toBeGreaterThan(10)
    net.crash('b', true)
    const at = net.now
    net.events.length = 0
    net.run(at + 20_000)
    expect(net.events.filter((e) => e.event.kind === 'down')).toEqual([])
    net.run(at + 30_400)
    expect(net.events.filter((e) => e.event.kind === 'down').length).toBe(1)
  })

  it('lets listeners give commands', () => {
    const net = pair(9)
    net.on((e) => {
      if (e.event.kind === 'got' && e.event.n === 5) net.do('a', (core, _now, out) => core.send(500, out))
    })
    net.run(3_000)
    expect(got(net)).toContain(500)
  })

  it('fails, naming seed and node, on an error line, an exception, a timer that goes round', () => {
    const send = (n: number) => (): void => {
      const net = pair(4321)
      net.run(1_000)
      net.do('a', (core, _now, out) => core.send(n, out))
      net.run(2_000)
    }
    expect(send(1)).not.toThrow()
    expect(send(6_000_666)).toThrow(/seed 4321, \d+ ms, node b: logged an error: the number of the beast/)
    expect(send(6_000_999)).toThrow(/seed 4321, \d+ ms, node b: received threw Error: out of fingers/)
    expect(() => {
      const net = pair(1)
      net.run(100)
      net.do('a', (core) => core.spin())
      net.run(200)
    }).toThrow(/its timer goes round/)
  })
})
