import { describe, expect, it } from 'vitest'
import { ipBytes } from '../../../src/base/ip.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { IpPort } from '../../../src/protocol/ssu2/blocks.ts'
import { AddressVotes } from '../../../src/router/reach/address-votes.ts'
import type { Verdict } from '../../../src/router/reach/events.ts'
import { Reachability } from '../../../src/router/reach/reachability.ts'
import { judge } from '../../../src/router/reach/verdict.ts'
import { type Host, shown, Wire } from './wire.ts'

const SECOND = 1000
const MINUTE = 60_000
const HOUR = 60 * MINUTE

describe('the verdict of one test', () => {
  const expected = at('21.0.0.1', 9000)
  const places: Record<string, IpPort | undefined> = {
    none: undefined,
    same: expected,
    'other port': at('21.0.0.1', 9001),
    'other address': at('21.0.0.2', 9000),
    'both other': at('21.0.0.2', 9001),
  }

  // Message 4, message 5, what message 7 says; the result while something else, and while symmetric, is believed.
  it.each<[boolean, boolean, keyof typeof places, Verdict, Verdict]>([
    [false, false, 'none', 'unknown', 'unknown'],
    [true, false, 'none', 'firewalled', 'symmetric'],
    [false, true, 'none', 'ok', 'unknown'],
    [true, true, 'none', 'ok', 'unknown'],
    [true, false, 'same', 'firewalled', 'firewalled'],
    [true, false, 'other port', 'symmetric', 'symmetric'],
    [true, false, 'other address', 'firewalled', 'firewalled'],
    [true, false, 'both other', 'symmetric', 'symmetric'],
    [true, true, 'same', 'ok', 'ok'],
    [true, true, 'other port', 'ok', 'ok'],
    [true, true, 'other address', 'ok', 'ok'],
    [true, true, 'both other', 'ok', 'ok'],
  ])('4 %s, 5 %s, 7 %s: %s, or %s', (answered, reached, seen, otherwise, symmetric) => {
    const outcome = {
      family: 4,
      bob: new Uint8Array(32),
      answered,
      reached,
      seen: places[seen],
      expected,
    } as const
    for (const current of ['unknown', 'ok', 'firewalled'] as const)
      expect(judge(outcome, current)).toBe(otherwise)
    expect(judge(outcome, 'symmetric')).toBe(symmetric)
  })
})

