/** What the rules need to know of one source file, taken from its text. */
import { transform } from 'esbuild'
import { parseAst } from 'vite'

export interface Import {
  readonly from: string
  /** Erased by the compiler: it couples types, not behaviour. */
  readonly typeOnly: boolean
}

export interface Source {
  readonly path: string
  readonly imports: readonly Import[]
  /** Ambient names it uses, each once, such as `Date`, `Math.random` or `await`. */
  readonly ambient: readonly string[]
  /** Lines that are neither blank nor comment nor table of data. */
  readonly codeLines: number
}

/** What only the edge zone may name: time, randomness, timers, the process, the world. */
const AMBIENT = new Set([
  'Date',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'process',
  'console',
  'Promise',
  'fetch',
  'crypto',
  'globalThis',
  'require',
])

export async function readSource(path: string, text: string): Promise<Source> {
  // esbuild takes the types away; parsing what is left is exact, where searching in text is not.
  const { code } = await transform(text, {
    loader: path.endsWith('.ts') ? 'ts' : 'js',
    sourcefile: path,
    target: 'esnext',
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  })
  const imports: Import[] = []
  const ambient = new Set<string>()
  walk(parseAst(code) as object as Node, (node) => look(node, imports, ambient))
  const bare = withoutComments(text)
  for (const match of bare.matchAll(/\b(?:import|export)\s+type\s[^'";]*?\sfrom\s+['"]([^'"]+)['"]/g)) {
    imports.push({ from: match[1]!, typeOnly: true })
  }
  return { path, imports, ambient: [...ambient], codeLines: countCode(bare) }
}

/** A node of ESTree, the common form of JavaScript syntax trees. */
interface Node extends Readonly<Record<string, unknown>> {
  readonly type: string
}

function look(node: Node, imports: Import[], ambient: Set<string>): void {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression': {
      const source = node['source'] as { value?: unknown } | null | undefined
      if (typeof source?.value === 'string') imports.push({ from: source.value, typeOnly: false })
      break
    }
    case 'AwaitExpression':
      ambient.add('await')
      break
    case 'ForOfStatement':
      if (node['await'] === true) ambient.add('await')
      break
    case 'MemberExpression': {
      const object = node['object'] as { name?: unknown }
      const property = node['property'] as { name?: unknown; value?: unknown }
      if (object.name === 'Math' && (property.name ?? property.value) === 'random') ambient.add('Math.random')
      break
    }
    case 'Identifier':
      if (AMBIENT.has(String(node['name']))) ambient.add(String(node['name']))
      break
  }
  if (node['async'] === true) ambient.add('async')
}

/** Every node but names that are not references: `x.process` and `{ process: 1 }` name nothing ambient. */
function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const [field, value] of Object.entries(node)) {
    if ((field === 'property' || field === 'key') && node['computed'] !== true && node['shorthand'] !== true)
      continue
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null && 'type' in child) walk(child as Node, visit)
    }
  }
}

/** `text` without comments, every other line kept in its place. */
export function withoutComments(text: string): string {
  // In order: comments, then whatever may hold something that looks like one.
  const tokens =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[(,=:[!&|?{};\n]\s*|return\s)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//g
  return text.replace(tokens, (token) =>
    token.startsWith('//') || token.startsWith('/*') ? token.replace(/[^\n]/g, '') : token,
  )
}

/** A line of literals, maybe with a key: an entry of a table. */
const DATA =
  /^\s*[[{(]*\s*(?:[\w']+\s*:\s*)?(?:[[\]{},\s]|'(?:\\.|[^'\\])*'|-?\b\d[\w.]*\b|\b(?:true|false|null)\b)+$/

function countCode(bare: string): number {
  let count = 0
  for (const line of bare.split('\n')) {
    if (line.trim() === '') continue
    const isData = DATA.test(line) && /['\d]|true|false|null/.test(line)
    if (!isData) count++
  }
  return count
}
