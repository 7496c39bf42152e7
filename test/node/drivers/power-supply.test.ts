import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readPowerSupply } from '../../../src/node/drivers/power-supply.ts'

const root = mkdtempSync(join(tmpdir(), 'power-'))
afterAll(() => rmSync(root, { recursive: true }))
let made = 0

/** A folder like /sys/class/power_supply. */
function sysfs(supplies: Record<string, Record<string, string | number>>): string {
  const path = join(root, `${made++}`)
  mkdirSync(path)
  for (const [name, properties] of Object.entries(supplies)) {
    mkdirSync(join(path, name))
    for (const [key, value] of Object.entries(properties)) writeFileSync(join(path, name, key), `${value}\n`)
  }
  return path
}

const AC = { type: 'Mains', online: 1 }

test('a laptop', async () => {
  const battery = {
    type: 'Battery',
    status: 'Discharging',
    capacity: 63,
    energy_now: 30_000_000,
    energy_full: 50_000_000,
  }
  const path = sysfs({ AC: { ...AC, online: 0 }, BAT0: battery })
  expect(await readPowerSupply(path)).toEqual({ percent: 60, external: false, source: path })
  const charging = sysfs({ AC, BAT0: { type: 'Battery', status: 'Charging', capacity: 81 } })
  expect(await readPowerSupply(charging)).toMatchObject({ percent: 81, external: true })
})

test('two batteries count by what they hold', async () => {
  const path = sysfs({
    BAT0: { type: 'Battery', status: 'Unknown', energy_now: 10, energy_full: 10 },
    BAT1: { type: 'Battery', status: 'Discharging', energy_now: 0, energy_full: 30 },
  })
  expect(await readPowerSupply(path)).toMatchObject({ percent: 25, external: false })
  const capacities = sysfs({ a: { type: 'Battery', capacity: 20 }, b: { type: 'Battery', capacity: 40 } })
  expect(await readPowerSupply(capacities)).toMatchObject({ percent: 30, external: undefined })
})

test('a charger too weak for its machine does not count', async () => {
  const path = sysfs({
    usb: { type: 'USB_C', online: 1 },
    BAT0: { type: 'Battery', status: 'Discharging', capacity: 30 },
  })
  expect(await readPowerSupply(path)).toMatchObject({ percent: 30, external: false })
})

test('a mouse is no power supply of ours', async () => {
  const path = sysfs({ hid: { type: 'Battery', scope: 'Device', status: 'Discharging', capacity: 5 } })
  expect(await readPowerSupply(path)).toMatchObject({ percent: undefined, external: undefined })
})

test('a board without anything, junk and a missing folder', async () => {
  expect(await readPowerSupply(sysfs({}))).toMatchObject({ percent: undefined, external: undefined })
  expect(await readPowerSupply(join(root, 'nowhere'))).toMatchObject({
    percent: undefined,
    external: undefined,
  })
  const junk = sysfs({
    x: { type: 'Battery', capacity: 'NaN', energy_now: '', energy_full: 0, status: '?' },
    y: {},
  })
  expect(await readPowerSupply(junk)).toMatchObject({ percent: undefined, external: undefined })
  expect(await readPowerSupply(sysfs({ x: { type: 'Battery', capacity: 255 } }))).toMatchObject({
    percent: 100,
  })
})
