/**
 * Reads batteries and chargers as Linux shows them (kernel, Documentation/ABI/testing/sysfs-class-power). A folder per supply, a file per
 * property; what a driver does not offer is missing.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PowerReading } from '../../power/profile.ts'

// Implementation constants
/** More supplies than any machine has: bounds a strange folder. */
const MAX_SUPPLIES = 32

interface Supply {
  readonly type: string
  readonly scope: string
  readonly status: string
  readonly online: number | undefined
  readonly capacity: number | undefined
  /** Contents now and when full, of whichever unit the driver counts in. */
  readonly now: number | undefined
  readonly full: number | undefined
}

/** `path` is /sys/class/power_supply, or a folder like it. Never fails: what cannot be read is not known. */
export async function readPowerSupply(path: string): Promise<PowerReading> {
  const supplies = await Promise.all((await names(path)).map((name) => readSupply(join(path, name))))
  // A mouse's battery is a supply too: its scope says so.
  const own = supplies.filter((s) => s.scope !== 'Device')
  const batteries = own.filter((s) => s.type === 'Battery' || s.type === 'UPS')
  const chargers = own.filter((s) => s.type === 'Mains' || s.type.startsWith('USB') || s.type === 'Wireless')
  return { percent: percentOf(batteries), external: externalOf(batteries, chargers), source: path }
}

async function names(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort().slice(0, MAX_SUPPLIES)
  } catch {
    return []
  }
}

async function readSupply(path: string): Promise<Supply> {
  const property = async (name: string): Promise<string> => {
    try {
      return (await readFile(join(path, name), 'utf8')).trim()
    } catch {
      return ''
    }
  }
  const number = async (name: string): Promise<number | undefined> => {
    const value = await property(name)
    return /^-?\d+$/.test(value) ? Number(value) : undefined
  }
  return {
    type: await property('type'),
    scope: await property('scope'),
    status: await property('status'),
    online: await number('online'),
    capacity: await number('capacity'),
    now: (await number('energy_now')) ?? (await number('charge_now')),
    full: (await number('energy_full')) ?? (await number('charge_full')),
  }
}

/** Of all batteries together, weighed by what they hold when every one of them tells. */
function percentOf(batteries: readonly Supply[]): number | undefined {
  const held = batteries.filter((b) => b.now !== undefined && b.full !== undefined && b.full > 0)
  if (held.length > 0 && held.length === batteries.length) {
    const now = held.reduce((sum, b) => sum + b.now!, 0)
    return clamp((100 * now) / held.reduce((sum, b) => sum + b.full!, 0))
  }
  const levels = batteries.map(level).filter((l) => l !== undefined)
  return levels.length === 0 ? undefined : clamp(levels.reduce((sum, l) => sum + l, 0) / levels.length)
}

function level(b: Supply): number | undefined {
  if (b.capacity !== undefined) return b.capacity
  return b.now !== undefined && b.full !== undefined && b.full > 0 ? (100 * b.now) / b.full : undefined
}

/** A battery that discharges overrules a charger that is plugged in but gives too little. */
function externalOf(batteries: readonly Supply[], chargers: readonly Supply[]): boolean | undefined {
  if (batteries.some((b) => b.status === 'Discharging')) return false
  if (chargers.some((c) => c.online !== undefined && c.online > 0)) return true
  if (batteries.some((b) => ['Charging', 'Full', 'Not charging'].includes(b.status))) return true
  return chargers.some((c) => c.online !== undefined) ? false : undefined
}

function clamp(percent: number): number {
  return Math.min(100, Math.max(0, percent))
}
