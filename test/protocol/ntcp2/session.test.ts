import { describe, expect, it } from 'vitest'
import { concat, copy, Reader, Writer } from '../../../src/base/bytes.ts'
import type { Endpoint, LinkId, Sink } from '../../../src/base/core.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { BlockCursor, BlockType, putBlockHeader } from '../../../src/protocol/blocks/block.ts'
import { i2npBlockLength, putI2npBlock } from '../../../src/protocol/blocks/i2np-block.ts'
import { OutputQueue } from '../../../src/protocol/blocks/output-queue.ts'
import { readTermination, TerminationReason } from '../../../src/protocol/blocks/termination.ts'
import { FrameOpener, FrameSealer, MAX_PLAINTEXT } from '../../../src/protocol/ntcp2/data-phase.ts'
import { initiate } from '../../../src/protocol/ntcp2/initiator.ts'
import { type ResponderChecks, respond } from '../../../src/protocol/ntcp2/responder.ts'
import { Ntcp2Session, type SessionEvent } from '../../../src/protocol/ntcp2/session.ts'
import { checks, type Party, party, remoteOf, WALL } from './parties.ts'

const TIMES = { handshakeMs: 15_000, idleMs: 125_000 }

class Recorder implements Sink<SessionEvent> {
  data: Uint8Array[] = []
  ends: boolean[] = []
  events: SessionEvent[] = []

  udp(): void {
    throw new Error('no UDP here')
  }

  tcpOpen(_to: Endpoint): LinkId {
    throw new Error('nothing to open')
  }

  tcpData(_id: LinkId, bytes: Uint8Array): void {
    this.data.push(bytes)
  }

  tcpEnd(_id: LinkId, reset?: boolean): void {
    this.ends.push(reset === true)
  }

  event(e: SessionEvent): void {
    this.events.push(e)
  }

  of<K extends SessionEvent['kind']>(kind: K): Extract<SessionEvent, { kind: K }>[] {
    return this.events.filter((e): e is Extract<SessionEvent, { kind: K }> => e.kind === kind)
  }
}

function responder(
  bob: Party,
  seen: ResponderChecks = checks(),
  now = 0,
): { session: Ntcp2Session; out: Recorder } {
  const out = new Recorder()
  const ours = (): Uint8Array => bob.routerInfo.bytes
  const session = new Ntcp2Session(1, bob.local, ours, new OutputQueue(), TIMES, now)
  session.start(respond(bob.local, seen), now, out)
  return { session, out }
}

/** A session with a peer whose frames we write ourselves. */
class Rig {
  readonly session: Ntcp2Session
  readonly out: Recorder
  readonly alice: Party
  readonly #sealer: FrameSealer
  readonly #opener: FrameOpener
  now = 0

  constructor() {
    this.alice = party(1)
    const bob = party(2)
    const { session, out } = responder(bob)
    const steps = initiate(this.alice.local, remoteOf(bob), this.alice.routerInfo.bytes, 0)
    session.received(steps.next().value.send!, 0, out)
    const created = out.data[0]!
    let step = steps.next({ bytes: created.subarray(0, 64), now: 0 })
    if (!step.done) step = steps.next({ bytes: created.subarray(64), now: 0 })
    const result = step.value
    if (!step.done || !('kind' in result) || result.kind !== 'established') throw new Error('not established')
    session.received(result.send!, 0, out)
    expect(session.state).toBe('data')
    out.data = []
    this.session = session
    this.out = out
    this.#sealer = new FrameSealer(result.keys.send)
    this.#opener = new FrameOpener(result.keys.receive)
  }

  seal(...blocks: Uint8Array[]): Uint8Array {
    const plaintext = concat(...blocks)
    return this.#sealer.seal(this.#sealer.begin(plaintext.length).put(plaintext))
  }

  give(bytes: Uint8Array): void {
    this.session.received(bytes, this.now, this.out)
  }

  frame(...blocks: Uint8Array[]): void {
    this.give(this.seal(...blocks))
  }

  wait(ms: number): void {
    const end = this.now + ms
    while (this.session.deadline <= end) {
      this.now = Math.max(this.now, this.session.deadline)
      this.session.timeout(this.now, this.out)
    }
    this.now = end
  }

