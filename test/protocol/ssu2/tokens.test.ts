import { describe, expect, it } from 'vitest'
import { copy, hex } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { GivenTokens, HeldTokens, NEW_TOKEN_MS, RETRY_TOKEN_MS } from '../../../src/protocol/ssu2/tokens.ts'

const ALICE = { ip: Uint8Array.of(1, 2, 3, 4), port: 1234 }
/** Expiry is counted in these. */
const UNIT_MS = 4000

describe('tokens that we give', () => {
  it('are good once, for one address, until they expire', () => {
    const tokens = new GivenTokens(seededRandom(1), 0)
    for (let now = 0; now < 400_000; now += 1700) {
      for (const lifetime of [RETRY_TOKEN_MS, NEW_TOKEN_MS]) {
        const give = (): Uint8Array => tokens.give(ALICE, lifetime, now)
        const token = give()
        expect(tokens.redeem(token, { ...ALICE, port: 1235 }, now)).toBe(false)
        expect(tokens.redeem(token, { ip: Uint8Array.of(1, 2, 3, 5), port: 1234 }, now)).toBe(false)
        expect(tokens.redeem(token, ALICE, now)).toBe(true)
        expect(tokens.redeem(token, ALICE, now)).toBe(false)
        expect(tokens.redeem(give(), ALICE, now + lifetime - 1)).toBe(true)
        expect(tokens.redeem(give(), ALICE, now + lifetime + 2 * UNIT_MS)).toBe(false)
      }
    }
  })

  it('cannot be made or changed', () => {
    const random = seededRandom(2)
    const tokens = new GivenTokens(random, 0)
    for (let i = 0; i < 2000; i++) expect(tokens.redeem(random.bytes(8), ALICE, 0)).toBe(false)
    expect(tokens.redeem(new Uint8Array(8), ALICE, 0)).toBe(false)
    const token = tokens.give(ALICE, RETRY_TOKEN_MS, 0)
    for (let bit = 0; bit < 64; bit++) {
      const changed = copy(token)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(tokens.redeem(changed, ALICE, 0), `bit ${bit}`).toBe(false)
    }
    expect(tokens.redeem(token, ALICE, 0)).toBe(true)
    expect(new GivenTokens(random, 0).redeem(tokens.give(ALICE, RETRY_TOKEN_MS, 0), ALICE, 0)).toBe(false)
  })

  it('differ, and are worth nothing once our address has changed', () => {
    const tokens = new GivenTokens(seededRandom(3), 0)
    const given = Array.from({ length: 20 }, () => tokens.give(ALICE, RETRY_TOKEN_MS, 0))
    expect(new Set(given.map(hex)).size).toBe(20)
    tokens.forget()
    for (const token of given) expect(tokens.redeem(token, ALICE, 0)).toBe(false)
    expect(tokens.redeem(tokens.give(ALICE, RETRY_TOKEN_MS, 0), ALICE, 0)).toBe(true)
  })

  it('last for IPv6, and when the count of units begins again', () => {
    const tokens = new GivenTokens(seededRandom(4), 0)
    const v6 = { ip: seededRandom(1).bytes(16), port: 9 }
    const turn = 2 ** 16 * UNIT_MS
    for (const now of [turn - 5000, turn - 1, turn, 3 * turn - 10_000, 0.25, -5]) {
      expect(tokens.redeem(tokens.give(v6, RETRY_TOKEN_MS, now), v6, now + 14_000), `${now}`).toBe(true)
      expect(tokens.redeem(tokens.give(v6, RETRY_TOKEN_MS, now), v6, now + 24_000), `${now}`).toBe(false)
    }
  })
})

describe('tokens that we hold', () => {
  const bob = { address: '1.2.3.4', port: 99 }
  const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

  it('are taken once, the last one of each address, until they expire', () => {
    const held = new HeldTokens()
    expect(held.take(bob, 0)).toBeUndefined()
    held.put(bob, { expires: 1000, token: new Uint8Array(8) })
    held.put(bob, { expires: 1000, token })
    expect(held.take({ ...bob, port: 98 }, 0)).toBeUndefined()
    expect(held.take(bob, 999)).toBe(token)
    expect(held.take(bob, 999)).toBeUndefined()
    held.put(bob, { expires: 1000, token })
    expect(held.take(bob, 1000)).toBeUndefined()
    held.put(bob, { expires: 1000, token })
    held.forget()
    expect(held.take(bob, 0)).toBeUndefined()
  })

  it('are bounded', () => {
    const held = new HeldTokens()
    for (let port = 1; port <= 5000; port++) held.put({ address: '1.2.3.4', port }, { expires: 1000, token })
    let left = 0
    for (let port = 1; port <= 5000; port++) if (held.take({ address: '1.2.3.4', port }, 0)) left++
    expect(left).toBe(1024)
  })
})
