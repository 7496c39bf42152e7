/**
 * Hours in a box: a request every few seconds both ways between our router and i2pd, while tunnels expire and sessions change
 * their keys. No request may fail, and our process may not grow. `SOAK_MINUTES` (5 without it), `SOAK_I2PD` (a version).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { I2pdNetwork, PORTS } from './i2pd.ts'
import type { I2pdVersion } from './i2pd-program.ts'
import { Ramsons } from './ramsons.ts'
import { startI2pdSite } from './site.ts'

const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 5)
const VERSION = (process.env['SOAK_I2PD'] ?? 'sid') as I2pdVersion
/**
 * i2pd's SSU2 loses packets on a busy machine, and i2pd 2.59 gives up a stream whose first packet is lost when another comes
 * through (SYN_TIMEOUT, 200 ms), between two i2pd as well: that would be counted against us.
 */
const NTCP2_ONLY = { 'ssu2.enabled': 'false', 'ssu2.published': 'false' }
const EVERY_MS = 5000
/** A request that takes longer has failed. i2pd gives up a stream it cannot open after this. */
const REQUEST_S = 60
/** Both sites must be known before it counts: i2pd publishes a lease set some seconds after its tunnels are there. */
const FIRST_S = 90
const PAGE = `<!doctype html><title>soak</title>${'.'.repeat(2000)}\n`
/**
 * Flat: the median of the last third of the time is at most this much above that of the second third. V8 moves its heap's
 * size by some MiB from one collection to the next, and a short run is still filling its caches. In 45 minutes, with 360
 * requests in a third, 20 KB that stay behind for each would show.
 */
const GROWTH = 1.05
const GROWTH_MIB = 3

interface Sample {
  readonly way: string
  readonly ms: number
  readonly failure: string | undefined
}

describe(`${MINUTES} minutes among i2pd ${VERSION}`, () => {
  let network: I2pdNetwork
  let node: Ramsons
  let ours: string
  let theirs: string
  let theirProxy: string

  beforeAll(async () => {
    network = await I2pdNetwork.up({ routers: 6, version: VERSION, guests: 1, settings: NTCP2_ONLY })
    const root = join(network.dir, 'www')
    mkdirSync(root)
    writeFileSync(join(root, 'index.html'), PAGE)
    // A busy debug log is no part of what users run.
    node = new Ramsons({ network, set: ['node.log="info"'] })
    node.publish('index.html', PAGE)
    theirs = await startI2pdSite(network, network.routers[0]!, root)
    theirProxy = `${network.routers[1]!.address}:${PORTS.httpProxy}`
    ours = (await node.ready(60)).b32
    for (const way of [toThem, toUs]) {
      const end = performance.now() + FIRST_S * 1000
      while ((await way()).failure !== undefined && performance.now() < end) await pause(1000)
    }
  })
  afterAll(async () => {
    await node?.stop()
    await network?.stop()
  })

  const toThem = (): Promise<Sample> => request('ours to i2pd', theirs, undefined)
  const toUs = (): Promise<Sample> => request('i2pd to ours', ours, theirProxy)

  async function request(way: string, site: string, proxy: string | undefined): Promise<Sample> {
    const from = performance.now()
    const { status, stdout } = await node.curl(`http://${site}/`, ['--max-time', String(REQUEST_S)], proxy)
    const ms = performance.now() - from
    if (status !== 0) return { way, ms, failure: `curl ended with ${status} after ${ms.toFixed(0)} ms` }
    return { way, ms, failure: stdout.toString() === PAGE ? undefined : `${stdout.length} wrong bytes` }
  }

  test(
    'every request is answered and memory stays flat',
    async () => {
      const samples: Sample[] = []
      const rss: number[] = []
      const pending: Promise<void>[] = []
      const start = performance.now()
      for (let tick = 0; tick * EVERY_MS < MINUTES * 60_000; tick++) {
        await pause(start + tick * EVERY_MS - performance.now())
        rss.push(rssMiB(node.pid))
        const at = minutes(start)
        // One that is slow does not hold up the next.
        for (const way of [toThem, toUs]) {
          pending.push(
            way().then((sample) => {
              samples.push(sample)
              if (sample.failure !== undefined) console.log(`minute ${at}: ${sample.way}: ${sample.failure}`)
            }),
          )
        }
      }
      await Promise.all(pending)
      const third = Math.floor(rss.length / 3)
      const second = median(rss.slice(third, 2 * third))
      const last = median(rss.slice(2 * third))
      const failures = samples.filter((s) => s.failure !== undefined)
      const face = (await node.status())?.faces.public
      const builds =
        face?.enabled === true ? ` ${Math.round(100 * face.tunnels.build_success)} % of builds,` : ''
      console.log(
        `soak: ${MINUTES} min among i2pd ${VERSION}: ${samples.length} requests, ${failures.length} failed;` +
          ` ${timesOf(samples, 'ours to i2pd')}; ${timesOf(samples, 'i2pd to ours')};${builds}` +
          ` RSS ${second.toFixed(1)} -> ${last.toFixed(1)} MiB (most ${Math.max(...rss).toFixed(1)})`,
      )
      expect(failures).toEqual([])
      expect(last).toBeLessThanOrEqual(second * GROWTH + GROWTH_MIB)
    },
    MINUTES * 60_000 + 2 * REQUEST_S * 1000,
  )

  test('nothing was logged as an error', () => {
    expect(node.log.split('\n').filter((line) => /\berror\b/.test(line.slice(0, 40)))).toEqual([])
  })
})

function timesOf(samples: readonly Sample[], way: string): string {
  const ms = samples.filter((s) => s.way === way).map((s) => s.ms)
  const p99 = [...ms].sort((a, b) => a - b)[Math.floor(ms.length * 0.99)] ?? Number.NaN
  return `${way}: median ${median(ms).toFixed(0)} ms, p99 ${p99.toFixed(0)}, most ${Math.max(...ms).toFixed(0)}`
}

function rssMiB(pid: number): number {
  const found = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (found === null) throw new Error('our router is gone')
  return Number(found[1]) / 1024
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function minutes(from: number): string {
  return ((performance.now() - from) / 60_000).toFixed(1)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}
