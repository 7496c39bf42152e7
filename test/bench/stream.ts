/** How fast one stream is: the same program at both ends, 2 hops on each side, i2pd routers as the relays. */
import type { I2pdNetwork } from '../interop/i2pd.ts'
import { download, type Guest, networkOf, pause, proxyOf, say, startGuest, until } from './network.ts'
import type { Result } from './result.ts'
import { nameOf, SUBJECTS, type Subject } from './subject.ts'
import { spent, usage } from './usage.ts'

const RUNS = 3
/** Before those: a router that has just started is not compiled yet. */
const WARM_UP_RUNS = 1
const BYTES = 16_000_000
const QUANTITY = 2
const FIRST_STREAM_S = 120
const DOWNLOAD_S = 90
/** A lease set of i2pd is published some seconds after its tunnels are there. */
const SETTLE_S = 5

interface Pair {
  readonly subject: Subject
  readonly server: Guest
  readonly client: Guest
  readonly site: string
}

interface Run {
  readonly mbPerSecond: number
  readonly mbPerCpuSecond: number
}

export async function stream(): Promise<Result[]> {
  const network = await networkOf(7, 2 * SUBJECTS.length, QUANTITY)
  try {
    const pairs = await Promise.all(SUBJECTS.map((subject, i) => start(network, subject, 2 * i)))
    await pause(SETTLE_S)
    for (const pair of pairs) {
      await until(`stream: none with ${nameOf(pair.subject)}`, FIRST_STREAM_S, async () => {
        await get(network, pair, '', 20)
        return true
      })
    }
    const runs = pairs.map((): Run[] => [])
    for (let run = -WARM_UP_RUNS; run < RUNS; run++) {
      for (const [i, pair] of pairs.entries()) {
        const one = await measure(network, pair)
        say(`stream: ${nameOf(pair.subject)}: ${one.mbPerSecond.toFixed(2)} MB/s`)
        if (run >= 0) runs[i]!.push(one)
      }
    }
    return pairs.flatMap((pair, i) => resultsOf(pair.subject, runs[i]!))
  } finally {
    await network.stop()
  }
}

async function start(network: I2pdNetwork, subject: Subject, guest: number): Promise<Pair> {
  const options = { subject, transit: false, quantity: QUANTITY }
  const server = startGuest(network, { ...options, guest, siteBytes: BYTES })
  const client = startGuest(network, { ...options, guest: guest + 1 })
  const [site] = await Promise.all([server.ready(), client.ready()])
  return { subject, server, client, site: site! }
}

function get(network: I2pdNetwork, { client, site }: Pair, path: string, seconds: number) {
  return download(network, `http://${site}/${path}`, ['--max-time', String(seconds), ...proxyOf(client)])
}

async function measure(network: I2pdNetwork, pair: Pair): Promise<Run> {
  const ends = [pair.server, pair.client]
  const from = ends.map(({ pid }) => usage(pid))
  const { bytes, seconds } = await get(network, pair, 'file', DOWNLOAD_S)
  const cpu = ends.reduce((sum, { pid }, i) => sum + spent(from[i]!, usage(pid)).cpuSeconds, 0)
  return { mbPerSecond: bytes / 1e6 / seconds, mbPerCpuSecond: bytes / 1e6 / cpu }
}

function resultsOf({ who, variant }: Subject, runs: readonly Run[]): Result[] {
  const common = { figure: 'stream', who, variant }
  return [
    {
      ...common,
      what: `one stream, ${BYTES / 1e6} MB, 2 hops each side, NTCP2`,
      unit: 'MB/s',
      runs: runs.map((r) => r.mbPerSecond),
      ...(who === 'ramsons' ? { goal: { ofI2pd: 1 } } : {}),
    },
    {
      ...common,
      what: 'the same, of both ends together',
      unit: 'MB/CPU-s',
      runs: runs.map((r) => r.mbPerCpuSecond),
    },
  ]
}
