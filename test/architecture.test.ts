import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { check, type Rule, type Tree, type Violation } from './architecture/rules.ts'
import { withoutComments } from './architecture/source.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

function sourceTree(): Tree {
  const tree = new Map<string, string>()
  for (const entry of readdirSync(`${ROOT}src`, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = `${entry.parentPath}/${entry.name}`
    if (/\.(ts|js|mjs|md)$/.test(path)) tree.set(path.slice(ROOT.length), readFileSync(path, 'utf8'))
  }
  return tree
}

const show = ({ path, what }: Violation): string => `${path} ${what}`

describe('the house', () => {
  let violations: Violation[]
  beforeAll(async () => {
    violations = await check(sourceTree())
  })

  const rules: readonly (readonly [Rule, string])[] = [
    ['direction', 'imports go down, or sideways inside one room'],
    ['modules', 'only the edge does I/O, only crypto/ imports crypto'],
    ['ambient', 'the protocol zone names no time, randomness, timer, process or promise'],
    ['cycle', 'no files import each other in a circle'],
    ['length', 'no file is longer than 400 lines of code'],
    ['readme', 'every wing and room has a README that names its files'],
  ]
  test.each(rules)('%s: %s', (rule) => {
    expect(violations.filter((violation) => violation.rule === rule).map(show)).toEqual([])
  })

  test('there is something to check', () => {
    expect(sourceTree().size).toBeGreaterThan(30)
  })
})

/** Violations of one rule in a tree of these files. */
async function found(rule: Rule, files: Readonly<Record<string, string>>): Promise<string[]> {
  return (await check(new Map(Object.entries(files))))
    .filter((violation) => violation.rule === rule)
    .map(show)
}

/** What a file says wrong under one rule. */
async function foundIn(rule: Rule, path: string, text: string): Promise<string[]> {
  return (await found(rule, { [path]: text })).map((line) => line.slice(path.length + 1))
}

describe('the checker can fail: direction', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['src/base/a.ts', '../crypto/sha256.ts', false],
    ['src/crypto/a.ts', '../protocol/i2np/message.ts', false],
    ['src/protocol/ntcp2/a.ts', '../../router/router.ts', false],
    ['src/protocol/ntcp2/a.ts', '../ssu2/session.ts', false],
    ['src/protocol/structures/a.ts', '../ntcp2/session.ts', false],
    ['src/router/a.ts', '../mesh/link.ts', false],
    ['src/mesh/a.ts', '../router/router.ts', false],
    ['src/power/a.ts', '../mesh/link.ts', false],
    ['src/router/netdb/a.ts', '../tunnel/tunnels.ts', false],
    ['src/router/tunnel/a.ts', '../netdb/netdb.ts', false],
    ['src/host/a.ts', '../services/sam/a.ts', false],
    ['src/services/sam/a.ts', '../../node/main.ts', false],
    ['src/apps/site/a.ts', '../../node/main.ts', false],
    ['src/base/a.ts', '../../test/support.ts', false],
    ['src/elsewhere/a.ts', '../base/bytes.ts', false],
    ['src/node/a.ts', '../elsewhere/a.ts', false],
    ['src/protocol/ntcp2/a.ts', '../structures/hash.ts', true],
    ['src/protocol/ntcp2/a.ts', '../blocks/block.ts', true],
    ['src/protocol/ntcp2/a.ts', './b.ts', true],
    ['src/protocol/structures/a.ts', '../i2np/message.ts', true],
    ['src/router/router.ts', './netdb/netdb.ts', true],
    ['src/router/netdb/a.ts', '../pools.ts', true],
    ['src/mesh/a.ts', '../protocol/hello/hello.ts', true],
    ['src/services/sam/a.ts', '../../host/socket.ts', true],
    ['src/node/main.ts', '../apps/site/site.ts', true],
  ]
  test.each(cases)('%s -> %s allowed: %s', async (path, from, allowed) => {
    for (const text of [
      `import { x } from '${from}'\nx()`,
      `export { x } from '${from}'`,
      `await import('${from}')`,
    ]) {
      expect(await foundIn('direction', path, text)).toHaveLength(allowed ? 0 : 1)
    }
  })

  test('types count as imports, but may cross between rooms of the router', async () => {
    const multiline = "import type {\n  X,\n  Y,\n} from '../crypto/sha256.ts'"
    expect(await foundIn('direction', 'src/base/a.ts', multiline)).toEqual([
      'imports src/crypto/sha256.ts: a higher floor',
    ])
    const crossing = (words: string): string => `${words} { Hop } from '../peers/hop.ts'\nexport type T = Hop`
    expect(await foundIn('direction', 'src/router/tunnel/a.ts', crossing('import type'))).toEqual([])
    expect(await foundIn('direction', 'src/router/tunnel/a.ts', crossing('import'))).toHaveLength(1)
  })
})

