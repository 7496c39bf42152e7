/** The program: one word of the command line, one module of commands/, and the exit status. */
import { ConfigError } from '../base/errors.ts'
import { errorCode } from './files.ts'
import { UsageError } from './usage-error.ts'

/** Takes the words after its name. Resolves to the exit status: 0 well, 1 failed, 2 the user's mistake. */
export type Command = (args: readonly string[]) => Promise<number>

const USAGE = `ramsons, an I2P router for machines without a cable

ramsons run      [--config FILE] [--data DIR] [--set KEY=VALUE]... [--public]   a node in the foreground
ramsons status   [--data DIR] [--json] [--watch]          asks the running node
ramsons demo     [--nodes N] [--keep] [--loopback]        a mesh of N nodes on this machine
ramsons config   check FILE | example
ramsons mesh     new [--print] | join WORDS|LINK | show | qr | panic    the mesh's secret  [--data DIR]
ramsons keys     new|show FILE                            destination keys
ramsons version`

/** Loaded when asked for: `version` must not pay for a router. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).run,
  status: async () => (await import('./commands/status.ts')).status,
  demo: async () => (await import('./commands/demo.ts')).demo,
  config: async () => (await import('./commands/config.ts')).config,
  mesh: async () => (await import('./commands/mesh.ts')).mesh,
  keys: async () => (await import('./commands/keys.ts')).keys,
  version: async () => (await import('./commands/version.ts')).version,
}

async function main(args: readonly string[]): Promise<number> {
  const [word = '', ...rest] = args
  if (word === '--version' || word === '-v') return main(['version'])
  if (word === 'help' || word === '--help' || word === '-h') {
    console.log(USAGE)
    return 0
  }
  const load = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (load === undefined) {
    console.error(word === '' ? USAGE : `ramsons: there is no command "${word}"\n\n${USAGE}`)
    return 2
  }
  try {
    const command = await load()
    return await command(rest)
  } catch (e) {
    if (isUsersMistake(e)) {
      console.error(`ramsons ${word}: ${e.message.split('\n')[0]}`)
      return 2
    }
    // A system error says all in one line; anything without a code may be a bug, and then its place is wanted.
    const bug = e instanceof TypeError || e instanceof RangeError || e instanceof ReferenceError
    console.error(
      `ramsons ${word}: ${e instanceof Error ? ((bug ? e.stack : undefined) ?? e.message) : String(e)}`,
    )
    return 1
  }
}

function isUsersMistake(e: unknown): e is Error {
  return (
    e instanceof UsageError || e instanceof ConfigError || errorCode(e)?.startsWith('ERR_PARSE_ARGS') === true
  )
}

// A reader that went away (`ramsons status | head`) is no failure.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
// What a command leaves open when it fails must not keep the process; output to pipes and files is written at once.
main(process.argv.slice(2)).then((status) => process.exit(status))
