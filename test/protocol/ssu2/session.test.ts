import { describe, expect, test } from 'vitest'
import { copy, hex, Reader } from '../../../src/base/bytes.ts'
import { BlockType } from '../../../src/protocol/blocks/block.ts'
import {
  readTermination,
  TerminationReason,
  writeTermination,
} from '../../../src/protocol/blocks/termination.ts'
import { writeShortMessage } from '../../../src/protocol/i2np/message.ts'
import { type Ack, readAck, writeAck } from '../../../src/protocol/ssu2/ack-block.ts'
import { Ssu2BlockType, writeAddress, writeCongestion } from '../../../src/protocol/ssu2/blocks.ts'
import { type Block, type LinkOptions, message, type Pair, pair, type Side, send } from './link.ts'

const byId = (a: { id: number }, b: { id: number }): number => a.id - b.id

/** A pair that has nothing more to say to each other. */
function settled(options: LinkOptions = { delay: 10 }, over: Parameters<typeof pair>[1] = {}): Pair {
  const p = pair(options, over)
  p.net.runFor(500)
  p.wire.length = 0
  return p
}

/** Types of the blocks sent since the last look. */
function sent({ wire, open }: Pair, by: Side): number[][] {
  const packets = wire.filter((packet) => packet.by === by)
  wire.length = 0
  return packets.map((packet) => (open(packet)?.blocks ?? []).map((b) => b.type))
}

function acks({ wire, open }: Pair, by: Side): Ack[] {
  return wire
    .filter((packet) => packet.by === by)
    .flatMap((packet) => open(packet)!.blocks.filter((b) => b.type === Ssu2BlockType.ack))
    .map((b) => readAck(new Reader(b.data)))
}

function i2np(id: number, size = 20): Block {
  return { type: BlockType.i2np, data: writeShortMessage(message(id, size, 1000)) }
}

const PADDING: Block = { type: BlockType.padding, data: new Uint8Array(8) }

describe('messages', () => {
  test('of all sizes arrive as they were sent', () => {
    for (const mtu of [1500, 1280]) {
      const { net, alice, bob, wire } = pair({ delay: 10 }, { mtu })
      const sizes = [0, 1, 5, 500, 1024, 1400, 1416, 1428, 1429, 1430, 3000, 20_000, 62_000, 62_692]
      const messages = sizes.map((size, i) => message(i + 1, size, net.now))
      send(alice, ...messages)
      send(bob, ...messages)
      net.runFor(5000)
      expect(bob.messages().sort(byId)).toEqual(messages)
      expect(alice.messages().sort(byId)).toEqual(messages)
      expect(alice.session.packetsLost + bob.session.packetsLost).toBe(0)
      expect(Math.max(...wire.map((p) => p.bytes.length))).toBeLessThanOrEqual(mtu - 28)
    }
  })

  test('small ones of one turn share a packet, and one is not held back for another', () => {
    const p = settled()
    send(p.alice, message(1, 100, 0), message(2, 200, 0), message(3, 300, 0))
    p.net.runFor(0)
    const [packet, ...more] = sent(p, p.alice)
    expect(more).toEqual([])
    expect(packet!.filter((type) => type === BlockType.i2np)).toHaveLength(3)
    send(p.alice, message(4, 10, 0))
    p.net.runFor(0)
    expect(sent(p, p.alice)).toHaveLength(1)
  })

  test('many of them fill their packets', () => {
    const p = settled()
    send(p.alice, ...Array.from({ length: 11 }, (_, i) => message(i + 1, 1028, p.net.now)))
    p.net.runFor(0)
    expect(sent(p, p.alice).length).toBeLessThanOrEqual(9)
    p.net.runFor(500)
    expect(p.bob.messages()).toHaveLength(11)
  })

  test('one that came before is not told again', () => {
    const p = settled()
    p.bob.received(p.seal(p.alice, 50, [i2np(7)]), p.alice.source)
    p.bob.received(p.seal(p.alice, 51, [i2np(7)]), p.alice.source)
    expect(p.bob.messages()).toHaveLength(1)
  })

  test('expired ones are neither sent nor taken', () => {
    const p = settled()
    const old = { ...message(1, 2000, 0), expiration: 1000 }
    send(p.alice, old)
    p.net.runFor(100)
    expect(sent(p, p.alice)).toEqual([])
    p.bob.received(
      p.seal(p.alice, 50, [{ type: BlockType.i2np, data: writeShortMessage(old) }]),
      p.alice.source,
    )
    expect(p.bob.messages()).toEqual([])
  })

  test('what expires while it is sent again is given up, and the session lives', () => {
    const p = settled({ delay: 10 })
    p.net.filter = () => false
    send(p.alice, message(1, 3000, p.net.now, -50_000))
    p.net.runFor(15_000)
    p.net.filter = () => true
    p.net.runFor(20_000)
    expect(p.alice.session.state).toBe('data')
    expect(p.bob.messages()).toEqual([])
    send(p.alice, message(2, 3000, p.net.now))
    p.net.runFor(1000)
    expect(p.bob.messages().map((m) => m.id)).toEqual([2])
  })
})

