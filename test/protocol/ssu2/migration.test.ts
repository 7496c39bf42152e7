import { describe, expect, test } from 'vitest'
import { copy } from '../../../src/base/bytes.ts'
import type { Endpoint } from '../../../src/base/core.ts'
import { BlockType } from '../../../src/protocol/blocks/block.ts'
import { writeShortMessage } from '../../../src/protocol/i2np/message.ts'
import { Ssu2BlockType } from '../../../src/protocol/ssu2/blocks.ts'
import { message, type Pair, pair, type Side, send } from './link.ts'
import { ALICE, BOB } from './parties.ts'

const MALLORY: Endpoint = { address: '23.3.3.3', port: 3333 }
const ELSEWHERE: Endpoint = { address: '21.1.9.9', port: 4444 }
const OTHER_PORT: Endpoint = { address: ALICE.address, port: 5555 }

function settled(delay = 25): Pair {
  const p = pair({ delay })
  send(p.alice, message(900, 100, p.net.now))
  send(p.bob, message(901, 100, p.net.now))
  p.net.runFor(2000)
  p.wire.length = 0
  return p
}

/** From now on Alice is there, and nowhere else. */
function roam(p: Pair, to: Endpoint): void {
  p.net.listeners.delete(`${p.alice.source.address} ${p.alice.source.port}`)
  p.alice.source = to
  p.net.listen(p.alice, to)
}

function data(p: Pair, n: number): Uint8Array {
  return p.seal(p.alice, n, [{ type: BlockType.i2np, data: writeShortMessage(message(n, 200, p.net.now)) }])
}

function moves(side: Side): Endpoint[] {
  return side.of('moved').map((e) => e.to)
}

/** Bytes sent to an endpoint. */
function bytesTo(p: Pair, to: Endpoint): number {
  return p.wire.filter((w) => w.to.address === to.address).reduce((sum, w) => sum + w.bytes.length, 0)
}

describe('a peer that roams', () => {
  for (const to of [ELSEWHERE, OTHER_PORT]) {
    test(`to another ${to === OTHER_PORT ? 'port' : 'address'} in mid-transfer, both ways: all arrives`, () => {
      const p = pair({ delay: 25, loss: 0.02, rate: 500, queue: 50_000 })
      const messages = Array.from({ length: 12 }, (_, i) => message(i + 1, 30_000, p.net.now))
      send(p.alice, ...messages)
      send(p.bob, ...messages)
      p.net.runFor(300)
      expect(p.bob.messages().length).toBeLessThan(12)
      roam(p, to)
      const at = p.net.now
      p.net.run(() => p.bob.session.endpoint === to || p.bob.of('moved').length > 0, at + 5000)
      expect(p.net.now - at).toBeLessThan(1000)
      expect(moves(p.bob)).toEqual([to])
      p.net.runFor(5000)
      const ids = messages.map((m) => m.id)
      expect(
        p.bob
          .messages()
          .map((m) => m.id)
          .sort((a, b) => a - b),
      ).toEqual(ids)
      expect(
        p.alice
          .messages()
          .map((m) => m.id)
          .sort((a, b) => a - b),
      ).toEqual(ids)
      expect(p.bob.session.endpoint).toEqual(to)
      expect(p.alice.session.endpoint).toEqual(BOB)
    })
  }

  test('while silent: what it says first is enough', () => {
    const p = settled()
    roam(p, ELSEWHERE)
    p.alice.session.probe(p.net.now, p.alice)
    p.alice.arm()
    p.net.runFor(500)
    expect(moves(p.bob)).toEqual([ELSEWHERE])
    // Packets are as small as any path takes until more is known.
    p.wire.length = 0
    send(p.bob, message(1, 20_000, p.net.now))
    p.net.runFor(1000)
    expect(p.alice.messages().at(-1)!.payload.length).toBe(20_000)
    const sizes = p.wire.filter(({ by }) => by === p.bob).map((w) => w.bytes.length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1252)
  })

  test('and whose link was away for 20 s goes on where it was', () => {
    const p = settled()
    const messages = Array.from({ length: 10 }, (_, i) => message(i + 1, 20_000, p.net.now))
    send(p.alice, ...messages)
    send(p.bob, ...messages)
    p.net.runFor(60)
    p.net.filter = () => false
    const before = p.wire.length
    p.net.runFor(20_000)
    // Nobody floods a link that is not there.
    expect(p.wire.length - before).toBeLessThan(60)
    p.net.filter = () => true
    p.net.runFor(8_000)
    expect(p.bob.messages()).toHaveLength(11)
    expect(p.alice.messages()).toHaveLength(11)
  })

  test('is challenged again when the first challenge is lost', () => {
    const p = settled()
    roam(p, ELSEWHERE)
    let challenges = 0
    p.net.filter = (packet) =>
      packet.by !== p.bob || packet.to.address !== ELSEWHERE.address || ++challenges > 1
    for (let i = 1; i < 40; i++) {
      send(p.alice, message(i, 500, p.net.now))
      p.net.runFor(50)
    }
    expect(moves(p.bob)).toEqual([ELSEWHERE])
    expect(challenges).toBeGreaterThan(1)
  })

  test('is not followed to where it may not go', () => {
    const p = pair({ delay: 25 }, { mayMove: () => false })
    p.net.runFor(1000)
    p.wire.length = 0
    roam(p, ELSEWHERE)
    p.alice.session.probe(p.net.now, p.alice)
    p.alice.arm()
    p.net.runFor(2000)
    expect(bytesTo(p, ELSEWHERE)).toBe(0)
    expect(moves(p.bob)).toEqual([])
  })
})

