/** SSU2 alone: the public face among i2pd routers that have nothing else, read both ways. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { I2pdNetwork, PORTS } from './i2pd.ts'
import type { I2pdVersion } from './i2pd-program.ts'
import { Ramsons } from './ramsons.ts'
import { startI2pdSite } from './site.ts'

const SSU2_ONLY = { 'ntcp2.enabled': 'false', 'ntcp2.published': 'false' }
const FILE = randomBytes(10_000_000)
const RETRY = ['--retry', '20', '--retry-delay', '3', '--retry-all-errors']
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const PAGE = '<!doctype html><title>page</title>\n'

function among(version: I2pdVersion): void {
  describe(`among i2pd ${version} over SSU2 only`, () => {
    let network: I2pdNetwork
    let node: Ramsons
    let ours: string
    let theirs: string

    beforeAll(async () => {
      network = await I2pdNetwork.up({
        routers: 6,
        floodfills: 5,
        version,
        guests: 1,
        settings: SSU2_ONLY,
      })
      const root = join(network.dir, 'www')
      mkdirSync(root)
      writeFileSync(join(root, 'index.html'), PAGE)
      writeFileSync(join(root, 'file.bin'), FILE)
      node = new Ramsons({ network })
      node.publish('index.html', PAGE)
      node.publish('file.bin', FILE)
      theirs = await startI2pdSite(network, network.routers[0]!, root)
      const { seconds, b32 } = await node.ready(60)
      ours = b32
      console.log(`ready after ${seconds.toFixed(1)} s`)
    })
    afterAll(async () => {
      await node?.stop()
      await network?.stop()
    })

    const theirProxy = (): string => `${network.routers[1]!.address}:${PORTS.httpProxy}`

    test('sites are read both ways', async () => {
      const there = await node.curl(`http://${theirs}/`, RETRY)
      expect(there.stdout.toString()).toBe(PAGE)
      const here = await node.curl(`http://${ours}/`, RETRY, theirProxy())
      expect(here.stdout.toString()).toBe(PAGE)
    })

    test('10 MB both ways', async () => {
      for (const [what, url, proxy] of [
        ['i2pd to us', theirs, undefined],
        ['us to i2pd', ours, theirProxy()],
      ] as const) {
        const from = performance.now()
        const file = await node.curl(`http://${url}/file.bin`, [], proxy)
        const seconds = (performance.now() - from) / 1000
        console.log(`${what}: 10 MB in ${seconds.toFixed(1)} s`)
        expect(sha256(file.stdout)).toBe(sha256(FILE))
      }
    })

    test('every session was SSU2, and nothing was logged as an error', async () => {
      const face = (await node.status())!.faces.public
      if (!face.enabled) throw new Error('the public face is off')
      console.log(
        face.peers
          .map((p) => `${p.transport} ${p.rtt_ms} ms, ${p.packets_lost} of ${p.packets_sent} lost`)
          .join('\n'),
      )
      expect(face.peers.length).toBeGreaterThan(0)
      expect(face.peers.filter((p) => p.transport !== 'ssu2')).toEqual([])
      expect(node.log.split('\n').filter((line) => /\berror\b/.test(line.slice(0, 40)))).toEqual([])
    })
  })
}

/** `SSU2_I2PD=2.45.1,sid` for the older one too: its first page may take two minutes, for i2pd's own reasons. */
for (const version of (process.env['SSU2_I2PD'] ?? 'sid').split(',')) among(version as I2pdVersion)