describe('acknowledgements', () => {
  test('a lone packet is acknowledged after the delay, two at once, in one packet', () => {
    const p = settled({ delay: 60 })
    p.bob.received(p.seal(p.alice, 50, [i2np(1)]), p.alice.source)
    const from = p.net.now
    p.net.runFor(100)
    expect(p.wire).toHaveLength(1)
    // RTT is 120 ms or so; packet 50 makes a gap, which is told at once.
    expect(p.wire[0]!.at).toBe(from)
    p.bob.received(p.seal(p.alice, 51, [i2np(2)]), p.alice.source)
    p.net.runFor(100)
    expect(p.wire[1]!.at - from - 100).toBeGreaterThan(15)
    expect(p.wire[1]!.at - from - 100).toBeLessThan(25)
    const at = p.net.now
    for (const n of [52, 53, 54, 55]) p.bob.received(p.seal(p.alice, n, [i2np(n)]), p.alice.source)
    p.net.runFor(0)
    expect(p.wire.slice(2).map((packet) => packet.at)).toEqual([at])
    expect(acks(p, p.bob).at(-1)).toEqual({ through: 55, count: 5, ranges: [{ missing: 49, received: 1 }] })
  })

  test('one that is asked for goes at the end of the turn', () => {
    const p = settled({ delay: 60 })
    p.bob.received(p.seal(p.alice, 2, [i2np(1)], true), p.alice.source)
    p.net.runFor(0)
    expect(acks(p, p.bob)).toHaveLength(1)
    p.wire.length = 0
    p.bob.received(
      p.seal(p.alice, 3, [
        { type: Ssu2BlockType.congestion, data: writeCongestion({ immediateAck: true, experienced: false }) },
        PADDING,
      ]),
      p.alice.source,
    )
    p.net.runFor(0)
    expect(acks(p, p.bob)).toHaveLength(1)
  })

  test('packets that want none get none of their own', () => {
    const p = settled()
    const blocks: Block[] = [
      { type: Ssu2BlockType.ack, data: writeAck({ through: 0, count: 0, ranges: [] }) },
      { type: Ssu2BlockType.address, data: writeAddress({ ip: new Uint8Array(4), port: 1 }) },
      { type: BlockType.dateTime, data: new Uint8Array(4) },
      { type: Ssu2BlockType.congestion, data: Uint8Array.of(0) },
      PADDING,
    ]
    for (let n = 50; n < 60; n++) p.bob.received(p.seal(p.alice, n, blocks), p.alice.source)
    p.net.runFor(2000)
    expect(p.wire).toEqual([])
    // But an unknown block wants one.
    p.bob.received(p.seal(p.alice, 60, [{ type: 240, data: new Uint8Array(9) }]), p.alice.source)
    p.net.runFor(2000)
    expect(acks(p, p.bob).at(-1)).toEqual({ through: 60, count: 10, ranges: [{ missing: 49, received: 1 }] })
  })

  test('they ride with messages that go the other way', () => {
    const p = settled({ delay: 60 })
    p.bob.received(p.seal(p.alice, 2, [i2np(1)]), p.alice.source)
    send(p.bob, message(5, 100, 0))
    p.net.runFor(0)
    expect(sent(p, p.bob).map((types) => types.slice(0, 2))).toEqual([[Ssu2BlockType.ack, BlockType.i2np]])
    p.net.runFor(40)
    expect(p.wire).toEqual([])
  })

  test('of packets that were never sent, and malformed ones, change nothing', () => {
    const p = settled()
    send(p.alice, message(1, 100, 0))
    p.net.filter = () => false
    p.net.runFor(0)
    p.net.filter = () => true
    const bad: Block[] = [
      { type: Ssu2BlockType.ack, data: writeAck({ through: 5000, count: 255, ranges: [] }) },
      { type: Ssu2BlockType.ack, data: writeAck({ through: 3, count: 255, ranges: [] }) },
      { type: Ssu2BlockType.ack, data: new Uint8Array(4) },
      { type: Ssu2BlockType.ack, data: new Uint8Array(6) },
      { type: Ssu2BlockType.ack, data: new Uint8Array(7) },
    ]
    p.alice.received(p.seal(p.bob, 50, bad), p.bob.source)
    p.net.runFor(1000)
    expect(p.alice.session.state).toBe('data')
    expect(p.bob.messages()).toHaveLength(1)
  })

  test('a session that only receives gets its clock back from time to time', () => {
    const p = settled()
    for (let i = 0; i < 400; i++) {
      send(p.alice, ...Array.from({ length: 20 }, (_, j) => message(20 * i + j + 1, 1028, p.net.now)))
      p.net.runFor(100)
    }
    expect(p.alice.of('clock').length).toBeGreaterThanOrEqual(1)
    expect(p.bob.of('clock').length).toBeGreaterThanOrEqual(2)
    for (const { offset } of p.bob.of('clock')) expect(Math.abs(offset)).toBeLessThanOrEqual(600)
  })
})

