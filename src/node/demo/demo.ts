/**
 * The mesh that `ramsons demo` shows: every node a process of its own on a machine of its own (a network namespace), with fresh
 * identities and a secret of their own, finding each other by mDNS alone. The last one reads the site of the first.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { systemRandom } from '../../crypto/random.ts'
import { newSecret } from '../../mesh/secret.ts'
import { hopsForMesh } from '../../router/peers/mesh-hops.ts'
import { askControl } from '../control.ts'
import type { FaceStatus, NodeStatus, PathStatus } from '../status.ts'
import { type Ground, Loopback } from './ground.ts'
import { canMakeNamespaces, canMakeUserNamespaces, insideUserNamespace, Lab } from './lab.ts'
import { type Relay, relayInside, relayOutside } from './relay.ts'

// Implementation constants
const POLL_MS = 250
/** Much longer than any stage should take, so that a slow machine is not called broken. */
const STAGE_LIMIT_S = 60
/** Nodes that have not ended by then are killed. */
const CLOSE_LIMIT_MS = 3_000
/** The default of mesh.length. */
const HOPS = 2
/** Of a node's log, when the demo fails. */
const LOG_LINES = 5
const LOG_WIDTH = 200
const PROXY_SOCKET = 'proxy.sock'
const PAGE = `<!doctype html>
<title>A page in the woods</title>
<h1>It works</h1>
<p>This page has crossed a mesh of routers that share a link and nothing else: no internet, no server, no names.</p>
`

export interface DemoOptions {
  readonly nodes: number
  /** Leaves it running when the page was read. */
  readonly keep: boolean
  /** Asks for no namespaces. */
  readonly loopback: boolean
  /** In the process that already is inside a user namespace: the folder in which the one outside looks for the proxy's socket. */
  readonly inside: string | undefined
  /** There: where the one outside listens for the browser. */
  readonly outside: string | undefined
}

/** Where the proxy can be reached from here. */
type Proxy = { readonly socketPath: string } | { readonly host: string; readonly port: number }

/** Of a request: the routers of the reader's outbound tunnel and those of the site's inbound tunnel, in its order. */
interface Way {
  readonly outbound: readonly string[]
  readonly inbound: readonly string[]
}

/** Resolves to the exit status. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const stop = stopSignal()
  if (options.loopback) return new Demo(options, stop, () => new Loopback()).run()
  const asIs = canMakeNamespaces()
  if (asIs === true) return new Demo(options, stop, () => Lab.open(options.nodes)).run()
  if (options.inside !== undefined) throw new Error(`no network namespaces can be made here: ${asIs}`)
  const asUser = canMakeUserNamespaces()
  if (asUser === true) return again(options, stop)
  console.log(`no network namespaces can be made here:\n  ${asIs}\n  ${asUser}`)
  return new Demo(options, stop, () => new Loopback()).run()
}

/** For `demo relay`, which the demo starts inside a namespace. */
export function runRelay(socketPath: string, port: number): Promise<never> {
  return relayInside(socketPath, port)
}

/** Aborted when this process should end. Told twice is not told more: there is something to clean up, and it takes seconds. */
function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  return stop.signal
}

/** Once more, as root of a user namespace of our own. */
async function again(options: DemoOptions, stop: AbortSignal): Promise<number> {
  console.log('not root: making the machines inside a user namespace')
  const dir = temporaryFolder()
  let relay: Relay | undefined
  try {
    relay = options.keep ? await relayOutside(join(dir, PROXY_SOCKET)) : undefined
    const kept = relay === undefined ? [] : ['--keep', '--outside', `127.0.0.1:${relay.port}`]
    const argv = [...self(), 'demo', '--inside', dir, '--nodes', `${options.nodes}`, ...kept]
    const [command, ...rest] = insideUserNamespace(argv)
    const child = spawn(command!, rest, { stdio: 'inherit' })
    stop.addEventListener('abort', () => child.kill('SIGTERM'))
    return await new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', (code) => resolve(code ?? 1))
    })
  } finally {
    relay?.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

function self(): string[] {
  return [process.execPath, fileURLToPath(import.meta.url)]
}

function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'ramsons-demo-'))
}

class Demo {
  readonly #options: DemoOptions
  readonly #stop: AbortSignal
  readonly #open: () => Ground
  readonly #dir = temporaryFolder()
  readonly #nodes: ChildProcess[] = []
  readonly #started = performance.now()
  #ground: Ground | undefined
  #relay: ChildProcess | undefined
  #outside: Relay | undefined

  constructor(options: DemoOptions, stop: AbortSignal, open: () => Ground) {
    this.#options = options
    this.#stop = stop
    this.#open = open
  }

