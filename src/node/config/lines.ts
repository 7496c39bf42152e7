/** On which line of a TOML text each key stands: the parser's result does not say. */

/**
 * Dotted key to 1-based line; sections have theirs too. For a text that parses; what stands inside an inline table is found
 * under the table's own key.
 */
export function keyLines(source: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>()
  let section = ''
  let quotes: string | undefined
  source.split('\n').forEach((line, index) => {
    const inside = quotes !== undefined
    quotes = openQuotes(line, quotes)
    if (inside) return
    const header = /^\s*\[\[?([^\]]+)\]\]?\s*(#.*)?$/.exec(line)
    if (header) {
      section = dotted(header[1]!)
      put(lines, section, index + 1)
      return
    }
    const key = /^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=/.exec(line)
    if (key) put(lines, section === '' ? dotted(key[1]!) : `${section}.${dotted(key[1]!)}`, index + 1)
  })
  return lines
}

/** The line of `key`, or of the nearest thing around it that has one. */
export function lineOf(lines: ReadonlyMap<string, number>, key: string): number | undefined {
  for (let at = key; at !== ''; at = around(at)) {
    const line = lines.get(at)
    if (line !== undefined) return line
  }
  return undefined
}

/** Also for the sections around it: the first mention of each. */
function put(lines: Map<string, number>, key: string, line: number): void {
  for (let at = key; at !== ''; at = around(at)) if (!lines.has(at)) lines.set(at, line)
}

function around(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf('.')))
}

function dotted(key: string): string {
  return key
    .split('.')
    .map((part) => part.trim().replace(/^(["'])(.*)\1$/, '$2'))
    .join('.')
}

/** The kind of multi-line string that is still open at the end of `line`. */
function openQuotes(line: string, open: string | undefined): string | undefined {
  for (const [mark] of line.matchAll(/"""|'''/g)) {
    if (open === undefined) open = mark
    else if (open === mark) open = undefined
  }
  return open
}