describe('the beginning', () => {
  test('the responder acknowledges packet 0 at once, and the initiator then stops repeating', () => {
    const p = pair({ delay: 10 })
    p.net.runFor(20_000)
    expect(p.wire).toHaveLength(1)
    expect(acks(p, p.bob)).toEqual([{ through: 0, count: 0, ranges: [] }])
    expect(p.alice.session.state).toBe('data')
  })

  test('SessionConfirmed goes again until then; a responder that hears it again acknowledges again', () => {
    const p = pair({ delay: 100 }, {}, false)
    p.net.filter = ({ by }) => by === p.alice
    p.alice.start()
    p.bob.start()
    p.net.runFor(5000)
    const repeated = p.wire.filter(({ by }) => by === p.alice)
    expect(repeated.map(({ at }) => at - 1000)).toEqual([1250, 3750])
    for (const { bytes } of repeated) expect(bytes).toEqual(repeated[0]!.bytes)
    // Bob has answered each.
    expect(acks(p, p.bob).length).toBe(repeated.length + 1)
    p.net.filter = () => true
    p.net.runFor(12_000)
    expect(p.alice.session.state).toBe('data')
  })

  test('an initiator that is never answered ends', () => {
    const p = pair({ delay: 100 }, {}, false)
    p.net.filter = ({ by }) => by === p.alice
    p.alice.start()
    p.bob.start()
    p.net.runFor(16_000)
    expect(p.alice.of('ended').map((e) => e.reason)).toEqual([TerminationReason.frameTimeout])
  })

  test('what was queued before goes out with the start, and data before SessionConfirmed is sent again', () => {
    const p = pair({ delay: 50 }, {}, false)
    const { net, alice, bob } = p
    alice.session.output.push(message(1, 5000, net.now), 'own', net.now)
    alice.start()
    // Bob is not there yet: his SessionConfirmed comes later.
    net.listeners.delete('22.2.2.2 2222')
    net.runFor(400)
    net.listen(bob, bob.source)
    bob.start()
    net.runFor(2000)
    expect(bob.messages().map((m) => m.id)).toEqual([1])
  })
})

