/**
 * The mesh that `ramsons demo` shows: every node a process of its own on a machine of its own (a network namespace), with fresh
 * identities and a secret of their own, finding each other by mDNS alone. The last one reads the site of the first.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemRandom } from '../../crypto/random.ts'
import { newSecret } from '../../mesh/secret.ts'
import { askControl } from '../control.ts'
import type { FaceStatus, NodeStatus, PathStatus } from '../status.ts'
import { canMakeNamespaces, insideUserNamespace, Lab } from './lab.ts'
import { relayInside, relayOutside } from './relay.ts'

// Implementation constants
const POLL_MS = 250
/** Much longer than any stage should take, so that a slow machine is not called broken. */
const STAGE_LIMIT_S = 60
const PROXY_PORT = 5444
const PAGE = `<!doctype html>
<title>A page in the woods</title>
<h1>It works</h1>
<p>This page has crossed a mesh of routers that share a link and nothing else: no internet, no server, no names.</p>
`

export interface DemoOptions {
  readonly nodes: number
  /** Leaves it running when the page was read. */
  readonly keep: boolean
  /** In the process that already is inside a user namespace: where the one outside looks for the proxy's socket. */
  readonly inside: string | undefined
}

/** Resolves to the exit status. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const may = canMakeNamespaces()
  if (may === true) return new Demo(options).run()
  if (options.inside !== undefined) throw new Error(`no network namespaces can be made here: ${may}`)
  return again(options)
}

/** For `demo relay`, which the demo starts inside a namespace. */
export function runRelay(socketPath: string, port: number): Promise<never> {
  return relayInside(socketPath, port)
}

/** Once more, as root of a user namespace of our own. */
async function again(options: DemoOptions): Promise<number> {
  console.log('not root: making the machines inside a user namespace')
  const dir = mkdtempSync(join(tmpdir(), 'ramsons-demo-'))
  const argv = [...self(), 'demo', '--inside', dir, '--nodes', `${options.nodes}`, ...(options.keep ? ['--keep'] : [])]
  const [command, ...rest] = insideUserNamespace(argv)
  const child = spawn(command!, rest, { stdio: 'inherit' })
  const stop = (): void => void child.kill('SIGTERM')
  process.on('SIGINT', () => {}) // the terminal sends it to the child as well
  process.on('SIGTERM', stop)
  if (options.keep) console.log(`proxy on this machine, once the page was read: ${await relayOutside(join(dir, 'proxy.sock'))}`)
  return new Promise((resolve, reject) => {
    child.on('error', (e) => reject(new Error(`user namespaces cannot be had here (${e.message}); run as root`)))
    child.on('exit', (code) => resolve(code ?? 1))
  })
}

function self(): string[] {
  return [process.execPath, fileURLToPath(import.meta.url)]
}

class Demo {
  readonly #options: DemoOptions
  readonly #dir = mkdtempSync(join(tmpdir(), 'ramsons-demo-'))
  readonly #children: ChildProcess[] = []
  readonly #started = performance.now()
  #lab: Lab | undefined

  constructor(options: DemoOptions) {
    this.#options = options
  }

  async run(): Promise<number> {
    const stopped = new Promise<void>((resolve) => {
      process.once('SIGINT', resolve)
      process.once('SIGTERM', resolve)
    })
    try {
      return await Promise.race([this.#show(stopped), stopped.then(() => 1)])
    } catch (e) {
      console.error(`demo: ${(e as Error).message}`)
      this.#showLogs()
      return 1
    } finally {
      await this.#close()
    }
  }

  async #show(stopped: Promise<void>): Promise<number> {
    const { nodes, keep } = this.#options
    this.#lab = Lab.open(nodes)
    this.#say(`${nodes} machines on one link: simulated on one machine, not wireless; link-local IPv6 only, no route anywhere`)
    this.#start(this.#lab)
    const started = performance.now()
    this.#say(`${nodes} nodes started, each with a fresh identity`)
    const reader = nodes - 1

    await this.#stage('every node has found every other by mDNS', (s) => mesh(s).peers.length === nodes - 1)
    const statuses = await this.#stage('tunnels are up', (s) => s.ready && s.destinations.length > 0)
    const { hops, anonymity_note } = mesh(statuses[0]!)
    this.#say(`tunnels of ${hops} ${hops === 1 ? 'hop' : 'hops'} each way. ${anonymity_note}`)
    const site = statuses[0]!.destinations.find((d) => d.name === 'site')
    if (site === undefined) throw new Error('the first node has no site')
    this.#say(`node 1 serves http://${site.b32}/`)

    const relay = await this.#relay(reader)
    const page = await fetchPage(relay, `http://${site.b32}/`)
    const took = (performance.now() - started) / 1000
    if (page !== PAGE) throw new Error('the page that arrived is not the page that was sent')
    this.#say(`node ${nodes} has read the page, ${took.toFixed(1)} s after the last node's start`)
    await this.#picture(statuses, reader)
    if (!keep) return 0

    const address = this.#options.inside !== undefined ? 'see above' : `127.0.0.1:${await relayOutside(relay)}`
    console.log(`\nStill running. HTTP proxy of node ${nodes}: ${address}; open http://${site.b32}/ through it. Ctrl-C ends it.`)
    await stopped
    return 0
  }

  #start(lab: Lab): void {
    const secret = newSecret(systemRandom)
    const config = `[mesh]\nname = "demo"\nsecret = "${secret}"\n`
    for (let i = 0; i < lab.size; i++) {
      const data = this.#data(i)
      mkdirSync(join(data, 'site'), { recursive: true })
      writeFileSync(join(data, 'ramsons.toml'), config, { mode: 0o600 })
      if (i === 0) writeFileSync(join(data, 'site', 'index.html'), PAGE)
      const log = openSync(join(data, 'log'), 'w')
      const argv = [...self(), 'run', '--data', data, '--config', join(data, 'ramsons.toml')]
      this.#children.push(lab.spawn(i, argv, { stdio: ['ignore', log, log] }))
    }
  }

