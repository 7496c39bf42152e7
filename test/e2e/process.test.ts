/** The program as a user starts, stops, breaks and misuses it. Needs root: its network is a namespace of its own, with no way out. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { BUNDLE, until } from './node.ts'

const NAMESPACE = `rmsp${process.pid}`
const FAST_START_MS = 300

let dir: string
let bundle: string
let running: ChildProcess[]

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', NAMESPACE])
  execFileSync('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up'])
})

afterAll(() => execFileSync('ip', ['netns', 'del', NAMESPACE]))

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-process-'))
  // Alone, as on a machine that has nothing but Node.
  bundle = join(dir, 'ramsons.mjs')
  copyFileSync(BUNDLE, bundle)
  running = []
})

afterEach(async () => {
  for (const child of running) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  rmSync(dir, { recursive: true, force: true })
})

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function ramsons(...args: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(
    'ip',
    ['netns', 'exec', NAMESPACE, process.execPath, bundle, ...args],
    {
      encoding: 'utf8',
      env: { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir },
      timeout: 30_000,
      killSignal: 'SIGKILL',
    },
  )
  return { status, stdout, stderr }
}

class RunningNode {
  readonly data: string
  readonly child: ChildProcess
  log = ''

  constructor(data: string, ...args: string[]) {
    this.data = data
    const argv = ['netns', 'exec', NAMESPACE, process.execPath, bundle, 'run', '--data', data, ...args]
    this.child = spawn('ip', argv, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, HOME: dir },
    })
    running.push(this.child)
    this.child.stderr!.setEncoding('utf8')
    this.child.stderr!.on('data', (text: string) => {
      this.log += text
    })
  }

  status(): { services: Record<string, string>; faces: { mesh: { router: string } } } | undefined {
    const { status, stdout } = ramsons('status', '--json', '--data', this.data)
    return status === 0 ? JSON.parse(stdout) : undefined
  }

  async up(): Promise<this> {
    await until('a node that answers', 20, async () => {
      if (this.child.exitCode !== null) throw new Error(`it has ended: ${this.log}`)
      return this.status() !== undefined
    })
    return this
  }

  async says(what: RegExp): Promise<void> {
    await until(`a log line like ${what}`, 20, async () => what.test(this.log))
  }

  /** Its exit status, or the signal that ended it. */
  async end(signal: NodeJS.Signals): Promise<number | string | null> {
    if (this.child.exitCode !== null) throw new Error(`it had ended by itself: ${this.log}`)
    this.child.kill(signal)
    const [status, by] = (await once(this.child, 'exit')) as [number | null, string | null]
    return status ?? by
  }
}

const oneLine = (text: string): string => {
  expect(text.trimEnd()).not.toContain('\n')
  return text.trimEnd()
}