describe('what is believed', () => {
  function fresh(now = 0): Reachability {
    return new Reachability(seededRandom(2), now)
  }

  it('begins with one result and changes with two alike', () => {
    const r = fresh()
    expect([r.result('ok', 0), r.verdict]).toEqual([true, 'ok'])
    expect([r.result('firewalled', 1), r.verdict]).toEqual([false, 'ok'])
    expect([r.result('firewalled', 2), r.verdict]).toEqual([true, 'firewalled'])
    // Not with two that differ, nor with two apart.
    for (const result of ['ok', 'symmetric', 'ok', 'firewalled', 'ok', 'firewalled', 'symmetric'] as const)
      expect(r.result(result, 3)).toBe(false)
    expect([r.result('unknown', 4), r.result('symmetric', 5), r.verdict]).toEqual([false, true, 'symmetric'])
  })

  it('takes a symmetric NAT for a firewall until a second test', () => {
    const r = fresh()
    expect([r.result('symmetric', 0), r.verdict]).toEqual([true, 'firewalled'])
    expect([r.result('symmetric', 1), r.verdict]).toEqual([true, 'symmetric'])
  })

  it('keeps what it knows when tests tell nothing', () => {
    const r = fresh()
    r.result('ok', 0)
    for (let i = 1; i < 50; i++) expect(r.result('unknown', i)).toBe(false)
    expect(r.verdict).toBe('ok')
  })

  it('is tested at once, and again soon while it is unsure, and seldom when it is sure or in vain', () => {
    const r = fresh(7)
    expect(r.testAt).toBe(7)
    const delays: number[] = []
    for (let i = 0; i < 12; i++) {
      r.result('unknown', 0)
      delays.push(r.testAt)
    }
    expect(Math.max(...delays.slice(0, 3))).toBeLessThan(4 * SECOND)
    expect(delays[3]).toBeGreaterThan(45 * SECOND)
    expect(delays.at(-1)).toBeGreaterThan(15 * MINUTE)
    expect(Math.max(...delays)).toBeLessThan(25 * MINUTE)
    r.result('ok', 0)
    expect(r.testAt).toBeGreaterThan(55 * MINUTE)
    expect(r.testAt).toBeLessThan(80 * MINUTE)
    r.result('firewalled', 0)
    expect(r.testAt).toBeLessThan(2 * MINUTE)
  })

  it('believes the user and the NAT at first, and is tested all the same', () => {
    const r = fresh()
    expect([r.asserted(0), r.verdict, r.testAt]).toEqual([true, 'ok', 0])
    r.result('firewalled', 0)
    r.result('firewalled', 0)
    expect(r.verdict).toBe('firewalled')
    expect([r.asserted(9), r.verdict, r.testAt]).toEqual([false, 'firewalled', 9])
    r.result('ok', 9)
    r.retracted(10)
    expect(r.testAt).toBe(10)
  })

  it('believes strangers that have reached us, after its first minutes', () => {
    const r = fresh()
    expect(r.stranger(ipBytes('21.1.0.1')!, MINUTE)).toBe(false)
    expect([r.stranger(ipBytes('21.1.0.1')!, 6 * MINUTE), r.verdict]).toEqual([true, 'ok'])
    const settled = r.testAt
    // Better than a test.
    r.stranger(ipBytes('21.1.0.1')!, HOUR)
    expect(r.testAt).toBeGreaterThan(settled)
  })

  it('believes two networks of strangers against a test', () => {
    const r = fresh()
    r.result('firewalled', 0)
    expect(r.stranger(ipBytes('21.1.0.1')!, HOUR)).toBe(false)
    expect(r.stranger(ipBytes('21.1.0.2')!, HOUR)).toBe(false)
    expect([r.stranger(ipBytes('22.1.0.1')!, HOUR), r.verdict]).toEqual([true, 'ok'])
  })

  it('is forgotten in another network', () => {
    const r = fresh()
    r.result('ok', 0)
    expect([r.forget(5), r.verdict, r.testAt]).toEqual([true, 'unknown', 5])
    expect(r.forget(6)).toBe(false)
  })
})

describe('votes on our address', () => {
  const voter = (n: number): Uint8Array => ipBytes(`${20 + n}.${n}.1.1`)!
  const here = at('31.0.0.1', 9000)

  it('count when three networks agree', () => {
    const votes = new AddressVotes()
    expect([votes.heard(voter(1), here), votes.heard(voter(2), here), votes.believed]).toEqual([
      false,
      false,
      undefined,
    ])
    expect([votes.heard(voter(3), here), votes.believed]).toEqual([true, here])
    expect(votes.heard(voter(4), here)).toBe(false)
  })

  it('count once for each network', () => {
    const votes = new AddressVotes()
    for (let i = 1; i < 50; i++) votes.heard(ipBytes(`21.1.${i}.1`)!, here)
    votes.heard(voter(5), here)
    expect(votes.believed).toBeUndefined()
  })

  it('are not turned by a minority, but follow a change', () => {
    const votes = new AddressVotes()
    for (const n of [1, 2, 3, 4]) votes.heard(voter(n), here)
    const there = at('32.0.0.1', 9000)
    expect([votes.heard(voter(5), there), votes.heard(voter(6), there), votes.believed]).toEqual([
      false,
      false,
      here,
    ])
    expect([votes.heard(voter(7), there), votes.believed]).toEqual([true, there])
  })

  it('agree on the address but not on the port behind a symmetric NAT', () => {
    const votes = new AddressVotes()
    for (const n of [1, 2, 3, 4]) votes.heard(voter(n), { ip: here.ip, port: 1000 + n })
    expect(votes.believed).toEqual({ ip: here.ip, port: 0 })
    votes.forget()
    expect(votes.believed).toBeUndefined()
  })

  it('may be fewer in a small network', () => {
    const votes = new AddressVotes(1)
    expect([votes.heard(voter(1), here), votes.believed]).toEqual([true, here])
  })
})

