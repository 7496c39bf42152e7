/** The network that figures are measured in: i2pd routers with NTCP2 only, and what a measured router needs beside them. */
import { type ChildProcess, execFile } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toBase64 } from '../../src/base/base64.ts'
import { readRouterInfo, verifyRouterInfo } from '../../src/protocol/structures/router-info.ts'
import { I2pdNetwork, type I2pdRouter, PORTS } from '../interop/i2pd.ts'
import { stopProcess } from '../interop/namespace.ts'
import { Ramsons } from '../interop/ramsons.ts'
import { inVariant, nameOf, type Subject } from './subject.ts'

/** The same for both programs: hops of a tunnel. */
export const HOPS = 2
/** KB/s that every router offers: never the limit here. */
const BANDWIDTH = 1_000_000
/** A router that others use takes tens of seconds to get known, on a machine with two cores and twenty routers. */
const READY_S = 120

/** Options of a pool in i2pd's configuration. */
export function poolOptions(length: number, quantity: number): Record<string, number> {
  return {
    'inbound.length': length,
    'outbound.length': length,
    'inbound.quantity': quantity,
    'outbound.quantity': quantity,
  }
}

/** `quantity`: tunnels of an HTTP proxy of i2pd, each way. */
export function networkOf(routers: number, guests: number, quantity: number): Promise<I2pdNetwork> {
  const proxy = Object.entries(poolOptions(HOPS, quantity)).map(([k, v]) => [`httpproxy.${k}`, String(v)])
  return I2pdNetwork.up({
    routers,
    guests,
    version: 'sid',
    settings: { 'ssu2.enabled': 'false', 'ssu2.published': 'false', ...Object.fromEntries(proxy) },
  })
}

export interface GuestOptions {
  readonly subject: Subject
  /** Which of the network's free addresses. */
  readonly guest: number
  /** Whether it carries for others. */
  readonly transit: boolean
  /** Tunnels each way of the HTTP proxy and the site, as `networkOf` was told. */
  readonly quantity: number
  /** A site of `bytes` random bytes under /file. Default: none. */
  readonly siteBytes?: number
}

/** A measured router on one of the network's free addresses, with an HTTP proxy on PORTS.httpProxy. */
export interface Guest {
  readonly subject: Subject
  readonly address: string
  readonly pid: number
  /** Resolves to the b32 name of its site, undefined when it has none, once it has tunnels. */
  ready(): Promise<string | undefined>
  /** Router hash in I2P base64. */
  hash(): string
  /** Own tunnels, exploratory ones included. */
  tunnels(): Promise<number>
  transitTunnels(): Promise<number>
  stop(): Promise<void>
}

/** Starts it anew: no keys, no netDb but the RouterInfos of the network. */
export function startGuest(network: I2pdNetwork, options: GuestOptions): Guest {
  return inVariant(options.subject, () =>
    options.subject.who === 'ramsons' ? startRamsons(network, options) : new I2pdGuest(network, options),
  )
}

function startRamsons(network: I2pdNetwork, options: GuestOptions): Guest {
  const { subject, guest, transit, quantity, siteBytes } = options
  const address = network.guestIps[guest]!
  if (siteBytes !== undefined) {
    const site = join(network.dir, `ramsons${guest}`, 'site')
    mkdirSync(site, { recursive: true })
    writeFileSync(join(site, 'file'), randomFile(siteBytes))
  }
  const node = new Ramsons({
    network,
    guest,
    set: [
      'node.log="info"',
      `public.http_proxy.host="${address}"`,
      `public.http_proxy.port=${PORTS.httpProxy}`,
      `public.bandwidth="${BANDWIDTH}"`,
      `public.length=${HOPS}`,
      `power.pin.tunnels=${quantity}`,
      ...(transit ? [] : ['public.transit_tunnels=0']),
    ],
  })
  const face = async () => {
    const status = await node.status()
    const open = status?.faces.public
    if (status === undefined || open === undefined || !open.enabled)
      throw new Error('ramsons does not answer')
    return { status, open }
  }
  return {
    subject,
    address,
    pid: node.pid,
    hash: () => hashIn(join(node.data, 'public', 'router.info')),
    ready: async () => {
      await until(`${nameOf(subject)} is not ready:\n${node.log.slice(-1500)}`, READY_S, async () => {
        const { status } = await face()
        return status.ready && (siteBytes === undefined || status.destinations.some((d) => d.name === 'site'))
      })
      return (await face()).status.destinations.find((d) => d.name === 'site')?.b32
    },
    tunnels: async () => {
      const { exploratory, client } = (await face()).open.tunnels
      return exploratory + client
    },
    transitTunnels: async () => (await face()).open.tunnels.transit,
    stop: () => node.stop(),
  }
}

const SITE_PORT = 8080

class I2pdGuest implements Guest {
  readonly subject: Subject
  readonly address: string
  readonly #network: I2pdNetwork
  readonly #router: I2pdRouter
  readonly #process: ChildProcess
  readonly #hasSite: boolean

