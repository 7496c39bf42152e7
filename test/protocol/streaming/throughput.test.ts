import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { type ChannelOptions, Network, pattern, pump, sink } from './channel.ts'

const hash = (parts: Uint8Array[]): string => {
  const h = createHash('sha256')
  for (const p of parts) h.update(p)
  return h.digest('hex')
}

interface Result {
  readonly kBps: number
  readonly longestStall: number
  readonly overhead: number
}

/** Sends `size` bytes one way and tells how it went, in virtual time. */
function transfer(options: ChannelOptions, size: number): Result {
  const network = new Network(options)
  const a = network.node()
  const b = network.node()
  sink(b)
  sink(a)
  let last = 0
  let stall = 0
  const before = b.onEvent
  b.onEvent = (e) => {
    before(e)
    if (e.kind !== 'data') return
    if (last > 0) stall = Math.max(stall, network.now - last)
    last = network.now
  }
  const bytes = pattern(size)
  const start = network.now
  const id = a.set.connect(b.hash, b.local.identity, { sourcePort: 1, destinationPort: 2 }, network.now, a)
  pump(a, id, bytes)
  network.run(() => b.of('end').length > 0 || a.of('closed').length > 0)
  const end = network.now
  const [incoming] = b.of('incoming')
  if (incoming?.kind !== 'incoming') throw new Error('no stream')
  expect(hash(b.received.get(incoming.id) ?? [])).toBe(hash([bytes]))
  network.run(() => a.of('closed').length > 0 && b.of('closed').length > 0)
  expect(a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'closed' }])
  return {
    kBps: Math.round(size / (end - start)),
    longestStall: Math.round(stall),
    overhead: Math.round((100 * (a.sent.bytes + b.sent.bytes)) / size - 100),
  }
}

const SIZE = 4_000_000

function row(name: string, options: ChannelOptions): string {
  const { kBps, longestStall, overhead } = transfer(options, SIZE)
  const cells = [
    name.padEnd(28),
    `${kBps} kB/s`.padStart(10),
    `${longestStall} ms`.padStart(9),
    `${overhead} %`.padStart(5),
  ]
  return cells.join(' ')
}

// 4 MB one way through a bottleneck of 1000 kB/s that holds 200 kB, slow start included: a window of at most 512 packets.
// Columns: throughput, longest time in which the application got nothing, bytes sent by both beyond the content. A change of
// these figures is to be looked at, not only accepted.
test('throughput by round trip and loss', () => {
  const rows: string[] = []
  for (const rtt of [20, 100, 300, 1000]) {
    for (const loss of [0, 0.001, 0.01, 0.05]) {
      rows.push(
        row(`rtt ${rtt} ms, loss ${100 * loss} %`, { latency: rtt / 2, loss, rate: 1000, queue: 200_000 }),
      )
    }
  }
  expect(rows).toMatchInlineSnapshot(`
    [
      "rtt 20 ms, loss 0 %            983 kB/s     11 ms   2 %",
      "rtt 20 ms, loss 0.1 %          983 kB/s    119 ms   2 %",
      "rtt 20 ms, loss 1 %            983 kB/s    110 ms   3 %",
      "rtt 20 ms, loss 5 %            983 kB/s    114 ms   8 %",
      "rtt 100 ms, loss 0 %           928 kB/s     91 ms   1 %",
      "rtt 100 ms, loss 0.1 %         896 kB/s    182 ms   2 %",
      "rtt 100 ms, loss 1 %           879 kB/s    216 ms   3 %",
      "rtt 100 ms, loss 5 %           873 kB/s    411 ms  11 %",
      "rtt 300 ms, loss 0 %           756 kB/s    519 ms   6 %",
      "rtt 300 ms, loss 0.1 %         688 kB/s    633 ms   6 %",
      "rtt 300 ms, loss 1 %           692 kB/s    574 ms  17 %",
      "rtt 300 ms, loss 5 %           614 kB/s    574 ms  16 %",
      "rtt 1000 ms, loss 0 %          344 kB/s   1338 ms   8 %",
      "rtt 1000 ms, loss 0.1 %        291 kB/s   1320 ms   8 %",
      "rtt 1000 ms, loss 1 %          286 kB/s   1329 ms   7 %",
      "rtt 1000 ms, loss 5 %          226 kB/s   1816 ms  10 %",
    ]
  `)
})

test('throughput over paths with other faults', () => {
  const rows = [
    row('reordered by up to 50 ms', { latency: 150, jitter: 50, rate: 1000 }),
    row('reordered by up to 200 ms', { latency: 150, jitter: 200, rate: 1000 }),
    row('copies of every tenth', { latency: 150, duplicates: 0.1, rate: 1000 }),
    row('all of it, and 2 % loss', { latency: 150, jitter: 50, loss: 0.02, duplicates: 0.05, rate: 1000 }),
    row('shallow queue of 40 ms', { latency: 150, rate: 500, queue: 20_000 }),
    row('deep queue of 20 s', { latency: 150, rate: 100, queue: 2_000_000 }),
    row('20 kB/s, queue of 5 s', { latency: 500, rate: 20, queue: 100_000 }),
    row('no limit', { latency: 150 }),
    row('20 % loss, rtt 1 s to 2 s', { latency: 500, loss: 0.2, jitter: 500, rate: 100 }),
  ]
  expect(rows).toMatchInlineSnapshot(`
    [
      "reordered by up to 50 ms       721 kB/s    305 ms   1 %",
      "reordered by up to 200 ms      342 kB/s    455 ms   2 %",
      "copies of every tenth          712 kB/s    285 ms   1 %",
      "all of it, and 2 % loss        650 kB/s   1360 ms   3 %",
      "shallow queue of 40 ms         389 kB/s    449 ms  11 %",
      "deep queue of 20 s              98 kB/s    163 ms   2 %",
      "20 kB/s, queue of 5 s           20 kB/s    295 ms   2 %",
      "no limit                      1238 kB/s    305 ms   1 %",
      "20 % loss, rtt 1 s to 2 s       14 kB/s  16666 ms  30 %",
    ]
  `)
})

test('two streams share a path', () => {
  const network = new Network({ latency: 100, rate: 500, queue: 300_000 })
  const a = network.node()
  const b = network.node()
  sink(b)
  sink(a)
  const start = (): number => {
    const id = a.set.connect(b.hash, b.local.identity, { sourcePort: 1, destinationPort: 2 }, network.now, a)
    pump(a, id, pattern(20_000_000))
    return id
  }
  const first = start()
  network.runFor(5000)
  const second = start()
  network.runFor(10_000)
  const got = (): number[] =>
    b.of('incoming').map((e) => Buffer.concat((e.kind === 'incoming' && b.received.get(e.id)) || []).length)
  const before = got()
  network.runFor(20_000)
  const [x, y] = got().map((n, i) => n - before[i]!) as [number, number]
  expect(x + y).toBeGreaterThan(0.9 * 500 * 20_000)
  expect(Math.min(x, y) / Math.max(x, y)).toBeGreaterThan(0.3)
  expect(first).not.toBe(second)
})
