/** What a figure is: measured runs of one thing, for one program in one variant, and what the median is held against. */
import type { Who } from './subject.ts'

/** `ofI2pd`: a multiple of i2pd's median, which is of the same variant where i2pd has it. */
export type Goal = { readonly atMost: number } | { readonly atLeast: number } | { readonly ofI2pd: number }

export interface Result {
  /** The name on the command line. */
  readonly figure: string
  readonly what: string
  readonly unit: string
  readonly who: Who
  readonly variant: string
  /** One value for each run, in order. */
  readonly runs: readonly number[]
  /** Ours only. */
  readonly goal?: Goal
}

export interface Judged extends Result {
  readonly median: number
  /** Ours over i2pd's, where both were measured. */
  readonly ratio?: number
  readonly reached?: boolean
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Adds medians, and compares ours with i2pd's and with the goals. */
export function judge(results: readonly Result[]): Judged[] {
  return results.map((r) => {
    const value = median(r.runs)
    const theirs = r.who === 'ramsons' ? medianOfI2pd(results, r) : undefined
    const ratio = theirs === undefined ? {} : { ratio: value / theirs }
    if (r.goal === undefined) return { ...r, median: value, ...ratio }
    return { ...r, median: value, ...ratio, reached: reached(r.goal, value, theirs) }
  })
}

function reached(goal: Goal, value: number, theirs: number | undefined): boolean {
  if ('atMost' in goal) return value <= goal.atMost
  if ('atLeast' in goal) return value >= goal.atLeast
  return theirs !== undefined && value >= goal.ofI2pd * theirs
}

function medianOfI2pd(results: readonly Result[], ours: Result): number | undefined {
  const same = results.filter((r) => r.who === 'i2pd' && r.figure === ours.figure && r.what === ours.what)
  const theirs = same.find((r) => r.variant === ours.variant) ?? same.find((r) => r.variant === 'as it is')
  return theirs === undefined ? undefined : median(theirs.runs)
}

/** A table for a terminal. */
export function table(judged: readonly Judged[]): string {
  const head = ['figure', 'what', 'who', 'variant', 'median', 'least', 'most', 'unit', 'x i2pd', 'goal']
  const rows = judged.map((r) => [
    r.figure,
    r.what,
    r.who,
    r.variant,
    digits(r.median),
    digits(Math.min(...r.runs)),
    digits(Math.max(...r.runs)),
    r.unit,
    r.ratio === undefined ? '' : digits(r.ratio),
    r.goal === undefined ? '' : `${goalText(r.goal)}: ${r.reached ? 'yes' : 'NO'}`,
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)))
  return [head, ...rows]
    .map((row) =>
      row
        .map((s, i) => s.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function goalText(goal: Goal): string {
  if ('atMost' in goal) return `<= ${goal.atMost}`
  return 'atLeast' in goal ? `>= ${goal.atLeast}` : `>= ${goal.ofI2pd} x i2pd`
}

/** Three significant digits. */
function digits(x: number): string {
  if (!Number.isFinite(x)) return '-'
  return Math.abs(x) >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(3)))
}
