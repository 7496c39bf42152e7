import { describe, expect, it } from 'vitest'
import {
  MAX_OWN_BYTES,
  MAX_QUEUED_MESSAGES,
  MAX_TRANSIT_AGE,
  MAX_TRANSIT_BYTES,
  OutputQueue,
} from '../../../src/protocol/blocks/output-queue.ts'
import type { I2npMessage } from '../../../src/protocol/i2np/message.ts'

const WALL = 1_700_000_000_000

function message(id: number, size: number, expiration = WALL): I2npMessage {
  return { type: 18, id, expiration, payload: new Uint8Array(size) }
}

/** Ids in the order in which they leave. */
function drain(queue: OutputQueue, now: number): number[] {
  const ids: number[] = []
  for (let m = queue.peek(now, WALL); m !== undefined; m = queue.peek(now, WALL)) {
    expect(queue.shift()).toBe(m)
    ids.push(m.id)
  }
  return ids
}

describe('output queue', () => {
  it.each([
    ['own', MAX_OWN_BYTES],
    ['transit', MAX_TRANSIT_BYTES],
  ] as const)('drops the oldest of %s beyond its bytes and beyond its count', (traffic, most) => {
    const queue = new OutputQueue()
    for (let i = 0; i < 2000; i++) queue.push(message(i, 1028), traffic, 0)
    expect(queue.bytes).toBeLessThanOrEqual(most)
    expect(queue.size + queue.dropped).toBe(2000)
    expect(queue.peek(0, WALL)!.id).toBe(queue.dropped)
    const tiny = new OutputQueue()
    for (let i = 0; i < 5000; i++) tiny.push(message(i, 1), traffic, 0)
    expect(tiny.size).toBe(MAX_QUEUED_MESSAGES)
    expect(tiny.peek(0, WALL)!.id).toBe(5000 - MAX_QUEUED_MESSAGES)
  })

  it('lets others fill their part and no more of it', () => {
    const queue = new OutputQueue()
    queue.push(message(1, 100), 'own', 0)
    for (let i = 0; i < 2000; i++) queue.push(message(i, 1028), 'transit', 0)
    expect(queue.own.dropped).toBe(0)
    expect(queue.peek(0, WALL)!.id).toBe(1)
  })

  it('passes over what has expired and keeps its count of bytes', () => {
    const queue = new OutputQueue()
    queue.push(message(1, 10, WALL - 61_000), 'own', 0)
    queue.push(message(2, 10, WALL - 59_000), 'own', 0)
    expect(queue.peek(0, WALL)!.id).toBe(2)
    queue.shift()
    expect([queue.bytes, queue.size, queue.peek(0, WALL)]).toEqual([0, 0, undefined])
  })

  it('lets our own go first, each class in its order', () => {
    const queue = new OutputQueue()
    for (const [id, traffic] of [
      [1, 'transit'],
      [2, 'own'],
      [3, 'transit'],
      [4, 'own'],
    ] as const)
      queue.push(message(id, 5), traffic, 0)
    expect(drain(queue, 0)).toEqual([2, 4, 1, 3])
    expect(queue.bytes).toBe(0)
  })

  it('drops what others have had waiting for too long, the oldest first, and nothing of ours', () => {
    const queue = new OutputQueue()
    for (let t = 0; t < 1000; t += 100) {
      queue.push(message(t, 5), 'transit', t)
      queue.push(message(10_000 + t, 5), 'own', t)
    }
    const late = 900 + MAX_TRANSIT_AGE - 200
    expect(drain(queue, late).filter((id) => id < 10_000)).toEqual([700, 800, 900])
    expect([queue.own.dropped, queue.transit.dropped, queue.bytes]).toEqual([0, 7, 0])
  })

  it('gives no more than it is allowed to, but for the rest of a message', () => {
    const queue = new OutputQueue()
    for (let i = 0; i < 10; i++) queue.push(message(i, 1000), i % 2 === 0 ? 'own' : 'transit', 0)
    queue.own.allowance = 1500
    queue.transit.allowance = 1
    expect(drain(queue, 0)).toEqual([0, 2, 1])
    expect(queue.own.allowance).toBeLessThan(-500)
    queue.own.allowance = 0
    expect(drain(queue, 0)).toEqual([])
    queue.own.allowance = Number.POSITIVE_INFINITY
    expect(drain(queue, 0)).toEqual([4, 6, 8])
    expect(queue.own.allowance).toBe(Number.POSITIVE_INFINITY)
    expect(queue.size).toBe(4)
  })

  it('moves to another in order, and what it moves begins to age anew', () => {
    const [a, b] = [new OutputQueue(), new OutputQueue()]
    b.push(message(1, 5), 'own', 0)
    a.push(message(2, 5), 'own', 0)
    a.push(message(4, 5), 'transit', 0)
    a.push(message(3, 5), 'own', 0)
    a.moveTo(b, 10_000)
    expect([a.size, a.bytes]).toEqual([0, 0])
    expect(drain(b, 10_000 + MAX_TRANSIT_AGE)).toEqual([1, 2, 3, 4])
  })
})
