/** The rules of the house, over any tree of files: `src/...` paths to their text. */
import { posix } from 'node:path'
import { type Import, readSource, type Source } from './source.ts'

/** Paths to text: sources and READMEs. */
export type Tree = ReadonlyMap<string, string>

export type Rule = 'direction' | 'modules' | 'ambient' | 'cycle' | 'length' | 'readme'

export interface Violation {
  readonly rule: Rule
  readonly path: string
  readonly what: string
}

/** Lowest floor first; a wing imports from its own floor or below. Wings that share a floor do not know each other. */
const FLOORS: Readonly<Record<string, number>> = {
  base: 0,
  crypto: 1,
  protocol: 2,
  router: 3,
  mesh: 3,
  power: 3,
  host: 4,
  services: 5,
  apps: 6,
  node: 7,
}
const TOP_OF_PROTOCOL_ZONE = 3

/** Rooms of protocol/ that all others may use. */
const SHARED_PROTOCOL = ['structures', 'i2np', 'blocks']
/** Rooms of router/ that only router.ts may bring together; types may cross. */
const ROUTER_ROOMS = ['transport', 'reach', 'netdb', 'peers', 'tunnel', 'destination']

/** Node modules in the protocol zone, by file or folder. */
const NODE_IN_ZONE: readonly (readonly [path: string, module: string])[] = [
  ['src/base/gzip.ts', 'node:zlib'],
  ['src/crypto/', 'node:crypto'],
  ['src/crypto/provider.ts', 'node:module'],
]
const CRYPTO_PACKAGES = /^(node:crypto|crypto|@noble\/.*|sodium-native|libsodium-.*|tweetnacl)$/

const MAX_CODE_LINES = 400
/** Files that may be longer, each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {}

const MAX_README_LINES = 25
/** Folders whose subfolders each have a README of their own. */
const DIVIDED = ['src/protocol', 'src/router', 'src/services']

export async function check(tree: Tree): Promise<Violation[]> {
  const sources: Source[] = []
  for (const [path, text] of tree) if (isSource(path)) sources.push(await readSource(path, text))
  return [
    ...sources.flatMap((source) => source.imports.flatMap((imported) => direction(source.path, imported))),
    ...sources.flatMap((source) => source.imports.flatMap((imported) => modules(source.path, imported.from))),
    ...sources.flatMap(ambient),
    ...cycles(sources),
    ...sources.flatMap(length),
    ...readmes(tree),
  ]
}

function isSource(path: string): boolean {
  return /^src\/.*\.(ts|js|mjs)$/.test(path)
}

function resolve(importer: string, from: string): string | undefined {
  return from.startsWith('.') ? posix.join(posix.dirname(importer), from) : undefined
}

/** `src/wing/room/file.ts`; a file right in its wing has no room. */
function place(path: string): { wing: string; room: string | undefined } {
  const parts = path.split('/')
  return { wing: parts[1] ?? '', room: parts.length > 3 ? parts[2] : undefined }
}

function direction(path: string, { from, typeOnly }: Import): Violation[] {
  const target = resolve(path, from)
  if (target === undefined) return []
  const violation = (what: string): Violation[] => [
    { rule: 'direction', path, what: `imports ${target}: ${what}` },
  ]
  if (!target.startsWith('src/')) return violation('outside src')
  const importer = place(path)
  const imported = place(target)
  const [here, there] = [FLOORS[importer.wing], FLOORS[imported.wing]]
  if (here === undefined) return violation('the importer is in no known wing')
  if (there === undefined) return violation('no known wing')
  if (there > here) return violation('a higher floor')
  if (importer.wing !== imported.wing)
    return there === here ? violation('another wing of the same floor') : []
  if (importer.room === imported.room || importer.room === undefined || imported.room === undefined) return []
  if (importer.wing === 'protocol' && !SHARED_PROTOCOL.includes(imported.room))
    return violation('a sibling room')
  const bothRooms = ROUTER_ROOMS.includes(importer.room) && ROUTER_ROOMS.includes(imported.room)
  if (importer.wing === 'router' && bothRooms && !typeOnly)
    return violation('a sibling room, and not for types')
  return []
}

