import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { hex } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { compareDistance, routingKey, untilMidnight, utcDay } from '../../../src/router/netdb/kademlia.ts'

const random = seededRandom(11)

describe('routing keys', () => {
  it('change at midnight UTC', () => {
    const hash = random.bytes(32)
    const key = (iso: string): string => hex(routingKey(hash, utcDay(Date.parse(iso))))
    const expected = (day: string): string => createHash('sha256').update(hash).update(day).digest('hex')
    expect(key('2026-11-22T23:59:59.999Z')).toBe(expected('20261122'))
    expect(key('2026-11-23T00:00:00.000Z')).toBe(expected('20261123'))
    expect(untilMidnight(Date.parse('2026-11-22T23:59:59.999Z'))).toBe(1)
  })

  it('have the right date on every day of sixty years', () => {
    const hash = random.bytes(32)
    for (let day = 0; day < 60 * 365; day += 13) {
      const date = new Date(day * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')
      expect(hex(routingKey(hash, day)), date).toBe(
        createHash('sha256').update(hash).update(date).digest('hex'),
      )
    }
    for (const date of ['2000-02-29', '2024-02-29', '2024-12-31', '2025-03-01', '2100-03-01']) {
      const text = date.replaceAll('-', '')
      expect(hex(routingKey(hash, utcDay(Date.parse(date))))).toBe(
        createHash('sha256').update(hash).update(text).digest('hex'),
      )
    }
  })

  it('are ordered by XOR', () => {
    const target = random.bytes(32)
    const distance = (k: Uint8Array): bigint => BigInt(`0x${hex(k)}`) ^ BigInt(`0x${hex(target)}`)
    const keys = Array.from({ length: 300 }, () => random.bytes(32))
    const ours = [...keys].sort((a, b) => compareDistance(target, a, b)).map(hex)
    const theirs = [...keys].sort((a, b) => (distance(a) < distance(b) ? -1 : 1)).map(hex)
    expect(ours).toEqual(theirs)
    expect(compareDistance(target, target, target)).toBe(0)
  })
})
