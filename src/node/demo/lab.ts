/**
 * A radio link on one machine: network namespaces joined by a bridge in a namespace of its own, each with one interface that
 * has a link-local IPv6 address, no other address and no default route. Needs root over its own network: real root, or a
 * user namespace (`insideUserNamespace`).
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import type { Ground } from './ground.ts'

/** The interface every node sees as its radio. */
export const LAB_INTERFACE = 'w0'

export class Lab implements Ground {
  readonly label = 'one link, simulated on one machine, not wireless: link-local IPv6 only, no route anywhere'
  readonly ours = false
  readonly #prefix: string
  readonly #nodes: string[] = []

  private constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** @throws {Error} when namespaces cannot be made here. */
  static open(nodes: number): Lab {
    const lab = new Lab(`rms${process.pid}`)
    try {
      ip(['netns', 'add', lab.#hub])
      ip(['-n', lab.#hub, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0'])
      ip(['-n', lab.#hub, 'link', 'set', 'br0', 'up'])
      for (let i = 0; i < nodes; i++) lab.addNode()
    } catch (e) {
      lab.close()
      throw e
    }
    return lab
  }

  get size(): number {
    return this.#nodes.length
  }

  /** One more machine in range; its number. */
  addNode(): number {
    const i = this.#nodes.length
    const name = `${this.#prefix}-${i}`
    ip(['netns', 'add', name])
    this.#nodes.push(name)
    ip(['-n', name, 'link', 'set', 'lo', 'up'])
    this.connect(i)
    return i
  }

  /** Gives node `i` its interface, as plugging in a wireless stick does. */
  connect(i: number): void {
    const name = this.namespace(i)
    const port = `p${i}`
    ip(['-n', this.#hub, 'link', 'add', port, 'type', 'veth', 'peer', 'name', LAB_INTERFACE, 'netns', name])
    ip(['-n', this.#hub, 'link', 'set', port, 'master', 'br0', 'up'])
    ip(['-n', name, 'link', 'set', LAB_INTERFACE, 'up'])
  }

  /** Takes the interface of node `i` away, as pulling the stick out does. */
  disconnect(i: number): void {
    ip(['-n', this.namespace(i), 'link', 'del', LAB_INTERFACE])
  }

  namespace(i: number): string {
    const name = this.#nodes[i]
    if (name === undefined) throw new RangeError(`no node ${i}`)
    return name
  }

  meshConfig(): string {
    return ''
  }

  spawn(i: number, argv: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.namespace(i), ...argv], options)
  }

  /** The namespace that hears every packet: its bridge is `br0`. */
  get hub(): string {
    return this.#hub
  }

  close(): void {
    for (const name of [...this.#nodes, this.#hub]) {
      try {
        ip(['netns', 'del', name])
      } catch {
        // it was never made
      }
    }
    this.#nodes.length = 0
  }

  get #hub(): string {
    return `${this.#prefix}-hub`
  }
}

/** Whether this process may make network namespaces; if not, the reason in one line. */
export function canMakeNamespaces(): true | string {
  const probe = `rms${process.pid}-probe`
  return tried(() => {
    ip(['netns', 'add', probe])
    ip(['netns', 'del', probe])
  })
}

/** Whether it may inside a user namespace of its own. */
export function canMakeUserNamespaces(): true | string {
  const [command, ...args] = insideUserNamespace(['ip', 'netns', 'add', 'probe'])
  return tried(() => execute(command!, args))
}

function tried(work: () => void): true | string {
  try {
    work()
    return true
  } catch (e) {
    return (e as Error).message
  }
}

/** The argv that runs `argv` as root of a user namespace of its own, where namespaces can be made without being root. */
export function insideUserNamespace(argv: readonly string[]): string[] {
  const script = 'mount -t tmpfs none /run && exec "$@"'
  return ['unshare', '--user', '--map-root-user', '--net', '--mount', 'sh', '-c', script, 'sh', ...argv]
}

function ip(args: readonly string[]): void {
  execute('ip', args)
}

function execute(command: string, args: readonly string[]): void {
  try {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (e) {
    const error = e as NodeJS.ErrnoException & { stderr?: Buffer }
    if (error.code === 'ENOENT') throw new Error(`the "${command}" command is not installed`)
    const said = error.stderr?.toString().trim().split('\n')[0]
    throw new Error(`${command} ${args.join(' ')}: ${said || error.message}`)
  }
}
