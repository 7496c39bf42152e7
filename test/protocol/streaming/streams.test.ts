import { describe, expect, test } from 'vitest'
import { WallClock } from '../../../src/base/clock.ts'
import { RefusedError } from '../../../src/base/errors.ts'
import { generateEd25519 } from '../../../src/crypto/ed25519.ts'
import type { StreamId } from '../../../src/protocol/streaming/events.ts'
import type { StreamLimits } from '../../../src/protocol/streaming/limits.ts'
import {
  CLOSE,
  NO_ACK,
  RESET,
  readPacket,
  SIGNATURE_INCLUDED,
  SYNCHRONIZE,
  writePacket,
} from '../../../src/protocol/streaming/packet.ts'
import { signedPacket, signerOf } from '../../../src/protocol/streaming/signing.ts'
import { StreamSet } from '../../../src/protocol/streaming/streams.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import { type ChannelOptions, type Flight, Network, type Node, pattern, pump, sink } from './channel.ts'
import { offlineSigner } from './offline.ts'

const PORTS = { sourcePort: 7, destinationPort: 80 }
const HELLO = Buffer.from('hello')

interface Pair {
  readonly network: Network
  readonly a: Node
  readonly b: Node
}

function pair(options: ChannelOptions = { latency: 50 }, limits: Partial<StreamLimits> = {}): Pair {
  const network = new Network(options)
  return { network, a: network.node(limits), b: network.node(limits) }
}

function connect({ network, a, b }: Pair): StreamId {
  const id = a.set.connect(b.hash, b.local.identity, PORTS, network.now, a)
  a.arm()
  return id
}

function incoming(node: Node, n = 0): StreamId {
  const e = node.of('incoming')[n]
  if (e?.kind !== 'incoming') throw new Error('no incoming stream')
  return e.id
}

/** Both ends open. */
function opened(p: Pair): { id: StreamId; other: StreamId } {
  const id = connect(p)
  p.network.run(() => p.b.of('incoming').length > 0)
  const other = incoming(p.b)
  p.b.set.accept(other, p.network.now, p.b)
  p.b.arm()
  p.network.run(() => p.a.of('open').length > 0)
  return { id, other }
}

function write(node: Node, id: StreamId, text: string): void {
  node.set.write(id, Buffer.from(text), node.network.now, node)
  node.arm()
}

function end(node: Node, id: StreamId): void {
  node.set.end(id, node.network.now, node)
  node.arm()
}

const flags = (f: Flight): number => readPacket(f.packet, f.from.local.identity).flags

/** Everything that passes, for a look at it. */
function tap(network: Network): Flight[] {
  const seen: Flight[] = []
  network.filter = (f) => {
    seen.push(f)
    return true
  }
  return seen
}

