import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { I2pdNetwork, type NetworkOptions, PORTS } from './i2pd.ts'
import type { I2pdVersion } from './i2pd-program.ts'

/** The network that the other interop suites stand on. */
function networkOf(name: string, options: NetworkOptions): void {
  describe(name, () => {
    let network: I2pdNetwork
    beforeAll(async () => {
      network = await I2pdNetwork.up(options)
    })
    afterAll(() => network?.stop())

    test('every router has tunnels and knows the others', async () => {
      for (const router of network.routers) {
        const status = await network.status(router)
        console.log(
          `router ${router.index} (${router.floodfill ? 'floodfill' : 'router'}):`,
          JSON.stringify(status),
        )
        expect(status.clientTunnels).toBeGreaterThanOrEqual(4)
        expect(status.routers).toBeGreaterThanOrEqual(network.routers.length - 1)
        expect(status.version).toMatch(/^\d+\.\d+\.\d+/)
        expect(router.routerInfo.netId).toBe(network.netId)
        expect(router.routerInfo.caps.includes('f')).toBe(router.floodfill)
      }
    })

    test('routers relay for one another', async () => {
      let transit = 0
      for (const router of network.routers) transit += (await network.status(router)).transitTunnels
      expect(transit).toBeGreaterThan(0)
    })

    test('seeds hold every router', () => {
      const dir = mkdtempSync(join(tmpdir(), 'ramsons-seeds-'))
      network.seeds(dir)
      const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((path) =>
        path.endsWith('.dat'),
      )
      rmSync(dir, { recursive: true })
      expect(files).toHaveLength(network.routers.length)
    })

    test('programs inside reach a router, and nothing outside', async () => {
      const [router] = network.routers
      const greeting = network.exec([
        process.execPath,
        '-e',
        `const s = require('net').connect({ host: '${router!.address}', port: ${PORTS.sam}, localAddress: '${network.guestIps[0]}' })
         s.write('HELLO VERSION\\n')
         s.on('data', (d) => { process.stdout.write(d); s.end() })`,
      ])
      let said = ''
      greeting.stdout!.on('data', (bytes: Buffer) => {
        said += bytes.toString()
      })
      await new Promise((done) => greeting.once('close', done))
      expect(said).toMatch(/^HELLO REPLY RESULT=OK/)
      await expect(network.fetch('http://192.0.2.1/')).rejects.toThrow()
    })

    test('a new tunnel is taken up from tunnels.conf', async () => {
      const [router] = network.routers
      network.tunnels(
        router!,
        `[smoke]\ntype = server\nhost = ${router!.address}\nport = ${PORTS.console}\nkeys = smoke.dat\n`,
      )
      const end = performance.now() + 20_000
      while (!(await network.page(router!, '?page=i2p_tunnels')).includes('smoke')) {
        if (performance.now() > end) throw new Error('the tunnel is not on the console')
        await new Promise((next) => setTimeout(next, 200))
      }
    })

    test('a stopped router starts again as itself', async () => {
      const router = network.routers.at(-1)!
      await network.stopRouter(router)
      await expect(network.status(router)).rejects.toThrow()
      network.startRouter(router)
      const end = performance.now() + 20_000
      for (;;) {
        const answered = await network.status(router).then(
          () => true,
          () => false,
        )
        if (answered) break
        if (performance.now() > end) throw new Error('the router did not come back')
        await new Promise((next) => setTimeout(next, 200))
      }
      expect(network.routerInfo(router)?.hash).toEqual(router.routerInfo.hash)
    })

    test('stopping leaves nothing behind', async () => {
      await network.stop()
      expect(existsSync(network.dir)).toBe(false)
      expect(existsSync(`/run/netns/${network.namespace}`)).toBe(false)
    })
  })
}

const MIXED: readonly I2pdVersion[] = ['2.45.1', '2.45.1', 'sid', 'sid', 'sid', 'sid', 'sid']

networkOf('six routers of Debian 12', { routers: 6, version: '2.45.1' })
networkOf('six routers of the newest i2pd', { routers: 6, version: 'sid' })
networkOf('both together', { routers: 7, version: MIXED })
