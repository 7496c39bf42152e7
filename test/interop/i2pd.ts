/** A private network of real i2pd routers, on addresses that exist only inside its own namespace. */
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { toBase64 } from '../../src/base/base64.ts'
import { MalformedError } from '../../src/base/errors.ts'
import {
  type RouterInfo,
  readRouterInfo,
  verifyRouterInfo,
} from '../../src/protocol/structures/router-info.ts'
import { ensureI2pd, type I2pd, type I2pdVersion } from './i2pd-program.ts'
import { Namespace, stopProcess } from './namespace.ts'

/** Each router's services listen on its own address, so ports are the same for all. */
export const PORTS = {
  transport: 21000,
  console: 7070,
  httpProxy: 4444,
  socks: 4447,
  sam: 7656,
  i2cp: 7654,
} as const

const POLL_MS = 200
/** Making keys and writing router.info takes a second; on a busy machine ten. */
const IDENTITY_MS = 60_000
/** Pools build every 5 s and tunnels are managed every 15 s: twelve routers were ready after 13 s on two cores. */
const TUNNELS_MS = 180_000
/** Between starts: two i2pd that dial each other over SSU2 at the same moment both fail. */
const STAGGER_MS = 500

export interface NetworkOptions {
  readonly routers: number
  /** For all, or one for each router. Default: Debian 12's. */
  readonly version?: I2pdVersion | readonly I2pdVersion[]
  /** How many of them, the last ones, are floodfills. i2pd wants to know five. Default: all but one, five at most. */
  readonly floodfills?: number
  /** Where the routers keep their files. Default: a temporary folder that `stop` removes. */
  readonly dir?: string
  readonly netId?: number
  /** Free addresses for routers that are not i2pd. */
  readonly guests?: number
  readonly logLevel?: 'warn' | 'info' | 'debug'
  /** More settings, `section.key` or `key`, for every router. */
  readonly settings?: Readonly<Record<string, string>>
  /** Client tunnels that each router has when `up` returns. Default 4; 0 does not wait. */
  readonly wantTunnels?: number
}

export interface I2pdRouter {
  readonly index: number
  readonly i2pd: I2pd
  readonly address: string
  readonly floodfill: boolean
  readonly dir: string
  readonly log: string
  /** As it was when the router started. */
  readonly routerInfo: RouterInfo
}