describe('opening', () => {
  test('the first packet carries data, and so does its answer', () => {
    const p = pair()
    const seen = tap(p.network)
    const id = connect(p)
    write(p.a, id, 'question')
    p.b.onEvent = (e) => {
      if (e.kind === 'incoming') p.b.set.accept(e.id, p.network.now, p.b)
      if (e.kind === 'data') write(p.b, e.id, 'answer')
    }
    const start = p.network.now
    p.network.run(() => p.a.text(id) === 'answer')
    expect(p.network.now - start).toBeLessThan(115)
    expect(seen.length).toBe(2)
    const [syn, reply] = seen.map((f) => readPacket(f.packet, f.from.local.identity))
    expect(syn).toMatchObject({ sendStreamId: 0, receiveStreamId: id, sequence: 0, maxPacketSize: 1812 })
    expect(syn!.flags & (SYNCHRONIZE | NO_ACK)).toBe(SYNCHRONIZE | NO_ACK)
    expect(Buffer.from(syn!.nacks)).toEqual(Buffer.from(p.b.hash))
    expect(reply).toMatchObject({ sendStreamId: id, sequence: 0, ackThrough: 0, maxPacketSize: 1812 })
    expect(reply!.flags & (SYNCHRONIZE | NO_ACK)).toBe(SYNCHRONIZE)
    expect(reply!.nacks.length).toBe(0)
  })

  test('ports arrive the way a reply needs them', () => {
    const p = pair()
    connect(p)
    p.network.run(() => p.b.of('incoming').length > 0)
    expect(p.b.of('incoming')[0]).toMatchObject({ ports: { sourcePort: 80, destinationPort: 7 } })
  })

  test('data sent before the answer arrives with it, in order', () => {
    const p = pair({ latency: 50, jitter: 40 })
    sink(p.b)
    const data = pattern(15_000)
    pump(p.a, connect(p), data, false)
    p.network.runFor(140)
    expect(Buffer.concat(p.b.received.get(incoming(p.b))!)).toEqual(Buffer.from(data))
  })

  test('packets that overtake the SYNCHRONIZE wait for it', () => {
    const p = pair()
    sink(p.b)
    const id = connect(p)
    let held: Flight | undefined
    p.network.filter = (f) => {
      if ((flags(f) & SYNCHRONIZE) === 0 || held !== undefined) return true
      held = f
      return false
    }
    pump(p.a, id, pattern(10_000), false)
    p.network.runFor(400)
    expect(p.b.events).toEqual([])
    p.b.set.receive({ ...PORTS, data: held!.packet }, p.a.hash, p.network.now, p.b)
    expect(Buffer.concat(p.b.received.get(incoming(p.b))!).length).toBe(10_000)
  })

  test('a lost SYNCHRONIZE, a lost answer', () => {
    for (const drop of [0, 1]) {
      const p = pair()
      sink(p.b)
      let n = 0
      p.network.filter = () => n++ !== drop
      const id = connect(p)
      write(p.a, id, 'x')
      p.network.run(() => p.a.of('open').length > 0 && p.b.text(incoming(p.b)) === 'x')
      expect(p.network.now).toBeLessThan(10_000)
      expect(p.b.of('incoming').length).toBe(1)
    }
  })

  test('refused when nobody listens', () => {
    const p = pair()
    p.b.set.listening = false
    const id = connect(p)
    p.network.run()
    expect(p.a.events).toEqual([{ kind: 'closed', id, reason: 'refused' }])
    expect(p.a.set.retained).toBe(0)
  })

  test('nobody there', () => {
    const p = pair()
    p.network.filter = () => false
    const id = connect(p)
    p.network.run()
    expect(p.a.events).toEqual([{ kind: 'closed', id, reason: 'timeout' }])
    expect(p.network.now).toBeLessThanOrEqual(62_000)
    expect(p.a.set.retained).toBe(0)
  })

  test('no lease set', () => {
    const p = pair()
    p.network.filter = () => false
    const id = connect(p)
    p.network.runFor(100)
    p.a.set.unreachable(p.b.hash, p.network.now, p.a)
    expect(p.a.events).toEqual([{ kind: 'closed', id, reason: 'unreachable' }])
  })

  test('not accepted in time, and a full backlog', () => {
    const p = pair({ latency: 10 }, { backlog: 2 })
    const ids = [connect(p), connect(p), connect(p)]
    p.network.runFor(200)
    expect(p.b.of('incoming').length).toBe(2)
    expect(p.a.of('closed').length).toBe(1)
    p.network.runFor(11_000)
    expect(p.a.of('closed').length).toBe(3)
    expect(p.b.of('closed').map((e) => e.kind === 'closed' && e.reason)).toEqual(['aborted', 'aborted'])
    expect(new Set(ids).size).toBe(3)
  })

  test('so many a minute from one destination', () => {
    const p = pair({ latency: 10 }, { perMinute: 5 })
    sink(p.b)
    for (let i = 0; i < 20; i++) {
      connect(p)
      p.network.runFor(1000)
    }
    expect(p.b.of('incoming').length).toBe(5)
    expect(p.a.of('open').length).toBe(5)
    p.network.runFor(50_000)
    connect(p)
    p.network.runFor(1000)
    expect(p.b.of('incoming').length).toBe(6)
  })

  test('an access list that drops without a word', () => {
    const p = pair({ latency: 10 }, { allow: () => false, refuse: 'drop' })
    connect(p)
    p.network.runFor(1000)
    expect(p.b.sent.packets).toBe(0)
    expect(p.b.set.retained).toBe(0)
  })

  test('too many of our own', () => {
    const p = pair({ latency: 10 }, { maxStreams: 1 })
    connect(p)
    expect(() => connect(p)).toThrow(RefusedError)
  })
})

