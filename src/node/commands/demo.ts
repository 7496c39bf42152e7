/** `ramsons demo`: a mesh of several nodes on this machine, a site on one, read from another. */
import { parseArgs } from 'node:util'
import { ConfigError } from '../../base/errors.ts'
import { runDemo } from '../demo/demo.ts'

// Implementation constants
/** Six are what two-hop tunnels with different hops each way need. */
const NODES = 6
/** Each is a process of its own: more would measure this machine. */
const MAX_NODES = 30

export async function demo(args: readonly string[]): Promise<number> {
  const options = { nodes: { type: 'string' }, keep: { type: 'boolean' } } as const
  const { values } = parseArgs({ args: [...args], options })
  const nodes = Number(values.nodes ?? NODES)
  if (!Number.isInteger(nodes) || nodes < 2 || nodes > MAX_NODES)
    throw new ConfigError('--nodes', values.nodes, `a whole number from 2 to ${MAX_NODES}`)
  return runDemo({ nodes, keep: values.keep ?? false })
}
