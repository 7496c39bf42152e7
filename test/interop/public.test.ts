/** The public face among real i2pd routers: sites read both ways, large files, and i2pd's own tunnels through us. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { I2pdNetwork, type I2pdRouter, PORTS } from './i2pd.ts'
import type { I2pdVersion } from './i2pd-program.ts'
import { Ramsons } from './ramsons.ts'
import { startI2pdSite } from './site.ts'

const FILE = randomBytes(10_000_000)
const PART = FILE.subarray(0, 500_000)
/** More than builds, lookups and tests of tunnels come to. */
const CARRIED = 300_000
/** i2pd publishes a new site's lease set up to half a minute after its tunnels are there. */
const RETRY = ['--retry', '20', '--retry-delay', '3', '--retry-all-errors']
const SHA256 = createHash('sha256').update(FILE).digest('hex')
const PAGE = '<!doctype html><title>page</title>\n'

function among(version: I2pdVersion): void {
  describe(`among i2pd ${version}`, () => {
    let network: I2pdNetwork
    let node: Ramsons
    let ours: string
    let theirs: string
    let host: I2pdRouter

    beforeAll(async () => {
      network = await I2pdNetwork.up({ routers: 7, floodfills: 5, version, guests: 1 })
      // i2pd 2.45.1 misreads a lease set that it holds as a floodfill itself: its users here are no floodfills.
      host = network.routers[0]!
      const root = join(network.dir, 'www')
      mkdirSync(root)
      writeFileSync(join(root, 'index.html'), PAGE)
      writeFileSync(join(root, 'file.bin'), FILE)
      writeFileSync(join(root, 'part.bin'), PART)
      node = new Ramsons({ network })
      node.publish('index.html', PAGE)
      node.publish('file.bin', FILE)
      theirs = await startI2pdSite(network, host, root)
      const { seconds, b32 } = await node.ready(60)
      ours = b32
      console.log(`ready after ${seconds.toFixed(1)} s`)
    })
    afterAll(async () => {
      await node?.stop()
      await network?.stop()
    })

    const proxyOf = (router: I2pdRouter): string => `${router.address}:${PORTS.httpProxy}`

    test('a site on i2pd is read through our proxy', async () => {
      const page = await node.curl(`http://${theirs}/`, RETRY)
      expect(page.stdout.toString()).toBe(PAGE)
    })

    test('our site is read through the proxy of i2pd', async () => {
      const page = await node.curl(`http://${ours}/`, RETRY, proxyOf(network.routers[1]!))
      expect(page.stdout.toString()).toBe(PAGE)
    })

    test('10 MB from i2pd', async () => {
      const from = performance.now()
      const file = await node.curl(`http://${theirs}/file.bin`)
      report('i2pd to us', from)
      expect(createHash('sha256').update(file.stdout).digest('hex')).toBe(SHA256)
    })

    test('10 MB to i2pd', async () => {
      const from = performance.now()
      const file = await node.curl(`http://${ours}/file.bin`, [], proxyOf(network.routers[1]!))
      report('us to i2pd', from)
      expect(createHash('sha256').update(file.stdout).digest('hex')).toBe(SHA256)
    })

    test('tunnels of i2pd run through us and carry data', async () => {
      // Which hops i2pd chooses is chance: one router after another reads, until some of their tunnels have crossed us.
      const carried = async (): Promise<number> => {
        const face = (await node.status())!.faces.public
        return face.enabled ? face.bandwidth.transit_bytes : 0
      }
      const before = await carried()
      for (let i = 0; i < 3 * network.routers.length && (await carried()) < before + CARRIED; i++) {
        const reader = network.routers[1 + (i % (network.routers.length - 1))]!
        await node.curl(`http://${theirs}/part.bin`, ['--max-time', '20'], proxyOf(reader))
      }
      const status = await node.status()
      const face = status!.faces.public
      if (!face.enabled) throw new Error('the public face is off')
      const { transit_bytes } = face.bandwidth
      console.log(`transit tunnels: ${face.tunnels.transit}, bytes: ${transit_bytes - before}`)
      expect(face.tunnels.transit).toBeGreaterThan(0)
      expect(transit_bytes).toBeGreaterThanOrEqual(before + CARRIED)
    })

    test('nothing was logged as an error', () => {
      expect(node.log.split('\n').filter((line) => /\berror\b/.test(line.slice(0, 40)))).toEqual([])
    })
  })
}

function report(what: string, from: number): void {
  const seconds = (performance.now() - from) / 1000
  console.log(`${what}: 10 MB in ${seconds.toFixed(1)} s, ${(10 / seconds).toFixed(2)} MB/s`)
}

among('2.45.1')
among('sid')