  async run(): Promise<number> {
    let kept = false
    try {
      this.#ground = this.#open()
      await this.#show(this.#ground)
      kept = this.#options.keep
      if (kept) await new Promise((ended) => this.#stop.addEventListener('abort', ended))
      return 0
    } catch (e) {
      if (this.#stop.aborted) return kept ? 0 : 1
      console.error(`demo: ${(e as Error).message}`)
      this.#showLogs()
      return 1
    } finally {
      await this.#close()
    }
  }

  async #show(ground: Ground): Promise<void> {
    const { nodes, keep } = this.#options
    this.#say(`${nodes} nodes on ${ground.label}`)
    this.#stop.throwIfAborted()
    this.#start(ground)
    const started = performance.now()
    this.#say('all started, each with a fresh identity')
    const reader = nodes - 1

    await this.#stage('every node has found every other by mDNS', (s) => mesh(s).peers.length === nodes - 1)
    const hops = hopsForMesh(nodes - 1, HOPS)
    const statuses = await this.#stage(
      `tunnels are up, of ${hops} ${hops === 1 ? 'hop' : 'hops'} each way`,
      (s) => s.ready && mesh(s).hops >= hops && s.destinations.length > 0,
    )
    this.#say(mesh(statuses[0]!).anonymity_note)
    const site = statuses[0]!.destinations.find((d) => d.name === 'site')
    const listening = statuses[reader]!.services['mesh.http_proxy']
    if (site === undefined || listening === undefined) throw new Error('no site, or no proxy')
    const url = `http://${site.b32}/`
    this.#say(`node 1 serves ${url}`)

    const proxy = this.#proxy(ground, reader, listening)
    const way = await this.#read(proxy, url, reader, hops)
    const took = (performance.now() - started) / 1000
    this.#say(`node ${nodes} has read the page, ${took.toFixed(1)} s after the last node's start`)
    const names = new Map(statuses.map((s, i) => [mesh(s).router, `node ${i + 1}`]))
    console.log(`\n${picture(way, nodes, (router) => names.get(router) ?? '?')}\n`)
    if (!keep) return
    const address = await this.#address(proxy)
    console.log(
      `Still running. HTTP proxy of node ${nodes}: ${address}; read ${url} through it. Ctrl-C ends it.`,
    )
  }