describe('the file', () => {
  it('runs alone, is small and starts fast', () => {
    expect(statSync(bundle).size).toBeLessThan(1.5e6)
    const times: number[] = []
    for (let i = 0; i < 9; i++) {
      const from = performance.now()
      const { status, stdout } = spawnSync(process.execPath, [bundle, 'version'], { encoding: 'utf8' })
      times.push(performance.now() - from)
      expect([status, stdout]).toEqual([0, 'ramsons 0.1.0\n'])
    }
    // The least of them: what else the machine does only adds.
    const least = Math.min(...times)
    console.log(`ramsons version: ${least.toFixed(0)} ms, ${(statSync(bundle).size / 1e6).toFixed(2)} MB`)
    expect(least).toBeLessThan(FAST_START_MS)
  })

  it('carries the notices of everything in it', () => {
    const text = readFileSync(bundle, 'utf8')
    for (const name of ['smol-toml', 'send', 'fflate', 'bonjour-service', 'multicast-dns', 'mime-db', 'uqr'])
      expect(text, name).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\((MIT|BSD-3-Clause|ISC)\\)$`, 'm'))
    expect(text).not.toMatch(/\/(root|home|work)\//)
  })

  it.each(['18.19.1', '20.18.3', '12.22.12'])('says on Node %s which one it needs', (version) => {
    const fake = join(dir, 'fake.cjs')
    writeFileSync(fake, `Object.defineProperty(process.versions, 'node', { value: '${version}' })`)
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-r', fake, bundle, 'run'], {
      encoding: 'utf8',
    })
    expect([status, stdout, stderr]).toEqual([
      2,
      '',
      `ramsons needs Node.js 20.19 or newer; this is ${version}\n`,
    ])
  })
})

describe('a mistake', () => {
  it.each([
    [
      ['run', '--set', 'mesh.lenght=2'],
      'ramsons run: --set: mesh.lenght: unknown key; did you mean mesh.length?',
    ],
    [['run', '--config', '/nowhere.toml'], 'ramsons run: /nowhere.toml: no such file or folder'],
    [['run', '--set', 'mesh.secret=password'], /^ramsons run: mesh\.secret = .*six generated words/],
    [['run', '--what'], "ramsons run: Unknown option '--what'"],
    [['demo', '--nodes', '1'], 'ramsons demo: --nodes = "1": must be a whole number from 2 to 30'],
  ])('in %j is one line, and status 2', (args, line) => {
    const { status, stderr } = ramsons(...args, ...(args[0] === 'run' ? ['--data', join(dir, 'data')] : []))
    expect(status).toBe(2)
    expect(oneLine(stderr)).toMatch(line)
    expect(stderr).not.toContain('password')
  })

  it('in a file names every line, and starts nothing', () => {
    const file = join(dir, 'ramsons.toml')
    writeFileSync(file, '[mesh]\nlength = 99\n[pubic]\nenabled = true\n')
    const { status, stderr } = ramsons('run', '--config', file, '--data', join(dir, 'data'))
    expect(status).toBe(2)
    expect(stderr).toContain(`${file}:2: mesh.length = 99: must be`)
    expect(stderr).toContain(`${file}:3: pubic: unknown key`)
    expect(existsSync(join(dir, 'data'))).toBe(false)
  })

  it('is not made by the example', () => {
    const file = join(dir, 'example.toml')
    writeFileSync(file, ramsons('config', 'example').stdout)
    expect(ramsons('config', 'check', file)).toMatchObject({ status: 0, stdout: `${file}: good\n` })
  })

  it('in the command is the usage', () => {
    expect(ramsons('sing')).toMatchObject({ status: 2, stdout: '' })
    expect(ramsons('help')).toMatchObject({ status: 0, stderr: '' })
  })
})

describe('a node', { timeout: 60_000 }, () => {
  it('keeps its folder to itself, stops when told, and leaves nothing that runs', async () => {
    const data = join(dir, 'data')
    const node = await new RunningNode(data).up()
    const second = ramsons('run', '--data', data)
    expect(second.status).toBe(1)
    expect(oneLine(second.stderr)).toMatch(/^ramsons run: .*data is in use by another node \(process \d+\)$/)
    expect(node.status()).toBeDefined()
    for (const name of ['mesh/router.keys', 'mesh/secret'])
      expect(statSync(join(data, name)).mode & 0o077, name).toBe(0)
    expect(await node.end('SIGTERM')).toBe(0)
    expect(readdirSync(data).sort()).toEqual(['destinations', 'mesh', 'public', 'site'])
    expect(ramsons('status', '--data', data).status).toBe(1)
    expect(node.log).not.toMatch(/ (warn|error) /)
  })

  it('is itself again after kill -9', async () => {
    const data = join(dir, 'data')
    const first = await new RunningNode(data).up()
    const { router } = first.status()!.faces.mesh
    expect(await first.end('SIGKILL')).toBe('SIGKILL')
    const second = await new RunningNode(data).up()
    expect(second.status()!.faces.mesh.router).toBe(router)
    expect(await second.end('SIGINT')).toBe(0)
  })

  it('sets a damaged netDb aside, says so, and starts', async () => {
    const data = join(dir, 'data')
    mkdirSync(join(data, 'mesh'), { recursive: true })
    writeFileSync(join(data, 'mesh', 'netdb'), 'this is no netDb')
    const node = await new RunningNode(data).up()
    await node.says(/warn .*netdb: not a journal; set aside as .*netdb\.damaged, 0 records kept\n/)
    expect(readFileSync(join(data, 'mesh', 'netdb.damaged'), 'utf8')).toBe('this is no netDb')
    expect(await node.end('SIGTERM')).toBe(0)
  })

  it('takes the next port for a default, and names the key of a chosen one', async () => {
    const first = await new RunningNode(join(dir, 'one')).up()
    expect(first.status()!.services['mesh.http_proxy']).toBe('127.0.0.1:5444')
    const second = await new RunningNode(join(dir, 'two')).up()
    expect(second.status()!.services['mesh.http_proxy']).toBe('127.0.0.1:5445')
    await second.says(/port 5444 is in use, listening on 5445/)
    const third = ramsons('run', '--data', join(dir, 'three'), '--set', 'mesh.http_proxy.port=5444')
    expect(third.status).toBe(1)
    expect(third.stderr).toContain(
      'ramsons run: port 5444 (mesh.http_proxy.port) is in use by another program\n',
    )
    expect(await first.end('SIGTERM')).toBe(0)
    expect(await second.end('SIGTERM')).toBe(0)
  })

  it('reads its configuration again, and keeps the old one when the new one is wrong', async () => {
    const file = join(dir, 'ramsons.toml')
    writeFileSync(file, 'node.log = "info"\n')
    const node = await new RunningNode(join(dir, 'data'), '--config', file).up()
    writeFileSync(file, 'node.log = "loud"\n')
    node.child.kill('SIGHUP')
    await node.says(/warn {2}configuration not read again: .*node\.log = "loud"/)
    writeFileSync(file, 'node.log = "debug"\n')
    node.child.kill('SIGHUP')
    await node.says(/info {2}configuration read again/)
    expect(node.status()).toBeDefined()
    expect(await node.end('SIGTERM')).toBe(0)
  })

  it('goes on when the disk is full, with a warning, and loses nothing', async () => {
    const data = join(dir, 'data')
    mkdirSync(data)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', data])
    try {
      const node = await new RunningNode(data).up()
      const { router } = node.status()!.faces.mesh
      expect(await node.end('SIGTERM')).toBe(0)
      const before = readFileSync(join(data, 'mesh', 'router.keys'))
      spawnSync('dd', ['if=/dev/zero', `of=${join(data, 'filler')}`, 'bs=4k'], { stdio: 'ignore' })
      const full = await new RunningNode(data).up()
      expect(full.status()!.faces.mesh.router).toBe(router)
      await full.says(/warn .*: the disk is full\n/)
      expect(await full.end('SIGTERM')).toBe(0)
      expect(readFileSync(join(data, 'mesh', 'router.keys'))).toEqual(before)
      rmSync(join(data, 'filler'))
      const again = await new RunningNode(data).up()
      expect(again.status()!.faces.mesh.router).toBe(router)
      expect(await again.end('SIGTERM')).toBe(0)
    } finally {
      execFileSync('umount', [data])
    }
  })

  it('is someone else after panic', async () => {
    const data = join(dir, 'data')
    const node = await new RunningNode(data).up()
    const { router } = node.status()!.faces.mesh
    const secret = readFileSync(join(data, 'mesh', 'secret'), 'utf8')
    const ended = once(node.child, 'exit')
    const { status, stdout } = ramsons('mesh', 'panic', '--data', data)
    expect([status, stdout]).toEqual([
      0,
      'The node is stopped; its identity and site address on the mesh are gone. The next start makes others.\n',
    ])
    expect((await ended)[0]).toBe(0)
    const next = await new RunningNode(data).up()
    expect(next.status()!.faces.mesh.router).not.toBe(router)
    expect(readFileSync(join(data, 'mesh', 'secret'), 'utf8')).toBe(secret)
    expect(await next.end('SIGTERM')).toBe(0)
  })
})