describe('what is not ours', () => {
  /** The SYNCHRONIZE of a fresh connect from a to b. */
  function captured(p: Pair): Uint8Array {
    let syn: Uint8Array | undefined
    p.network.filter = (f) => {
      syn ??= f.packet
      return false
    }
    connect(p)
    p.network.run(() => syn !== undefined)
    return syn!
  }

  test('a SYNCHRONIZE passed on to another destination', () => {
    const p = pair()
    const c = p.network.node()
    const data = captured(p)
    c.set.receive({ ...PORTS, data }, undefined, p.network.now, c)
    expect(c.events).toEqual([])
    expect(c.sent.packets).toBe(0)
    p.b.set.receive({ ...PORTS, data }, undefined, p.network.now, p.b)
    expect(p.b.of('incoming').length).toBe(1)
  })

  test('one without the hash is accepted: i2pd 2.45.1 sends none', () => {
    const p = pair()
    const fields = {
      sendStreamId: 0,
      receiveStreamId: 9,
      sequence: 0,
      ackThrough: 0,
      flags: SYNCHRONIZE | NO_ACK,
    }
    const data = signedPacket(
      { ...fields, from: p.a.local.identity, maxPacketSize: 1730 },
      signerOf(p.a.local),
      HELLO,
    )
    p.b.set.receive({ ...PORTS, data }, undefined, p.network.now, p.b)
    expect(p.b.of('incoming').length).toBe(1)
  })

  test('unsigned, wrongly signed, from somebody else than its session', () => {
    const p = pair()
    const c = p.network.node()
    const fields = {
      sendStreamId: 0,
      receiveStreamId: 9,
      sequence: 0,
      ackThrough: 0,
      flags: SYNCHRONIZE | NO_ACK,
    }
    const open = { ...fields, from: p.a.local.identity, maxPacketSize: 1730 }
    const unsigned = writePacket(open, 0).bytes
    const forged = signedPacket(open, signerOf(c.local))
    for (const data of [unsigned, forged]) p.b.set.receive({ ...PORTS, data }, undefined, p.network.now, p.b)
    p.b.set.receive({ ...PORTS, data: captured(p) }, c.hash, p.network.now, p.b)
    expect(p.b.events).toEqual([])
    expect(p.b.sent.packets).toBe(0)
    expect(p.b.set.retained).toBe(0)
  })

  test('CLOSE and RESET that the far side did not sign', () => {
    const p = pair()
    const c = p.network.node()
    const { id, other } = opened(p)
    const fields = { sendStreamId: other, receiveStreamId: id, sequence: 1, ackThrough: 0 }
    for (const flag of [CLOSE, RESET]) {
      const unsigned = writePacket({ ...fields, flags: flag }, 0).bytes
      const forged = signedPacket({ ...fields, flags: flag }, signerOf(c.local))
      const claimed = writePacket({ ...fields, flags: flag | SIGNATURE_INCLUDED }, 0).bytes
      for (const data of [unsigned, forged, claimed])
        p.b.set.receive({ ...PORTS, data }, undefined, p.network.now, p.b)
    }
    expect(p.b.of('closed')).toEqual([])
    expect(p.b.of('end')).toEqual([])
    write(p.a, id, 'still here')
    p.network.runFor(200)
    expect(p.b.text(other)).toBe('still here')
  })

  test('our ids used by another destination', () => {
    const p = pair()
    const c = p.network.node()
    const { id, other } = opened(p)
    const { bytes, payloadAt } = writePacket(
      { sendStreamId: other, receiveStreamId: id, sequence: 1, ackThrough: 0 },
      5,
    )
    bytes.set(HELLO, payloadAt)
    p.b.set.receive({ ...PORTS, data: bytes }, c.hash, p.network.now, p.b)
    expect(p.b.of('data')).toEqual([])
  })

  test('acknowledgements of what was never sent', () => {
    const p = pair()
    const { id, other } = opened(p)
    const { bytes } = writePacket(
      { sendStreamId: id, receiveStreamId: other, sequence: 0, ackThrough: 4_000_000_000 },
      0,
    )
    p.a.set.receive({ ...PORTS, data: bytes }, p.b.hash, p.network.now, p.a)
    write(p.a, id, 'x')
    p.network.runFor(200)
    expect(p.b.text(other)).toBe('x')
  })

  test('a packet of a stream we do not know is answered with a RESET, not often', () => {
    const p = pair()
    const seen = tap(p.network)
    for (let i = 0; i < 50; i++) {
      const fields = { sendStreamId: 1 + i, receiveStreamId: 77, sequence: 5, ackThrough: 3, nacks: [2] }
      const { bytes } = writePacket(fields, 0)
      p.b.set.receive({ ...PORTS, data: bytes }, p.a.hash, p.network.now, p.b)
    }
    expect(seen.length).toBe(10)
    expect(readPacket(seen[0]!.packet)).toMatchObject({ sendStreamId: 77, receiveStreamId: 1, sequence: 2 })
    // From we do not know whom: silence.
    const { bytes } = writePacket({ sendStreamId: 5, receiveStreamId: 78, sequence: 5, ackThrough: 3 }, 0)
    p.network.runFor(10_000)
    p.b.set.receive({ ...PORTS, data: bytes }, undefined, p.network.now, p.b)
    expect(seen.length).toBe(10)
  })

  test('random bytes', () => {
    const p = pair()
    const { other } = opened(p)
    for (let i = 0; i < 3000; i++) {
      const data = p.network.random.bytes(p.network.random.below(120))
      if (i % 2 === 0 && data.length >= 22) {
        new DataView(data.buffer).setUint32(0, other)
        data[16] = 0
        data[18] = 0
      }
      p.b.set.receive({ ...PORTS, data }, p.a.hash, p.network.now, p.b)
    }
    p.network.runFor(100_000)
  })

  test('a late copy of a SYNCHRONIZE opens no second stream', () => {
    const p = pair()
    sink(p.b)
    sink(p.a)
    const seen = tap(p.network)
    const id = connect(p)
    write(p.a, id, 'x')
    end(p.a, id)
    p.network.runFor(20_000)
    expect(p.b.of('closed').length).toBe(1)
    expect(p.b.set.size).toBe(0)
    p.b.set.receive({ ...PORTS, data: seen[0]!.packet }, p.a.hash, p.network.now, p.b)
    expect(p.b.of('incoming').length).toBe(1)
  })

  test('offline signatures', () => {
    const p = pair()
    const random = p.network.random
    const local = newDestination(random)
    const signer = offlineSigner(local, generateEd25519(random), 1_800_000_000_000)
    const set = new StreamSet({ local, random, clock: new WallClock(1_700_000_000_000, 0), signer })
    const packets: Uint8Array[] = []
    const out = {
      event: (e: { kind: string; packet?: Uint8Array }): void => void (e.packet && packets.push(e.packet)),
    }
    const id = set.connect(p.b.hash, p.b.local.identity, PORTS, p.network.now, out)
    set.write(id, HELLO, p.network.now, out)
    set.timeout(p.network.now + 10, out)
    sink(p.b)
    p.b.set.receive({ ...PORTS, data: packets[0]! }, local.identity.hash, p.network.now, p.b)
    expect(p.b.text(incoming(p.b))).toBe('hello')
  })
})

