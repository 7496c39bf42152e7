/** `config example`: every key with its default, made from the schema. */
import type { Key } from './key.ts'
import { SCHEMA } from './schema.ts'

/** Keys are commented out: a file made from it changes nothing until a line is. */
export function exampleConfig(): string {
  const lines = ['# ramsons: every key with its default. Remove the # of a line to change it.']
  let section = ''
  for (const [name, key] of Object.entries(SCHEMA) as [string, Key<unknown>][]) {
    const at = name.indexOf(
      '.',
      name.startsWith('mesh.') || name.startsWith('public.') ? sectionEnd(name) : 0,
    )
    const of = name.slice(0, at)
    if (of !== section) lines.push('', `[${of}]`)
    section = of
    lines.push(`# ${key.doc} (${key.allowed})`, `#${name.slice(at + 1)} = ${JSON.stringify(key.default)}`)
  }
  return `${lines.join('\n')}\n`
}

/** `public.reseed.file` stands under [public.reseed], `public.host` under [public]. */
function sectionEnd(name: string): number {
  const second = name.indexOf('.', name.indexOf('.') + 1)
  return Math.max(0, second)
}
