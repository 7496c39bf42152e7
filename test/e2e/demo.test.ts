/** `ramsons demo` as it is run by people: as root, as anyone, and where no namespaces can be had. Needs root, to become anyone. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BUNDLE, until } from './node.ts'

const PAGE_WITHIN_S = 20
/** Debian's nobody and nogroup. */
const NOBODY = { uid: 65534, gid: 65534 }

let dir: string
let bundle: string
/** The demo's temporary folders are made here, so that they can be counted. */
let temporary: string
let running: Demo[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-demos-'))
  chmodSync(dir, 0o755)
  bundle = join(dir, 'ramsons.mjs')
  copyFileSync(BUNDLE, bundle)
  temporary = join(dir, 'tmp')
  mkdirSync(temporary)
  chmodSync(temporary, 0o777)
  running = []
})

afterEach(async () => {
  for (const demo of running) await demo.stop('SIGTERM')
  rmSync(dir, { recursive: true, force: true })
})

class Demo {
  readonly process: ChildProcess
  output = ''
  readonly #ended: Promise<number | null>

  constructor(args: readonly string[], as: { uid?: number; gid?: number } = {}, env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(process.execPath, [bundle, 'demo', ...args], {
      ...as,
      cwd: '/',
      env: { ...process.env, HOME: '/nonexistent', TMPDIR: temporary, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      stream.on('data', (text) => {
        this.output += text
      })
    }
    this.#ended = new Promise((done) => this.process.once('close', done))
    running.push(this)
  }

  ended(): Promise<number | null> {
    return this.#ended
  }

  stop(signal: NodeJS.Signals): Promise<number | null> {
    this.process.kill(signal)
    return this.#ended
  }
}

/** Every stage, and when the page was there. */
function expectStages(output: string, label: RegExp): void {
  const stages = [
    label,
    /all started, each with a fresh identity/,
    /every node has found every other by mDNS/,
    /tunnels are up, of 2 hops each way/,
    /6 machines: weak\./,
    /node 1 serves http:\/\/[a-z2-7]{52}\.b32\.i2p\//,
    /node 6 has read the page, ([\d.]+) s after the last node's start/,
    /^ {2}\[node 6\]( -> node [1-6]){2} +=> {2}(node [1-6] -> ){2}\[node 1\]$/,
  ]
  const lines = output.split('\n')
  let at = 0
  for (const stage of stages) {
    const found = lines.findIndex((line, i) => i >= at && stage.test(line))
    expect(found, `${stage} in\n${output}`).toBeGreaterThanOrEqual(0)
    at = found + 1
  }
  expect(Number(stages[6]!.exec(output)![1])).toBeLessThan(PAGE_WITHIN_S)
}

/** No process, no folder, no namespace of the demo is left. */
async function expectNothingLeft(): Promise<void> {
  await until('the last of its processes to end', 5, async () => processes().length === 0)
  expect(readdirSync(temporary)).toEqual([])
  const names = running.map((demo) => `rms${demo.process.pid}-`)
  const namespaces = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).split('\n')
  expect(namespaces.filter((n) => names.some((name) => n.startsWith(name)))).toEqual([])
}

/** Those that run this test's copy of the program. */
function processes(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(bundle)
    } catch {
      return false // it has just ended
    }
  })
}

const MACHINES = /6 nodes on one link, simulated on one machine, not wireless/
const LOOPBACK =
  /6 nodes on this machine's loopback by IPv4 multicast: not wireless, and not even machines of their own/

describe('reads the page and cleans up', () => {
  test('as root', async () => {
    const demo = new Demo([])
    expect(await demo.ended(), demo.output).toBe(0)
    expectStages(demo.output, MACHINES)
    await expectNothingLeft()
  })

  test('as anyone: in a user namespace', async () => {
    const demo = new Demo([], NOBODY)
    expect(await demo.ended(), demo.output).toBe(0)
    expect(demo.output).toMatch(/^not root: making the machines inside a user namespace\n/)
    expectStages(demo.output, MACHINES)
    await expectNothingLeft()
  })

  test('where no namespaces can be had: on loopback, and says so', async () => {
    // Without the two programs that make them.
    const demo = new Demo([], NOBODY, { PATH: '/nonexistent' })
    expect(await demo.ended(), demo.output).toBe(0)
    expect(demo.output).toMatch(/^no network namespaces can be made here:\n/)
    expectStages(demo.output, LOOPBACK)
    await expectNothingLeft()
  })

  test('with two nodes: says that they are only encrypted', async () => {
    const demo = new Demo(['--nodes', '2', '--loopback'])
    expect(await demo.ended(), demo.output).toBe(0)
    expect(demo.output).toMatch(/tunnels are up, of 0 hops each way\n.*Two machines: encrypted only/)
    await expectNothingLeft()
  })
})

describe('--keep leaves a proxy that this machine can reach, until told to end', () => {
  const kinds = [
    ['as root', [], {}, 'SIGTERM'],
    ['as anyone', [], NOBODY, 'SIGINT'],
    ['on loopback', ['--loopback'], NOBODY, 'SIGHUP'],
  ] as const
  test.each(kinds)('%s', async (_, args, as, signal) => {
    const demo = new Demo([...args, '--keep'], as)
    const running = /Still running\. HTTP proxy of node 6: 127\.0\.0\.1:(\d+); read (http:\S+) through it/
    const { value } = await until('the page', 60, async () => running.exec(demo.output) ?? undefined)
    expect(await fetchThrough(Number(value[1]), value[2]!)).toContain('<h1>It works</h1>')
    expect(await demo.stop(signal), demo.output).toBe(0)
    await expectNothingLeft()
  })
})

test.each([
  ['as root', [], {}],
  ['as anyone', [], NOBODY],
  ['on loopback', ['--loopback'], NOBODY],
] as const)('ended before it is done, %s', async (_, args, as) => {
  const demo = new Demo(args, as)
  await until('the nodes', 20, async () => demo.output.includes('all started'))
  demo.process.kill('SIGINT')
  expect(await demo.stop('SIGINT')).toBe(1)
  await expectNothingLeft()
})

function fetchThrough(port: number, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, path: url, headers: { host: new URL(url).host } },
      (r) => {
        let body = ''
        r.setEncoding('utf8')
        r.on('data', (text: string) => {
          body += text
        })
        r.on('end', () => resolve(body))
      },
    )
    asked.on('error', reject)
    asked.end()
  })
}
