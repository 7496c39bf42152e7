/** From TOML text and `--set` flags to a Config, and a list of everything that is wrong with them. */
import { parse, TomlError } from 'smol-toml'
import type { Key } from './key.ts'
import { keyLines, lineOf } from './lines.ts'
import { nearest } from './nearest.ts'
import { type Config, type ConfigKey, LATER, SCHEMA } from './schema.ts'

export interface Problem {
  /** A warning does not keep the node from running. */
  readonly level: 'error' | 'warning'
  readonly key: string
  /** 1-based; undefined for a flag. */
  readonly line: number | undefined
  readonly message: string
}

export interface ReadConfig {
  /** Defaults stand in for what is wrong. */
  readonly config: Config
  readonly problems: readonly Problem[]
  /** What the user gave: a default that cannot be had is replaced silently, a given value is not. */
  readonly given: ReadonlySet<string>
}

const KEYS: ReadonlyMap<string, Key<unknown>> = new Map(Object.entries(SCHEMA) as [ConfigKey, Key<unknown>][])

/** `overrides` are the KEY=VALUE of `--set`; later ones win. */
export function readConfig(source: string, overrides: readonly string[] = []): ReadConfig {
  const reading = new Reading()
  reading.file(source)
  for (const override of overrides) reading.flag(override)
  reading.together()
  return { config: reading.config(), problems: reading.problems, given: new Set(reading.values.keys()) }
}

/** `FILE:LINE: message`, as editors and people know it. */
export function describe(problem: Problem, file: string): string {
  const where = problem.line === undefined ? '--set' : `${file}:${problem.line}`
  return `${where}: ${problem.level === 'warning' ? 'warning: ' : ''}${problem.message}`
}

/** Keys whose values are not the same in both. */
export function changedKeys(a: Config, b: Config): string[] {
  const at = (config: Config, key: string): string =>
    JSON.stringify(key.split('.').reduce<unknown>((v, part) => (v as Record<string, unknown>)[part], config))
  return [...KEYS.keys()].filter((key) => at(a, key) !== at(b, key))
}

class Reading {
  readonly values = new Map<string, unknown>()
  readonly problems: Problem[] = []
  #lines: ReadonlyMap<string, number> = new Map()
  /** Whether what is read now comes from a flag. */
  #flag = false

  file(source: string): void {
    try {
      const table = parse(source)
      this.#lines = keyLines(source)
      this.#walk('', table)
    } catch (e) {
      if (!(e instanceof TomlError)) throw e
      const reason = e.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '')
      this.problems.push({ level: 'error', key: '', line: e.line, message: `not TOML: ${reason}` })
    }
  }

  flag(override: string): void {
    this.#flag = true
    const at = override.indexOf('=')
    const key = (at < 0 ? override : override.slice(0, at)).trim()
    if (at < 0) this.#wrong(key, `"${key}" needs a value: --set KEY=VALUE`)
    else if (!/^[\w-]+(\.[\w-]+)*$/.test(key)) this.#wrong(key, `"${key}" is not a key: --set KEY=VALUE`)
    else this.#walk(key, flagValue(override.slice(at + 1), KEYS.get(key)))
    this.#flag = false
  }

  /** What no single key can tell. */
  together(): void {
    const { mesh, public: pub, site } = this.config()
    if (!mesh.enabled && !pub.enabled)
      this.#wrong('mesh.enabled', 'mesh.enabled and public.enabled are both false: there is nothing to run')
    if (mesh.min_length !== 'auto' && mesh.min_length > mesh.length)
      this.#wrong(
        'mesh.min_length',
        `mesh.min_length = ${mesh.min_length}: must be at most mesh.length (${mesh.length})`,
      )
    if (site.enabled === true && !(site.face === 'mesh' ? mesh : pub).enabled)
      this.#wrong('site.face', `site.face = "${site.face}": must be a face that is enabled`)
  }

  config(): Config {
    const root: Record<string, unknown> = {}
    for (const [name, key] of KEYS) {
      const parts = name.split('.')
      const last = parts.pop()!
      let at = root
      for (const part of parts) {
        at[part] ??= {}
        at = at[part] as Record<string, unknown>
      }
      at[last] = this.values.get(name) ?? key.default
    }
    return root as unknown as Config
  }

  #walk(name: string, value: unknown): void {
    const key = KEYS.get(name)
    if (key !== undefined) this.#value(name, key, value)
    else if (isTable(value) && isSection(name)) {
      for (const [part, inner] of Object.entries(value))
        this.#walk(name === '' ? part : `${name}.${part}`, inner)
    } else if (isSection(name)) this.#wrong(name, `${name} is a section: write [${name}]`)
    else if (isLater(name)) {
      this.problems.push(this.#problem('warning', name, `${name}: not in this version, ignored`))
    } else {
      const meant = nearest(name, KEYS.keys())
      this.#wrong(name, `${name}: unknown key${meant === undefined ? '' : `; did you mean ${meant}?`}`)
    }
  }

  #value(name: string, key: Key<unknown>, value: unknown): void {
    const read = key.read(value)
    if (read === undefined) {
      this.#wrong(name, `${name}${key.secret ? '' : ` = ${shown(value)}`}: must be ${key.allowed}`)
    } else this.values.set(name, read)
  }

  #wrong(key: string, message: string): void {
    this.problems.push(this.#problem('error', key, message))
  }

  #problem(level: Problem['level'], key: string, message: string): Problem {
    return { level, key, line: this.#flag ? undefined : (lineOf(this.#lines, key) ?? undefined), message }
  }
}

/** TOML when it is TOML; a key that takes text takes anything else, and numbers too, as it stands. */
function flagValue(source: string, key: Key<unknown> | undefined): unknown {
  let value: unknown = source
  try {
    value = parse(`v = ${source}`)['v']
  } catch (e) {
    if (!(e instanceof TomlError)) throw e
  }
  return key?.text === true && key.read(value) === undefined ? source : value
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

function isSection(name: string): boolean {
  if (name === '') return true
  for (const known of [...KEYS.keys(), ...LATER]) if (known.startsWith(`${name}.`)) return true
  return false
}

function isLater(name: string): boolean {
  return LATER.some((l) =>
    l.endsWith('.*') ? name.startsWith(l.slice(0, -1)) : name === l || name.startsWith(`${l}.`),
  )
}

/** A value in an error message: short, on one line. */
function shown(value: unknown): string {
  const json = JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? `${v}` : v)) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 57)}...` : json
}