/** The figures of a router's console. */
export interface I2pdStatus {
  readonly version: string
  readonly networkStatus: string
  readonly routers: number
  readonly floodfills: number
  readonly leaseSets: number
  /** Own tunnels, exploratory ones included. */
  readonly clientTunnels: number
  readonly transitTunnels: number
  /** Percent of tunnel builds. */
  readonly successRate: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export class I2pdNetwork {
  readonly netId: number
  readonly dir: string
  readonly routers: readonly I2pdRouter[]
  readonly guestIps: readonly string[]
  readonly #namespace: Namespace
  readonly #options: NetworkOptions
  readonly #running = new Map<I2pdRouter, ChildProcess>()

  private constructor(options: NetworkOptions, programs: readonly I2pd[]) {
    const { routers, floodfills = Math.min(5, Math.max(1, routers - 1)), guests = 4 } = options
    this.#options = options
    this.netId = options.netId ?? 77
    this.#namespace = new Namespace()
    this.dir = options.dir === undefined ? mkdtempSync(join(tmpdir(), 'ramsons-i2pd-')) : resolve(options.dir)
    this.routers = programs.map((i2pd, index) => {
      const dir = join(this.dir, `r${String(index).padStart(2, '0')}`)
      const floodfill = index >= routers - floodfills
      const log = join(dir, 'i2pd.log')
      return { index, i2pd, address: addressOf(index), floodfill, dir, log } as I2pdRouter
    })
    this.guestIps = Array.from({ length: guests }, (_, i) => addressOf(routers + i))
    for (const { address } of this.routers) this.#namespace.addAddress(address)
    for (const address of this.guestIps) this.#namespace.addAddress(address)
  }

  /** @throws {Error} when the routers do not come up; nothing is left behind then but their files. */
  static async up(options: NetworkOptions): Promise<I2pdNetwork> {
    const versions = typeof options.version === 'object' ? options.version : []
    const all = typeof options.version === 'string' ? options.version : '2.45.1'
    if (versions.length > 0 && versions.length !== options.routers)
      throw new Error(`interop: ${versions.length} versions for ${options.routers} routers`)
    const programs: I2pd[] = []
    for (let i = 0; i < options.routers; i++) programs.push(await ensureI2pd(versions[i] ?? all))
    const network = new I2pdNetwork(options, programs)
    try {
      await network.#start(new Set(programs.map(({ version }) => version)).size > 1)
    } catch (e) {
      const kept = network.#complain()
      await network.stop({ keep: true })
      throw new Error(`${(e as Error).message}\n${kept}`)
    }
    return network
  }

  get namespace(): string {
    return this.#namespace.name
  }

  /** Starts a program inside the network, which ends with the network. `localAddress` is its own affair: one of `guestIps`. */
  exec(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.#namespace.exec(argv, options)
  }

  /** An HTTP request made inside the network. */
  fetch(...args: Parameters<Namespace['fetch']>): ReturnType<Namespace['fetch']> {
    return this.#namespace.fetch(...args)
  }

  /** Writes all routers' RouterInfos to `dir` the way a netDb folder has them. */
  seeds(dir: string): void {
    for (const router of this.routers) writeSeed(dir, this.routerInfo(router) ?? router.routerInfo)
  }

  /** What the router has published last, or undefined while it is being written. */
  routerInfo(router: I2pdRouter): RouterInfo | undefined {
    try {
      return verifyRouterInfo(readRouterInfo(new Uint8Array(readFileSync(join(router.dir, 'router.info')))))
    } catch (e) {
      if (e instanceof MalformedError || (e as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw e
    }
  }

  /** Replaces a router's tunnels.conf and has it read again. */
  tunnels(router: I2pdRouter, conf: string): void {
    writeFileSync(join(router.dir, 'tunnels.conf'), conf)
    this.#running.get(router)?.kill('SIGHUP')
  }

  /** A page of the router's console without markup, such as `?page=transit_tunnels`. */
  async page(router: I2pdRouter, query = ''): Promise<string> {
    const { body } = await this.fetch(`http://${router.address}:${PORTS.console}/${query}`)
    return body
      .replace(/<(style|script)[\s\S]*?<\/\1>/g, '')
      .replace(/<[^>]*>/g, ' ')
      .replaceAll('&#8658;', '=>')
      .replaceAll('&nbsp;', ' ')
  }

  async status(router: I2pdRouter): Promise<I2pdStatus> {
    const text = await this.page(router)
    const find = (pattern: RegExp): string => pattern.exec(text)?.[1]?.trim() ?? ''
    return {
      version: find(/Version:\s*(\S+)/),
      networkStatus: find(/Network status:\s*([^\n]*)/),
      routers: Number(find(/Routers:\s*(\d+)/)),
      floodfills: Number(find(/Floodfills:\s*(\d+)/)),
      leaseSets: Number(find(/LeaseSets:\s*(\d+)/)),
      clientTunnels: Number(find(/Client Tunnels:\s*(\d+)/)),
      transitTunnels: Number(find(/Transit Tunnels:\s*(\d+)/)),
      successRate: Number(find(/Tunnel creation success rate:\s*(\d+)/)),
    }
  }

  /** The lines of a router's log that match. */
  logLines(router: I2pdRouter, pattern: RegExp): string[] {
    return readFileSync(router.log, 'utf8')
      .split('\n')
      .filter((line) => pattern.test(line))
  }

  /** Stops one router; its files stay and `startRouter` takes it up again. */
  async stopRouter(router: I2pdRouter): Promise<void> {
    const child = this.#running.get(router)
    this.#running.delete(router)
    if (child !== undefined) await stopProcess(child)
  }

  startRouter(router: I2pdRouter): void {
    if (this.#running.has(router)) throw new Error(`interop: router ${router.index} is running`)
    const out = openSync(join(router.dir, 'output'), 'a')
    const { command, env } = router.i2pd
    const argv = [...command, `--datadir=${router.dir}`, `--conf=${join(router.dir, 'i2pd.conf')}`]
    argv.push(
      `--tunconf=${join(router.dir, 'tunnels.conf')}`,
      `--tunnelsdir=${join(router.dir, 'tunnels.d')}`,
    )
    const options: SpawnOptions = {
      cwd: router.dir,
      env: { ...process.env, ...env },
      stdio: ['ignore', out, out],
    }
    const child = this.#namespace.exec(argv, options)
    closeSync(out)
    this.#running.set(router, child)
  }

  /** Stops everything and removes what was made; `keep` leaves the routers' files. */
  async stop(options: { keep?: boolean } = {}): Promise<void> {
    await this.#namespace.close()
    this.#running.clear()
    if (options.keep !== true && this.#options.dir === undefined)
      rmSync(this.dir, { recursive: true, force: true })
  }

  /**
   * One router after the other, each seeded with those before it. Routers of different versions do not all use one another
   * as floodfills, so there every one is seeded with all, which takes a first run to make their identities.
   */
  async #start(mixed: boolean): Promise<void> {
    const from = performance.now()
    for (const router of this.routers) {
      mkdirSync(router.dir, { recursive: true })
      writeFileSync(join(router.dir, 'i2pd.conf'), this.#config(router))
      writeFileSync(join(router.dir, 'tunnels.conf'), '')
    }
    if (mixed) {
      for (const router of this.routers) this.startRouter(router)
      for (const router of this.routers) await this.#awaitIdentity(router)
      for (const router of this.routers) await this.stopRouter(router)
    }
    const known: RouterInfo[] = mixed ? this.routers.map(({ routerInfo }) => routerInfo) : []
    for (const router of this.routers) {
      for (const routerInfo of known) {
        if (routerInfo !== router.routerInfo) writeSeed(join(router.dir, 'netDb'), routerInfo)
      }
      this.startRouter(router)
      if (!mixed) known.push(await this.#awaitIdentity(router))
      await pause(STAGGER_MS)
    }
    const wanted = this.#options.wantTunnels ?? 4
    for (const router of this.routers) await this.#awaitTunnels(router, wanted)
    const seconds = ((performance.now() - from) / 1000).toFixed(1)
    const banners = [...new Set(this.routers.map(({ i2pd }) => i2pd.banner))].join(', ')
    say(
      `${this.routers.length} routers (${banners}), ${wanted} tunnels each after ${seconds} s, ${this.namespace}`,
    )
  }

  /** Waits for a whole router.info with the router's address in it, and keeps it. */
  async #awaitIdentity(router: I2pdRouter): Promise<RouterInfo> {
    const published = await this.#await(router, 'router.info', IDENTITY_MS, () => {
      const routerInfo = this.routerInfo(router)
      // The first one it writes may lack both.
      const hasAddress = routerInfo?.addresses.some(({ options }) => options.get('host') === router.address)
      return hasAddress === true && routerInfo!.caps.includes('f') === router.floodfill
        ? routerInfo
        : undefined
    })
    ;(router as Mutable<I2pdRouter>).routerInfo = published
    return published
  }

  async #awaitTunnels(router: I2pdRouter, wanted: number): Promise<void> {
    if (wanted === 0) return
    await this.#await(router, `${wanted} tunnels`, TUNNELS_MS, async () => {
      try {
        return (await this.status(router)).clientTunnels >= wanted || undefined
      } catch {
        return undefined // the console does not answer yet
      }
    })
  }

