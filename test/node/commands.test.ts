import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { config } from '../../src/node/commands/config.ts'
import { demo } from '../../src/node/commands/demo.ts'
import { keys } from '../../src/node/commands/keys.ts'
import { mesh } from '../../src/node/commands/mesh.ts'
import { loadConfig } from '../../src/node/commands/options.ts'
import { status } from '../../src/node/commands/status.ts'
import { startControl } from '../../src/node/control.ts'
import { DataFolder } from '../../src/node/data-folder.ts'
import { ProcessLog } from '../../src/node/log.ts'
import { readPrivateKeys } from '../../src/protocol/structures/private-keys.ts'

let dir: string
let out: string[]
let err: string[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-commands-'))
  out = []
  err = []
  vi.stubEnv('HOME', dir)
  vi.stubEnv('XDG_CONFIG_HOME', join(dir, 'config'))
  vi.spyOn(console, 'log').mockImplementation((line: string) => void out.push(line))
  vi.spyOn(console, 'error').mockImplementation((line: string) => void err.push(line))
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  rmSync(dir, { recursive: true, force: true })
})

const folder = (): DataFolder => new DataFolder(join(dir, 'data'), new ProcessLog('error'))
const data = (): string[] => ['--data', join(dir, 'data')]

describe('config check', () => {
  it('says every problem and what it comes to', async () => {
    const file = join(dir, 'ramsons.toml')
    writeFileSync(file, '[mesh]\nlenght = 2\nport = -1\n[public]\npq = true\n')
    expect(await config(['check', file])).toBe(2)
    expect(out).toEqual([
      `${file}:2: mesh.lenght: unknown key; did you mean mesh.length?`,
      `${file}:3: mesh.port = -1: must be a port from 1 to 65535, or 0`,
      `${file}:5: warning: public.pq: not in this version, ignored`,
    ])
    writeFileSync(file, '[public]\npq = true\n')
    expect(await config(['check', file])).toBe(0)
    expect(out.at(-1)).toBe(`${file}: good`)
  })

  it('is told what to check', async () => {
    await expect(config(['check'])).rejects.toThrow(/^use: /)
    await expect(config(['check', join(dir, 'none')])).rejects.toThrow(/none: no such file or folder$/)
  })
})

describe('the configuration of a command', () => {
  it('is the file named, else the usual one, with flags over it', () => {
    writeFileSync(join(dir, 'one.toml'), 'mesh.length = 1\nmesh.port = 7')
    const read = loadConfig({ config: join(dir, 'one.toml'), data: '/x "y"', set: ['mesh.length=3'] })
    expect([read.config.mesh.length, read.config.mesh.port, read.config.node.data]).toEqual([3, 7, '/x "y"'])
    expect(loadConfig({}).config.mesh.length).toBe(2)
  })

  it('that is wrong is one error, with every line shown', () => {
    expect(() => loadConfig({ set: ['mesh.a=1', 'mesh.length=99'] })).toThrow('--set: mesh.a: unknown key')
    expect(err).toEqual(['--set: mesh.length = 99: must be a whole number from 0 to 8'])
  })
})

describe('keys', () => {
  it('are made once and shown', async () => {
    const file = join(dir, 'site.dat')
    expect(await keys(['new', file])).toBe(0)
    expect(await keys(['show', file])).toBe(0)
    expect(out[0]).toBe(out[1])
    expect(out[0]).toMatch(/^[a-z2-7]{52}\.b32\.i2p\n[A-Za-z0-9~-]+=*$/)
    readPrivateKeys(readFileSync(file))
    await expect(keys(['new', file])).rejects.toThrow(/exists: keys are not overwritten/)
    writeFileSync(file, 'not keys')
    await expect(keys(['show', file])).rejects.toThrow(/site\.dat: /)
    await expect(keys(['show'])).rejects.toThrow(/^use: /)
  })
})