describe('the end', () => {
  const reasons = (side: Side): number[] => side.of('ended').map((e) => e.reason)

  test('both tell it at once, and forget the session after a while', () => {
    const p = settled()
    send(p.alice, message(1, 100, 0))
    p.alice.session.terminate(TerminationReason.shutdown, 'off', p.net.now, p.alice)
    expect([p.alice.session.state, reasons(p.alice)]).toEqual(['closing', [TerminationReason.shutdown]])
    p.alice.arm()
    p.net.runFor(100)
    expect([p.bob.session.state, reasons(p.bob)]).toEqual(['closing', [TerminationReason.shutdown]])
    expect(p.bob.messages()).toHaveLength(1)
    expect(p.alice.session.state).toBe('ended')
    p.net.runFor(20_000)
    expect(p.bob.session.state).toBe('ended')
    expect([reasons(p.alice).length, reasons(p.bob).length]).toEqual([1, 1])
    // One to tell it and one to answer.
    const all = p.wire.flatMap((packet) => p.open(packet)!.blocks)
    const terminations = all.filter((b) => b.type === Ssu2BlockType.termination)
    expect(terminations.map((b) => readTermination(new Reader(b.data)).reason)).toEqual([
      TerminationReason.shutdown,
      TerminationReason.terminationReceived,
    ])
  })

  test('a lost Termination is repeated, and strays are answered, ever more seldom', () => {
    const p = settled()
    p.net.filter = ({ by }) => by === p.bob
    p.alice.session.terminate(TerminationReason.idle, 'idle', p.net.now, p.alice)
    p.alice.arm()
    p.wire.length = 0
    for (let n = 50; n < 114; n++) p.alice.received(p.seal(p.bob, n, [i2np(n)]), p.bob.source)
    expect(p.wire).toHaveLength(7)
    expect(p.alice.messages()).toEqual([])
    p.net.runFor(5000)
    expect(p.wire).toHaveLength(9)
    p.net.filter = () => true
    p.alice.received(
      p.seal(p.bob, 200, [
        { type: Ssu2BlockType.termination, data: writeTermination({ framesReceived: 0, reason: 1 }) },
      ]),
      p.bob.source,
    )
    expect(p.alice.session.state).toBe('ended')
    expect(reasons(p.alice)).toHaveLength(1)
  })

  test('a broken payload ends the session; a broken block does not', () => {
    const p = settled()
    const blocks: Block[] = [
      { type: BlockType.i2np, data: new Uint8Array(5) },
      { type: Ssu2BlockType.followOnFragment, data: new Uint8Array(5) },
      { type: Ssu2BlockType.address, data: new Uint8Array(5) },
      { type: BlockType.dateTime, data: new Uint8Array(5) },
      { type: BlockType.options, data: new Uint8Array(5) },
      { type: BlockType.routerInfo, data: new Uint8Array(1) },
      { type: Ssu2BlockType.congestion, data: new Uint8Array(0) },
      { type: Ssu2BlockType.pathResponse, data: new Uint8Array(0) },
      { type: Ssu2BlockType.pathChallenge, data: new Uint8Array(1000) },
    ]
    p.bob.received(p.seal(p.alice, 50, blocks), p.alice.source)
    expect(p.bob.session.state).toBe('data')
    p.bob.received(p.seal(p.alice, 51, [PADDING, i2np(1)]), p.alice.source)
    expect(reasons(p.bob)).toEqual([TerminationReason.payloadFormat])
  })

  test('idle, or no longer needed', () => {
    const p = settled({ delay: 10 }, { times: { idleMs: 60_000 } })
    p.net.runFor(50_000)
    send(p.alice, message(1, 100, p.net.now))
    p.net.runFor(50_000)
    expect([p.alice.session.state, p.bob.session.state]).toEqual(['data', 'data'])
    p.net.runFor(70_000)
    expect(reasons(p.alice)).toEqual([TerminationReason.idle])
    const q = settled()
    q.alice.session.endAt(q.net.now + 3000)
    q.alice.arm()
    q.net.runFor(4000)
    expect(reasons(q.alice)).toEqual([TerminationReason.normal])
  })

  test('nothing acknowledged for long', () => {
    const p = settled()
    p.net.filter = () => false
    for (let i = 0; i < 30; i++) {
      send(p.alice, message(i + 1, 1028, p.net.now))
      p.net.runFor(1000)
    }
    expect(p.alice.session.state).toBe('data')
    for (let i = 0; i < 20; i++) {
      send(p.alice, message(i + 100, 1028, p.net.now))
      p.net.runFor(1000)
    }
    expect(reasons(p.alice)).toEqual([TerminationReason.frameTimeout])
  })
})

