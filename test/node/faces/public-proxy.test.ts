/** A public face that goes out through a proxy: nobody hears of it in another way. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer, connect as netConnect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readConfig } from '../../../src/node/config/config.ts'
import { DataFolder } from '../../../src/node/data-folder.ts'
import { ProcessLog } from '../../../src/node/log.ts'
import { RunningNode } from '../../../src/node/node.ts'
import { closeServers, socksProxy } from '../../host/proxy-servers.ts'

let dir: string
const nodes: RunningNode[] = []
const errors: string[] = []

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-proxy-'))
})
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close()
  closeServers()
  rmSync(dir, { recursive: true, force: true })
  expect(errors.splice(0)).toEqual([])
})

async function start(name: string, ...sets: string[]): Promise<RunningNode> {
  const log = new ProcessLog('debug', {
    write: (line) => void (line.startsWith('error') && errors.push(line)),
  })
  const folder = new DataFolder(join(dir, name), log)
  folder.make()
  const { config, problems } = readConfig('', [
    'mesh.enabled=false',
    'public.enabled=true',
    'public.net_id=99',
    'public.http_proxy.port=0',
    'public.allow_reserved_ranges=true',
    // The target is the only hop there is.
    'public.exploratory.outbound.length=1',
    'power.profile=mains',
    ...sets,
  ])
  expect(problems).toEqual([])
  const node = await RunningNode.start({ config, given: new Set(), folder, log })
  nodes.push(node)
  return node
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = netConnect(port, '127.0.0.1')
    socket.once('connect', () => done(true)).once('error', () => done(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((next) => setTimeout(next, 10))
}

function peers(node: RunningNode): number {
  const face = node.status().faces.public
  return face.enabled ? face.peers.length : 0
}

test('dials through it only, and listens for nobody unless told where it is to be found', async () => {
  const proxy = await socksProxy('me:secret')
  const [port, port2, port3] = [await freePort(), await freePort(), await freePort()]
  const target = await start('target', 'public.host=127.0.0.1', `public.port=${port}`)
  const seeds = join(dir, 'seeds')
  mkdirSync(seeds)
  const routerInfo = join(dir, 'target/public/router.info')
  await until(() => existsSync(routerInfo))
  copyFileSync(routerInfo, join(seeds, 'target.router.info'))

  const url = `public.ntcp2.proxy=socks://me:secret@127.0.0.1:${proxy.port}`
  const node = await start('behind', url, `public.port=${port2}`, `public.reseed.file=${seeds}`)
  await until(() => peers(node) === 1 && peers(target) === 1)
  expect(proxy.asked).toEqual([`127.0.0.1 ${port}`])
  expect(await answers(port)).toBe(true)
  expect(await answers(port2)).toBe(false)

  await start('both', url, `public.port=${port3}`, 'public.host=127.0.0.1')
  expect(await answers(port3)).toBe(true)
})
