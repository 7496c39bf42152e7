// Writes dist/ramsons.mjs: the whole program in one file that runs after being copied alone to another machine.
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const OUT = 'dist/ramsons.mjs'
/** A Raspberry Pi reads and parses this at each start. */
const MAX_BYTES = 1.5e6

const { version, engines, license } = JSON.parse(readFileSync('package.json', 'utf8'))
const needed = engines.node.replace('>=', '')
const [major, minor = 0] = needed.split('.')

const { outputFiles, metafile } = await build({
  entryPoints: ['src/node/main.ts'],
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: `node${needed}`,
  minifySyntax: true, // lines and names stay: a stack trace in a report must be readable
  legalComments: 'none', // the notices below have them all
  external: ['sodium-native'],
  define: { RAMSONS_VERSION: JSON.stringify(version), 'import.meta.url': 'RAMSONS_URL' },
  outdir: 'dist',
  plugins: [{ name: 'mime-db', setup: (b) => b.onLoad({ filter: /mime-db.db\.json$/ }, fileTypes) }],
  write: false,
  metafile: true,
  logLevel: 'warning',
})

// Old Nodes do not even parse today's syntax, so the program is text until the version was looked at. This much is read by
// any Node that knows modules (12.17).
const file = `#!/usr/bin/env node
// ramsons ${version}, ${license} licence. Third-party notices are at the end of this file.
import { createRequire } from 'module'
import { fileURLToPath } from 'url'
import vm from 'vm'
var found = process.versions.node.split('.')
if (+found[0] < ${major} || (+found[0] === ${major} && +found[1] < ${minor})) {
  console.error('ramsons needs Node.js ${needed} or newer; this is ' + process.versions.node)
  process.exit(2)
}
vm.compileFunction(
  program(),
  ['require', 'module', 'RAMSONS_URL'],
  { filename: fileURLToPath(import.meta.url), importModuleDynamically: vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER }
)(createRequire(import.meta.url), {}, import.meta.url)
function program() {
  return ${JSON.stringify(outputFiles[0].text)}
}
${notices(metafile.inputs)}
`
if (file.length > MAX_BYTES) throw new Error(`${OUT} would be ${file.length} bytes, more than ${MAX_BYTES}`)
mkdirSync('dist', { recursive: true })
writeFileSync(OUT, file)
chmodSync(OUT, 0o755)
console.log(`${OUT}: ${(file.length / 1e6).toFixed(2)} MB`)

/** Of the 2,500 types that mime-db knows, those that a file's name can tell. */
function fileTypes({ path }) {
  const all = Object.entries(JSON.parse(readFileSync(path, 'utf8')))
  const named = all.filter(([, type]) => type.extensions).map(([name, { source, charset, extensions }]) => [name, { source, charset, extensions }])
  return { contents: JSON.stringify(Object.fromEntries(named)), loader: 'json' }
}

/** The licence texts of every package that went into the bundle, as one comment. */
function notices(inputs) {
  const packages = new Set()
  for (const path of Object.keys(inputs)) {
    const found = /^.*node_modules\/(@[^/]+\/[^/]+|[^/]+)\//.exec(path)
    if (found) packages.add(found[0])
  }
  const parts = [...packages].sort().map((dir) => {
    const about = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'))
    const name = readdirSync(dir).find((f) => /^licen[cs]e(\.|$)/i.test(f))
    if (name === undefined) throw new Error(`${dir} has no licence file: the bundle must not go out without it`)
    const text = readFileSync(join(dir, name), 'utf8').trim()
    return `${about.name} ${about.version} (${about.license})\n\n${text}`
  })
  const rule = '\n\n----------------------------------------\n\n'
  return `/*!\nThird-party notices: parts of this file come from\n\n${parts.join(rule).replaceAll('*/', '* /')}\n*/`
}
