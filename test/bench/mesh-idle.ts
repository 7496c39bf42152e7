/** What a mesh node costs that is alone: one interface, nobody answers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Lab } from '../../src/node/demo/lab.ts'
import { BUNDLE, Capture } from '../e2e/node.ts'
import { ipv6, mdns, readFrames } from '../e2e/pcap.ts'
import { stopProcess } from '../interop/namespace.ts'
import { pause } from './network.ts'
import type { Goal, Result } from './result.ts'
import { ACCELERATED } from './subject.ts'
import { spent, usage } from './usage.ts'

/** The first minute is spent on being found. */
const SETTLE_S = 60
const WINDOWS = 3
const WINDOW_S = 40

/** With the accelerator only: nothing is encrypted while nobody is there. */
export async function meshIdle(): Promise<Result[]> {
  const dir = mkdtempSync(join(tmpdir(), 'ramsons-bench-'))
  const lab = Lab.open(1)
  const capture = await Capture.start(lab, join(dir, 'link.pcap'))
  const argv = [process.execPath, BUNDLE, 'run', '--data', join(dir, 'node')]
  const node = lab.spawn(0, argv, { stdio: 'ignore' })
  try {
    await pause(SETTLE_S)
    const starts = [Date.now() / 1000]
    const looks = [usage(node.pid!)]
    for (let i = 0; i < WINDOWS; i++) {
      await pause(WINDOW_S)
      starts.push(Date.now() / 1000)
      looks.push(usage(node.pid!))
    }
    await capture.stop()
    const packets = mdns(ipv6(readFrames(join(dir, 'link.pcap')))).map(({ packet }) => packet.at)
    const each = <T>(of: (i: number) => T): T[] => Array.from({ length: WINDOWS }, (_, i) => of(i))
    const used = each((i) => spent(looks[i]!, looks[i + 1]!))
    const sent = each((i) => packets.filter((at) => at >= starts[i]! && at < starts[i + 1]!).length)
    return [
      row(
        'voluntary switches',
        '1/min',
        used.map((u) => (60 * u.voluntarySwitches) / u.seconds),
        { atMost: 40 },
      ),
      row(
        'mDNS packets',
        '1/min',
        sent.map((n, i) => (60 * n) / used[i]!.seconds),
        { atMost: 3 },
      ),
      row(
        'CPU',
        's/min',
        used.map((u) => (60 * u.cpuSeconds) / u.seconds),
      ),
      row(
        'RSS',
        'MiB',
        looks.slice(1).map((u) => u.rssMiB),
      ),
    ]
  } finally {
    await stopProcess(node)
    lab.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

function row(what: string, unit: string, runs: readonly number[], goal?: Goal): Result {
  const { who, variant } = ACCELERATED
  const result = { figure: 'mesh', what: `alone in the mesh: ${what}`, unit, who, variant, runs }
  return goal === undefined ? result : { ...result, goal }
}
