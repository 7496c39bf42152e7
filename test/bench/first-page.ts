/** Seconds from the start of a router that knows nothing but a seed to a page of a site that i2pd serves. */
import type { I2pdNetwork } from '../interop/i2pd.ts'
import {
  b32Of,
  download,
  HOPS,
  networkOf,
  pause,
  poolOptions,
  proxyOf,
  say,
  serverTunnel,
  startGuest,
  startSource,
} from './network.ts'
import type { Result } from './result.ts'
import { nameOf, SUBJECTS, type Subject } from './subject.ts'

const RUNS = 3
const QUANTITY = 2
const LIMIT_S = 60
/** Between two requests that failed. */
const RETRY_S = 0.05
/** i2pd publishes the site's lease set some seconds after its tunnels are there. */
const SETTLE_S = 12

export async function firstPage(): Promise<Result[]> {
  const network = await networkOf(8, RUNS * SUBJECTS.length, QUANTITY)
  try {
    const [host] = network.routers
    startSource(network, host!.address, 1)
    network.tunnels(host!, serverTunnel('page', host!.address, poolOptions(HOPS, QUANTITY)))
    const site = await b32Of(network, host!, 'page')
    await pause(SETTLE_S)
    const runs = SUBJECTS.map((): number[] => [])
    for (let run = 0; run < RUNS; run++) {
      for (const [i, subject] of SUBJECTS.entries()) {
        const seconds = await measure(network, subject, run * SUBJECTS.length + i, site)
        say(`first: ${nameOf(subject)}: ${seconds.toFixed(2)} s`)
        runs[i]!.push(seconds)
      }
    }
    return SUBJECTS.map((subject, i) => resultOf(subject, runs[i]!))
  } finally {
    await network.stop()
  }
}

async function measure(network: I2pdNetwork, subject: Subject, guest: number, site: string): Promise<number> {
  const from = performance.now()
  const router = startGuest(network, { subject, guest, transit: true, quantity: QUANTITY })
  try {
    for (;;) {
      const page = download(network, `http://${site}/`, ['--max-time', '20', ...proxyOf(router)])
      const done = await page.then(
        () => true,
        () => false,
      )
      const seconds = (performance.now() - from) / 1000
      if (done) return seconds
      if (seconds > LIMIT_S) throw new Error(`${nameOf(subject)}: no page within ${LIMIT_S} s`)
      await pause(RETRY_S)
    }
  } finally {
    await router.stop()
  }
}

function resultOf({ who, variant }: Subject, runs: readonly number[]): Result {
  const result = {
    figure: 'first',
    what: 'first page in a network of 8, NTCP2',
    unit: 's',
    who,
    variant,
    runs,
  }
  return who === 'ramsons' ? { ...result, goal: { atMost: 4 } } : result
}