describe('ending', () => {
  test('one half, then the other', () => {
    const p = pair()
    const { id, other } = opened(p)
    write(p.a, id, 'question')
    end(p.a, id)
    p.network.runFor(300)
    expect(p.b.text(other)).toBe('question')
    expect(p.b.of('end')).toEqual([{ kind: 'end', id: other }])
    expect(p.b.of('closed')).toEqual([])
    for (let i = 0; i < 5; i++) {
      write(p.b, other, `answer ${i} `)
      p.network.runFor(500)
    }
    end(p.b, other)
    p.network.run()
    expect(p.a.text(id)).toBe('answer 0 answer 1 answer 2 answer 3 answer 4 ')
    expect(p.a.events.slice(-2)).toEqual([
      { kind: 'end', id },
      { kind: 'closed', id, reason: 'closed' },
    ])
    expect(p.b.events.slice(-1)).toEqual([{ kind: 'closed', id: other, reason: 'closed' }])
    expect(p.a.set.retained + p.b.set.retained).toBe(0)
  })

  test('both at once', () => {
    const p = pair()
    const { id, other } = opened(p)
    end(p.a, id)
    end(p.b, other)
    p.network.run()
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'closed' }])
    expect(p.b.of('closed')).toEqual([{ kind: 'closed', id: other, reason: 'closed' }])
  })

  test('what was written before the end arrives', () => {
    const p = pair({ latency: 50, loss: 0.1 })
    const { id, other } = opened(p)
    sink(p.b)
    const data = pattern(200_000)
    p.a.set.write(id, data, p.network.now, p.a)
    end(p.a, id)
    p.network.run()
    expect(Buffer.concat(p.b.received.get(other)!).equals(data)).toBe(true)
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'closed' }])
  })

  test('the first packet never says CLOSE, nor does any before the answer', () => {
    const p = pair()
    const seen = tap(p.network)
    const id = connect(p)
    write(p.a, id, 'x')
    end(p.a, id)
    p.network.runFor(90)
    expect(seen.map(flags).filter((f) => (f & CLOSE) !== 0)).toEqual([])
    sink(p.b)
    p.b.set.accept(incoming(p.b), p.network.now, p.b)
    p.b.arm()
    p.network.run()
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'closed' }])
  })

  test('reset in mid-stream', () => {
    const p = pair()
    const { id, other } = opened(p)
    sink(p.b)
    pump(p.a, id, pattern(1_000_000))
    p.network.runFor(500)
    p.a.set.reset(id, p.network.now, p.a)
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'aborted' }])
    p.network.run()
    expect(p.b.of('closed')).toEqual([{ kind: 'closed', id: other, reason: 'reset' }])
    expect(p.a.set.retained + p.b.set.retained).toBe(0)
  })

  test('a lost RESET is repeated when more comes', () => {
    const p = pair()
    const { id, other } = opened(p)
    p.network.filter = (f) => f.from !== p.b
    p.b.set.reset(other, p.network.now, p.b)
    p.network.runFor(100)
    p.network.filter = () => true
    write(p.a, id, 'anyone?')
    p.network.runFor(1000)
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'reset' }])
  })

  test('a far side that vanishes', () => {
    const p = pair({ latency: 50 }, { maxResends: 5 })
    const { id } = opened(p)
    write(p.a, id, 'x')
    p.network.runFor(500)
    p.network.filter = () => false
    write(p.a, id, 'y')
    p.network.run(() => p.a.of('closed').length > 0)
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'timeout' }])
  })

  test('a far side that ends, and has forgotten the stream when we do', () => {
    const p = pair()
    const { id, other } = opened(p)
    end(p.b, other)
    p.network.runFor(300)
    p.network.filter = () => false
    end(p.a, id)
    const start = p.network.now
    p.network.run(() => p.a.of('closed').length > 0)
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'closed' }])
    expect(p.network.now - start).toBeLessThan(3000)
  })

  test('released: what was written goes out, what comes is thrown away', () => {
    const p = pair()
    const { id, other } = opened(p)
    sink(p.b)
    const data = pattern(100_000)
    p.a.set.write(id, data, p.network.now, p.a)
    p.a.set.release(id, p.network.now, p.a)
    p.a.arm()
    const before = p.a.events.length
    pump(p.b, other, pattern(500_000))
    p.network.run()
    expect(Buffer.concat(p.b.received.get(other)!).equals(data)).toBe(true)
    expect(p.a.events.slice(before)).toEqual([{ kind: 'closed', id, reason: 'closed' }])
  })

  test('released, and the far side never ends', () => {
    const p = pair()
    const { id, other } = opened(p)
    p.a.set.release(id, p.network.now, p.a)
    p.a.arm()
    p.network.run(() => p.b.of('closed').length > 0)
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'aborted' }])
    expect(p.b.of('closed')).toEqual([{ kind: 'closed', id: other, reason: 'reset' }])
  })
})

