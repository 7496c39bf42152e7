/** Our own router beside i2pd: the built bundle, started in the network's namespace with a guest address. */
import { type ChildProcess, execFile } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { NodeStatus } from '../../src/node/status.ts'
import type { I2pdNetwork } from './i2pd.ts'

const BUNDLE = resolve('dist/ramsons.mjs')
const PORT = 21_000
const POLL_MS = 200

export interface RamsonsOptions {
  readonly network: I2pdNetwork
  /** Which of the network's free addresses. */
  readonly guest?: number
  /** `KEY=VALUE`, on top. */
  readonly set?: readonly string[]
}

export class Ramsons {
  readonly data: string
  readonly address: string
  readonly #network: I2pdNetwork
  readonly #process: ChildProcess

  constructor({ network, guest = 0, set = [] }: RamsonsOptions) {
    this.#network = network
    this.address = network.guestIps[guest]!
    this.data = join(network.dir, `ramsons${guest}`)
    mkdirSync(join(this.data, 'site'), { recursive: true })
    const seeds = join(this.data, 'seeds')
    network.seeds(seeds)
    const settings = [
      'node.log="debug"',
      'mesh.enabled=false',
      'public.enabled=true',
      `public.net_id=${network.netId}`,
      `public.host="${this.address}"`,
      `public.bind="${this.address}"`,
      `public.port=${PORT}`,
      'public.bandwidth="X"',
      `public.reseed.file="${seeds}"`,
      'site.face="public"',
      ...set,
    ]
    const argv = [
      process.execPath,
      BUNDLE,
      'run',
      '--data',
      this.data,
      ...settings.flatMap((s) => ['--set', s]),
    ]
    const log = openSync(join(this.data, 'log'), 'w')
    this.#process = network.exec(argv, { stdio: ['ignore', log, log] })
  }

  get pid(): number {
    return this.#process.pid!
  }

  get log(): string {
    return readFileSync(join(this.data, 'log'), 'utf8')
  }

  /** Puts a file on our site. */
  publish(name: string, content: string | Uint8Array): void {
    writeFileSync(join(this.data, 'site', name), content)
  }

  async status(): Promise<NodeStatus | undefined> {
    const { status, stdout } = await run([process.execPath, BUNDLE, 'status', '--json', '--data', this.data])
    return status === 0 ? (JSON.parse(stdout.toString()) as NodeStatus) : undefined
  }

  /** Seconds until it is ready with its site up. */
  async ready(limit: number): Promise<{ readonly seconds: number; readonly b32: string }> {
    const from = performance.now()
    for (;;) {
      const status = await this.status()
      const site = status?.destinations.find((d) => d.name === 'site')
      const seconds = (performance.now() - from) / 1000
      if (status?.ready && site !== undefined) return { seconds, b32: site.b32 }
      if (this.#process.exitCode !== null) throw new Error(`ramsons ended:\n${this.log.slice(-2000)}`)
      if (seconds > limit)
        throw new Error(`not ready after ${limit} s: ${status?.waiting_for}\n${this.log.slice(-3000)}`)
      await new Promise((next) => setTimeout(next, POLL_MS))
    }
  }

  /** curl inside the network, through the proxy at `proxy` (default: ours). */
  curl(
    url: string,
    options: readonly string[] = [],
    proxy = '127.0.0.1:4444',
  ): Promise<{ status: number; stdout: Buffer }> {
    const argv = ['curl', '-sS', '--fail', '--max-time', '120', '--proxy', `http://${proxy}`, ...options, url]
    return run(['ip', 'netns', 'exec', this.#network.namespace, ...argv])
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return
    const ended = new Promise((done) => this.#process.once('exit', done))
    this.#process.kill('SIGTERM')
    await ended
  }
}

function run([command, ...argv]: readonly string[]): Promise<{ status: number; stdout: Buffer }> {
  return new Promise((done) => {
    execFile(command!, argv, { encoding: 'buffer', maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error !== null && stderr.length > 0) console.log(stderr.toString().trim())
      done({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout })
    })
  })
}