  async #await<T>(
    router: I2pdRouter,
    what: string,
    limit: number,
    look: () => T | undefined | Promise<T | undefined>,
  ): Promise<T> {
    const end = performance.now() + limit
    while (performance.now() < end) {
      const child = this.#running.get(router)
      if (child !== undefined && (child.exitCode !== null || child.signalCode !== null))
        throw new Error(`interop: router ${router.index} ended with ${child.exitCode ?? child.signalCode}`)
      const found = await look()
      if (found !== undefined) return found
      await pause(POLL_MS)
    }
    throw new Error(`interop: router ${router.index} has no ${what} after ${limit / 1000} s`)
  }

  /** The ends of the logs, for a failed start. */
  #complain(): string {
    const ends = this.routers.map(({ dir, log }) => {
      const text = [join(dir, 'output'), log].map((path) => tail(path, 5)).join('')
      return `${log}:\n${text}`
    })
    return `files are kept in ${this.dir}\n${ends.join('\n')}`
  }

  #config(router: I2pdRouter): string {
    const { address, floodfill, i2pd } = router
    const port = String(PORTS.transport + router.index)
    const service = (servicePort: number): Record<string, string> => ({
      enabled: 'true',
      address,
      port: String(servicePort),
    })
    const sections: Record<string, Record<string, string>> = {
      '': {
        daemon: 'false',
        log: 'file',
        logfile: router.log,
        loglevel: this.#options.logLevel ?? 'warn',
        netid: String(this.netId),
        host: address,
        // Outgoing connections too: a peer compares where we come from with what we publish.
        address4: address,
        port,
        ipv4: 'true',
        ipv6: 'false',
        // The address is known: do not wait for others to confirm it.
        nat: 'false',
        reservedrange: 'false',
        floodfill: String(floodfill),
        // Client tunnels only go through routers that promise this much.
        bandwidth: '1000000',
      },
      ntcp2: { enabled: 'true', published: 'true', port },
      ssu2: { enabled: 'true', published: 'true', port },
      http: { ...service(PORTS.console), strictheaders: 'false' },
      httpproxy: service(PORTS.httpProxy),
      socksproxy: service(PORTS.socks),
      sam: service(PORTS.sam),
      i2cp: service(PORTS.i2cp),
      bob: { enabled: 'false' },
      upnp: { enabled: 'false' },
      nettime: { enabled: 'false' },
      // It reseeds below five floodfills whatever it is told: from an address where nobody listens.
      reseed: { threshold: '0', urls: 'https://127.0.0.1:1/', verify: 'false' },
      addressbook: { defaulturl: `http://${'a'.repeat(52)}.b32.i2p/hosts.txt`, subscriptions: '' },
      // A router that was away for a moment would be held against it.
      persist: { profiles: 'false' },
    }
    // The option does not exist in 2.45, which then does not start.
    if (i2pd.version === 'sid') sections['sam']!['portudp'] = String(PORTS.sam - 1)
    for (const [name, value] of Object.entries(this.#options.settings ?? {})) {
      const dot = name.indexOf('.')
      const section = name.slice(0, Math.max(dot, 0))
      sections[section] = { ...sections[section], [name.slice(dot + 1)]: value }
    }
    return Object.entries(sections)
      .map(([section, settings]) => {
        const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`)
        return (section === '' ? '' : `[${section}]\n`) + lines.join('')
      })
      .join('')
  }
}

/** Not reserved, so that every version accepts it, and alone in its /8 and /16, as routers' rules for tunnels want. */
function addressOf(index: number): string {
  return `${31 + index}.${101 + index}.5.1`
}

function writeSeed(netDb: string, routerInfo: RouterInfo): void {
  const name = toBase64(routerInfo.hash)
  const path = join(netDb, `r${name[0]}`, `routerInfo-${name}.dat`)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, routerInfo.bytes)
}

function tail(path: string, lines: number): string {
  try {
    return `${readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')}\n`
  } catch {
    return ''
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function say(text: string): void {
  console.log(`interop: ${text}`)
}