describe('i2pd', () => {
  test('ends both halves on our CLOSE and is silent from then on', () => {
    const p = pair()
    const { id, other } = opened(p)
    p.network.filter = (f) => {
      if (f.from !== p.a || (flags(f) & CLOSE) === 0) return f.from !== p.a
      const close = readPacket(f.packet)
      const fields = {
        sendStreamId: id,
        receiveStreamId: other,
        sequence: 1,
        ackThrough: close.sequence,
        flags: CLOSE,
      }
      const data = signedPacket(fields, signerOf(p.b.local))
      p.network.at(p.network.now + 100, () => {
        p.a.set.receive({ ...PORTS, data }, p.b.hash, p.network.now, p.a)
        p.a.arm()
      })
      return false
    }
    end(p.a, id)
    p.network.run(() => p.a.of('closed').length > 0)
    // The application has not ended yet: 'end' comes first, and our CLOSE is out already.
    expect(p.a.events.slice(-2)).toEqual([
      { kind: 'end', id },
      { kind: 'closed', id, reason: 'closed' },
    ])
  })

  test('gets no acknowledgement before our SYNCHRONIZE has arrived', () => {
    const p = pair()
    const seen = tap(p.network)
    connect(p)
    p.network.run(() => p.b.of('incoming').length > 0)
    p.b.set.accept(incoming(p.b), p.network.now, p.b)
    p.b.arm()
    const answers = (): Flight[] => seen.filter((f) => f.from === p.b)
    p.network.filter = (f) => {
      seen.push(f)
      return f.from === p.a
    }
    p.network.runFor(10_000)
    expect(answers().length).toBeGreaterThan(1)
    expect(answers().every((f) => (flags(f) & SYNCHRONIZE) !== 0)).toBe(true)
  })

  test('a smaller packet size is respected', () => {
    const p = pair({ latency: 20 }, {})
    const small = new StreamSet({
      local: p.b.local,
      random: p.network.random,
      clock: new WallClock(1_700_000_000_000, 0),
      limits: { mtu: 1730 },
    })
    small.listening = true
    Object.assign(p.b, { set: small })
    const { id } = opened(p)
    const seen = tap(p.network)
    pump(p.a, id, pattern(20_000), false)
    p.network.runFor(1000)
    const sizes = seen.filter((f) => f.from === p.a).map((f) => readPacket(f.packet).payload.length)
    expect(Math.max(...sizes)).toBe(1730)
  })
})

