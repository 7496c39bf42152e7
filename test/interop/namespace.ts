/**
 * A network namespace with a loopback device and nothing else: what runs in it reaches its own addresses only. Everything
 * started through it dies with this process, whichever way that ends.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** The owner's process id follows, so that a later run can tell whether the owner still lives. */
const PREFIX = 'ramsons-interop-'
/** From a polite signal to the other one. */
const STOP_MS = 8000
/** They end this process without its `exit` event, unless someone listens. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface Reply {
  readonly status: number
  readonly body: string
}

let made = 0

export class Namespace {
  readonly name: string
  readonly #running = new Set<ChildProcess>()
  readonly #waiting = new Map<number, (reply: Reply | Error) => void>()
  readonly #onExit = (): void => this.#destroy()
  readonly #onSignal = (): void => process.exit(1)
  #fetcher: ChildProcess | undefined
  #requests = 0

  /** @throws {Error} that says what is missing, unless this is root with iproute2. */
  constructor() {
    if (process.getuid?.() !== 0) throw new Error('interop: network namespaces need root')
    sweep()
    this.name = `${PREFIX}${process.pid}-${made++}`
    ip(['netns', 'add', this.name])
    process.once('exit', this.#onExit)
    for (const signal of SIGNALS) process.once(signal, this.#onSignal)
    try {
      ip(['-n', this.name, 'link', 'set', 'lo', 'up'])
      const routes = ip(['-n', this.name, 'route']).trim()
      if (routes !== '') throw new Error(`interop: the new namespace has routes: ${routes}`)
    } catch (e) {
      this.#destroy()
      throw e
    }
  }

  addAddress(address: string): void {
    ip(['-n', this.name, 'addr', 'add', `${address}/32`, 'dev', 'lo'])
  }

  /** Starts a program inside; the child's pid is the program's own. */
  exec(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn(
      'ip',
      ['netns', 'exec', this.name, 'setpriv', '--pdeathsig', 'KILL', ...argv],
      options,
    )
    this.#running.add(child)
    child.once('exit', () => this.#running.delete(child))
    child.once('error', () => this.#running.delete(child))
    return child
  }

  /** An HTTP request made inside; rejects when nobody answers. */
  fetch(
    url: string,
    init: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Reply> {
    const child = this.#fetcher ?? this.#startFetcher()
    const id = this.#requests++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (reply) => (reply instanceof Error ? reject(reply) : resolve(reply)))
      child.stdin!.write(`${JSON.stringify({ id, url, init })}\n`)
    })
  }

  /** Ends everything inside and removes the namespace. */
  async close(): Promise<void> {
    await Promise.all([...this.#running].map(stopProcess))
    this.#destroy()
  }

  /** A program that fetches what it reads on its input: this process cannot enter a namespace itself. */
  #startFetcher(): ChildProcess {
    const program = `
      const { createInterface } = await import('node:readline')
      for await (const line of createInterface({ input: process.stdin })) {
        const { id, url, init } = JSON.parse(line)
        fetch(url, { ...init, signal: AbortSignal.timeout(10000) })
          .then(async (r) => ({ id, status: r.status, body: await r.text() }))
          .catch((e) => ({ id, error: url + ': ' + (e.cause?.message ?? e.message) }))
          .then((reply) => console.log(JSON.stringify(reply)))
      }`
    const argv = [process.execPath, '--input-type=module', '-e', program]
    const child = this.exec(argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#fetcher = child
    child.stdin!.on('error', () => {}) // its end is told by `exit`
    child.once('exit', () => {
      this.#fetcher = undefined
      for (const done of this.#waiting.values()) done(new Error('the namespace was closed'))
      this.#waiting.clear()
    })
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const { id, status, body, error } = JSON.parse(line) as Partial<Reply> & { id: number; error?: string }
      this.#waiting.get(id)?.(error === undefined ? { status: status!, body: body! } : new Error(error))
      this.#waiting.delete(id)
    })
    return child
  }

  #destroy(): void {
    process.off('exit', this.#onExit)
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
    for (const child of this.#running) child.kill('SIGKILL')
    this.#running.clear()
    try {
      ip(['netns', 'del', this.name])
    } catch {
      // gone already
    }
  }
}

/** Ends a child of ours: TERM, and KILL when that does not help. */
export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(timer)
}

/** Removes namespaces whose owner was killed; what ran in them died with it. */
function sweep(): void {
  let names: string[] = []
  try {
    names = readdirSync('/run/netns')
  } catch {
    // none was ever made here
  }
  for (const name of names) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-\\d+$`).exec(name)?.[1]
    if (owner !== undefined && Number(owner) !== process.pid && !lives(Number(owner)))
      ip(['netns', 'del', name])
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** @throws {Error} with what `ip` said. */
function ip(argv: readonly string[]): string {
  try {
    return execFileSync('ip', argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (e) {
    const { code, stderr } = e as { code?: string; stderr?: string }
    if (code === 'ENOENT') throw new Error('interop: the program `ip` (package iproute2) is missing')
    throw new Error(`interop: ip ${argv.join(' ')}: ${stderr?.trim()}`)
  }
}
