/**
 * What the nodes of a demo stand on: network namespaces where they can be had (`lab.ts`), else this machine's own loopback, on which
 * they find each other by IPv4 multicast at an address each. Both say what they are.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'

export interface Ground {
  /** For people, and no more than is true. */
  readonly label: string
  /** Whether what a node listens on at 127.0.0.1 is ours to connect to. */
  readonly ours: boolean
  /** What node `i` needs in its [mesh] section to be here. */
  meshConfig(i: number): string
  /** Starts a program on node `i`. */
  spawn(i: number, argv: readonly string[], options: SpawnOptions): ChildProcess
  close(): void
}

export class Loopback implements Ground {
  readonly label =
    "this machine's loopback by IPv4 multicast: not wireless, and not even machines of their own"
  readonly ours = true

  constructor() {
    // Elsewhere 127.0.0.1 is the only address of it that is there.
    if (process.platform !== 'linux') throw new Error('this needs Linux')
  }

  /** The first address is left to the programs of this machine. */
  meshConfig(i: number): string {
    return `loopback = "127.0.0.${i + 2}"\n`
  }

  spawn(_i: number, argv: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn(argv[0]!, argv.slice(1), options)
  }

  close(): void {
    // The processes were all there is.
  }
}