describe('our place', () => {
  function alone(options: Parameters<Wire['host']>[1] = {}) {
    const wire = new Wire()
    const a = wire.host('alice', { nat: 'cone', reach: { serve: false }, ...options })
    const others = [1, 2, 3, 4, 5].map((n) => wire.host(`${n}`, { quiet: true, caps: '' }))
    return { wire, a, others }
  }

  function addresses(a: Host): string[] {
    return a.events.flatMap((event) => (event.kind === 'address' ? [shown(event.address)] : []))
  }

  it('is where peers that we dialled see us', () => {
    const { wire, a, others } = alone()
    for (const other of others.slice(0, 2)) wire.connect(a, other)
    expect([addresses(a), shown(a.reach.address(4)!)]).toEqual([[], `${a.nat.ip} 20000`])
    wire.connect(a, others[2]!)
    expect(addresses(a)).toEqual([`${a.nat.ip} 20000`])
  })

  it('is not where those who dial us say', () => {
    const { wire, a, others } = alone()
    for (const other of others) wire.connect(other, a)
    expect([addresses(a), a.reach.address(4)]).toEqual([[], undefined])
  })

  it('is no private address, and none of another family', () => {
    const { wire, a, others } = alone()
    for (const other of others) {
      wire.connect(a, other)
      for (const ip of ['10.0.0.1', '2a00::1'])
        a.turn((out) => a.reach.heardAddress(other.hash, at(ip, 9000), wire.now, out))
      a.turn((out) => a.reach.heardAddress(other.hash, at('77.0.0.1', 0), wire.now, out))
    }
    expect(addresses(a)).toEqual([`${a.nat.ip} 20000`])
  })

  it('is what the user says first, then what the NAT says', () => {
    const { wire, a, others } = alone()
    for (const other of others) wire.connect(a, other)
    a.turn((out) => a.reach.mapped(4, at(a.nat.ip, 7777), wire.now, out))
    a.turn((out) => a.reach.configured(4, at(a.nat.ip, 6666), wire.now, out))
    a.turn((out) => a.reach.mapped(4, at(a.nat.ip, 5555), wire.now, out))
    expect(addresses(a)).toEqual([20000, 7777, 6666].map((port) => `${a.nat.ip} ${port}`))
    expect(a.verdicts()).toEqual(['ok'])
  })

  it('is not what a NAT says that is behind another', () => {
    const { wire, a } = alone()
    a.turn((out) => a.reach.mapped(4, at('10.0.0.7', 7777), wire.now, out))
    expect(a.events).toEqual([])
  })

  it('is reached by strangers', () => {
    const { wire, a, others } = alone({ nat: 'open' })
    wire.run(6 * MINUTE)
    // Dialled a minute ago: our NAT may let it in for that.
    a.reach.dialled({ address: others[0]!.nat.ip, port: 1 }, wire.now)
    wire.run(MINUTE)
    wire.connect(others[0]!, a)
    expect(a.verdicts()).toEqual([])
    wire.connect(others[1]!, a)
    expect(a.verdicts()).toEqual(['ok'])
  })

  it('is unknown in another network', () => {
    const { wire, a, others } = alone()
    for (const other of others) wire.connect(a, other)
    a.turn((out) => a.reach.mapped(4, at(a.nat.ip, 7777), wire.now, out))
    a.turn((out) => a.reach.networkChanged(wire.now, out))
    expect([a.verdicts(), a.reach.address(4)]).toEqual([['ok', 'unknown'], undefined])
  })
})

function at(ip: string, port: number): IpPort {
  return { ip: ipBytes(ip)!, port }
}