describe('flow control', () => {
  test('a reader that stops makes the writer stop, and go on', () => {
    const p = pair({ latency: 20 })
    const { id, other } = opened(p)
    const data = pattern(3_000_000)
    pump(p.a, id, data)
    p.network.runFor(60_000)
    const held = Buffer.concat(p.b.received.get(other)!).length
    expect(held).toBeGreaterThan(262_144)
    expect(held).toBeLessThan(1_300_000)
    expect(p.a.of('closed')).toEqual([])
    sink(p.b)
    sink(p.a)
    p.b.set.consumed(other, held, p.network.now, p.b)
    p.b.arm()
    const start = p.network.now
    p.network.run(() => p.b.of('end').length > 0)
    expect(Buffer.concat(p.b.received.get(other)!).equals(data)).toBe(true)
    expect(p.network.now - start).toBeLessThan(5_000)
  })

  test('a lost unchoke is found out', () => {
    const p = pair({ latency: 20 })
    const { id, other } = opened(p)
    const data = pattern(1_500_000)
    pump(p.a, id, data)
    p.network.runFor(30_000)
    const held = Buffer.concat(p.b.received.get(other)!).length
    p.network.filter = (f) => f.from !== p.b
    p.b.set.consumed(other, held, p.network.now, p.b)
    p.b.arm()
    p.network.runFor(100)
    p.network.filter = () => true
    sink(p.b)
    sink(p.a)
    p.network.run(() => p.b.of('end').length > 0)
    expect(Buffer.concat(p.b.received.get(other)!).equals(data)).toBe(true)
  })

  test('a choke holds for hours and costs little', () => {
    const p = pair({ latency: 20 })
    const { id } = opened(p)
    pump(p.a, id, pattern(2_000_000))
    p.network.runFor(60_000)
    const before = p.a.sent.packets
    p.network.runFor(2 * 3_600_000)
    expect(p.a.of('closed')).toEqual([])
    expect(p.a.sent.packets - before).toBeLessThan(4500)
  })

  test('write takes no more than the buffer holds, and says when there is room', () => {
    const p = pair({ latency: 20 }, { sendBuffer: 10_000 })
    const { id } = opened(p)
    sink(p.b)
    p.network.filter = () => false
    const taken = [0, 1, 2, 3].map(() => p.a.set.write(id, pattern(9_000), p.network.now, p.a))
    expect(taken[0]).toBe(9000)
    expect(taken.reduce((x, y) => x + y)).toBeLessThanOrEqual(10_000 + 10 * 1812)
    p.network.filter = () => true
    p.a.arm()
    p.network.run(() => p.a.of('drain').length > 0)
    expect(p.a.of('drain').length).toBe(1)
  })

  test('one that heeds no choke is held by a bound', () => {
    const p = pair({ latency: 20 }, { chokeAt: 1e9, receiveBuffer: 300_000 })
    const { id, other } = opened(p)
    pump(p.a, id, pattern(2_000_000))
    p.network.runFor(60_000)
    expect(Buffer.concat(p.b.received.get(other)!).length).toBeLessThan(310_000)
  })
})

