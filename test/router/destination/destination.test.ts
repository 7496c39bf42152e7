import { describe, expect, it } from 'vitest'
import { WallClock } from '../../../src/base/clock.ts'
import { SILENT } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { writePayload } from '../../../src/protocol/datagram/payload.ts'
import { writeData } from '../../../src/protocol/i2np/data.ts'
import { writeDatabaseStore } from '../../../src/protocol/i2np/database-store.ts'
import { writeGarlic } from '../../../src/protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import type { Clove, CloveDelivery } from '../../../src/protocol/ratchet/clove.ts'
import { RatchetSessions } from '../../../src/protocol/ratchet/sessions.ts'
import type { Hash } from '../../../src/protocol/structures/hash.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { checkLeaseSet } from '../../../src/protocol/structures/lease-set.ts'
import { signLeaseSet2 } from '../../../src/protocol/structures/lease-set2.ts'
import { KeyClaims } from '../../../src/router/destination/claims.ts'
import { Destination, type DestinationEvent } from '../../../src/router/destination/destination.ts'

const WALL = 1_760_000_000_000
const MINUTE = 60_000
const PORTS = { sourcePort: 1, destinationPort: 2 }

/** Destinations that hear each other; virtual time. */
class Village {
  readonly random = seededRandom(7)
  now = 0
  readonly houses: House[] = []
  readonly #post: (() => void)[] = []

  house(published = true): House {
    const house = new House(this, published)
    this.houses.push(house)
    return house
  }

  deliver(to: House, message: I2npMessage): void {
    this.#post.push(() => to.destination.received(message, this.now, to.sink))
  }