  constructor(network: I2pdNetwork, options: GuestOptions) {
    const template = network.routers[0]!
    const { i2pd } = template
    const dir = join(network.dir, `i2pd-guest${options.guest}`)
    this.#network = network
    this.subject = options.subject
    this.address = network.guestIps[options.guest]!
    this.#hasSite = options.siteBytes !== undefined
    this.#router = { ...template, address: this.address, floodfill: false, dir, log: join(dir, 'i2pd.log') }
    network.seeds(join(dir, 'netDb'))
    const conf = readFileSync(join(template.dir, 'i2pd.conf'), 'utf8')
      .replaceAll(template.dir, dir)
      .replaceAll(template.address, this.address)
    writeFileSync(join(dir, 'i2pd.conf'), `notransit = ${!options.transit}\n${conf}`)
    if (options.siteBytes !== undefined) startSource(network, this.address, options.siteBytes)
    writeFileSync(
      join(dir, 'tunnels.conf'),
      this.#hasSite ? serverTunnel('site', this.address, poolOptions(HOPS, options.quantity)) : '',
    )
    const out = openSync(join(dir, 'output'), 'a')
    const files = ['datadir=', 'conf=/i2pd.conf', 'tunconf=/tunnels.conf', 'tunnelsdir=/tunnels.d']
    const argv = files.map((option) => `--${option.replace('=', `=${dir}`)}`)
    this.#process = network.exec([...i2pd.command, ...argv], {
      cwd: dir,
      env: { ...process.env, ...i2pd.env },
      stdio: ['ignore', out, out],
    })
    closeSync(out)
  }

  get pid(): number {
    return this.#process.pid!
  }

  hash(): string {
    return hashIn(join(this.#router.dir, 'router.info'))
  }

  async ready(): Promise<string | undefined> {
    // Exploratory and proxy tunnels, and those of the site.
    const wanted = this.#hasSite ? 8 : 4
    await until(
      `${nameOf(this.subject)} has no tunnels`,
      READY_S,
      async () => (await this.tunnels()) >= wanted,
    )
    return this.#hasSite ? b32Of(this.#network, this.#router, 'site') : undefined
  }

  async tunnels(): Promise<number> {
    return (await this.#network.status(this.#router)).clientTunnels
  }

  async transitTunnels(): Promise<number> {
    return (await this.#network.status(this.#router)).transitTunnels
  }

  stop(): Promise<void> {
    return stopProcess(this.#process)
  }
}

/** A section of tunnels.conf for the web server that `startSource` started on the same address. */
export function serverTunnel(
  name: string,
  address: string,
  options: Readonly<Record<string, number>>,
): string {
  return section(name, { type: 'server', host: address, port: SITE_PORT, keys: `${name}.dat`, ...options })
}

/** A section of tunnels.conf. */
export function section(name: string, options: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(options).map(([key, value]) => `${key} = ${value}\n`)
  return `[${name}]\n${lines.join('')}`
}

/** What the console says a server tunnel is called. */
export async function b32Of(network: I2pdNetwork, router: I2pdRouter, name: string): Promise<string> {
  const pattern = new RegExp(`\\b${name}\\s*=>\\s*([a-z2-7]{52})`)
  let found: string | undefined
  await until(`${name} is not on the console of i2pd`, READY_S, async () => {
    found = pattern.exec(await network.page(router, '?page=i2p_tunnels'))?.[1]
    return found !== undefined
  })
  return `${found}.b32.i2p`
}

/** A web server that answers every request with `bytes` random bytes, or with few for `/`. */
export function startSource(network: I2pdNetwork, address: string, bytes: number): void {
  const program = `
    const file = require('node:crypto').randomBytes(${bytes})
    require('node:http').createServer((q, a) => {
      a.setHeader('content-type', 'application/octet-stream')
      a.end(q.url === '/' ? 'a page' : file)
    }).listen(${SITE_PORT}, '${address}')`
  network.exec([process.execPath, '-e', program], { stdio: 'ignore' })
}

export interface Download {
  readonly bytes: number
  readonly seconds: number
}

/** curl inside the network. @throws {Error} unless it is answered with 200 and gets everything. */
export function download(network: I2pdNetwork, url: string, options: readonly string[]): Promise<Download> {
  const format = '%{http_code} %{size_download} %{time_total}'
  const curl = ['curl', '-sS', '--fail', '-o', '/dev/null', '-w', format, ...options, url]
  return new Promise((resolve, reject) => {
    execFile('ip', ['netns', 'exec', network.namespace, ...curl], (error, stdout, stderr) => {
      const [code, bytes, seconds] = stdout.split(' ').map(Number)
      if (error === null && code === 200) resolve({ bytes: bytes!, seconds: seconds! })
      else reject(new Error(`${url}: ${stderr.trim() || `HTTP ${code}`}`))
    })
  })
}

export function proxyOf(guest: Guest): string[] {
  return ['--proxy', `http://${guest.address}:${PORTS.httpProxy}`]
}

/** Tries again after failures. @throws {Error} starting with `complaint` after `limit` seconds. */
export async function until(complaint: string, limit: number, look: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + limit * 1000
  let last = ''
  for (;;) {
    try {
      if (await look()) return
    } catch (e) {
      last = `: ${(e as Error).message}`
    }
    if (performance.now() > end) throw new Error(`${complaint} after ${limit} s${last}`)
    await pause(0.2)
  }
}

export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}

export function say(text: string): void {
  console.error(`bench: ${text}`)
}

/** Router hash in I2P base64. */
export function hashOf(router: I2pdRouter): string {
  return toBase64(router.routerInfo.hash)
}

function hashIn(file: string): string {
  const info = existsSync(file)
    ? verifyRouterInfo(readRouterInfo(new Uint8Array(readFileSync(file))))
    : undefined
  if (info === undefined) throw new Error(`no RouterInfo in ${file}`)
  return toBase64(info.hash)
}

function randomFile(bytes: number): Uint8Array {
  const out = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(out.subarray(at, at + 65_536))
  return out
}
