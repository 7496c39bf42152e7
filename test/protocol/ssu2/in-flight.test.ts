import { describe, expect, test } from 'vitest'
import type { Ack } from '../../../src/protocol/ssu2/ack-block.ts'
import { InFlight } from '../../../src/protocol/ssu2/in-flight.ts'
import { RttEstimator } from '../../../src/protocol/ssu2/rtt.ts'

function ack(through: number, count = 0, ...ranges: (readonly [number, number])[]): Ack {
  return { through, count, ranges: ranges.map(([missing, received]) => ({ missing, received })) }
}

/** Packets 0 to `count - 1`, one a ms from time 0, over a path of 100 ms. */
function flight(count: number): {
  inFlight: InFlight
  lost: number[]
  detect: (now: number) => number | undefined
} {
  const rtt = new RttEstimator(100)
  rtt.sample(100, 0)
  const inFlight = new InFlight(rtt, 0, 0)
  for (let n = 0; n < count; n++) inFlight.add([], 1000, n)
  const lost: number[] = []
  const detect = (now: number): number | undefined =>
    inFlight.detect(now, (packet) => lost.push(packet.number))
  return { inFlight, lost, detect }
}

describe('what is lost', () => {
  test('what three later packets have overtaken, at once', () => {
    const { inFlight, lost, detect } = flight(10)
    inFlight.acknowledge(ack(2, 0), 102)
    detect(102)
    expect(lost).toEqual([])
    inFlight.acknowledge(ack(4, 1), 104)
    detect(104)
    expect(lost).toEqual([0, 1])
    expect([inFlight.packets, inFlight.bytes, inFlight.delivered]).toEqual([5, 5000, 3000])
  })

  test('what one later packet has overtaken, after a round trip and an eighth', () => {
    const { inFlight, lost, detect } = flight(2)
    inFlight.acknowledge(ack(1), 101)
    const at = detect(101)!
    expect(at).toBeCloseTo(112.5, 1)
    detect(at - 0.1)
    expect(lost).toEqual([])
    expect(detect(at)).toBeUndefined()
    expect(lost).toEqual([0])
  })

  test('nothing that is newer than all that has arrived, however old', () => {
    const { inFlight, lost, detect } = flight(5)
    inFlight.acknowledge(ack(0), 100)
    expect(detect(100_000)).toBeUndefined()
    expect(lost).toEqual([])
  })

  test('false alarms teach patience, in number and in time, and it does not last for ever', () => {
    const { inFlight, lost, detect } = flight(400)
    inFlight.acknowledge(ack(20, 19), 120)
    detect(120)
    expect(lost).toEqual([0])
    const late = inFlight.acknowledge(ack(0), 160)
    expect([late.packets, late.spurious]).toEqual([1, 1])
    // Another as late as that is waited for now ...
    inFlight.acknowledge(ack(41, 19), 161)
    detect(161)
    expect(lost).toEqual([0])
    // ... but not one that is later.
    inFlight.acknowledge(ack(60, 18), 180)
    detect(180)
    expect(lost).toEqual([0, 21])
  })

  test('what is taken for lost without proof counts as under way no more, but may still arrive', () => {
    const { inFlight } = flight(5)
    const given: number[] = []
    inFlight.giveUp(2, (packet) => given.push(packet.number))
    expect([given, inFlight.packets]).toEqual([[0, 1], 3])
    inFlight.giveUp(99, (packet) => given.push(packet.number))
    expect([given, inFlight.packets, inFlight.bytes]).toEqual([[0, 1, 2, 3, 4], 0, 0])
    const { packets, spurious } = inFlight.acknowledge(ack(4, 4), 200)
    expect([packets, spurious, inFlight.packets, inFlight.delivered]).toEqual([5, 5, 0, 5000])
  })
})

describe('acknowledgements', () => {
  test('count once, whatever they repeat', () => {
    const { inFlight } = flight(10)
    expect(inFlight.acknowledge(ack(5, 2, [1, 1]), 110).packets).toBe(4)
    expect(inFlight.acknowledge(ack(5, 2, [1, 1]), 111).packets).toBe(0)
    expect(inFlight.acknowledge(ack(6, 6), 112).packets).toBe(3)
  })

  test('of what was never sent change nothing', () => {
    const { inFlight } = flight(3)
    expect(inFlight.acknowledge(ack(3, 3), 100).packets).toBe(0)
    expect(inFlight.acknowledge(ack(0xffffffff, 255, [255, 255]), 100).packets).toBe(0)
    expect(inFlight.packets).toBe(3)
  })

  test('no more numbers are in use than the other end remembers', () => {
    const { inFlight } = flight(1)
    let count = 1
    while (inFlight.open) {
      inFlight.add([], 1000, count++)
    }
    expect(count).toBe(1024)
    // Numbers that nobody waits for push out what is oldest, in the end.
    for (let i = 0; i < 1024; i++) inFlight.skip()
    expect(inFlight.packets).toBe(1024)
    inFlight.skip()
    expect(inFlight.packets).toBe(1023)
    for (let i = 0; i < 5000; i++) inFlight.skip()
    expect([inFlight.packets, inFlight.bytes, inFlight.open]).toEqual([0, 0, true])
  })
})

test('the timeout follows round trips, backs off, and never passes four seconds', () => {
  const rtt = new RttEstimator(0)
  expect(rtt.timeout).toBeGreaterThan(500)
  for (let i = 0; i < 50; i++) rtt.sample(40, i)
  expect(rtt.smoothed).toBeCloseTo(40, 5)
  expect(rtt.timeout).toBeCloseTo(150, 1)
  rtt.backOff()
  expect(rtt.timeout).toBeCloseTo(225, 1)
  for (let i = 0; i < 50; i++) rtt.backOff()
  expect(rtt.timeout).toBe(4000)
  rtt.progress()
  expect(rtt.timeout).toBeCloseTo(150, 1)
  // The shortest is forgotten after half a minute at most.
  for (let now = 100; now < 60_000; now += 100) rtt.sample(80, now)
  expect(rtt.shortest).toBe(80)
})
