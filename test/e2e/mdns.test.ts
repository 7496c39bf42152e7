/**
 * Discovery on real links: network namespaces on a bridge, with link-local IPv6 addresses and nothing else. The drivers and the
 * neighbourhood run as processes of their own, without a router. Needs root, ip and tcpdump, and fails without them.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LAB_INTERFACE, Lab } from '../../src/node/demo/lab.ts'
import { ipv6, mdns, readFrames } from './pcap.ts'

interface Line {
  readonly what: string
  readonly at: number
  readonly link?: string
}

class Process {
  readonly lines: Line[] = []
  readonly child: ChildProcess

  constructor(lab: Lab, index: number, script: string, secret: string) {
    this.child = lab.spawn(index, [process.execPath, script, secret], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.lines.push(JSON.parse(line)))
  }

  /** The first `what` after `since`; how many ms after it. */
  async waitFor(what: string, since: number, ms: number): Promise<number> {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) {
      const line = this.lines.find((l) => l.what === what && l.at >= since)
      if (line !== undefined) return line.at - since
    }
    throw new Error(`no "${what}" within ${ms} ms; heard ${JSON.stringify(this.lines.slice(-20))}`)
  }

  count(what: string): number {
    return this.lines.filter((l) => l.what === what).length
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return
    const exited = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.kill('SIGTERM')
    await exited
  }
}

const dir = mkdtempSync(join(tmpdir(), 'ramsons-mdns-'))
const script = join(dir, 'mdns-process.cjs')

beforeAll(async () => {
  // Bundled as the program is: how a CommonJS package's exports are found differs between bundle and sources.
  const entryPoints = ['test/e2e/mdns-process.ts']
  await build({
    entryPoints,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: script,
    external: ['sodium-native'],
    define: { 'import.meta.url': '"file:///none"' },
  })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('two machines that have only fe80 addresses', () => {
  const secret = 'alpha beta gamma'
  let lab: Lab
  let capture: ChildProcess
  let a: Process
  let b: Process
  const pcap = join(dir, 'link.pcap')

  beforeAll(async () => {
    lab = Lab.open(3)
    capture = spawn('ip', ['netns', 'exec', lab.hub, 'tcpdump', '-i', 'br0', '-U', '-s', '0', '-w', pcap], {
      stdio: 'ignore',
    })
    await sleep(500)
    a = new Process(lab, 0, script, secret)
    b = new Process(lab, 1, script, secret)
  })
  afterAll(async () => {
    await Promise.all([a?.stop(), b?.stop()])
    capture?.kill()
    lab?.close()
  })

  test('find each other within 5 s of a usable address', async () => {
    await Promise.all([a.waitFor('join', 0, 10_000), b.waitFor('join', 0, 10_000)])
    const usable = Math.max(...[a, b].map((p) => p.lines.find((l) => l.what === 'join')!.at))
    const took = await Promise.all([
      a.waitFor('neighbour', usable, 10_000),
      b.waitFor('neighbour', usable, 10_000),
    ])
    console.log(`found ${Math.max(...took)} ms after both had an address`)
    expect(Math.max(...took)).toBeLessThan(5_000)
  })

  test('an interface that is deleted and made again, and one that goes down and up', async () => {
    let since = Date.now()
    lab.disconnect(0)
    await a.waitFor('leave', since, 5_000)
    since = Date.now()
    lab.connect(0)
    const joined = since + (await a.waitFor('join', since, 10_000))
    expect(await a.waitFor('neighbour', joined, 10_000)).toBeLessThan(5_000)
    since = Date.now()
    execFileSync('ip', ['-n', lab.namespace(1), 'link', 'set', LAB_INTERFACE, 'down'])
    await b.waitFor('leave', since, 5_000)
    execFileSync('ip', ['-n', lab.namespace(1), 'link', 'set', LAB_INTERFACE, 'up'])
    const again = since + (await b.waitFor('join', since, 10_000))
    expect(await b.waitFor('neighbour', again, 10_000)).toBeLessThan(5_000)
  })

  test('a machine with another secret is nobody to them', async () => {
    const stranger = new Process(lab, 2, script, 'another')
    const since = Date.now()
    await stranger.waitFor('join', since, 10_000)
    await sleep(6_000)
    expect(stranger.count('neighbour')).toBe(0)
    await stranger.stop()
  })

  test('what was in the air: no host name, no address of anything else, only link-local', async () => {
    await Promise.all([a.stop(), b.stop()])
    await sleep(300)
    capture.kill()
    const packets = ipv6(readFrames(pcap))
    const said = mdns(packets)
    expect(said.length).toBeGreaterThan(8)
    for (const { packet, data } of said) {
      expect(packet.source).toMatch(/^fe80:/)
      expect(packet.destination).toBe('ff02:0000:0000:0000:0000:0000:0000:00fb')
      expect(data.length).toBeLessThan(400)
      expect(data.includes(hostname())).toBe(false)
      const addresses = data.toString('hex').match(/fe80000000000000[0-9a-f]{16}/g) ?? []
      for (const found of addresses) expect(packet.source.replaceAll(':', '')).toBe(found)
    }
    const tcp = packets.filter((p) => p.nextHeader === 6)
    expect(tcp.length).toBeGreaterThan(0)
    for (const p of tcp) expect([p.source.slice(0, 4), p.destination.slice(0, 4)]).toEqual(['fe80', 'fe80'])
  })
})