describe('someone else', () => {
  test('who sends a packet on before it arrives moves nothing, and is sent no more than three times its bytes', () => {
    const p = settled()
    let stolen = 0
    p.net.filter = (packet) => {
      if (packet.by !== p.alice || stolen > 0) return true
      stolen = packet.bytes.length
      p.net.at(p.net.now, () => p.bob.received(copy(packet.bytes), MALLORY))
      return true // and the true one comes later, as a copy
    }
    send(p.alice, message(1, 10, p.net.now))
    p.net.runFor(100)
    expect(bytesTo(p, MALLORY)).toBeGreaterThan(0)
    p.net.runFor(20_000)
    expect(bytesTo(p, MALLORY)).toBeLessThanOrEqual(3 * stolen)
    expect(moves(p.bob)).toEqual([])
    expect(p.bob.session.endpoint).toEqual(ALICE)
    expect(p.bob.messages().map((m) => m.id)).toEqual([900, 1])
    // Everything else goes on as before.
    send(p.alice, message(2, 5000, p.net.now))
    send(p.bob, message(3, 5000, p.net.now))
    p.net.runFor(500)
    expect([p.alice.messages().at(-1)!.id, p.bob.messages().at(-1)!.id]).toEqual([3, 2])
  })

  test('who sends one on is forgotten as soon as the peer is heard from where it was', () => {
    const p = settled()
    p.bob.received(data(p, 50), MALLORY)
    p.net.runFor(0)
    for (let n = 51; n < 90; n++) {
      p.bob.received(data(p, n), ALICE)
      p.net.runFor(100)
    }
    expect(p.wire.filter((w) => w.to.address === MALLORY.address)).toHaveLength(1)
    // Even an answer from there is too late then.
    const challenge = p.wire
      .flatMap((w) => p.open(w)!.blocks)
      .find((b) => b.type === Ssu2BlockType.pathChallenge)!
    p.bob.received(p.seal(p.alice, 90, [{ type: Ssu2BlockType.pathResponse, data: challenge.data }]), MALLORY)
    expect(moves(p.bob)).toEqual([])
  })

  test('who replays or invents packets from another address gets nothing at all', () => {
    const p = settled()
    send(p.alice, message(1, 3000, p.net.now))
    p.net.runFor(1000)
    const captured = [...p.wire]
    p.wire.length = 0
    for (const packet of captured) {
      for (const side of [p.alice, p.bob]) {
        side.received(copy(packet.bytes), MALLORY)
        for (let i = 0; i < packet.bytes.length; i += 7) {
          const changed = copy(packet.bytes)
          changed[i]! ^= 1 << (i % 8)
          side.received(changed, MALLORY)
        }
      }
    }
    p.net.runFor(5000)
    expect(p.wire).toEqual([])
    expect([moves(p.alice), moves(p.bob)]).toEqual([[], []])
  })

  test('can keep nobody busy: challenges are few, whatever comes from where', () => {
    const p = settled()
    let received = 0
    for (let n = 50; n < 1050; n++) {
      const packet = data(p, n)
      received += packet.length
      p.bob.received(packet, { address: '23.3.3.3', port: 1000 + n })
      p.net.runFor(10)
    }
    const challenges = p.wire.filter((w) => w.to.address === '23.3.3.3')
    expect(challenges.length).toBeLessThanOrEqual(40)
    expect(moves(p.bob)).toEqual([])
    expect(bytesTo(p, MALLORY)).toBeLessThan(received / 10)
    expect(p.bob.session.endpoint).toEqual(ALICE)
  })
})

