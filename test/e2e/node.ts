/** A node as a user runs it: the built bundle in a namespace of the lab, watched through its own commands, used through curl. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { askControl } from '../../src/node/control.ts'
import type { Lab } from '../../src/node/demo/lab.ts'

/** What each machine is called, so that it would be found in a packet. */
export const HOST_NAME = 'gardenshed-of-alice'
export const BUNDLE: string = resolve('dist/ramsons.mjs')

/** The part of `status --json` (contract) that the tests look at. */
export interface Status {
  readonly ready: boolean
  readonly waiting_for: string | null
  readonly faces: {
    readonly mesh: {
      readonly anonymity: string
      readonly anonymity_note: string
      readonly router: string
      readonly hops: number
      readonly peers: readonly { readonly router: string; readonly link: string }[]
      readonly tunnels: { readonly client: number; readonly exploratory: number; readonly transit: number }
    }
  }
  readonly destinations: readonly { readonly name: string; readonly b32: string; readonly kind: string }[]
}

export interface Finished {
  readonly status: number
  readonly stdout: Buffer
  readonly stderr: string
}

export class MeshNode {
  readonly data: string
  readonly index: number
  readonly #lab: Lab
  #process: ChildProcess | undefined

  constructor(lab: Lab, index: number, dir: string, config: string) {
    this.#lab = lab
    this.index = index
    this.data = join(dir, `node${index}`)
    mkdirSync(join(this.data, 'site'), { recursive: true })
    writeFileSync(join(this.data, 'ramsons.toml'), config)
  }

  get log(): string {
    return readFileSync(join(this.data, 'log'), 'utf8')
  }

  start(): void {
    const log = openSync(join(this.data, 'log'), 'a')
    const named = ['unshare', '--uts', 'sh', '-c', `hostname ${HOST_NAME} && exec "$@"`, 'sh']
    const argv = [
      ...named,
      process.execPath,
      BUNDLE,
      'run',
      '--data',
      this.data,
      '--config',
      join(this.data, 'ramsons.toml'),
    ]
    this.#process = this.#lab.spawn(this.index, argv, { stdio: ['ignore', log, log] })
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#process
    if (child === undefined) return null
    this.#process = undefined
    if (child.exitCode !== null) return child.exitCode
    const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
    child.kill(signal)
    return ended
  }

  /** Undefined while the node does not answer. */
  async status(): Promise<Status | undefined> {
    try {
      // What `status --json` prints, without the cost of a process for each look.
      return (await askControl(join(this.data, 'control.sock'), 'status')) as Status | undefined
    } catch {
      return undefined
    }
  }

  /** What curl gets through this node's mesh proxy. */
  curl(url: string, ...options: string[]): Promise<Finished> {
    const argv = ['curl', '-sS', '--proxy', 'http://127.0.0.1:5444', ...options, url]
    return run('ip', ['netns', 'exec', this.#lab.namespace(this.index), ...argv])
  }

  curlProcess(url: string, ...options: string[]): ChildProcess {
    const argv = ['curl', '-sS', '--proxy', 'http://127.0.0.1:5444', ...options, url]
    return this.#lab.spawn(this.index, argv, { stdio: ['ignore', 'ignore', 'pipe'] })
  }
}

export function run(command: string, argv: readonly string[]): Promise<Finished> {
  return new Promise((done) => {
    execFile(command, argv, { encoding: 'buffer', maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      done({ status, stdout, stderr: stderr.toString() })
    })
  })
}

/** Polls until `look` gives something; the seconds it took. @throws {Error} naming `what` after `limit` seconds. */
export async function until<T>(
  what: string,
  limit: number,
  look: () => Promise<T | undefined | false>,
): Promise<{ value: T; seconds: number }> {
  const from = performance.now()
  for (;;) {
    const value = await look()
    const seconds = (performance.now() - from) / 1000
    if (value !== undefined && value !== false) return { value, seconds }
    if (seconds > limit) throw new Error(`${what}: not within ${limit} s`)
    await new Promise((next) => setTimeout(next, 100))
  }
}

/** tcpdump on the lab's bridge, which hears every packet of the link. */
export class Capture {
  readonly file: string
  readonly #process: ChildProcess

  private constructor(file: string, process: ChildProcess) {
    this.file = file
    this.#process = process
  }

  static async start(lab: Lab, file: string): Promise<Capture> {
    const argv = ['netns', 'exec', lab.hub, 'tcpdump', '-i', 'br0', '-s', '0', '-U', '-Z', 'root', '-w', file]
    const child = spawn('ip', argv, { stdio: ['ignore', 'ignore', 'pipe'] })
    await new Promise<void>((ready, fail) => {
      child.once('exit', () => fail(new Error('tcpdump did not start')))
      child.stderr!.on('data', (d: Buffer) => d.includes('listening') && ready())
    })
    return new Capture(file, child)
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#process.once('exit', done))
    this.#process.kill('SIGINT')
    await ended
  }
}
