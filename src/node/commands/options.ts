/** What several commands share: finding and reading the configuration. */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, type ReadConfig, readConfig } from '../config/config.ts'
import { errorCode, expandHome, fileProblem } from '../files.ts'
import { UsageError } from '../usage-error.ts'

export interface ConfigOptions {
  readonly config?: string | undefined
  readonly data?: string | undefined
  readonly set?: readonly string[] | undefined
}

/** For `parseArgs`. */
export const CONFIG_OPTIONS = {
  config: { type: 'string' },
  data: { type: 'string' },
  set: { type: 'string', multiple: true },
} as const

/** Where the configuration is looked for when no `--config` names it. */
function usualFiles(): string[] {
  const home = process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config')
  return [join(home, 'ramsons', 'ramsons.toml'), '/etc/ramsons/ramsons.toml']
}

/** Every warning goes to standard error. @throws {UsageError} when there are errors, all of them in its message. */
export function loadConfig(options: ConfigOptions): ReadConfig {
  const file = options.config ?? usualFiles().find((f) => existsSync(f))
  const sets = [
    ...(options.set ?? []),
    ...(options.data === undefined ? [] : [`node.data=${JSON.stringify(options.data)}`]),
  ]
  const read = readConfig(file === undefined ? '' : readConfigFile(file), sets)
  const errors = read.problems.filter((p) => p.level === 'error')
  for (const p of read.problems) if (p.level === 'warning') console.error(describe(p, file ?? ''))
  if (errors.length === 0) return read
  const [first, ...rest] = errors.map((p) => describe(p, file ?? ''))
  for (const line of rest) console.error(line)
  throw new UsageError(first!)
}

/** @throws {UsageError} when it cannot be read. */
export function readConfigFile(file: string): string {
  try {
    return readFileSync(expandHome(file), 'utf8')
  } catch (e) {
    if (errorCode(e) === undefined) throw e
    throw new UsageError(fileProblem(e, file))
  }
}