  #data(i: number): string {
    return join(this.#dir, `node${i + 1}`)
  }

  /** Waits until every node is as wanted; says how long that took. */
  async #stage(what: string, well: (s: NodeStatus) => boolean): Promise<NodeStatus[]> {
    const from = performance.now()
    for (;;) {
      for (const [i, child] of this.#children.entries())
        if (child.exitCode !== null) throw new Error(`node ${i + 1} ended with status ${child.exitCode}`)
      const statuses = await Promise.all(this.#children.map((_, i) => status(this.#data(i))))
      if (statuses.every((s) => s !== undefined && well(s))) {
        this.#say(what)
        return statuses as NodeStatus[]
      }
      if (performance.now() - from > STAGE_LIMIT_S * 1000) {
        const waiting = statuses.map((s, i) => `node ${i + 1}: ${s?.waiting_for ?? 'no answer'}`).join('; ')
        throw new Error(`not within ${STAGE_LIMIT_S} s: ${what} (${waiting})`)
      }
      await new Promise((next) => setTimeout(next, POLL_MS))
    }
  }

  async #relay(node: number): Promise<string> {
    const { inside } = this.#options
    const path = join(inside ?? this.#dir, 'proxy.sock')
    const argv = [...self(), 'demo', 'relay', path, `${PROXY_PORT}`]
    this.#children.push(this.#lab!.spawn(node, argv, { stdio: ['ignore', 'ignore', 'inherit'] }))
    for (;;) {
      try {
        await fetchPage(path, 'http://127.0.0.1/')
        return path
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== 'ENOENT' && (e as NodeJS.ErrnoException).code !== 'ECONNREFUSED') return path
        await new Promise((next) => setTimeout(next, POLL_MS))
      }
    }
  }

  /** Which machines the request went through, as both ends know it. */
  async #picture(statuses: readonly NodeStatus[], reader: number): Promise<void> {
    const names = new Map(statuses.map((s, i) => [mesh(s).router, `node ${i + 1}`]))
    const paths = async (i: number): Promise<PathStatus> =>
      (await askControl(join(this.#data(i), 'control.sock'), 'paths')) as PathStatus
    const [mine, theirs] = [await paths(reader), await paths(0)]
    const name = (router: string): string => names.get(router) ?? '?'
    for (const c of mine.conversations) {
      const inbound = theirs.inbound.find((t) => t.gateway === c.gateway && t.tunnel_id === c.tunnel_id)
      if (inbound === undefined) continue
      const out = c.hops.map(name).map((h) => ` -> (${h})`).join('')
      const into = inbound.hops.map(name).map((h) => ` -> (${h})`).join('')
      console.log(`\n  node ${reader + 1}${out}  =>${into} -> node 1`)
      console.log(`  ${'reader'.padEnd(8)}outbound tunnel of the reader, then inbound tunnel of the site; no machine knows both ends\n`)
      return
    }
  }

  #say(what: string): void {
    console.log(`${((performance.now() - this.#started) / 1000).toFixed(1).padStart(6)} s  ${what}`)
  }

  #showLogs(): void {
    for (let i = 0; i < this.#options.nodes; i++) {
      try {
        const lines = readFileSync(join(this.#data(i), 'log'), 'utf8').trim().split('\n').slice(-5)
        console.error(`node ${i + 1}: ${lines.join('\n        ')}`)
      } catch {
        // it never started
      }
    }
  }

  async #close(): Promise<void> {
    const ends = this.#children.map((c) => new Promise((done) => (c.exitCode === null ? c.once('exit', done) : done(0))))
    for (const child of this.#children) child.kill('SIGTERM')
    const late = setTimeout(() => {
      for (const child of this.#children) child.kill('SIGKILL')
    }, 3_000)
    await Promise.all(ends)
    clearTimeout(late)
    this.#lab?.close()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

function mesh(s: NodeStatus): FaceStatus {
  if (!s.faces.mesh.enabled) throw new Error('a node without a mesh')
  return s.faces.mesh
}

async function status(data: string): Promise<NodeStatus | undefined> {
  try {
    return (await askControl(join(data, 'control.sock'), 'status')) as NodeStatus | undefined
  } catch {
    return undefined // it is just starting
  }
}

/** Through the proxy behind a relay's socket. */
function fetchPage(socketPath: string, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath, path: url, headers: { host: new URL(url).host } }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve(body))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}