describe('the router’s own blocks', () => {
  test('are told, and sent again until acknowledged', () => {
    const p = settled()
    const types = [7, 8, 9, 10, 15, 16, 17]
    let dropped = 0
    p.net.filter = ({ by }) => by !== p.alice || ++dropped > 3
    for (const type of types) p.alice.session.sendBlock(type, new Uint8Array([type]), p.net.now, p.alice)
    p.alice.arm()
    p.net.runFor(3000)
    const told = p.bob.of('block').map((e) => [e.type, ...e.data])
    expect(told.sort((a, b) => a[0]! - b[0]!)).toEqual(types.map((type) => [type, type]))
  })

  test('no more of them than a bound wait for a peer that acknowledges nothing', () => {
    const p = settled()
    p.net.filter = () => false
    for (let i = 0; i < 500; i++) p.alice.session.sendBlock(10, new Uint8Array(1000), p.net.now, p.alice)
    p.net.filter = () => true
    p.alice.arm()
    p.net.runFor(20_000)
    expect(p.bob.of('block').length).toBeLessThanOrEqual(64 + 24)
  })

  test('our RouterInfo, as a block', () => {
    const p = settled()
    p.alice.session.sendRouterInfo(true, p.net.now, p.alice)
    p.alice.arm()
    p.net.runFor(500)
    expect(p.bob.of('router-info').map((e) => [e.flood, hex(e.routerInfo)])).toEqual([
      [true, hex(p.routerInfo)],
    ])
    // Not more often than every ten seconds.
    p.alice.session.sendRouterInfo(false, p.net.now, p.alice)
    p.alice.arm()
    p.net.runFor(500)
    expect(p.bob.of('router-info')).toHaveLength(1)
  })

  test('Address and DateTime are told', () => {
    const p = settled()
    const address = { ip: Uint8Array.of(1, 2, 3, 4), port: 99 }
    p.bob.received(
      p.seal(p.alice, 50, [
        { type: Ssu2BlockType.address, data: writeAddress(address) },
        { type: BlockType.dateTime, data: new Uint8Array(4) },
      ]),
      p.alice.source,
    )
    expect(p.bob.of('address').map((e) => e.address)).toEqual([address])
    expect(p.bob.of('clock')).toHaveLength(1)
  })
})

test('a packet is opened whether or not its first mask was taken off before', () => {
  const p = settled()
  const packet = p.seal(p.alice, 50, [i2np(1)])
  const other = copy(p.seal(p.alice, 51, [i2np(2)]))
  other.fill(0, 0, 8)
  p.bob.received(packet, p.alice.source)
  p.bob.received(other, p.alice.source)
  expect(p.bob.messages().map((m) => m.id)).toEqual([1, 2])
})
