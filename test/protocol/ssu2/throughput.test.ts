import { expect, test } from 'vitest'
import { sameBytes } from '../../../src/base/bytes.ts'
import { type LinkOptions, message, type Pair, pair, pattern } from './link.ts'

interface Result {
  readonly kBps: number
  /** Packets sent again for each packet lost. */
  readonly again: number
  readonly wakes: number
  readonly rtt: number
}

/** `size` bytes in messages of `each`, one way, as fast as the queue is emptied; in virtual time. */
function transfer(options: LinkOptions, maxWindow: number, size: number, each: number): Result {
  const p = pair(options, { maxWindow })
  const { net, alice, bob } = p
  const count = Math.ceil(size / each)
  const start = net.now
  feed(p, count, each)
  const got = new Set<number>()
  bob.onEvent = (e) => {
    if (e.kind !== 'message') return
    if (!sameBytes(e.message.payload, pattern(each, e.message.id))) throw new Error('not what was sent')
    got.add(e.message.id)
  }
  net.run(() => got.size === count, start + 120_000)
  expect(got.size).toBe(count)
  const seconds = (net.now - start) / 1000
  return {
    kBps: Math.round((count * each) / 1000 / seconds),
    again: alice.lost === 0 ? alice.session.packetsLost : alice.session.packetsLost / alice.lost,
    wakes: Math.round((alice.wakes + bob.wakes) / seconds),
    rtt: Math.round(alice.session.rttMs),
  }
}

/** Keeps half of the output queue full. */
function feed({ net, alice }: Pair, count: number, each: number): void {
  let next = 1
  const start = net.now
  const fill = (): void => {
    const { output } = alice.session
    while (next <= count && output.bytes < 256 * 1024)
      output.push(message(next++, each, start), 'own', net.now)
    alice.turn()
    if (next <= count) net.at(net.now + 5, fill)
  }
  fill()
}

const LINK: LinkOptions = { rate: 2000, queue: 200_000 }
const MESSAGE = 1028

