/** `ramsons config check FILE | example`. */
import { parseArgs } from 'node:util'
import { describe, readConfig } from '../config/config.ts'
import { exampleConfig } from '../config/example.ts'
import { UsageError } from '../usage-error.ts'
import { readConfigFile } from './options.ts'

export async function config(args: readonly string[]): Promise<number> {
  const { positionals } = parseArgs({ args: [...args], options: {}, allowPositionals: true })
  const [word, file, ...rest] = positionals
  if (word === 'example' && file === undefined) {
    process.stdout.write(exampleConfig())
    return 0
  }
  if (word === 'check' && file !== undefined && rest.length === 0) return check(file)
  throw new UsageError('use: ramsons config check FILE, or ramsons config example')
}

function check(file: string): number {
  const { problems } = readConfig(readConfigFile(file))
  for (const problem of problems) console.log(describe(problem, file))
  if (problems.some((p) => p.level === 'error')) return 2
  console.log(`${file}: good`)
  return 0
}
