/** The same page in a real browser: Chromium on one machine of a mesh, the site on the other. Needs root. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Lab } from '../../src/node/demo/lab.ts'
import { BUNDLE, MeshNode, run, until } from './node.ts'

const PAGE = `<!doctype html><html><head><title>not yet</title><link rel="stylesheet" href="style.css"></head>
<body><h1 id="h">A page in the woods</h1><img id="i" src="img/dot.svg"><script src="page.js"></script></body></html>`
/** Says in the title what of the page has arrived. */
const SCRIPT = `addEventListener('load', async () => {
  const text = await (await fetch('data.txt')).text()
  const colour = getComputedStyle(document.getElementById('h')).color
  document.title = [text, colour, document.getElementById('i').naturalWidth].join('|')
})`
const DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>'
/** Virtual time that the page gets to finish in. */
const BUDGET_MS = 30_000

let dir: string
let lab: Lab
let nodes: MeshNode[]

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-browser-'))
  lab = Lab.open(2)
  const { stdout } = await run(process.execPath, [BUNDLE, 'mesh', 'new', '--print'])
  const config = `[mesh]\nsecret = "${stdout.toString().split('\n')[0]}"\n`
  nodes = [0, 1].map((i) => new MeshNode(lab, i, dir, config))
  const site = join(nodes[0]!.data, 'site')
  mkdirSync(join(site, 'img'))
  writeFileSync(join(site, 'index.html'), PAGE)
  writeFileSync(join(site, 'style.css'), 'h1 { color: rgb(1, 2, 3) }')
  writeFileSync(join(site, 'page.js'), SCRIPT)
  writeFileSync(join(site, 'data.txt'), 'fetched')
  writeFileSync(join(site, 'img', 'dot.svg'), DOT)
  for (const node of nodes) node.start()
})

afterAll(async () => {
  for (const node of nodes) await node.stop()
  lab.close()
  rmSync(dir, { recursive: true, force: true })
})

/** The page as Chromium has it in the end. */
async function browse(url: string): Promise<string> {
  const argv = [
    'chromium',
    '--headless=new',
    '--no-sandbox', // root has none
    '--disable-gpu',
    '--no-first-run',
    `--user-data-dir=${join(dir, 'profile')}`,
    '--proxy-server=http://127.0.0.1:5444',
    `--virtual-time-budget=${BUDGET_MS}`,
    '--dump-dom',
    url,
  ]
  const { stdout } = await run('ip', ['netns', 'exec', lab.namespace(1), ...argv])
  return stdout.toString()
}

test('a browser reads a site with its styles, pictures and scripts', async () => {
  const { value: name } = await until('both nodes are ready', 60, async () => {
    const [one, other] = await Promise.all(nodes.map((n) => n.status()))
    return one?.ready && other?.ready ? one.destinations.find((d) => d.name === 'site')?.b32 : undefined
  })
  const page = await browse(`http://${name}/`)
  expect(page).toContain('<title>fetched|rgb(1, 2, 3)|7</title>')
  expect(page).toContain('A page in the woods')
})

test('a browser is told that a name outside I2P is not asked for', async () => {
  expect(await browse('http://example.org/')).toContain('<h1>Outside I2P</h1>')
})
