import { describe, expect, it } from 'vitest'
import { WallClock } from '../../src/base/clock.ts'
import { SILENT } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { writeDeliveryStatus } from '../../src/protocol/i2np/delivery-status.ts'
import { writeGarlic } from '../../src/protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../src/protocol/i2np/message.ts'
import { LOCAL_DELIVERY } from '../../src/protocol/ratchet/clove.ts'
import { wrapForRouter } from '../../src/protocol/ratchet/router-garlic.ts'
import { wrapWithKey } from '../../src/protocol/ratchet/symmetric-garlic.ts'
import { newRouterIdentity } from '../../src/protocol/structures/identity.ts'
import { type Parts, type RouterEvent, Switchboard } from '../../src/router/switchboard.ts'

const WALL = 1_760_000_000_000
const EXPLORATORY = 1
const CLIENT = 2

/** A switchboard whose parts only write down what they are called with. */
class Bench {
  readonly random = seededRandom(1)
  readonly local = newRouterIdentity(this.random)
  readonly peer = newRouterIdentity(this.random).identity.hash
  readonly calls: unknown[][] = []
  readonly events: RouterEvent[] = []
  broken = false
  readonly out = {
    udp: () => {},
    tcpOpen: () => 0,
    tcpData: () => {},
    tcpEnd: () => {},
    event: (e: RouterEvent) => void this.events.push(e),
  }
  readonly switchboard: Switchboard

  constructor() {
    const noted = (what: string) =>
      new Proxy({}, { get: (_t, name) => this.#note(`${what}.${String(name)}`) })
    this.switchboard = new Switchboard({
      local: this.local,
      random: this.random,
      clock: new WallClock(WALL, 0),
      log: SILENT,
      transport: noted('transport'),
      tunnels: noted('tunnels'),
      netdb: noted('netdb'),
      exploratory: EXPLORATORY,
      mesh: false,
      peerResult: () => {},
    } as unknown as Parts)
  }

  turn(work: (s: Switchboard) => void): void {
    this.switchboard.turn(0, this.out, () => work(this.switchboard))
  }

  message(type: number, payload: Uint8Array): I2npMessage {
    return { type, id: 7, expiration: WALL + 8000, payload }
  }

  called(name: string): unknown[][] {
    return this.calls.filter(([n]) => n === name)
  }

  #note(name: string): (...args: unknown[]) => boolean {
    return (...args) => {
      this.calls.push([name, ...args])
      if (this.broken && name === 'netdb.lookupRouter') throw new Error('bug')
      return false
    }
  }
}

describe('a turn that meets a bug', () => {
  it('does not hand the same event on again', () => {
    const bench = new Bench()
    bench.broken = true
    const fall = () => bench.turn((s) => s.transportSink.event({ kind: 'unknown-router', peer: bench.peer }))
    expect(fall).toThrow('bug')
    bench.turn(() => {})
    expect(bench.called('netdb.lookupRouter')).toHaveLength(1)
    bench.broken = false
    fall()
    expect(bench.called('netdb.lookupRouter')).toHaveLength(2)
  })

  it('hands on what came before it, and tells of it', () => {
    const bench = new Bench()
    const fall = () =>
      bench.turn((s) => {
        s.transportSink.event({ kind: 'clock', peer: bench.peer, offset: 5 })
        throw new Error('bug')
      })
    expect(fall).toThrow('bug')
    expect(bench.events.map((e) => e.kind)).toEqual(['clock'])
  })
})

describe('an answer under a key of ours', () => {
  const key = new Uint8Array(32).fill(3)
  const tag = new Uint8Array(8).fill(4)

  function setUp(): { bench: Bench; garlic: I2npMessage } {
    const bench = new Bench()
    const status = writeDeliveryStatus({ messageId: 1, timestamp: new Uint8Array(8) })
    const message = bench.message(MessageType.DeliveryStatus, status)
    const data = wrapWithKey(key, tag, { delivery: LOCAL_DELIVERY, message })
    bench.turn((s) => s.netdbSink.event({ kind: 'reply-key', client: undefined, key, tag }))
    return { bench, garlic: bench.message(MessageType.Garlic, writeGarlic(data)) }
  }

  it('is one only out of a tunnel of the pool that asked', () => {
    const { bench, garlic: message } = setUp()
    const arrivals = () => bench.called('netdb.handle').map((call) => call[3])
    bench.turn((s) => s.transportSink.event({ kind: 'message', from: bench.peer, message }))
    bench.turn((s) => s.tunnelSink.event({ kind: 'local', message }))
    bench.turn((s) => s.tunnelSink.event({ kind: 'received', pool: CLIENT, tunnelId: 1, message }))
    expect(arrivals()).toEqual([])
    const tunnelId = 2
    bench.turn((s) => s.tunnelSink.event({ kind: 'received', pool: EXPLORATORY, tunnelId, message }))
    expect(arrivals()).toEqual([{ client: undefined }])
  })
})

describe('a message for our router', () => {
  it('in garlic out of one of our tunnels is not heeded: it would show whose the tunnel is', () => {
    const bench = new Bench()
    const build = bench.message(MessageType.ShortTunnelBuild, new Uint8Array(219))
    const cloves = [{ delivery: LOCAL_DELIVERY, message: build }]
    const data = wrapForRouter(bench.local.identity.encryptionKey, cloves, bench.random, WALL)!
    const message = bench.message(MessageType.Garlic, writeGarlic(data))
    bench.turn((s) => s.tunnelSink.event({ kind: 'received', pool: EXPLORATORY, tunnelId: 1, message }))
    expect(bench.called('tunnels.handleUnwrapped')).toHaveLength(0)
    bench.turn((s) => s.transportSink.event({ kind: 'message', from: bench.peer, message }))
    expect(bench.called('tunnels.handleUnwrapped')).toHaveLength(1)
  })

  it('out of a tunnel that ends here has no previous hop', () => {
    const bench = new Bench()
    const message = bench.message(MessageType.ShortTunnelBuild, new Uint8Array(219))
    bench.turn((s) => s.tunnelSink.event({ kind: 'local', message }))
    expect(bench.called('tunnels.handle')).toHaveLength(0)
    expect(bench.called('tunnels.handleUnwrapped')).toHaveLength(1)
  })

  it('is not read after its time', () => {
    const bench = new Bench()
    const late = {
      ...bench.message(MessageType.DatabaseLookup, new Uint8Array(67)),
      expiration: WALL - 61_000,
    }
    const cloves = [{ delivery: LOCAL_DELIVERY, message: late }]
    const data = wrapForRouter(bench.local.identity.encryptionKey, cloves, bench.random, WALL)!
    const message = bench.message(MessageType.Garlic, writeGarlic(data))
    bench.turn((s) => s.transportSink.event({ kind: 'message', from: bench.peer, message }))
    expect(bench.called('netdb.handle')).toHaveLength(0)
  })
})
