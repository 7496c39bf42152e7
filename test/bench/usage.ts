/** What the kernel has counted for a process. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Counters are of the threads that live: neither program ends any while it is measured. */
export interface Usage {
  readonly atMs: number
  readonly cpuSeconds: number
  readonly voluntarySwitches: number
  readonly rssMiB: number
}

export function usage(pid: number): Usage {
  let cpuNanoseconds = 0
  let voluntarySwitches = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const dir = `/proc/${pid}/task/${thread}`
    // Time on a processor, in nanoseconds: /proc/PID/stat counts in hundredths of a second.
    cpuNanoseconds += Number(readFileSync(`${dir}/schedstat`, 'utf8').split(' ')[0])
    voluntarySwitches += numberIn(`${dir}/status`, 'voluntary_ctxt_switches')
  }
  return {
    atMs: performance.now(),
    cpuSeconds: cpuNanoseconds / 1e9,
    voluntarySwitches,
    rssMiB: numberIn(`/proc/${pid}/status`, 'VmRSS') / 1024,
  }
}

export interface Spent {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly voluntarySwitches: number
}

export function spent(from: Usage, to: Usage): Spent {
  return {
    seconds: (to.atMs - from.atMs) / 1000,
    cpuSeconds: to.cpuSeconds - from.cpuSeconds,
    voluntarySwitches: to.voluntarySwitches - from.voluntarySwitches,
  }
}

/** What has arrived on the TCP connections of one address that are open now. */
export interface Arrived {
  readonly bytes: number
  readonly segments: number
}

export function arrived(namespace: string, address: string): Arrived {
  const argv = ['netns', 'exec', namespace, 'ss', '-Htin', 'state', 'established', 'src', address]
  const text = execFileSync('ip', argv, { encoding: 'utf8' })
  const sum = (name: string): number =>
    [...text.matchAll(new RegExp(`\\b${name}:(\\d+)`, 'g'))].reduce((n, m) => n + Number(m[1]), 0)
  return { bytes: sum('bytes_received'), segments: sum('data_segs_in') }
}

function numberIn(file: string, key: string): number {
  const found = new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))
  if (found === null) throw new Error(`${file} has no ${key}`)
  return Number(found[1])
}