  run(ms: number): void {
    const end = this.now + ms
    while (this.now < end) {
      this.now += 5
      for (const deliver of this.#post.splice(0)) deliver()
      for (const { destination, sink } of this.houses)
        if ((destination.nextTimeout() ?? Infinity) <= this.now) destination.timeout(this.now, sink)
    }
  }
}

class House {
  readonly clock = new WallClock(WALL, 0)
  readonly local
  readonly destination: Destination
  readonly events: DestinationEvent[] = []
  readonly sink = { event: (e: DestinationEvent): void => this.#event(e) }
  readonly #village: Village

  constructor(village: Village, published: boolean) {
    this.#village = village
    const { random } = village
    this.local = newDestination(random)
    this.destination = new Destination({
      local: this.local,
      published,
      random,
      clock: this.clock,
      log: SILENT,
    })
    this.leases(10 * MINUTE)
  }

  leases(life: number, count = 1): void {
    const { now, random } = this.#village
    const gateway = this.destination.hash
    const end = this.clock.wall(now) + life
    const leases = Array.from({ length: count }, () => ({ gateway, tunnelId: 1 + random.below(1e6), end }))
    this.destination.leasesChanged(leases, now, this.sink)
  }

  of<K extends DestinationEvent['kind']>(kind: K): Extract<DestinationEvent, { kind: K }>[] {
    return this.events.filter((e): e is Extract<DestinationEvent, { kind: K }> => e.kind === kind)
  }

  /** Garlic to `to` under any key, with these cloves. */
  say(sessions: RatchetSessions, to: House, cloves: Clove[]): void {
    const { now } = this.#village
    const { message } = sessions.encrypt(to.local.encryption.publicKey, cloves, {}, now)!
    to.destination.received(i2np(MessageType.Garlic, writeGarlic(message)), now, to.sink)
  }

  #event(e: DestinationEvent): void {
    this.events.push(e)
    if (e.kind !== 'garlic') return
    const { houses } = this.#village
    const to = houses.find((h) => Buffer.compare(h.destination.hash, e.remote) === 0)
    if (to !== undefined) this.#village.deliver(to, e.message)
  }
}

function i2np(type: number, payload: Uint8Array): I2npMessage {
  return { type, id: 9, expiration: WALL + MINUTE, payload }
}

describe('our lease set', () => {
  it('is signed, with a date that others believe, after the clock went back', () => {
    const house = new Village().house()
    for (const back of [30_000, 5 * MINUTE, 3 * 60 * MINUTE, 400 * 24 * 60 * MINUTE]) {
      house.clock.step(-back)
      house.leases(30_000)
      expect(checkLeaseSet(house.destination.leaseSet!, house.clock.wall(0))).toBe('ok')
    }
  })

  it('is newer each time while the clock stands', () => {
    const house = new Village().house()
    const dates = Array.from({ length: 5 }, () => {
      house.leases(10 * MINUTE)
      return house.destination.leaseSet!.published
    })
    expect(new Set(dates).size).toBe(5)
    expect(dates).toEqual([...dates].sort((a, b) => a - b))
  })

  it('has no more leases than fit', () => {
    const house = new Village().house()
    house.leases(10 * MINUTE, 40)
    expect(house.destination.leaseSet!.leases).toHaveLength(16)
  })
})

describe('a static key', () => {
  /** Alice has a stream to our site. */
  function setUp(): { village: Village; site: House; alice: House; write: () => void } {
    const village = new Village()
    const [site, alice] = [village.house(), village.house()]
    const d = alice.destination
    d.leaseSetFound(site.destination.leaseSet!, 0, alice.sink)
    const id = d.streams.connect(site.destination.hash, site.local.identity, PORTS, 0, d.streamSink)
    const write = (): void => {
      d.streams.write(id, Uint8Array.of(1, 2, 3), village.now, d.streamSink)
      d.drainStreams(village.now, alice.sink)
    }
    write()
    village.run(100)
    const [incoming] = site.of('incoming')
    site.destination.streams.accept(incoming!.id, village.now, site.destination.streamSink)
    site.destination.drainStreams(village.now, site.sink)
    village.run(1000)
    expect(site.of('data')).toHaveLength(1)
    return { village, site, alice, write }
  }

  /** Mallory's lease set, which names Alice's key before Mallory's own. */
  function stolen(village: Village, mallory: House, alice: House): ReturnType<typeof signLeaseSet2> {
    const published = WALL + village.now
    const expires = published + 10 * MINUTE
    return signLeaseSet2(
      {
        published,
        expires,
        leases: [{ gateway: mallory.destination.hash, tunnelId: 1, end: expires }],
        encryptionKeys: [alice, mallory].map((h) => ({ type: 4, key: h.local.encryption.publicKey })),
        flags: 0,
        options: new Map(),
      },
      mallory.local,
    )
  }

  it('that another lease set names too is not taken from its owner', () => {
    const { village, site, alice, write } = setUp()
    const mallory = village.house()
    const ls = stolen(village, mallory, alice)
    const sessions = new RatchetSessions({
      keys: mallory.local.encryption,
      random: village.random,
      clock: mallory.clock,
      log: SILENT,
    })
    const store = writeDatabaseStore({ key: ls.hash, type: 3, data: ls.bytes })
    const clove = { delivery: { kind: 'local' }, message: i2np(MessageType.DatabaseStore, store) } as const
    mallory.say(sessions, site, [clove])
    site.destination.leaseSetFound(ls, village.now, site.sink)
    write()
    village.run(1000)
    expect(site.of('data')).toHaveLength(2)
  })

  it('that was only said to be of several is of nobody in particular, until its owner proves it', () => {
    const [key, one, two] = [1, 2, 3].map((n) => new Uint8Array(32).fill(n)) as [Hash, Hash, Hash]
    const claims = new KeyClaims(8)
    claims.add(key, one, false)
    expect(claims.owner(key)).toBe(one)
    for (let i = 0; i < 20; i++) claims.add(key, new Uint8Array(32).fill(10 + i), false)
    expect(claims.owner(key)).toBeUndefined()
    expect(claims.all(key).length).toBeLessThanOrEqual(4)
    claims.add(key, two, true)
    claims.add(key, one, false)
    expect(claims.owner(key)).toBe(two)
  })
})

describe('a clove', () => {
  it('for another destination or a router is none of ours', () => {
    const village = new Village()
    const [site, other] = [village.house(), village.house()]
    const keys = newDestination(village.random).encryption
    const sessions = new RatchetSessions({ keys, random: village.random, clock: site.clock, log: SILENT })
    const { random } = village
    const hash = other.destination.hash
    const heard: unknown[] = []
    site.destination.streams.receive = (payload) => void heard.push(payload)
    const say = (delivery: CloveDelivery): void => {
      const packet = { protocol: 6, ...PORTS }
      const data = writeData(writePayload(packet, random.bytes(30)))
      other.say(sessions, site, [{ delivery, message: i2np(MessageType.Data, data) }])
    }
    say({ kind: 'destination', hash })
    say({ kind: 'router', hash })
    say({ kind: 'tunnel', hash, tunnelId: 1 })
    expect(heard).toHaveLength(0)
    say({ kind: 'local' })
    say({ kind: 'destination', hash: site.destination.hash })
    expect(heard).toHaveLength(2)
  })
})

describe('a destination that nobody knows', () => {
  it('is asked for again for some seconds, and then counts as unreachable', () => {
    const random = seededRandom(8)
    const clock = new WallClock(WALL, 0)
    const own = new Destination({
      local: newDestination(random),
      published: false,
      random,
      clock,
      log: SILENT,
    })
    const far = newDestination(random).identity.hash
    const lookups: number[] = []
    const closed: number[] = []
    let now = 0
    const sink = {
      event: (e: DestinationEvent): void => {
        if (e.kind === 'lookup') lookups.push(now)
        else if (e.kind === 'closed') closed.push(now)
      },
    }
    own.streams.connect(far, undefined, PORTS, now, own.streamSink)
    own.drainStreams(now, sink)
    for (let answered = 0; closed.length === 0 && now < MINUTE; now += 100) {
      own.timeout(now, sink)
      for (; answered < lookups.length; answered++) own.leaseSetNotFound(far, now, sink)
    }
    expect(lookups.length).toBeGreaterThanOrEqual(3)
    expect(closed).toHaveLength(1)
    expect(closed[0]).toBeGreaterThanOrEqual(7_000)
    expect(closed[0]).toBeLessThan(12_000)
  })
})
