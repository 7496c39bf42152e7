/**
 * What carrying for others costs. Every measured router stands at the same place, the middle of the client's 3-hop tunnels
 * between two i2pd routers, so that each byte of a download passes it once, as a participant's tunnel messages:
 *
 *     i2pd server -> i2pd -> measured router -> i2pd -> i2pd client      (0 hops on the server's side)
 */
import type { I2pdNetwork, I2pdRouter } from '../interop/i2pd.ts'
import {
  b32Of,
  download,
  type Guest,
  hashOf,
  networkOf,
  pause,
  poolOptions,
  say,
  section,
  serverTunnel,
  startGuest,
  startSource,
  until,
} from './network.ts'
import type { Result } from './result.ts'
import { nameOf, SUBJECTS } from './subject.ts'
import { arrived, spent, usage } from './usage.ts'

const RUNS = 3
/** Before those: a router that has just started is not compiled yet. */
const WARM_UP_RUNS = 1
const BYTES = 24_000_000
/** Of the client tunnels; one for each measured router. */
const FIRST_PORT = 9000
/** A tunnel message in an NTCP2 frame of its own: 1028 bytes, I2NP header 9, block header 3, MAC 16, length 2. */
const MESSAGE_BYTES = 1058
const FIRST_STREAM_S = 120
/** Usually under 10 s. A stream of i2pd can stall when one of its tunnels dies: it is tried again, and said. */
const DOWNLOAD_S = 40
const TRIES = 3
/** The network's floodfills must know a router before others can ask for it. */
const SETTLE_S = 10

interface Run {
  readonly mbPerCpuSecond: number
  readonly payloadMbPerCpuSecond: number
  readonly switchesPerMessage: number
}

export async function relay(): Promise<Result[]> {
  const network = await networkOf(7, SUBJECTS.length, 2)
  try {
    const [server, client] = network.routers
    const guests = SUBJECTS.map((subject, guest) =>
      startGuest(network, { subject, guest, transit: true, quantity: 2 }),
    )
    for (const guest of guests) await guest.ready()
    await pause(SETTLE_S)
    await tunnelsThrough(network, guests)
    const runs = guests.map((): Run[] => [])
    for (let run = -WARM_UP_RUNS; run < RUNS; run++) {
      for (const [i, guest] of guests.entries()) {
        const one = await measured(network, client!, guest, i)
        say(`relay: ${nameOf(guest.subject)}: ${one.mbPerCpuSecond.toFixed(1)} MB/CPU-s`)
        if (run >= 0) runs[i]!.push(one)
      }
    }
    network.tunnels(server!, '')
    return guests.flatMap((guest, i) => resultsOf(guest, runs[i]!))
  } finally {
    await network.stop()
  }
}

/** One client tunnel through each measured router; returns when all have carried something. */
async function tunnelsThrough(network: I2pdNetwork, guests: readonly Guest[]): Promise<void> {
  const [server, client, before, after] = network.routers
  startSource(network, server!.address, BYTES)
  network.tunnels(server!, serverTunnel('relayed', server!.address, poolOptions(0, 1)))
  const destination = await b32Of(network, server!, 'relayed')
  const sections = guests.map((guest, i) => {
    const path = [hashOf(before!), guest.hash(), hashOf(after!)]
    return section(`through${i}`, {
      type: 'client',
      address: client!.address,
      port: FIRST_PORT + i,
      destination,
      keys: `transient-through${i}`,
      ...poolOptions(3, 2),
      explicitPeers: path.join(','),
    })
  })
  network.tunnels(client!, sections.join('\n'))
  for (const [i, guest] of guests.entries()) {
    const name = nameOf(guest.subject)
    await until(`relay: no stream through ${name}`, FIRST_STREAM_S, async () => {
      await download(network, url(client!, i, ''), ['--max-time', '10'])
      return true
    })
    say(`relay: ${name} carries ${await guest.transitTunnels()} tunnels`)
  }
}

async function measured(network: I2pdNetwork, client: I2pdRouter, guest: Guest, i: number): Promise<Run> {
  for (let tries = 1; ; tries++) {
    try {
      return await measure(network, client, guest, i)
    } catch (e) {
      if (tries === TRIES) throw e
      say(`relay: ${nameOf(guest.subject)}: again after ${(e as Error).message}`)
    }
  }
}

async function measure(network: I2pdNetwork, client: I2pdRouter, guest: Guest, i: number): Promise<Run> {
  const from = usage(guest.pid)
  const before = arrived(network.namespace, guest.address)
  const { bytes } = await download(network, url(client, i, 'file'), ['--max-time', String(DOWNLOAD_S)])
  const carried = arrived(network.namespace, guest.address).bytes - before.bytes
  if (carried < bytes) throw new Error(`${nameOf(guest.subject)} carried ${carried} of ${bytes} bytes`)
  const { cpuSeconds, voluntarySwitches } = spent(from, usage(guest.pid))
  return {
    mbPerCpuSecond: carried / 1e6 / cpuSeconds,
    payloadMbPerCpuSecond: bytes / 1e6 / cpuSeconds,
    switchesPerMessage: voluntarySwitches / (carried / MESSAGE_BYTES),
  }
}

function resultsOf(guest: Guest, runs: readonly Run[]): Result[] {
  const { who, variant } = guest.subject
  const common = { figure: 'relay', who, variant }
  const ours = who === 'ramsons'
  return [
    {
      ...common,
      what: 'tunnel data relayed, NTCP2',
      unit: 'MB/CPU-s',
      runs: runs.map((r) => r.mbPerCpuSecond),
      ...(ours ? { goal: { ofI2pd: 0.5 } } : {}),
    },
    {
      ...common,
      what: 'payload relayed, NTCP2',
      unit: 'MB/CPU-s',
      runs: runs.map((r) => r.payloadMbPerCpuSecond),
    },
    {
      ...common,
      what: 'voluntary switches per message received, under load',
      unit: '',
      runs: runs.map((r) => r.switchesPerMessage),
      ...(ours ? { goal: { atMost: 1.5 } } : {}),
    },
  ]
}

function url(client: I2pdRouter, i: number, path: string): string {
  return `http://${client.address}:${FIRST_PORT + i}/${path}`
}
