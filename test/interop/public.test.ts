/** The public face among real i2pd routers: sites read both ways, large files, and i2pd's own tunnels through us. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FaceStatus } from '../../src/node/status.ts'
import { I2pdNetwork, type I2pdRouter, PORTS } from './i2pd.ts'
import type { I2pdVersion } from './i2pd-program.ts'
import { Ramsons } from './ramsons.ts'
import { startI2pdClient, startI2pdSite } from './site.ts'

const FILE = randomBytes(10_000_000)
const PART = FILE.subarray(0, 500_000)
/** i2pd publishes a new site's lease set up to half a minute after its tunnels are there. */
const RETRY = ['--retry', '20', '--retry-delay', '3', '--retry-all-errors']
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
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

    const publicFace = async (): Promise<FaceStatus> => {
      const face = (await node.status())!.faces.public
      if (!face.enabled) throw new Error('the public face is off')
      return face
    }
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
      expect(sha256(file.stdout)).toBe(sha256(FILE))
    })

    test('10 MB to i2pd', async () => {
      const from = performance.now()
      const file = await node.curl(`http://${ours}/file.bin`, [], proxyOf(network.routers[1]!))
      report('us to i2pd', from)
      expect(sha256(file.stdout)).toBe(sha256(FILE))
    })

    test('tunnels of i2pd run through us and carry data', async () => {
      // Which hops i2pd chooses is chance, so a reader is told to have us as the only hop of its tunnels, both ways.
      const before = await publicFace()
      const reader = startI2pdClient(network, network.routers[1]!, theirs, [before.router])
      // Into a file: what a failed try left there is dropped by the next.
      const read = join(network.dir, 'read.bin')
      await node.curl(`http://${reader}/part.bin`, [...RETRY, '--noproxy', '*', '--output', read])
      expect(sha256(readFileSync(read))).toBe(sha256(PART))
      const { tunnels, bandwidth } = await publicFace()
      const carried = bandwidth.transit_bytes - before.bandwidth.transit_bytes
      console.log(`transit tunnels: ${tunnels.transit}, bytes: ${carried}`)
      expect(tunnels.transit).toBeGreaterThan(0)
      // All of the file, which is far more than builds, lookups and tests of tunnels come to.
      expect(carried).toBeGreaterThanOrEqual(PART.length)
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
