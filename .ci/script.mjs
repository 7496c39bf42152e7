// Runs one TypeScript file with Node: `node .ci/script.mjs FILE ARGS...`.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { basename } from 'node:path'
import { build } from 'esbuild'

const [file, ...args] = process.argv.slice(2)
const out = `dist/scripts/${basename(file, '.ts')}.mjs`
mkdirSync('dist/scripts', { recursive: true })
await build({
  entryPoints: [file],
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  packages: 'external',
  sourcemap: 'inline',
  outfile: out,
  logLevel: 'warning',
})
process.exit(spawnSync(process.execPath, ['--enable-source-maps', out, ...args], { stdio: 'inherit' }).status ?? 1)
