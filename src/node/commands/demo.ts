/** `ramsons demo`: a mesh of several nodes on this machine, a site on one, read from another. */
import { parseArgs } from 'node:util'
import { ConfigError } from '../../base/errors.ts'
import { runDemo, runRelay } from '../demo/demo.ts'
import { UsageError } from '../usage-error.ts'

// Implementation constants
/** Six are what two-hop tunnels with different hops each way need. */
const NODES = 6
/** Each is a process of its own: more would measure this machine. */
const MAX_NODES = 30

export async function demo(args: readonly string[]): Promise<number> {
  const options = {
    nodes: { type: 'string' },
    keep: { type: 'boolean' },
    loopback: { type: 'boolean' },
    inside: { type: 'string' },
    outside: { type: 'string' },
  } as const
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  const [word, socket, port] = positionals
  // The demo starts itself again in these two ways; they are not for people.
  if (word === 'relay' && socket !== undefined && port !== undefined) return runRelay(socket, Number(port))
  if (word !== undefined) throw new UsageError('use: ramsons demo [--nodes N] [--keep] [--loopback]')
  const nodes = Number(values.nodes ?? NODES)
  if (!Number.isInteger(nodes) || nodes < 2 || nodes > MAX_NODES)
    throw new ConfigError('--nodes', values.nodes, `a whole number from 2 to ${MAX_NODES}`)
  const { keep = false, loopback = false, inside, outside } = values
  return runDemo({ nodes, keep, loopback, inside, outside })
}