describe('mesh', () => {
  const words = (): string | undefined => out.find((l) => l.startsWith('words '))?.slice(7)

  it('shows the same secret again, as words, link and picture', async () => {
    expect(await mesh(['show', ...data()])).toBe(0)
    const first = [...out]
    out = []
    expect(await mesh(['qr', ...data()])).toBe(0)
    expect(out.slice(1)).toEqual(first)
    expect(out[0]).toMatch(/[█▀▄]/)
    expect(first[1]).toMatch(/^link {3}ramsons:\/\/ramsons\/[a-z]+(-[a-z]+){5}$/)
  })

  it('is joined by words or link on another machine', async () => {
    await mesh(['new', ...data(), '--set', 'mesh.name=home'])
    const said = words()
    const link = out.find((l) => l.startsWith('link'))?.slice(7)
    for (const invitation of [said!.split(' '), [link!]]) {
      out = []
      await mesh(['join', ...invitation, '--data', join(dir, 'other')])
      expect(words()).toBe(said)
      rmSync(join(dir, 'other'), { recursive: true })
    }
  })

  it('changes identity with the mesh, and on panic, but keeps the secret then', async () => {
    await mesh(['new', ...data()])
    const secret = words()
    writeFileSync(join(dir, 'data', 'mesh', 'router.keys'), 'x')
    for (const name of ['site-mesh-abcdefgh.dat', 'site-public.dat'])
      writeFileSync(join(dir, 'data', 'destinations', name), 'x')
    out = []
    expect(await mesh(['panic', ...data()])).toBe(0)
    expect(readdirSync(join(dir, 'data', 'destinations'))).toEqual(['site-public.dat'])
    expect(existsSync(join(dir, 'data', 'mesh', 'router.keys'))).toBe(false)
    await mesh(['show', ...data()])
    expect(words()).toBe(secret)
    writeFileSync(join(dir, 'data', 'mesh', 'router.keys'), 'x')
    out = []
    await mesh(['new', ...data()])
    expect(words()).not.toBe(secret)
    expect(existsSync(join(dir, 'data', 'mesh', 'router.keys'))).toBe(false)
  })

  it('changes nothing under a running node, and refuses weak secrets', async () => {
    folder().make()
    const unlock = folder().lock()
    await expect(mesh(['new', ...data()])).rejects.toThrow(/in use by another node/)
    unlock()
    await expect(mesh(['join', 'password', ...data()])).rejects.toThrow(/mesh\.secret/)
    await expect(mesh(['join', ...data()])).rejects.toThrow(/^use: /)
    await expect(mesh(['sing', ...data()])).rejects.toThrow(/^use: /)
  })
})

describe('status', () => {
  it('says that no node runs, and leaves no folder behind', async () => {
    expect(await status(data())).toBe(1)
    expect(err[0]).toContain('no node runs on')
    expect(existsSync(join(dir, 'data'))).toBe(false)
  })

  it('prints what the node answers', async () => {
    folder().make()
    const answer = {
      version: '1',
      uptime_s: 5,
      ready: false,
      waiting_for: 'neighbours',
      power: { profile: 'mains', percent: null, source: 'none' },
      faces: { mesh: { enabled: false }, public: { enabled: false } },
      destinations: [],
      services: { 'mesh http proxy': '127.0.0.1:5444' },
    }
    const none = (): null => null
    const server = await startControl(folder().controlSocket, {
      status: () => answer,
      paths: none,
      stop: none,
    })
    expect(await status([...data(), '--json'])).toBe(0)
    expect(JSON.parse(out[0]!)).toEqual(answer)
    expect(await status(data())).toBe(0)
    expect(out[1]).toContain('waiting for neighbours')
    await server.close()
  })
})

describe('demo', () => {
  it('refuses numbers of nodes that make no mesh', async () => {
    for (const nodes of ['1', '31', 'x', '2.5', '']) {
      await expect(demo(['--nodes', nodes])).rejects.toThrow(
        /--nodes = .*: must be a whole number from 2 to 30/,
      )
    }
    await expect(demo(['--what'])).rejects.toThrow(/Unknown option/)
  })
})

describe('the log', () => {
  it('writes its level and above, one line each whatever is in it', () => {
    const lines: string[] = []
    const log = new ProcessLog('info', { write: (line) => void lines.push(line), time: () => new Date(0) })
    log.write('debug', 'no')
    log.write('warn', 'a\nb\x1b[2J\u202e')
    log.level = 'debug'
    log.write('debug', 'x'.repeat(3000))
    expect(lines[0]).toBe('00:00:00 warn  a\\u000ab\\u001b[2J\\u202e\n')
    expect(lines[1]).toHaveLength('00:00:00 debug '.length + 2000 + 4)
    expect(log.enabled('trace')).toBe(false)
  })
})