describe('the checker can fail: modules', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['src/base/a.ts', 'node:fs', false],
    ['src/base/a.ts', 'node:zlib', false],
    ['src/crypto/a.ts', 'node:net', false],
    ['src/crypto/a.ts', 'node:module', false],
    ['src/protocol/ntcp2/a.ts', 'node:crypto', false],
    ['src/router/a.ts', 'node:dgram', false],
    ['src/mesh/a.ts', 'bonjour-service', false],
    ['src/power/a.ts', 'fs', false],
    ['src/host/a.ts', 'node:crypto', false],
    ['src/node/a.ts', '@noble/curves/ed25519.js', false],
    ['src/services/sam/a.ts', 'sodium-native', false],
    ['src/base/gzip.ts', 'node:zlib', true],
    ['src/crypto/a.ts', 'node:crypto', true],
    ['src/crypto/a.ts', '@noble/curves/ed25519.js', true],
    ['src/crypto/provider.ts', 'node:module', true],
    ['src/host/a.ts', 'node:stream', true],
    ['src/node/a.ts', 'bonjour-service', true],
  ]
  test.each(cases)('%s -> %s allowed: %s', async (path, from, allowed) => {
    expect(await foundIn('modules', path, `import x from '${from}'\nx()`)).toHaveLength(allowed ? 0 : 1)
    expect(await foundIn('modules', path, `import type { X } from '${from}'`)).toHaveLength(allowed ? 0 : 1)
  })
})

describe('the checker can fail: ambient', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['export const t = Date.now()', ['names Date']],
    ['export const t = new Date(5)', ['names Date']],
    ['export const t = performance.now()', ['names performance']],
    ['export const r = Math.random()', ['names Math.random']],
    ["export const r = Math['random']()", ['names Math.random']],
    ['setTimeout(f, 5)', ['names setTimeout']],
    ['const { env } = process', ['names process']],
    ['export const o = { console }', ['names console']],
    ["console.log('x')", ['names console']],
    ['export async function f() {}', ['names async']],
    ['export const f = async () => 1', ['names async']],
    ['export class A { async f() {} }', ['names async']],
    ['await x', ['names await']],
    ['export const p = Promise.resolve(1)', ['names Promise']],
    ['export const g = globalThis', ['names globalThis']],
    ['export const r = crypto.getRandomValues(x)', ['names crypto']],
    ['export const m = Math.floor(1)', []],
    ['a.process(b.console)', []],
    ['export class A { process() {} }', []],
    ['export const o = { console: 1 }', []],
    ["export const s = 'Date.now() await process'", []],
    ['// Date.now()\n/* await process */', []],
    ['export interface T { process: number }', []],
  ]
  test.each(cases)('%s', async (text, expected) => {
    for (const wing of ['base', 'crypto', 'protocol/i2np', 'router', 'mesh', 'power']) {
      expect(await foundIn('ambient', `src/${wing}/a.ts`, text)).toEqual(expected)
    }
    for (const wing of ['host', 'services/sam', 'apps/site', 'node']) {
      expect(await foundIn('ambient', `src/${wing}/a.ts`, text)).toEqual([])
    }
  })
})

describe('the checker can fail: cycle', () => {
  test('of two, of three, of oneself, by type; none without', async () => {
    const to = (name: string): string => `import { x } from './${name}.ts'\n`
    expect(await found('cycle', { 'src/base/a.ts': to('b'), 'src/base/b.ts': to('a') })).toEqual([
      'src/base/a.ts src/base/a.ts -> src/base/b.ts -> src/base/a.ts',
    ])
    expect(
      await found('cycle', { 'src/base/a.ts': to('b'), 'src/base/b.ts': to('c'), 'src/base/c.ts': to('b') }),
    ).toEqual(['src/base/b.ts src/base/b.ts -> src/base/c.ts -> src/base/b.ts'])
    expect(await found('cycle', { 'src/base/a.ts': to('a') })).toHaveLength(1)
    expect(
      await found('cycle', { 'src/base/a.ts': to('b'), 'src/base/b.ts': "import type { T } from './a.ts'" }),
    ).toHaveLength(1)
    expect(
      await found('cycle', {
        'src/base/a.ts': to('b') + to('c'),
        'src/base/b.ts': to('c'),
        'src/base/c.ts': '',
      }),
    ).toEqual([])
  })
})

