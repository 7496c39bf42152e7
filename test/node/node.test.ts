import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/node/config/config.ts'
import { DataFolder } from '../../src/node/data-folder.ts'
import { ProcessLog } from '../../src/node/log.ts'
import { RunningNode } from '../../src/node/node.ts'

/** A node that touches no network: nothing is announced, and any port will do. */
const QUIET = [
  'mesh.announce=off',
  'mesh.secret=open',
  'mesh.http_proxy.port=0',
  'public.http_proxy.port=0',
  'public.hidden=true',
  'public.enabled=true',
  'public.net_id=99',
  'power.profile=mains',
]
const config = (...sets: string[]) => readConfig('', [...QUIET, ...sets]).config

let dir: string
let lines: string[]
let node: RunningNode

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-node-'))
  lines = []
  const log = new ProcessLog('debug', { write: (line) => void lines.push(line) })
  const folder = new DataFolder(dir, log)
  folder.make()
  writeFileSync(join(dir, 'site', 'index.html'), 'home')
  node = await RunningNode.start({ config: config(), given: new Set(), folder, log })
})

afterEach(async () => {
  await node.close()
  rmSync(dir, { recursive: true, force: true })
})

const sites = (): string[] => node.status().destinations.flatMap((d) => (d.kind === 'server' ? [d.b32] : []))

describe('a configuration that is read again', () => {
  it('takes the site down and up, at the same address', () => {
    const [address] = sites()
    expect(address).toBeDefined()
    expect(node.reload(config('site.enabled=false'))).toEqual([])
    expect(sites()).toEqual([])
    node.reload(config('site.enabled=true'))
    node.reload(config())
    expect(sites()).toEqual([address])
  })

  it('changes where neighbours are looked for, and what the battery may not touch', () => {
    node.reload(config('mesh.announce=listen', 'mesh.interfaces=["none0"]'))
    expect(node.status().waiting_for).toContain('neighbours')
    expect(
      node.reload(config('power.pin.tunnels=1', 'power.pin.transit=false', 'limits.transit_bps=8000')),
    ).toEqual([])
  })

  it('says what waits for the next start', () => {
    expect(node.reload(config('mesh.length=1', 'node.log=debug', 'site.title=x'))).toEqual([
      'mesh.length',
      'site.title',
    ])
  })
})

describe('the log of a node at info and above', () => {
  it('names nobody', () => {
    const { faces, destinations } = node.status()
    const names = destinations.map((d) => d.b32.slice(0, 52))
    for (const face of [faces.mesh, faces.public]) if (face.enabled) names.push(face.router)
    expect(names.length).toBe(5)
    expect(lines.join()).toContain('site is up')
    for (const line of lines.filter((l) => !/^(debug|trace) /.test(l))) {
      for (const name of names) expect(line).not.toContain(name)
      expect(line).not.toMatch(/\d+\.\d+\.\d+\.\d+|fe80|[a-z2-7]{52}/)
    }
  })
})