describe('what waits for a program or behind a gap', () => {
  const LIMIT = 150_000

  /** Ten streams of 100 KB each whose second packets do not arrive. */
  function gaps(): Pair & { readonly ids: readonly StreamId[] } {
    const p = pair({ latency: 20 }, { receiveTotal: LIMIT })
    sink(p.b)
    p.network.filter = (f) => f.from === p.b || readPacket(f.packet, f.from.local.identity).sequence !== 1
    const ids = Array.from({ length: 10 }, () => connect(p))
    for (const id of ids) pump(p.a, id, pattern(100_000))
    p.network.runFor(20_000)
    return { ...p, ids }
  }

  test('has a bound for all streams together', () => {
    const { b } = gaps()
    expect(b.set.held).toBeGreaterThan(LIMIT / 2)
    expect(b.set.held).toBeLessThanOrEqual(LIMIT)
  })

  test('keeps nothing from arriving, and is given back', () => {
    const { network, a, b } = gaps()
    network.filter = () => true
    network.run()
    expect([...b.received.values()].map((chunks) => Buffer.concat(chunks).length)).toEqual(
      new Array(10).fill(100_000),
    )
    expect([b.set.held, a.set.held]).toEqual([0, 0])
  })

  test('is given back by streams that break off', () => {
    const { network, a, b, ids } = gaps()
    for (const id of ids) a.set.reset(id, network.now, a)
    network.run()
    expect(b.set.held).toBe(0)
  })

  test('does not keep larger messages alive, and no packet is that large itself', () => {
    const p = pair({ latency: 20 })
    const { id, other } = opened(p)
    p.network.runFor(1000)
    const packets = tap(p.network)
    write(p.a, id, 'hello')
    p.network.runFor(1000)
    const { packet } = packets.find((f) => f.from === p.a)!
    const again = (sequence: number, length: number): void => {
      const message = new Uint8Array(60_000)
      message.set(packet)
      new DataView(message.buffer).setUint32(8, sequence)
      p.b.set.receive(
        { sourcePort: 1, destinationPort: 2, data: message.subarray(0, length) },
        p.a.hash,
        p.network.now,
        p.b,
      )
    }
    const next = new DataView(packet.buffer).getUint32(8) + 1
    again(next, packet.length)
    const chunk = p.b.received.get(other)!.at(-1)!
    expect(Buffer.from(chunk).toString()).toBe('hello')
    expect(chunk.buffer.byteLength).toBeLessThan(4_000)
    const before = p.b.received.get(other)!.length
    again(next + 1, 30_000)
    expect(p.b.received.get(other)!.length).toBe(before)
  })
})

describe('time', () => {
  test('an idle stream says something now and then, and notices when nobody answers', () => {
    const p = pair({ latency: 20 })
    const { id } = opened(p)
    p.network.runFor(1000)
    const before = p.a.sent.packets + p.b.sent.packets
    p.network.runFor(3_600_000)
    const packets = p.a.sent.packets + p.b.sent.packets - before
    expect(packets).toBeGreaterThan(20)
    expect(packets).toBeLessThan(180)
    expect(p.a.of('closed')).toEqual([])
    p.network.filter = () => false
    p.network.run()
    expect(p.a.of('closed')).toEqual([{ kind: 'closed', id, reason: 'timeout' }])
    expect(p.b.of('closed').length).toBe(1)
    expect(p.a.set.retained + p.b.set.retained).toBe(0)
  })

  test('after two timeouts the path is said to be lost', () => {
    const p = pair({ latency: 20 })
    const { id } = opened(p)
    const lost: boolean[] = []
    const carry = p.network.carry.bind(p.network)
    p.network.carry = (from, e) => {
      if (from === p.a) lost.push(e.lost)
      carry(from, e)
    }
    p.network.filter = () => false
    write(p.a, id, 'x')
    p.network.runFor(5_000)
    expect(lost.slice(0, 4)).toEqual([false, false, true, true])
  })

  test('a far side that repeats itself says that our acknowledgements are lost', () => {
    const p = pair({ latency: 20 })
    const { id } = opened(p)
    const lost: boolean[] = []
    const carry = p.network.carry.bind(p.network)
    p.network.carry = (from, e) => {
      if (from === p.b) lost.push(e.lost)
      carry(from, e)
    }
    p.network.filter = (f) => f.from === p.a
    write(p.a, id, 'x')
    p.network.runFor(3_000)
    expect(lost).toContain(true)
    expect(lost.indexOf(true)).toBe(2)
  })

  test('copies made by the network say nothing of the kind', () => {
    const p = pair({ latency: 20, jitter: 10, duplicates: 1 })
    const { id } = opened(p)
    sink(p.b)
    const lost: boolean[] = []
    const carry = p.network.carry.bind(p.network)
    p.network.carry = (from, e) => {
      lost.push(e.lost)
      carry(from, e)
    }
    pump(p.a, id, pattern(500_000), false)
    p.network.runFor(10_000)
    expect(lost).not.toContain(true)
  })

  test('a break of a minute is survived', () => {
    const p = pair({ latency: 50, rate: 500 })
    const { id, other } = opened(p)
    sink(p.b)
    sink(p.a)
    const data = pattern(3_000_000)
    pump(p.a, id, data)
    p.network.runFor(2000)
    p.network.filter = () => false
    p.network.runFor(60_000)
    p.network.filter = () => true
    p.network.run(() => p.b.of('end').length > 0)
    expect(Buffer.concat(p.b.received.get(other)!).equals(data)).toBe(true)
    expect(p.network.now).toBeLessThan(100_000)
  })

  test('a second stream begins with what the first one learned', () => {
    const p = pair({ latency: 150 })
    sink(p.b)
    sink(p.a)
    const first = connect(p)
    pump(p.a, first, pattern(500_000))
    p.network.run(() => p.a.set.retained === 0)
    p.network.filter = () => false
    const start = p.network.now
    connect(p)
    let sent = 0
    p.network.filter = () => {
      sent++
      return false
    }
    p.network.run(() => sent >= 2)
    expect(p.network.now - start).toBeLessThan(1500)
  })
})