  /** Types of the blocks in the frames sent since the last call. */
  sent(): { type: number; data: Uint8Array }[] {
    const found: { type: number; data: Uint8Array }[] = []
    const blocks = new BlockCursor()
    for (const frame of this.out.data.splice(0)) {
      expect(this.#opener.header(frame.subarray(0, 2))).toBe(true)
      blocks.open(this.#opener.open(frame.subarray(2))!)
      while (blocks.next()) found.push({ type: blocks.type, data: blocks.data() })
    }
    return found
  }

  termination(): number {
    const found = this.sent().find((b) => b.type === 4)
    return readTermination(new Reader(found!.data)).reason
  }
}

function block(type: number, data: Uint8Array | number): Uint8Array {
  const bytes = typeof data === 'number' ? new Uint8Array(data) : data
  const w = new Writer(3 + bytes.length)
  putBlockHeader(w, type, bytes.length)
  return w.put(bytes).bytes
}

function message(id: number, size = 20): Uint8Array {
  const m = { type: 18, id, expiration: WALL + 5000, payload: new Uint8Array(size) }
  const w = new Writer(i2npBlockLength(m))
  putI2npBlock(w, m)
  return w.bytes
}

describe('probing', () => {
  const random = seededRandom(3)

  it('gets no byte back, and an end after a random time or a random amount', () => {
    const bob = party(2)
    const ends = new Set<number>()
    for (let i = 0; i < 40; i++) {
      const { session, out } = responder(bob)
      session.received(random.bytes(64), 0, out)
      expect([out.ends.length, session.state]).toEqual([0, 'draining'])
      expect(session.deadline).toBeGreaterThanOrEqual(500)
      ends.add(session.deadline)
      session.timeout(session.deadline - 1, out)
      expect(out.ends).toEqual([])
      session.timeout(session.deadline, out)
      expect([out.ends, out.data.length]).toEqual([[true], 0])
      expect(out.of('ended')[0]).toMatchObject({ reason: TerminationReason.sessionRequestError })
    }
    expect(ends.size).toBeGreaterThan(35)
    const amounts = new Set<number>()
    for (let i = 0; i < 40; i++) {
      const { session, out } = responder(bob)
      session.received(random.bytes(64), 0, out)
      let more = 0
      for (; out.ends.length === 0; more++) session.received(random.bytes(1), 1, out)
      expect(out.data).toEqual([])
      amounts.add(more)
    }
    expect(amounts.size).toBeGreaterThan(30)
    expect(Math.max(...amounts)).toBeLessThanOrEqual(1500)
  })

  it('with 0 or 63 bytes ends in a reset when the handshake times out', () => {
    for (const n of [0, 63]) {
      const { session, out } = responder(party(2))
      if (n > 0) session.received(random.bytes(n), 0, out)
      session.timeout(14_999, out)
      expect(out.ends).toEqual([])
      session.timeout(15_000, out)
      expect([out.ends, out.data.length]).toEqual([[true], 0])
    }
  })

  it('with a recorded SessionRequest is not answered a second time', () => {
    const bob = party(2)
    const alice = party(1)
    const seen = checks()
    const request = initiate(alice.local, remoteOf(bob), alice.routerInfo.bytes, 0).next().value.send!
    const first = responder(bob, seen)
    first.session.received(request, 0, first.out)
    expect(first.out.data.length).toBe(1)
    for (const now of [1, 50_000, 119_000]) {
      const again = responder(bob, seen, now)
      again.session.received(request, now, again.out)
      expect(again.out.data).toEqual([])
    }
  })

  it('with bytes behind SessionRequest is reset unanswered', () => {
    const bob = party(2)
    const alice = party(1)
    const request = initiate(alice.local, remoteOf(bob), alice.routerInfo.bytes, 0).next().value.send!
    const { session, out } = responder(bob)
    session.received(concat(request, Uint8Array.of(0)), 0, out)
    expect([out.ends, out.data.length]).toEqual([[true], 0])
  })

  it('by a skewed clock is answered once and closed', () => {
    const bob = party(2)
    const alice = party(1, { ahead: 120_000 })
    const request = initiate(alice.local, remoteOf(bob), alice.routerInfo.bytes, 0).next().value.send!
    const { session, out } = responder(bob)
    session.received(request, 0, out)
    expect([out.data.length, out.ends, session.state]).toEqual([1, [false], 'ended'])
  })
})

describe('frames', () => {
  it('of 16 and 17 bytes and of the largest size are taken', () => {
    const rig = new Rig()
    rig.frame()
    rig.frame(Uint8Array.of(3))
    rig.frame(Uint8Array.of(3, 0))
    rig.frame(block(BlockType.padding, MAX_PLAINTEXT - 3))
    rig.frame(message(1, 62_692), block(BlockType.padding, 1000))
    expect(rig.session.state).toBe('data')
    expect(rig.out.of('message').map((e) => e.message.id)).toEqual([1])
  })

  it('may hold many messages, unknown blocks and odd ones, which are passed over', () => {
    const rig = new Rig()
    const blocks = [
      message(1),
      block(99, 7),
      block(224, 0),
      block(BlockType.i2np, 3),
      block(BlockType.i2np, 65_000 - 2000),
      block(BlockType.dateTime, 3),
      block(BlockType.options, 11),
      block(BlockType.routerInfo, 0),
      message(2),
      block(BlockType.padding, 30),
    ]
    rig.frame(...blocks)
    expect(rig.out.of('message').map((e) => e.message.id)).toEqual([1, 2])
    expect(rig.session.state).toBe('data')
  })

  it('with broken framing end the session with reason 10', () => {
    for (const bad of [
      Uint8Array.of(3, 0, 9),
      Uint8Array.of(3, 0, 9, 1),
      concat(block(254, 2), message(1)),
    ]) {
      const rig = new Rig()
      rig.frame(bad)
      expect(rig.termination()).toBe(TerminationReason.payloadFormat)
      expect(rig.out.ends).toEqual([false])
    }
  })

  it('that do not verify are answered with reason 4, but not at once', () => {
    for (const spoil of ['frame', 'length'] as const) {
      const rig = new Rig()
      const frame = copy(rig.seal(message(1)))
      if (spoil === 'frame') frame[9]! ^= 1
      else frame.set(xor(frame.subarray(0, 2), Uint8Array.of(0, 20 + 12 + 16)))
      rig.give(frame)
      expect([rig.out.data.length, rig.out.ends.length, rig.session.state]).toEqual([0, 0, 'draining'])
      rig.wait(20_000)
      expect(rig.termination()).toBe(TerminationReason.aeadFailure)
      expect(rig.out.ends).toEqual([false])
    }
  })

  it('of random bytes never throw', () => {
    const random = seededRandom(9)
    for (let i = 0; i < 200; i++) {
      const rig = new Rig()
      rig.frame(random.bytes(random.below(300)))
      rig.give(random.bytes(random.below(5000)))
      rig.wait(60_000)
    }
  })

  it('must be whole in time', () => {
    const rig = new Rig()
    const frame = rig.seal(message(1, 1000))
    rig.give(frame.subarray(0, 500))
    for (let i = 0; i < 6; i++) {
      rig.wait(25_000)
      rig.give(frame.subarray(500 + i, 501 + i))
    }
    rig.wait(100_000)
    expect(rig.termination()).toBe(TerminationReason.frameTimeout)
  })
})

describe('control blocks', () => {
  it('DateTime is reported once a frame', () => {
    const rig = new Rig()
    const date = new Writer(4).u32(Math.round(WALL / 1000) + 7).bytes
    rig.frame(block(0, date), block(0, date))
    expect(rig.out.of('clock')).toMatchObject([{ offset: 7000 }])
  })

  it('Options limit our padding', () => {
    const rig = new Rig()
    const count = (): number => {
      for (let i = 0; i < 50; i++) {
        const message = { type: 18, id: i, expiration: WALL, payload: new Uint8Array(1000) }
        rig.session.output.push(message, 'own', rig.now)
        rig.session.flush(rig.now, rig.out)
        rig.session.writable(rig.now, rig.out)
      }
      return rig.sent().filter((b) => b.type === BlockType.padding).length
    }
    expect(count()).toBeGreaterThan(40)
    rig.frame(block(1, 12))
    expect(count()).toBe(0)
  })

  it('Termination ends the session without an answer', () => {
    const rig = new Rig()
    rig.frame(message(1), block(4, concat(new Uint8Array(8), Uint8Array.of(3))), block(254, 4))
    expect(rig.out.of('message').length).toBe(1)
    expect(rig.out.of('ended')[0]).toMatchObject({ reason: TerminationReason.shutdown })
    expect([rig.out.ends, rig.out.data.length]).toEqual([[false], 0])
    rig.frame(message(2))
    expect(rig.out.of('message').length).toBe(1)
  })

  it('RouterInfos are taken at most every ten seconds', () => {
    const rig = new Rig()
    const info = block(2, concat(Uint8Array.of(1), rig.alice.routerInfo.bytes))
    rig.frame(info, info, info)
    rig.now += 5000
    rig.frame(info)
    rig.now += 6000
    rig.frame(info)
    expect(rig.out.of('router-info').length).toBe(2)
    expect(rig.out.of('router-info')[0]).toMatchObject({ flood: true, from: rig.alice.local.hash })
  })
})

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((v, i) => v ^ b[i]!)
}