/** With columns of even width, as the formatter wants them. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const widths = head.map((name, i) =>
    Math.max(3, ...[name, ...rows.map((r) => `${r[i]}`)].map((c) => c.length)),
  )
  const line = (cells: readonly (string | number)[]): string =>
    `| ${cells.map((cell, i) => `${cell}`.padEnd(widths[i]!)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)]
}

function shown({ kBps, again, wakes, rtt }: Result): string[] {
  return [String(kBps), again.toFixed(2), String(wakes), String(rtt)]
}

test('throughput over round trip, loss and window, and over links with other faults', async () => {
  const lines = [
    '# Throughput of one SSU2 session',
    '',
    'Written and checked by `throughput.test.ts`: simulated, the same every time. A change of these figures is to be looked at, not only',
    'accepted (`vitest -u`).',
    '',
    '## By round trip, loss and window',
    '',
    `4 MB in messages of ${MESSAGE} bytes, one way, slow start included, over a bottleneck of 2000 kB/s that holds 200 kB. In kB/s; the`,
    'window is in packets of 1500 bytes, and 512 what sessions have.',
    '',
  ]
  const grid: (string | number)[][] = []
  for (const rtt of [20, 100, 300, 1000]) {
    for (const loss of [0, 0.001, 0.01, 0.05]) {
      const cells = [64, 256, 512].map(
        (window) => transfer({ ...LINK, delay: rtt / 2, loss }, window, 4_000_000, MESSAGE).kBps,
      )
      grid.push([rtt, `${100 * loss} %`, ...cells])
    }
  }
  lines.push(
    ...table(['RTT, ms', 'loss', '64', '256', '512'], grid),
    '',
    '## Over other links',
    '',
    'Columns: kB/s; packets sent again for each one lost (0 when none was lost or sent again); wake-ups a second of both ends together;',
    'round trip at the end, ms.',
    '',
  )
  const cases: readonly (readonly [string, LinkOptions, number?])[] = [
    ['100 ms, 1 % loss, no bottleneck', { delay: 50, loss: 0.01 }],
    ['50 ms, 5 % loss, 10 % late by 20 ms', { ...LINK, delay: 25, loss: 0.05, late: 0.1, lateBy: 20 }],
    ['the same, messages of 62,000 bytes', { ...LINK, delay: 25, loss: 0.05, late: 0.1, lateBy: 20 }, 62_000],
    ['50 ms, 10 % late by 10 ms', { ...LINK, delay: 25, late: 0.1, lateBy: 10 }],
    ['50 ms, 5 % doubled', { ...LINK, delay: 25, duplicates: 0.05 }],
    ['50 ms, 30 % loss', { ...LINK, delay: 25, loss: 0.3 }],
    ['10 to 50 ms, 1 % loss, 1000 kB/s', { delay: 5, jitter: 20, loss: 0.01, rate: 1000, queue: 100_000 }],
    ['10 to 210 ms, 1 % loss, 1000 kB/s', { delay: 5, jitter: 100, loss: 0.01, rate: 1000, queue: 100_000 }],
    ['100 ms, 1000 kB/s, queue of 16 ms', { delay: 50, rate: 1000, queue: 16_000 }],
    ['20 ms, 1000 kB/s, queue of 30 ms', { delay: 10, rate: 1000, queue: 30_000 }],
    ['20 ms, 500 kB/s, queue of 2 s', { delay: 10, rate: 500, queue: 1_000_000 }],
    ['50 ms, 50 kB/s, 5 % loss', { delay: 25, loss: 0.05, rate: 50, queue: 50_000 }],
  ]
  const others = cases.map(([name, options, each = MESSAGE]) => {
    const size = options.rate === 50 ? 1_000_000 : 4_000_000
    return [name, ...shown(transfer(options, 512, size, each))]
  })
  lines.push(...table(['link', 'kB/s', 'again', 'wake-ups', 'RTT'], others))
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('throughput.md')
}, 300_000)

test('62,000-byte messages both ways under 5 % loss, 50 ms and 10 % reordering: intact, and less than twice the loss sent again', () => {
  for (const [seed, lateBy] of [
    [1, 10],
    [2, 25],
    [3, 60],
  ] as const) {
    const p = pair({ seed, delay: 25, loss: 0.05, late: 0.1, lateBy })
    const { net, alice, bob } = p
    const messages = Array.from({ length: 20 }, (_, i) => message(i + 1, 62_000, net.now))
    for (const side of [alice, bob]) {
      let next = 0
      const feedOne = (): void => {
        side.session.output.push(messages[next++]!, 'own', net.now)
        side.turn()
        if (next < messages.length) net.at(net.now + 50, feedOne)
      }
      feedOne()
    }
    net.runFor(10_000)
    for (const side of [alice, bob]) {
      const got = side.messages().sort((a, b) => a.id - b.id)
      expect(got.map((m) => m.id)).toEqual(messages.map((m) => m.id))
      expect(got.every((m, i) => sameBytes(m.payload, messages[i]!.payload))).toBe(true)
      expect(side.lost).toBeGreaterThan(30)
      expect(side.session.packetsLost).toBeLessThan(2 * side.lost)
    }
  }
})

test('1 % loss at 100 ms costs little more than what is lost', () => {
  const clean = transfer({ delay: 50 }, 512, 8_000_000, MESSAGE).kBps
  const lossy = transfer({ delay: 50, loss: 0.01 }, 512, 8_000_000, MESSAGE).kBps
  expect(lossy).toBeGreaterThan(0.9 * clean)
  // What the largest window of i2pd can carry, were nothing ever lost.
  expect(lossy).toBeGreaterThan((256 * 1440) / 100)
})

test('a window of messages after silence leaves in bursts, not at once', () => {
  const { net, alice, wire } = pair({ delay: 100 })
  net.runFor(500)
  wire.length = 0
  alice.session.output.push(message(1, 60_000, net.now), 'own', net.now)
  alice.turn()
  net.runFor(0)
  expect(wire.length).toBeLessThanOrEqual(17)
})