test('pings', () => {
  const p = pair()
  const id = p.a.set.ping(p.b.hash, PORTS, pattern(40), p.a)
  p.network.run()
  expect(p.a.events.length).toBe(1)
  const [e] = p.a.of('pong')
  expect(e?.kind === 'pong' && e.id === id && Buffer.from(e.payload).equals(pattern(32))).toBe(true)
  const silent = pair({ latency: 1 }, { answerPings: false })
  silent.a.set.ping(silent.b.hash, PORTS, pattern(4), silent.a)
  silent.network.run()
  expect(silent.a.events).toEqual([])
})

test('five hundred streams at once, both ways, through a bad network', () => {
  const p = pair({ latency: 60, jitter: 40, loss: 0.02, duplicates: 0.02, rate: 5000, queue: 500_000 })
  sink(p.a)
  const before = p.b.onEvent
  p.b.onEvent = (e) => {
    before(e)
    const { now } = p.network
    if (e.kind === 'incoming') p.b.set.accept(e.id, now, p.b)
    if (e.kind === 'data') {
      p.b.set.consumed(e.id, e.bytes.length, now, p.b)
      p.b.set.write(e.id, e.bytes, now, p.b)
    }
    if (e.kind === 'end') p.b.set.end(e.id, now, p.b)
    p.b.arm()
  }
  const sent = new Map<StreamId, Uint8Array>()
  for (let i = 0; i < 500; i++) {
    const id = connect(p)
    const data = pattern(p.network.random.below(20_000), i)
    sent.set(id, data)
    pump(p.a, id, data)
  }
  p.network.run()
  for (const [id, data] of sent)
    expect(Buffer.concat(p.a.received.get(id) ?? []).equals(data), `${id}`).toBe(true)
  const reasons = (n: Node): unknown[] => n.of('closed').map((e) => e.kind === 'closed' && e.reason)
  expect(reasons(p.a)).toEqual(new Array(500).fill('closed'))
  expect(reasons(p.b)).toEqual(new Array(500).fill('closed'))
  expect(p.a.set.retained + p.b.set.retained).toBe(0)
})

test('three thousand opened and closed, one after the other', () => {
  const p = pair({ latency: 5 })
  sink(p.a)
  sink(p.b)
  let most = 0
  for (let i = 0; i < 3_000; i++) {
    end(p.a, connect(p))
    p.network.runFor(40)
    most = Math.max(most, p.a.set.retained)
    p.a.events.length = 0
    p.b.events.length = 0
  }
  expect(most).toBeLessThan(2000)
  p.network.run()
  expect(p.a.set.retained + p.b.set.retained).toBe(0)
})
