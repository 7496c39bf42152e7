import { describe, expect, it } from 'vitest'
import { SILENT } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { writePayload } from '../../src/protocol/datagram/payload.ts'
import { writeData } from '../../src/protocol/i2np/data.ts'
import { writeGarlic } from '../../src/protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../src/protocol/i2np/message.ts'
import { RatchetSessions } from '../../src/protocol/ratchet/sessions.ts'
import { newDestination } from '../../src/protocol/structures/identity.ts'
import { type Errand, Town } from './town.ts'

const SECOND = 1000
const MINUTE = 60_000

function good(errands: readonly Errand[]): number {
  return errands.filter((e) => e.receivedHash === e.sentHash).length
}

/** For the message of a failed expectation. */
function report(town: Town): string {
  const bad = town.errands.filter((e) => e.receivedHash !== e.sentHash)
  const lines = bad.map(
    (e) => `${e.from} at ${e.startedAt}: ${e.received} of ${e.size}, ${e.result ?? 'unfinished'}`,
  )
  return `seed ${town.net.seed}\n${lines.join('\n')}`
}

/** Seeds to try; more in SIM_SEEDS, separated by commas. */
const SEEDS = (process.env['SIM_SEEDS'] ?? '1').split(',').map(Number)

describe.each(SEEDS)('whole routers, seed %i', (seed) => {
  it('carry streams while links break, routers come and go and clocks are wrong', () => {
    const town = new Town(seed, {
      routers: 30,
      floodfills: 10,
      length: 2,
      clockError: 25 * SECOND,
      breaking: 0.05,
      breakAfter: [SECOND, 5 * MINUTE],
      refusing: 0.02,
    })
    const servers = Array.from({ length: 6 }, (_, i) => town.service(`r${i}`, 'server', true))
    const clients = Array.from({ length: 6 }, (_, i) => `r${10 + i}`)
    for (const name of clients) town.service(name, 'client', false)
    town.net.run(30 * SECOND)
    expect(town.ready).toBe(12)
    for (let minute = 0; minute < 12; minute++) {
      for (const [i, name] of clients.entries()) {
        town.errand(name, servers[(i + minute) % 6]!, 5_000 + 7_919 * ((i * minute) % 13))
      }
      town.net.run(town.net.now + 20 * SECOND)
      town.net.breakLinks(0.05)
      if (minute % 2 === 1) town.restart(`r${16 + ((minute * 5) % 14)}`)
      town.net.run(town.net.now + 40 * SECOND)
    }
    town.net.run(town.net.now + MINUTE)
    expect(good(town.errands), report(town)).toBeGreaterThanOrEqual(70)
    const times = town.errands.filter((e) => e.endedAt > 0).map((e) => e.endedAt - e.startedAt)
    times.sort((a, b) => a - b)
    expect(times[Math.floor(times.length / 2)]).toBeLessThan(3 * SECOND)
  }, 300_000)

  it('do the same thing twice', () => {
    const run = (): string => {
      const town = new Town(seed, {
        routers: 12,
        floodfills: 5,
        length: 2,
        clockError: 5 * SECOND,
        breaking: 0.1,
      })
      const server = town.service('r0', 'server', true)
      town.service('r7', 'client', false)
      town.net.run(20 * SECOND)
      town.errand('r7', server, 30_000)
      town.net.run(40 * SECOND)
      town.restart('r5')
      town.net.run(2 * MINUTE)
      expect(good(town.errands), report(town)).toBe(1)
      return town.net.trace
    }
    expect(run()).toBe(run())
  }, 120_000)

  it('keep one stream alive over the end of all tunnels it began with', () => {
    const town = new Town(seed, { routers: 12, floodfills: 5, length: 2, clockError: 10 * SECOND })
    const server = town.service('r0', 'server', true)
    town.service('r7', 'client', false)
    town.net.run(20 * SECOND)
    const errand = town.errand('r7', server, 200_000, { pieces: 250, every: 5 * SECOND })
    town.net.run(23 * MINUTE)
    expect(errand.result, report(town)).toBe('closed')
    expect(errand.receivedHash).toBe(errand.sentHash)
  }, 120_000)

  it('find a server again that died and came back', () => {
    const town = new Town(seed, { routers: 14, floodfills: 5, length: 2, clockError: 5 * SECOND })
    const server = town.service('r0', 'server', true)
    town.service('r9', 'client', false)
    town.net.run(20 * SECOND)
    town.errand('r9', server, 10_000)
    town.net.run(40 * SECOND)
    town.net.crash('r0', true)
    town.net.run(2 * MINUTE)
    town.restart('r0')
    town.net.run(town.net.now + 20 * SECOND)
    const again = town.errand('r9', server, 10_000)
    town.net.run(town.net.now + 2 * MINUTE)
    expect(again.receivedHash, report(town)).toBe(again.sentHash)
    expect(good(town.errands)).toBe(2)
  }, 120_000)

  it('recover from a partition', () => {
    const town = new Town(seed, { routers: 16, floodfills: 6, length: 2, clockError: 5 * SECOND })
    const server = town.service('r0', 'server', true)
    town.service('r15', 'client', false)
    town.net.run(20 * SECOND)
    const half = town.names.filter((_, i) => i % 2 === 0)
    town.net.partition(half)
    town.net.run(4 * MINUTE)
    const cut = town.errand('r15', server, 5_000)
    town.net.run(5 * MINUTE)
    expect(cut.received).toBe(0)
    town.net.heal()
    town.net.run(8 * MINUTE)
    const after = town.errand('r15', server, 5_000)
    town.net.run(10 * MINUTE)
    expect(after.receivedHash, report(town)).toBe(after.sentHash)
  }, 120_000)

  it('bear what a hostile router throws at a destination', () => {
    const town = new Town(seed, { routers: 10, floodfills: 5, length: 2, clockError: 0 })
    const server = town.service('r0', 'server', true)
    town.service('r7', 'client', false)
    town.net.run(20 * SECOND)
    const random = seededRandom(seed)
    const keys = newDestination(random).encryption
    const clock = town.net.clock('r9')
    const sessions = new RatchetSessions({ keys, random, clock, log: SILENT })
    const expiration = (): number => clock.wall(town.net.now) + 10 * SECOND
    const message = (type: number, payload: Uint8Array): I2npMessage => ({
      type,
      id: random.below(2 ** 32),
      expiration: expiration(),
      payload,
    })
    const junk = (): I2npMessage => {
      const payload = random.bytes(random.below(900))
      // Lengths and counts of zero let a parser go further than random ones.
      payload.fill(0, 0, random.below(Math.min(payload.length, 40) + 1))
      return message([1, 2, 3, 10, 11, 18, 19, 20, 23, 25, 26, 99][random.below(12)]!, payload)
    }
    const sealed = (clove: I2npMessage): I2npMessage[] => {
      const kinds = ['local', 'destination', 'router', 'tunnel'] as const
      const delivery = { kind: kinds[random.below(4)]!, hash: random.bytes(32), tunnelId: random.below(1000) }
      const encrypted = sessions.encrypt(town.keyOf('r0'), [{ delivery, message: clove }], {}, town.net.now)
      return encrypted === undefined ? [] : [message(MessageType.Garlic, writeGarlic(encrypted.message))]
    }
    for (let i = 0; i < 60; i++) {
      const packet = random.bytes(60)
      packet.fill(0, 0, 4)
      const streaming = writePayload({ protocol: 6, sourcePort: 0, destinationPort: 0 }, packet)
      town.throwAt('r9', 'r0', [
        junk(),
        junk(),
        ...sealed(junk()),
        ...sealed(message(20, writeData(streaming))),
      ])
      town.throwAt('r9', 'r0', [message(MessageType.Garlic, random.bytes(3))])
      town.net.run(town.net.now + 500)
    }
    const errand = town.errand('r7', server, 20_000)
    town.net.run(town.net.now + MINUTE)
    expect(errand.receivedHash, report(town)).toBe(errand.sentHash)
  }, 120_000)

  it('have nothing to do with a router whose clock is ten minutes wrong, until it is set right', () => {
    const town = new Town(seed, {
      routers: 12,
      floodfills: 5,
      length: 2,
      clockError: 0,
      offsets: { r11: 10 * MINUTE },
    })
    const server = town.service('r0', 'server', true)
    town.service('r11', 'client', false)
    town.service('r6', 'other client', false)
    town.net.run(MINUTE)
    expect([...town.net.core('r11').transport.peers()]).toEqual([])
    const other = town.errand('r6', server, 5_000)
    town.net.run(2 * MINUTE)
    expect(other.receivedHash, report(town)).toBe(other.sentHash)
    town.net.stepClock('r11', -10 * MINUTE)
    town.net.do('r11', (router, now, out) => router.clockStepped(now, out))
    town.net.run(6 * MINUTE)
    const errand = town.errand('r11', server, 5_000)
    town.net.run(7 * MINUTE)
    expect(errand.receivedHash, report(town)).toBe(errand.sentHash)
  }, 120_000)
})
