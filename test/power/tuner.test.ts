import { describe, expect, test } from 'vitest'
import type { Log } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { budgetOf, type PowerReading, profileOf } from '../../src/power/profile.ts'
import { Tuner, type TunerEvent, type TunerOptions } from '../../src/power/tuner.ts'

const MINUTE = 60_000

/** A tuner that is answered from `trace` (minutes to reading). */
function follow(
  trace: (minute: number) => Partial<PowerReading>,
  minutes: number,
  options: Partial<TunerOptions> = {},
) {
  const lines: string[] = []
  const log: Log = { enabled: () => true, write: (level, line) => lines.push(`${level} ${line}`) }
  const tuner = new Tuner({
    faces: ['mesh', 'public'],
    profile: 'auto',
    random: seededRandom(1),
    log,
    ...options,
  })
  const budgets: { at: number; face: string; tunnels: number; profile: string }[] = []
  let readings = 0
  let now = 0
  let asked = false
  const event = (e: TunerEvent) => {
    if (e.kind === 'measure') asked = true
    else budgets.push({ at: now, face: e.face, tunnels: e.budget.clientTunnels, profile: e.budget.profile })
  }
  const out = { udp: () => {}, tcpOpen: () => 0, tcpData: () => {}, tcpEnd: () => {}, event }
  const answer = () => {
    if (!asked) return
    asked = false
    readings++
    tuner.measured(
      { percent: undefined, external: undefined, source: 'test', ...trace(now / MINUTE) },
      now,
      out,
    )
  }
  tuner.start(now, out)
  answer()
  for (
    let next = tuner.nextTimeout();
    next !== undefined && next <= minutes * MINUTE;
    next = tuner.nextTimeout()
  ) {
    now = next
    tuner.timeout(now, out)
    answer()
  }
  return { tuner, lines, budgets, readings, mesh: budgets.filter((b) => b.face === 'mesh') }
}

describe('profile', () => {
  test('limits without a history', () => {
    const at = (percent: number | undefined, external?: boolean) =>
      profileOf({ percent, external, source: '' }, undefined)
    expect([
      at(undefined),
      at(undefined, false),
      at(100, true),
      at(80, true),
      at(79, true),
      at(100, false),
    ]).toEqual(['mains', 'mains', 'mains', 'mains', 'high', 'high'])
    expect([at(51), at(50), at(20), at(19.9), at(0), at(10, true)]).toEqual([
      'high',
      'half',
      'half',
      'low',
      'low',
      'low',
    ])
  })

  test('hysteresis upwards', () => {
    const from = (current: 'mains' | 'high' | 'half' | 'low', percent: number, external = false) =>
      profileOf({ percent, external, source: '' }, current)
    expect([
      from('half', 55),
      from('half', 56),
      from('low', 24),
      from('low', 25),
      from('low', 52),
      from('low', 90),
    ]).toEqual(['half', 'high', 'low', 'half', 'half', 'high'])
    expect([from('high', 51), from('high', 50), from('half', 20), from('half', 19)]).toEqual([
      'high',
      'half',
      'half',
      'low',
    ])
    expect([
      from('mains', 75, true),
      from('mains', 74, true),
      from('high', 79, true),
      from('high', 80, true),
    ]).toEqual(['mains', 'high', 'high', 'mains'])
  })

  test('tunnels 3, 2, 1; nothing about length', () => {
    expect((['mains', 'high', 'half', 'low'] as const).map((p) => budgetOf(p).clientTunnels)).toEqual([
      3, 2, 1, 1,
    ])
    expect(JSON.stringify(budgetOf('low'))).not.toMatch(/hop|length/i)
  })
})

describe('tuner', () => {
  test('a discharge and a charge: 3, 2, 1 and back', () => {
    // Full on the charger for an hour, then 10 hours down to 4 %, then up again at 20 % an hour.
    const percent = (m: number) =>
      m < 60 ? 100 : m < 660 ? 100 - ((m - 60) / 600) * 96 : Math.min(100, 4 + (m - 660) / 3)
    const { mesh, lines } = follow((m) => ({ percent: percent(m), external: m < 60 || m >= 660 }), 1200)
    expect(mesh.map((b) => b.profile)).toEqual(['mains', 'high', 'half', 'low', 'half', 'high', 'mains'])
    expect(mesh.map((b) => b.tunnels)).toEqual([3, 2, 1, 1, 1, 2, 3])
    expect(lines.length).toBe(7)
    expect(lines[0]).toBe(
      'info power: mains (battery at 100 %, on external power): 3 client tunnels a pool, their length unchanged',
    )
    expect(lines[2]).toMatch(/^info power: high to half \(battery at 50 %\): 1 client tunnel a pool/)
  })

  test('a level that wavers around a limit changes nothing', () => {
    const { mesh } = follow((m) => ({ percent: 50 + (m % 2 === 0 ? 2 : -2), external: false }), 600)
    expect(mesh.map((b) => b.profile)).toEqual(['high', 'half'])
  })

  test('a loose plug changes at most once in ten minutes', () => {
    const { mesh } = follow(
      (m) => ({ percent: 79 + (Math.floor(m / 3) % 2) * 2, external: Math.floor(m) % 2 === 0 }),
      300,
    )
    for (let i = 1; i < mesh.length; i++) expect(mesh[i]!.at - mesh[i - 1]!.at).toBeGreaterThan(8 * MINUTE)
    expect(mesh.length).toBeLessThanOrEqual(31)
  })

  test('faces change one after another', () => {
    const { budgets } = follow((m) => ({ percent: m < 30 ? 90 : 10, external: false }), 120)
    expect(budgets.slice(0, 2).map((b) => b.at)).toEqual([0, 0])
    const later = budgets.slice(2)
    expect(later.map((b) => b.face)).toEqual(['mesh', 'public'])
    expect(later[1]!.at - later[0]!.at).toBeGreaterThanOrEqual(10_000)
  })

  test('reads at most once a minute, and seldom when there is nothing to see', () => {
    expect(follow(() => ({ percent: 40, external: false }), 60).readings).toBeLessThanOrEqual(61)
    expect(follow(() => ({ percent: 95, external: true }), 60).readings).toBeLessThanOrEqual(13)
    expect(follow(() => ({}), 60).readings).toBeLessThanOrEqual(13)
  })

  test('a profile that the user set is never measured nor left', () => {
    const { mesh, readings, tuner } = follow(() => ({ percent: 3 }), 600, { profile: 'high' })
    expect([mesh.length, readings, mesh[0]!.tunnels, tuner.nextTimeout()]).toEqual([1, 0, 2, undefined])
  })
})
