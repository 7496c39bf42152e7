/** `npm run bench -- [FIGURE]... [--out FILE.json]`: measures, prints a table, and writes everything as JSON. */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { firstPage } from './first-page.ts'
import { idle } from './idle.ts'
import { meshIdle } from './mesh-idle.ts'
import { MICRO_CHILD, measureMicro, micro } from './micro.ts'
import { say } from './network.ts'
import { relay } from './relay.ts'
import { judge, type Result, table } from './result.ts'
import { stream } from './stream.ts'

/** In this order, and all of them when none is named. */
const FIGURES: Readonly<Record<string, () => Promise<Result[]>>> = {
  micro,
  relay,
  stream,
  first: firstPage,
  idle,
  mesh: meshIdle,
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: { out: { type: 'string' } },
    allowPositionals: true,
  })
  const unknown = positionals.filter((name) => !Object.hasOwn(FIGURES, name))
  if (unknown.length > 0) {
    console.error(`bench: no figure "${unknown.join('", "')}"; there are ${Object.keys(FIGURES).join(', ')}`)
    return 2
  }
  const names = positionals.length > 0 ? positionals : Object.keys(FIGURES)
  const results: Result[] = []
  let failed = false
  for (const name of names) {
    const from = performance.now()
    try {
      results.push(...(await FIGURES[name]!()))
    } catch (e) {
      failed = true
      console.error(`bench: ${name} failed: ${(e as Error).stack}`)
    }
    say(`${name}: ${((performance.now() - from) / 1000).toFixed(0)} s`)
  }
  const judged = judge(results)
  console.log(table(judged))
  if (values.out !== undefined) {
    const machine = {
      node: process.version,
      openssl: process.versions.openssl,
      cpus: cpus().map((c) => c.model),
    }
    const date = new Date().toISOString()
    writeFileSync(values.out, `${JSON.stringify({ date, machine, results: judged }, undefined, 2)}\n`)
  }
  return failed ? 1 : 0
}

if (process.argv.includes(MICRO_CHILD)) {
  measureMicro()
} else {
  // Whatever is left of networks ends with this process.
  main(process.argv.slice(2)).then((status) => process.exit(status))
}