describe('PathChallenge', () => {
  test('is answered to where it came from, with its data, an address and a date', () => {
    const p = settled()
    const challenge = {
      type: Ssu2BlockType.pathChallenge,
      data: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    }
    p.bob.received(p.seal(p.alice, 50, [challenge]), p.alice.source)
    p.bob.received(p.seal(p.alice, 51, [challenge]), ELSEWHERE)
    p.net.runFor(0)
    const answers = p.wire
      .map((w) => ({ to: w.to, blocks: p.open(w)!.blocks }))
      .filter(({ blocks }) => blocks.some((b) => b.type === Ssu2BlockType.pathResponse))
    expect(answers.map(({ to }) => to)).toEqual([ALICE, ELSEWHERE])
    for (const { to, blocks } of answers) {
      const types = blocks.map((b) => b.type)
      expect(types).toContain(BlockType.dateTime)
      const address = blocks.find((b) => b.type === Ssu2BlockType.address)!
      expect([...address.data]).toEqual([to.port >> 8, to.port & 255, ...to.address.split('.').map(Number)])
      expect(blocks.find((b) => b.type === Ssu2BlockType.pathResponse)!.data).toEqual(challenge.data)
      // Where it is not known to be, the peer is not told what has arrived.
      expect(types.includes(Ssu2BlockType.ack)).toBe(to === ALICE)
    }
    // The other end is then asked to prove itself as well.
    const asked = p.wire.filter((w) => p.open(w)!.blocks.some((b) => b.type === Ssu2BlockType.pathChallenge))
    expect(asked.map((w) => w.to)).toEqual([ELSEWHERE])
  })

  test('an answer with other data, or from elsewhere, validates nothing', () => {
    const p = settled()
    p.bob.received(data(p, 50), ELSEWHERE)
    p.net.runFor(0)
    const challenge = p.wire
      .flatMap((w) => p.open(w)!.blocks)
      .find((b) => b.type === Ssu2BlockType.pathChallenge)!
    expect(challenge.data.length).toBe(8)
    const answer = (n: number, bytes: Uint8Array): Uint8Array =>
      p.seal(p.alice, n, [{ type: Ssu2BlockType.pathResponse, data: bytes }])
    p.bob.received(answer(51, new Uint8Array(8)), ELSEWHERE)
    p.bob.received(answer(52, challenge.data), MALLORY)
    expect(moves(p.bob)).toEqual([])
    p.bob.received(answer(53, challenge.data), ELSEWHERE)
    expect(moves(p.bob)).toEqual([ELSEWHERE])
  })

  test('of our own after a local change: the window starts over when it is answered', () => {
    const p = pair({ delay: 25, rate: 2000, queue: 100_000 })
    send(p.alice, ...Array.from({ length: 400 }, (_, i) => message(i + 1, 1028, p.net.now)))
    p.net.runFor(1000)
    const before = p.alice.session.rttMs
    p.net.options = { delay: 100, rate: 2000, queue: 100_000 }
    p.alice.session.probe(p.net.now, p.alice)
    p.alice.arm()
    p.net.runFor(500)
    expect(before).toBeLessThan(120)
    expect(p.alice.session.rttMs).toBeGreaterThan(180)
    expect(moves(p.alice)).toEqual([])
  })
})
