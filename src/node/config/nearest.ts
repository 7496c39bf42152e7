/** The known name that a mistyped one was probably meant to be. */

/** Undefined when nothing is near enough to be worth naming. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const last = lastPart(name)
  const enough = Math.max(2, last.length / 3)
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    // The same key in another section is a likelier slip than its letters say.
    const elsewhere =
      lastPart(candidate) === last ? 1 + sectionDistance(name, candidate) / 4 : Number.POSITIVE_INFINITY
    const d = Math.min(editDistance(name, candidate), elsewhere)
    if (d < least) {
      least = d
      best = candidate
    }
  }
  return least <= enough ? best : undefined
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

function sectionDistance(a: string, b: string): number {
  const of = (name: string): Set<string> => new Set(name.split('.').slice(0, -1))
  const [x, y] = [of(a), of(b)]
  return [...x].filter((p) => !y.has(p)).length + [...y].filter((p) => !x.has(p)).length
}

/** Levenshtein's, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