function modules(path: string, from: string): Violation[] {
  if (from.startsWith('.')) return []
  const { wing } = place(path)
  const violation = (what: string): Violation[] => [
    { rule: 'modules', path, what: `imports ${from}: ${what}` },
  ]
  const allowed = NODE_IN_ZONE.some(([where, module]) => path.startsWith(where) && module === from)
  if (CRYPTO_PACKAGES.test(from)) return wing === 'crypto' ? [] : violation('only crypto/ may')
  if (inZone(path) && !allowed) return violation('the protocol zone has no modules from outside')
  return []
}

function inZone(path: string): boolean {
  const floor = FLOORS[place(path).wing]
  return floor !== undefined && floor <= TOP_OF_PROTOCOL_ZONE
}

function ambient(source: Source): Violation[] {
  if (!inZone(source.path)) return []
  return source.ambient.map((name) => ({ rule: 'ambient', path: source.path, what: `names ${name}` }))
}

/** Each circle once, from its first file in path order. */
function cycles(sources: readonly Source[]): Violation[] {
  const edges = new Map(
    sources.map(({ path, imports }) => [path, new Set(imports.map(({ from }) => resolve(path, from) ?? ''))]),
  )
  const done = new Set<string>()
  const trail: string[] = []
  const found: Violation[] = []
  const visit = (path: string): void => {
    const at = trail.indexOf(path)
    if (at >= 0) {
      const circle = trail.slice(at)
      found.push({ rule: 'cycle', path, what: [...circle, path].join(' -> ') })
      return
    }
    if (done.has(path)) return
    trail.push(path)
    for (const next of edges.get(path) ?? []) visit(next)
    trail.pop()
    done.add(path)
  }
  for (const path of [...edges.keys()].sort()) visit(path)
  return found
}

function length({ path, codeLines }: Source): Violation[] {
  if (codeLines <= MAX_CODE_LINES || path in LONG_FILES) return []
  return [{ rule: 'length', path, what: `${codeLines} lines of code, ${MAX_CODE_LINES} allowed` }]
}

function readmes(tree: Tree): Violation[] {
  const violations: Violation[] = []
  const sources = [...tree.keys()].filter(isSource)
  for (const [folder, files] of foldersWithReadme(sources)) {
    const path = `${folder}/README.md`
    const text = tree.get(path)
    const violation = (what: string): number => violations.push({ rule: 'readme', path, what })
    if (text === undefined) {
      violation('missing')
      continue
    }
    const lines = text.trimEnd().split('\n').length
    if (lines > MAX_README_LINES) violation(`${lines} lines, ${MAX_README_LINES} allowed`)
    if (!text.includes('test/')) violation('does not say where the tests are')
    const named = [...text.matchAll(/`([\w./-]+\.(?:ts|js|mjs))`/g)].map((match) => match[1]!)
    for (const file of files) {
      const known = named.some((name) => `/${file}`.endsWith(`/${name}`))
      if (!known) violation(`does not name ${file.slice(folder.length + 1)}`)
    }
    for (const name of named) {
      if (name.startsWith('test/')) continue
      if (!sources.some((file) => `/${file}`.endsWith(`/${name}`)))
        violation(`names ${name}, which is not there`)
    }
  }
  return violations
}

/** The folders that need a README, with the files each has to name: all below it that belong to no other such folder. */
function foldersWithReadme(sources: readonly string[]): Map<string, string[]> {
  const folders = new Map<string, string[]>()
  for (const path of sources) {
    const parts = path.split('/')
    if (parts.length < 3) continue // src/file.ts is the direction rule's business
    const wing = `src/${parts[1]}`
    const folder = DIVIDED.includes(wing) && parts.length > 3 ? `${wing}/${parts[2]}` : wing
    if (!folders.has(wing)) folders.set(wing, [])
    if (!folders.has(folder)) folders.set(folder, [])
    folders.get(folder)!.push(path)
  }
  return folders
}