describe('the checker can fail: length', () => {
  const lines = (count: number, line: string): string => `${line}\n`.repeat(count)

  test('401 lines of code are too many, 400 are not', async () => {
    expect(await foundIn('length', 'src/base/a.ts', lines(401, 'f()'))).toEqual([
      '401 lines of code, 400 allowed',
    ])
    expect(await foundIn('length', 'src/base/a.ts', lines(400, 'f()'))).toEqual([])
    expect(
      await foundIn('length', 'src/node/a.ts', lines(401, '}').replace(/^/, lines(401, '{'))),
    ).toHaveLength(1)
  })

  test('comments, blank lines and tables of data are not counted', async () => {
    const quiet =
      lines(300, '  // no code') +
      lines(100, '') +
      lines(100, '/* none\n   either */') +
      `export const T = [\n${lines(300, "  ['name', 0x10, -1.5, true],")}]\n` +
      `export const M = {\n${lines(1, '  a: 1,')}${lines(300, "  'b': [1, 2, 'x'],")}}\n`
    expect(await foundIn('length', 'src/base/a.ts', quiet + lines(396, 'f()'))).toEqual([])
    expect(await foundIn('length', 'src/base/a.ts', quiet + lines(397, 'f()'))).toHaveLength(1)
  })

  test('what looks like a comment is still code', () => {
    const tricky = ["a('//')", 'b("/*")', 'c(`// x`)', 'd(/[/"]\\/\\//)', "const e = /'/", 'f(1 / 2, g / h)']
    for (const line of tricky) expect(withoutComments(line)).toBe(line)
    expect(withoutComments('a() // b\nc(/* d */)')).toBe('a() \nc()')
  })
})

describe('the checker can fail: readme', () => {
  const text = (...names: string[]): string =>
    `# x\n\n${names.map((name) => `- \`${name}\``).join('\n')}\ntest/x/\n`

  test('missing, incomplete, out of date, too long, silent about tests', async () => {
    expect(await found('readme', { 'src/base/a.ts': '' })).toEqual(['src/base/README.md missing'])
    const one = (readme: string): Promise<string[]> =>
      foundIn('readme', 'src/base/README.md', readme).then(() =>
        found('readme', { 'src/base/a.ts': '', 'src/base/deep/b.ts': '', 'src/base/README.md': readme }),
      )
    expect(await one(text('a.ts', 'deep/b.ts'))).toEqual([])
    expect(await one(text('a.ts', 'b.ts'))).toEqual([])
    expect(await one(text('b.ts'))).toEqual(['src/base/README.md does not name a.ts'])
    expect(await one(text('a.ts', 'b.ts', 'gone.ts'))).toEqual([
      'src/base/README.md names gone.ts, which is not there',
    ])
    expect(await one(text('a.ts', 'b.ts') + 'x\n'.repeat(19))).toEqual([])
    expect(await one(text('a.ts', 'b.ts') + 'x\n'.repeat(21))).toEqual([
      'src/base/README.md 26 lines, 25 allowed',
    ])
    expect(await one(text('a.ts', 'b.ts').replace('test/', ''))).toEqual([
      'src/base/README.md does not say where the tests are',
    ])
  })

  test('rooms of protocol, router and services have their own', async () => {
    for (const wing of ['protocol', 'router', 'services']) {
      expect(await found('readme', { [`src/${wing}/room/a.ts`]: '' })).toEqual([
        `src/${wing}/README.md missing`,
        `src/${wing}/room/README.md missing`,
      ])
      expect(
        await found('readme', {
          [`src/${wing}/a.ts`]: '',
          [`src/${wing}/room/b.ts`]: '',
          [`src/${wing}/README.md`]: text('a.ts'),
          [`src/${wing}/room/README.md`]: text('b.ts'),
        }),
      ).toEqual([])
    }
  })
})
