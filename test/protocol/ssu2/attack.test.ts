import { describe, expect, test } from 'vitest'
import { copy } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { Ssu2BlockType } from '../../../src/protocol/ssu2/blocks.ts'
import { message, type Pair, pair, type Side, send } from './link.ts'

/** A conversation with all kinds of packets in it. */
function conversation(): Pair {
  const p = pair({ delay: 10 })
  for (let i = 0; i < 5; i++) {
    send(p.alice, message(10 * i + 1, 100, p.net.now), message(10 * i + 2, 4000, p.net.now))
    send(p.bob, message(10 * i + 3, 1028, p.net.now))
    p.alice.session.sendBlock(Ssu2BlockType.peerTest, new Uint8Array(100), p.net.now, p.alice)
    p.net.runFor(100)
  }
  p.net.runFor(2000)
  return p
}

interface State {
  readonly events: number
  readonly sent: number
  readonly deadline: number
}

/** All that anyone can see of a session but the bytes that came in. */
function state({ session, events, sent }: Side): State {
  return { events: events.length, sent, deadline: session.deadline }
}

describe('an established session', () => {
  test('takes no packet twice: each one replayed is neither answered nor told', () => {
    const p = conversation()
    const captured = [...p.wire]
    expect(captured.length).toBeGreaterThan(20)
    const before = [state(p.alice), state(p.bob)]
    for (const { bytes, from } of captured) {
      for (const side of [p.alice, p.bob]) side.received(copy(bytes), from)
    }
    p.net.runFor(10)
    expect([state(p.alice), state(p.bob)]).toEqual(before)
  })

  test('takes no packet with a bit changed, before or after the true one', () => {
    const p = pair({ delay: 10 })
    let tampered = 0
    const random = seededRandom(2)
    p.net.filter = (packet) => {
      const to = packet.by === p.alice ? p.bob : p.alice
      for (let i = 0; i < 20; i++) {
        const changed = copy(packet.bytes)
        const at = random.below(8 * (changed.length - 8)) + 64
        changed[at >> 3]! ^= 1 << (at & 7)
        tampered++
        to.received(changed, packet.from)
      }
      return true
    }
    for (let i = 0; i < 20; i++) {
      send(p.alice, message(2 * i, 3000, p.net.now))
      send(p.bob, message(2 * i + 1, 50, p.net.now))
      p.net.runFor(100)
    }
    expect(tampered).toBeGreaterThan(1000)
    expect([p.alice.messages().length, p.bob.messages().length]).toEqual([20, 20])
    expect([p.alice.session.packetsLost, p.bob.session.packetsLost]).toEqual([0, 0])
  })

  test('ignores junk of every length', () => {
    const p = conversation()
    const random = seededRandom(3)
    const before = [state(p.alice), state(p.bob)]
    for (let length = 0; length < 1500; length++) {
      for (const side of [p.alice, p.bob]) side.received(random.bytes(length), p.alice.source)
    }
    p.net.runFor(10)
    expect([state(p.alice), state(p.bob)]).toEqual(before)
  })

  test('survives whatever blocks its peer makes up', () => {
    const random = seededRandom(4)
    for (let round = 0; round < 40; round++) {
      const p = pair({ delay: 10 })
      p.net.runFor(200)
      for (let n = 50; n < 150; n++) {
        const blocks = Array.from({ length: 1 + random.below(6) }, () => ({
          type: random.below(24),
          data: random.bytes(random.below(200)),
        }))
        blocks.push({ type: 254, data: new Uint8Array(8) })
        p.bob.received(p.seal(p.alice, n, blocks), p.alice.source)
        p.net.runFor(random.below(30))
      }
      expect(p.bob.of('ended').length).toBeLessThanOrEqual(1)
      p.net.runFor(60_000)
    }
  })

  test('holds little for a peer that only begins messages', () => {
    const p = conversation()
    const before = p.bob.events.length
    for (let n = 50; n < 5000; n++) {
      const data = new Uint8Array(100)
      data[0] = 18
      data[1] = n >> 8
      data[2] = n
      data.fill(0xff, 5, 9)
      p.bob.received(p.seal(p.alice, n, [{ type: Ssu2BlockType.firstFragment, data }]), p.alice.source)
    }
    expect(p.bob.events.length).toBe(before)
    // What it holds it forgets: then it sleeps until it is idle.
    p.net.runFor(31_000)
    expect(p.bob.session.deadline - p.net.now).toBeGreaterThan(60_000)
  })
})

describe('what an idle session costs', () => {
  test('no packet and no wake-up but to see that it is idle', () => {
    const sessions = Array.from({ length: 20 }, (_, i) => {
      const p = pair({ delay: 20, seed: i + 1 }, { times: { idleMs: 600_000 } })
      send(p.alice, message(1, 3000, p.net.now))
      send(p.bob, message(1, 3000, p.net.now))
      p.net.runFor(10_000)
      return p
    })
    let [wakes, packets] = [0, 0]
    for (const p of sessions) {
      const before = p.alice.wakes + p.bob.wakes
      p.wire.length = 0
      p.net.runFor(500_000)
      wakes += p.alice.wakes + p.bob.wakes - before
      packets += p.wire.length
    }
    expect([wakes, packets]).toEqual([0, 0])
  })

  test('a message a second costs its packet, its acknowledgement, and the wake-up for that', () => {
    const p = pair({ delay: 20 })
    p.net.runFor(1000)
    p.wire.length = 0
    const before = p.alice.wakes + p.bob.wakes
    for (let i = 0; i < 100; i++) {
      send(p.alice, message(i + 1, 500, p.net.now))
      p.net.runFor(1000)
    }
    expect(p.wire.length).toBeLessThanOrEqual(200)
    expect(p.alice.wakes + p.bob.wakes - before).toBeLessThanOrEqual(200)
  })
})
