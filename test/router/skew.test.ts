import { describe, expect, it } from 'vitest'
import { Skew } from '../../src/router/skew.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A clock that is `error` ms behind, and routers of networks of their own that are right but for a second or two. */
class Device {
  now = 0
  error: number
  readonly skew: Skew
  readonly steps: number[] = []

  constructor(error: number, own = 1) {
    this.error = error
    this.skew = new Skew(own)
  }

  /** Router `n` of network `network` says it is `lie` ms off the true time. */
  hears(n: number, lie = 0, network = n): void {
    const offset = this.error + lie + (n % 3) * 700
    const step = this.skew.heard(new Uint8Array(32).fill(n), `${20 + network}.1.${n}.1`, offset, this.now)
    if (step === 0) return
    this.error -= step
    this.steps.push(step)
  }
}

describe('our clock', () => {
  it('steps once three routers of three networks agree', () => {
    const device = new Device(10 * MINUTE)
    device.hears(1)
    device.hears(2)
    expect([device.steps.length, device.skew.quality]).toEqual([0, 1])
    device.hears(3)
    expect(device.steps).toHaveLength(1)
    expect(Math.abs(device.error)).toBeLessThan(2_000)
    expect([device.skew.quality, device.skew.stepped]).toEqual([2, device.steps[0]])
    for (let n = 4; n < 20; n++) device.hears(n)
    expect(device.steps).toHaveLength(1)
  })

  it('goes back as well', () => {
    const device = new Device(-3 * HOUR)
    for (const n of [1, 2, 3]) device.hears(n)
    expect(device.steps[0]).toBeLessThan(-2 * HOUR)
  })

  it('is let be when it is right within seconds, and that counts for something', () => {
    const device = new Device(9_000)
    for (const n of [1, 2, 3, 4]) device.hears(n)
    expect([device.steps.length, device.skew.quality, device.skew.stepped]).toEqual([0, 2, 0])
  })

  it('is not moved by one network, nor by one router over and over', () => {
    const device = new Device(0)
    for (let n = 1; n < 30; n++) device.hears(n, HOUR, 1)
    for (let i = 0; i < 30; i++) device.hears(1, HOUR, i)
    expect([device.steps.length, device.skew.quality]).toEqual([0, 1])
  })

  it('is not moved by a minority, nor by many who do not agree', () => {
    const device = new Device(0)
    for (const n of [1, 2, 3, 4]) device.hears(n)
    for (const n of [5, 6, 7, 8]) device.hears(n, HOUR)
    expect(device.steps).toHaveLength(0)
    const other = new Device(0)
    for (let n = 1; n < 30; n++) other.hears(n, n * MINUTE)
    expect([other.steps.length, other.skew.quality]).toEqual([0, 1])
  })

  it('steps far only for five', () => {
    const device = new Device(900 * DAY)
    for (const n of [1, 2, 3, 4]) device.hears(n)
    expect(device.steps).toHaveLength(0)
    device.hears(5)
    expect(Math.abs(device.error)).toBeLessThan(2_000)
  })

  it('steps once in ten minutes at most', () => {
    const device = new Device(HOUR)
    for (const n of [1, 2, 3]) device.hears(n)
    device.error += HOUR
    device.now = 9 * MINUTE
    for (const n of [1, 2, 3, 4]) device.hears(n)
    expect(device.steps).toHaveLength(1)
    device.now = 10 * MINUTE
    device.hears(5)
    expect(device.steps).toHaveLength(2)
  })

  it('forgets what was said half an hour ago', () => {
    const device = new Device(HOUR)
    device.hears(1)
    device.hears(2)
    device.now = 31 * MINUTE
    device.hears(3)
    expect(device.steps).toHaveLength(0)
  })

  it('is not moved when the machine knows better', () => {
    const device = new Device(HOUR, 3)
    for (let n = 1; n < 9; n++) device.hears(n)
    expect([device.steps.length, device.skew.quality]).toEqual([0, 3])
  })

  it('counts every router of a test network', () => {
    const skew = new Skew(1)
    const steps = [1, 2, 3].map((n) => skew.heard(new Uint8Array(32).fill(n), `10.9.0.${n}`, HOUR, 0))
    expect(steps).toEqual([0, 0, HOUR])
    expect(skew.heard(new Uint8Array(32), 'example.org', HOUR, 0)).toBe(0)
  })
})
