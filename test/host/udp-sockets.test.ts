import { afterEach, describe, expect, test } from 'vitest'
import type { Datagram, Endpoint, Sink } from '../../src/base/core.ts'
import { SILENT } from '../../src/base/log.ts'
import { type Driven, Pump, type PumpedCore } from '../../src/host/pump.ts'

/** Answers what begins with 1; remembers everything. */
class Echo implements PumpedCore<never> {
  readonly heard: Datagram[] = []
  #waiting: { count: number; done: () => void } | undefined

  datagrams(burst: readonly Datagram[], _now: number, out: Sink<never>): void {
    for (const { from, bytes } of burst) {
      this.heard.push({ from, bytes })
      if (bytes[0] === 1) out.udp(from, Uint8Array.of(2, ...bytes.subarray(1)))
    }
    if (this.#waiting !== undefined && this.heard.length >= this.#waiting.count) this.#waiting.done()
  }
  timeout(): void {}
  nextTimeout(): undefined {}

  until(count: number): Promise<void> {
    if (this.heard.length >= count) return Promise.resolve()
    return new Promise((done) => {
      this.#waiting = { count, done }
    })
  }
}

const pumps: Pump[] = []

async function party(address: string): Promise<{ core: Echo; driven: Driven<never>; at: Endpoint }> {
  const pump = new Pump({ log: SILENT })
  pumps.push(pump)
  const core = new Echo()
  const driven = pump.drive({ core, onEvent: () => {} })
  return { core, driven, at: await driven.bindUdp(address, 0) }
}

afterEach(() => {
  for (const pump of pumps.splice(0)) pump.close()
})

describe.each(['127.0.0.1', '::1'])('datagrams on %s', (address) => {
  test('go to the core and back, whole and in order, with their sender', async () => {
    const [a, b] = [await party(address), await party(address)]
    const sent = Array.from({ length: 20 }, (_, i) => new Uint8Array(1400).fill(i).fill(1, 0, 1))
    a.driven.run((_now, out) => {
      for (const bytes of sent) out.udp(b.at, bytes)
    })
    await a.core.until(20)
    expect(b.core.heard.map((d) => d.from)).toEqual(sent.map(() => a.at))
    expect(b.core.heard.map((d) => d.bytes)).toEqual(sent)
    expect(a.core.heard.map((d) => [d.bytes[0], d.bytes[1], d.bytes.length])).toEqual(
      sent.map((s) => [2, s[1], 1400]),
    )
  })

  test('a port that is taken is an error, and one that is given up can be had', async () => {
    const [a, b] = [await party(address), await party(address)]
    await expect(b.driven.bindUdp(address, a.at.port)).rejects.toThrow('EADDRINUSE')
    a.driven.unbindUdp(address)
    expect((await b.driven.bindUdp(address, a.at.port)).port).toBe(a.at.port)
  })
})

test('what no socket can send is lost without a word', async () => {
  const a = await party('127.0.0.1')
  a.driven.run((_now, out) => {
    out.udp({ address: '::1', port: 9 }, Uint8Array.of(1))
    out.udp({ address: 'localhost', port: 9 }, Uint8Array.of(1))
    out.udp(a.at, Uint8Array.of(3))
  })
  await a.core.until(1)
  expect(a.core.heard.map((d) => d.bytes)).toEqual([Uint8Array.of(3)])
})