  #start(ground: Ground): void {
    const secret = newSecret(systemRandom)
    for (let i = 0; i < this.#options.nodes; i++) {
      const data = this.#data(i)
      const config = join(data, 'ramsons.toml')
      mkdirSync(join(data, 'site'), { recursive: true })
      const section = `[mesh]\nname = "demo"\nsecret = "${secret}"\n${ground.meshConfig(i)}`
      writeFileSync(config, section, { mode: 0o600 })
      if (i === 0) writeFileSync(join(data, 'site', 'index.html'), PAGE)
      const log = openSync(join(data, 'log'), 'w')
      const argv = [...self(), 'run', '--data', data, '--config', config]
      const child = ground.spawn(i, argv, { stdio: ['ignore', log, log] })
      child.on('error', (e) => writeFileSync(join(data, 'log'), e.message))
      this.#nodes.push(child)
      closeSync(log)
    }
  }

  #data(i: number): string {
    return join(this.#dir, `node${i + 1}`)
  }

  /** Waits until every node is as wanted; says how long that took. */
  async #stage(what: string, well: (s: NodeStatus) => boolean): Promise<NodeStatus[]> {
    const from = performance.now()
    for (;;) {
      this.#stop.throwIfAborted()
      for (const [i, child] of this.#nodes.entries())
        if (hasEnded(child)) throw new Error(`node ${i + 1} has ended`)
      const statuses = await Promise.all(this.#nodes.map((_, i) => status(this.#data(i))))
      if (statuses.every((s) => s !== undefined && well(s))) {
        this.#say(what)
        return statuses as NodeStatus[]
      }
      if (performance.now() - from > STAGE_LIMIT_S * 1000) {
        const waiting = statuses.map((s, i) => `node ${i + 1}: ${s?.waiting_for ?? 'no answer'}`).join('; ')
        throw new Error(`not within ${STAGE_LIMIT_S} s: ${what} (${waiting})`)
      }
      await pause(POLL_MS, undefined, { signal: this.#stop })
    }
  }

  /** `listening` is where node `reader` has its proxy, as seen from there. */
  #proxy(ground: Ground, reader: number, listening: string): Proxy {
    const at = listening.lastIndexOf(':')
    const [host, port] = [listening.slice(0, at), listening.slice(at + 1)]
    if (ground.ours) return { host, port: Number(port) }
    const socketPath = join(this.#options.inside ?? this.#dir, PROXY_SOCKET)
    const argv = [...self(), 'demo', 'relay', socketPath, port]
    this.#relay = ground.spawn(reader, argv, { stdio: ['ignore', 'ignore', 'inherit'] })
    return { socketPath }
  }

  /** Waits for a relay that is just starting. */
  async #fetch(proxy: Proxy, url: string): Promise<string> {
    const signal = AbortSignal.any([this.#stop, AbortSignal.timeout(STAGE_LIMIT_S * 1000)])
    for (;;) {
      try {
        return await fetchPage(proxy, url, signal)
      } catch (e) {
        const { code } = e as NodeJS.ErrnoException
        if (code !== 'ENOENT' && code !== 'ECONNREFUSED') throw e
        await pause(POLL_MS, undefined, { signal })
      }
    }
  }

  /** Where a browser on this machine finds the proxy. */
  async #address(proxy: Proxy): Promise<string> {
    if ('host' in proxy) return `${proxy.host}:${proxy.port}`
    if (this.#options.outside !== undefined) return this.#options.outside
    this.#outside = await relayOutside(proxy.socketPath)
    return `127.0.0.1:${this.#outside.port}`
  }

  /** Until the page came through tunnels of `hops` hops: a mesh that has just grown still has shorter ones. */
  async #read(proxy: Proxy, url: string, reader: number, hops: number): Promise<Way> {
    const from = performance.now()
    for (;;) {
      const page = await this.#fetch(proxy, url)
      if (page !== PAGE) throw new Error('the page that arrived is not the page that was sent')
      const way = await this.#way(reader)
      if (way?.outbound.length === hops && way.inbound.length === hops) return way
      if (performance.now() - from > STAGE_LIMIT_S * 1000)
        throw new Error(`not within ${STAGE_LIMIT_S} s: a page through tunnels of ${hops} hops`)
      await pause(POLL_MS, undefined, { signal: this.#stop })
    }
  }

  /** Which machines the last request went through, as both ends know it. */
  async #way(reader: number): Promise<Way | undefined> {
    const paths = async (i: number): Promise<PathStatus | undefined> =>
      (await askControl(join(this.#data(i), 'control.sock'), 'paths')) as PathStatus | undefined
    const [mine, theirs] = await Promise.all([paths(reader), paths(0)])
    for (const c of mine?.conversations ?? []) {
      const tunnel = theirs?.inbound.find((t) => t.gateway === c.gateway && t.tunnel_id === c.tunnel_id)
      if (tunnel !== undefined) return { outbound: c.hops, inbound: tunnel.hops }
    }
    return undefined
  }

  #say(what: string): void {
    console.log(`${((performance.now() - this.#started) / 1000).toFixed(1).padStart(6)} s  ${what}`)
  }

  #showLogs(): void {
    for (const i of this.#nodes.keys()) {
      try {
        const lines = readFileSync(join(this.#data(i), 'log'), 'utf8')
          .trim()
          .split('\n')
          .slice(-LOG_LINES)
        console.error(`node ${i + 1}: ${lines.map((line) => line.slice(0, LOG_WIDTH)).join('\n        ')}`)
      } catch {
        // it never started
      }
    }
  }

  async #close(): Promise<void> {
    this.#outside?.close()
    const running = [...this.#nodes, ...(this.#relay === undefined ? [] : [this.#relay])].filter(
      (c) => !hasEnded(c),
    )
    const ends = running.map((child) => new Promise((done) => child.once('exit', done)))
    for (const child of running) child.kill('SIGTERM')
    const late = setTimeout(() => {
      for (const child of running) child.kill('SIGKILL')
    }, CLOSE_LIMIT_MS)
    await Promise.all(ends)
    clearTimeout(late)
    this.#ground?.close()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** Also when it never began. */
function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

/** Two lines, the second saying whose tunnel is above. */
function picture(way: Way, reader: number, name: (router: string) => string): string {
  const out = [`[node ${reader}]`, ...way.outbound.map(name)].join(' -> ')
  const into = [...way.inbound.map(name), '[node 1]'].join(' -> ')
  const [mine, theirs] = [' the reader and its outbound tunnel', "the site's inbound tunnel and the site"]
  const width = Math.max(out.length, mine.length)
  return `  ${out.padEnd(width)}  =>  ${into}\n  ${mine.padEnd(width)}      ${theirs}`
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

function fetchPage(proxy: Proxy, url: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ ...proxy, path: url, headers: { host: new URL(url).host }, signal }, (response) => {
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
