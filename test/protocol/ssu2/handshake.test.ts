import { describe, expect, it } from 'vitest'
import { copy, hex, utf8 } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { sha256 } from '../../../src/crypto/sha256.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import { TerminationReason } from '../../../src/protocol/blocks/termination.ts'
import type { Established } from '../../../src/protocol/ssu2/handshake.ts'
import {
  ALICE,
  type Conversation,
  checks,
  converse,
  Door,
  initiator,
  type Link,
  lossless,
  maskedTo,
  party,
} from './parties.ts'

/** Options of a RouterInfo that takes two packets. */
const LONG = 2000
const TOKEN_FIRST = ['initiator', 'responder', 'initiator', 'responder', 'initiator']

function established({ initiator: a, responder: b }: Conversation): [Established, Established] {
  if (a?.kind !== 'established' || b?.kind !== 'established')
    throw new Error(`not established: ${JSON.stringify([a, b])}`)
  expect(a.keys.send).toEqual(b.keys.receive)
  expect(a.keys.receive).toEqual(b.keys.send)
  expect(hex(a.sendId)).toBe(hex(b.receiveId))
  expect(hex(a.receiveId)).toBe(hex(b.sendId))
  return [a, b]
}

/** A good token for Alice at `door`. */
function tokenFrom(door: Door): Uint8Array {
  return door.tokens.give({ ip: Uint8Array.of(21, 1, 1, 1), port: ALICE.port }, 10_000, 0)
}

describe('handshake', () => {
  it('gives both sides the same keys, crosswise, and the initiator to the responder', () => {
    for (let seed = 1; seed < 20; seed++) {
      const alice = party(seed)
      const bob = party(1000 + seed)
      const talk = converse(initiator(alice, bob), new Door(bob))
      const [a, b] = established(talk)
      expect(a.keys.send).not.toEqual(a.keys.receive)
      expect(a.keys.send.header1).toEqual(bob.local.introKey)
      expect(b.keys.send.header1).toEqual(alice.local.introKey)
      expect(b.remote.bytes).toEqual(alice.routerInfo.bytes)
      expect(b.remoteIntroKey).toEqual(alice.local.introKey)
      expect(a.remote).toBe(bob.routerInfo)
      expect(a.ourAddress).toEqual({ ip: Uint8Array.of(21, 1, 1, 1), port: 1111 })
      expect([a.rttMs, b.rttMs]).toEqual([40, 40])
      expect([a.confirm!.length, b.leftover!.length, b.early!.length]).toEqual([1, 0, 0])
      expect(talk.wire.map((m) => m.from)).toEqual(TOKEN_FIRST)
    }
  })

  it('is a function of its randomness', () => {
    const run = (): string => {
      const [alice, bob] = [party(1), party(2)]
      const talk = converse(initiator(alice, bob), new Door(bob))
      const { send, receive } = established(talk)[0].keys
      return hex(
        sha256(...talk.wire.map((m) => m.bytes), send.data, send.header2, receive.data, receive.header2),
      )
    }
    expect(run()).toBe(run())
    // Pinned: these are the bytes of the code that i2pd accepts (test/interop).
    expect(run()).toMatchInlineSnapshot(`"ce79a117b3ec4836945e67232da40046e9d3ab9f2e21ce1359d2c09d8d1ef032"`)
  })

  it('takes one round trip less with a token, which is good once', () => {
    const [alice, bob] = [party(1), party(2)]
    const door = new Door(bob)
    const token = tokenFrom(door)
    const first = converse(initiator(alice, bob, { token }), door)
    established(first)
    expect(first.wire.map((m) => m.from)).toEqual(TOKEN_FIRST.slice(2))
    door.results.length = 0
    const second = converse(initiator(alice, bob, { token }), door)
    established(second)
    expect(second.wire.map((m) => m.from)).toEqual(TOKEN_FIRST)
  })

  it('goes on with the token that a bad one is answered with, once', () => {
    const [alice, bob] = [party(1), party(2)]
    const talk = converse(initiator(alice, bob, { token: new Uint8Array(8).fill(7) }), new Door(bob))
    established(talk)
    // The second SessionRequest has another ephemeral key.
    const [first, , second] = talk.wire
    expect(first!.bytes.subarray(32, 64)).not.toEqual(second!.bytes.subarray(32, 64))

    // A responder that likes no token is not followed for ever.
    const stubborn = new Door(bob)
    stubborn.tokens.redeem = () => false
    const endless = converse(initiator(party(3), bob), stubborn)
    expect(endless.initiator).toMatchObject({ kind: 'refused', reason: TerminationReason.frameTimeout })
    const requests = endless.wire.filter((m) => m.from === 'initiator' && m.bytes.length >= 88)
    expect(new Set(requests.map((m) => hex(m.bytes))).size).toBe(2)
  })

  it('asks for a relay tag and gets one', () => {
    const [alice, bob] = [party(1), party(2)]
    const door = new Door(bob, checks({ relayTag: () => 4711 }))
    const [a, b] = established(converse(initiator(alice, bob, { wantRelayTag: true }), door))
    expect([a.relayTag, b.grantedTag]).toEqual([4711, 4711])
    const other = new Door(bob, checks({ relayTag: () => 4711 }))
    const [c, d] = established(converse(initiator(party(3), bob), other))
    expect([c.relayTag, d.grantedTag]).toEqual([undefined, undefined])
    const unwilling = established(converse(initiator(party(4), bob, { wantRelayTag: true }), new Door(bob)))
    expect(unwilling.map((e) => e.relayTag ?? e.grantedTag)).toEqual([undefined, undefined])
  })

  it('needs the same prologue on both sides', () => {
    const secret = { prologue: utf8('mesh') }
    established(converse(initiator(party(1, secret), party(2, secret)), new Door(party(2, secret))))
    const talk = converse(initiator(party(1, secret), party(2)), new Door(party(2)))
    expect([talk.initiator?.kind, talk.responder]).toEqual(['refused', undefined])
  })

  it('stays within the smaller MTU, cutting SessionConfirmed in two', () => {
    const bobAt = { address: '2001:db8::2', port: 2222 }
    const packets: number[] = []
    for (const ballast of [0, 200, 400, 600, 800, 1000, 1200, 1400, 2000]) {
      const [alice, bob] = [party(1, { ballast }), party(2)]
      const talk = converse(initiator(alice, bob, { mtu: 1280 }, bobAt), new Door(bob))
      const [a, b] = established(talk)
      for (const { bytes } of talk.wire) {
        expect(bytes.length).toBeLessThanOrEqual(1280 - 48)
        expect(bytes.length).toBeGreaterThanOrEqual(40)
      }
      packets.push(a.confirm!.length)
      expect(b.remote.bytes).toEqual(alice.routerInfo.bytes)
    }
    // The options shrink to half when they are packed.
    expect(packets).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2])
  })

  it('does not begin a SessionConfirmed of more packets than i2pd reads', () => {
    const [alice, bob] = [party(1), party(2)]
    const ours = seededRandom(5).bytes(2800)
    const talk = converse(initiator(alice, bob, { ours, mtu: 1280 }), new Door(bob))
    expect(talk.initiator).toMatchObject({ kind: 'refused', why: 'our RouterInfo is too long' })
  })
})

describe('on a bad link', () => {
  it('survives any loss of a third, and every packet twice and out of order', () => {
    let sessions = 0
    let fragmented = 0
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed)
      const link: Link = ({ bytes }) => {
        const copies = random.below(3)
        return Array.from({ length: copies }, () => ({ bytes, after: 10 + random.below(300) }))
      }
      const [alice, bob] = [party(seed, { ballast: seed % 2 === 0 ? LONG : 0 }), party(500 + seed)]
      const talk = converse(initiator(alice, bob, { mtu: 1280 }), new Door(bob), link)
      if (talk.initiator?.kind !== 'established' || talk.responder?.kind !== 'established') continue
      const [a] = established(talk)
      sessions++
      if (a.confirm!.length > 1) fragmented++
    }
    expect(sessions).toBeGreaterThan(45)
    expect(fragmented).toBeGreaterThan(20)
  })

  it('repeats byte for byte, at the times of the spec, and gives up', () => {
    const nowhere: Link = () => []
    const [alice, bob] = [party(1), party(2)]
    const asking = converse(initiator(alice, bob), new Door(bob), nowhere)
    expect(asking.wire.map((m) => m.at)).toEqual([0, 3000, 9000])
    expect(asking.initiator).toMatchObject({ kind: 'refused', reason: TerminationReason.frameTimeout })
    const requesting = converse(
      initiator(alice, bob, { token: new Uint8Array(8).fill(1) }),
      new Door(bob),
      nowhere,
    )
    expect(requesting.wire.map((m) => m.at)).toEqual([0, 1250, 3750, 8750])
    for (const talk of [asking, requesting]) expect(new Set(talk.wire.map((m) => hex(m.bytes))).size).toBe(1)

    // SessionConfirmed never arrives.
    const door = new Door(bob)
    const created = converse(initiator(alice, bob, { token: tokenFrom(door) }), door, ({ from, bytes }, i) =>
      from === 'responder' || i === 0 ? [{ bytes, after: 0 }] : [],
    )
    const sent = created.wire.filter((m) => m.from === 'responder')
    expect(sent.map((m) => m.at)).toEqual([0, 1000, 3000, 7000])
    expect(new Set(sent.map((m) => hex(m.bytes))).size).toBe(1)
    expect(created.responder).toMatchObject({ kind: 'refused', reason: TerminationReason.frameTimeout })
  })

  it('answers a repeated SessionRequest with the same SessionCreated, not without end', () => {
    const [alice, bob] = [party(1), party(2)]
    const door = new Door(bob)
    const [request] = initiator(alice, bob, { token: tokenFrom(door) }).start(0).send
    const answers = Array.from({ length: 20 }, (_, i) => door.received(copy(request!), ALICE, i)).flat()
    expect(answers.length).toBe(4)
    expect(new Set(answers.map(hex)).size).toBe(1)
    expect(door.responders.size).toBe(1)
  })

  it('begins again with an initiator that does, as i2pd does for every Retry', () => {
    const [alice, bob] = [party(1), party(2)]
    const door = new Door(bob)
    const dialling = initiator(alice, bob, { token: tokenFrom(door) })
    const [first] = dialling.start(0).send
    const [forgotten] = door.received(copy(first!), ALICE, 0)
    const retrying = new Door(bob)
    retrying.tokens.redeem = () => false
    const [retry] = retrying.received(copy(first!), ALICE, 0)
    const again = dialling.received(copy(retry!), 10).send
    expect(again.length).toBe(1)
    const [created] = door.received(copy(again[0]!), ALICE, 20)
    expect(door.responders.size).toBe(1)
    expect(dialling.received(copy(forgotten!), 30)).toEqual({ send: [] })
    const { send, result } = dialling.received(copy(created!), 40)
    expect(result?.kind).toBe('established')
    door.received(copy(send[0]!), ALICE, 50)
    expect(door.results.map((r) => r.kind)).toEqual(['established'])
  })

  it('takes no second Retry for an answer to SessionRequest when TokenRequest was repeated', () => {
    const [alice, bob] = [party(1), party(2)]
    // TokenRequest takes four seconds and is sent twice.
    const link: Link = ({ from, bytes }, i) => [{ bytes, after: from === 'initiator' && i < 2 ? 4000 : 20 }]
    const talk = converse(initiator(alice, bob), new Door(bob), link)
    established(talk)
    const requests = talk.wire.filter((m) => m.from === 'initiator' && m.at > 4000 && m.at < 5000)
    expect(requests.length).toBe(2) // SessionRequest and SessionConfirmed
  })

  it('keeps what overtakes SessionConfirmed', () => {
    const [alice, bob] = [party(1), party(2)]
    const door = new Door(bob)
    const data = copy(bob.local.random.bytes(100))
    const link: Link = (packet, i) => {
      if (i !== 4) return lossless(packet, i)
      const id = [...door.responders.values()][0]!.receiveId
      const early = copy(data)
      early.set(id)
      // Masked as the initiator would.
      return [
        { bytes: maskedTo(early, bob), after: 10 },
        { bytes: packet.bytes, after: 20 },
      ]
    }
    const [, b] = established(converse(initiator(alice, bob), door, link))
    expect(b.early!.length).toBe(1)
    expect(b.early![0]!.subarray(8)).toEqual(data.subarray(8))
  })
})

describe('strangers and liars', () => {
  it('get nothing for any packet with one byte changed, and harm nobody', () => {
    for (const ballast of [0, LONG]) {
      const run = (link: Link): Conversation => {
        const [alice, bob] = [party(1, { ballast }), party(2)]
        return converse(initiator(alice, bob, { mtu: 1280 }), new Door(bob), link)
      }
      const lengths = run(lossless).wire.map((m) => m.bytes.length)
      expect(lengths.length).toBe(ballast === 0 ? 5 : 6)
      for (const [target, length] of lengths.entries()) {
        for (let at = 0; at < length; at += at < 64 ? 1 : length > 500 ? 61 : 5) {
          let answers = 0
          // The changed packet arrives, then, half a second later, the true one.
          const link: Link = (packet, i) => {
            if (i > target && packet.at < 500 && packet.from !== 'initiator') answers++
            if (i !== target) return lossless(packet, i)
            const changed = copy(packet.bytes)
            changed[at]! ^= 1 << (at % 8)
            return [
              { bytes: changed, after: 20 },
              { bytes: packet.bytes, after: 600 },
            ]
          }
          established(run(link))
          // A changed token is a bad token, and a bad token has an answer.
          const isToken = target === 2 && at >= 24 && at < 32
          if (!isToken) expect(answers, `packet ${target} byte ${at}`).toBe(0)
        }
      }
    }
  })

  it('get nothing for random bytes', () => {
    const random = seededRandom(3)
    const bob = party(2)
    const door = new Door(bob)
    const dialling = initiator(party(1), bob)
    dialling.start(0)
    for (let i = 0; i < 3000; i++) {
      const bytes = random.bytes(random.below(200))
      expect(door.received(copy(bytes), ALICE, i)).toEqual([])
      expect(dialling.received(bytes, i)).toEqual({ send: [] })
    }
  })

  it('get nothing with another network or version', () => {
    const bob = party(2)
    const other = converse(initiator(party(1, { netId: 78 }), bob), new Door(bob))
    expect(other.wire.every((m) => m.from === 'initiator')).toBe(true)
    expect(other.initiator?.kind).toBe('refused')
  })

  it('get nothing for a SessionRequest seen before, though its token were good', () => {
    const [alice, bob] = [party(1), party(2)]
    const its = checks()
    const door = new Door(bob, its)
    const [request] = initiator(alice, bob, { token: tokenFrom(door) }).start(0).send
    expect(door.received(copy(request!), ALICE, 0).length).toBe(1)
    const later = new Door(bob, its)
    later.tokens.redeem = () => true
    expect(later.received(copy(request!), ALICE, 10)).toEqual([])
    expect(later.why).toEqual(['replayed SessionRequest'])
  })

  it('are told of a skewed clock before anything is believed of them', () => {
    for (const ahead of [120_000, -120_000]) {
      const bob = party(2)
      const asked = converse(initiator(party(1, { ahead }), bob), new Door(bob))
      expect(asked.initiator).toMatchObject({ kind: 'refused', reason: TerminationReason.clockSkew })
      if (asked.initiator?.kind !== 'refused') throw new Error('established')
      expect(Math.abs(asked.initiator.claimedOffset! + ahead)).toBeLessThanOrEqual(1000)
      expect(asked.initiator.clockOffset).toBeUndefined()
      expect(asked.wire.map((m) => m.from)).toEqual(['initiator', 'responder'])

      const door = new Door(bob)
      const requested = converse(initiator(party(1, { ahead }), bob, { token: tokenFrom(door) }), door)
      expect(requested.initiator).toMatchObject({ kind: 'refused', reason: TerminationReason.clockSkew })
      expect(requested.wire.map((m) => m.from)).toEqual(['initiator', 'responder'])
    }
    const [alice, bob] = [party(1, { ahead: 20_000 }), party(2)]
    const [a, b] = established(converse(initiator(alice, bob), new Door(bob)))
    expect(Math.abs(a.clockOffset + 20_000)).toBeLessThanOrEqual(1000)
    expect(Math.abs(b.clockOffset - 20_000)).toBeLessThanOrEqual(1000)
  })

  it('are refused with another static key, a foreign network, an old or a false RouterInfo', () => {
    const bob = party(2)
    const refusal = (alice = party(1), ours?: Uint8Array): unknown => {
      const options = ours === undefined ? {} : { ours }
      const talk = converse(initiator(alice, bob, options), new Door(bob))
      return talk.responder?.kind === 'refused'
        ? [talk.responder.reason, talk.responder.tell !== undefined]
        : talk.responder?.kind
    }
    expect(refusal(party(1), party(3).routerInfo.bytes)).toEqual([TerminationReason.staticKeyMismatch, false])
    const forged = copy(party(1).routerInfo.bytes)
    forged[forged.length - 1]! ^= 1
    expect(refusal(party(1), forged)).toEqual([TerminationReason.routerInfoSignature, false])
    expect(refusal(party(1), new Uint8Array(600))).toEqual([TerminationReason.routerInfoSignature, false])
    const old = party(1, { published: party(1).routerInfo.published - 100 * 60_000 })
    expect(refusal(old)).toEqual([TerminationReason.sessionConfirmedError, true])
    const foreign = party(1, { netId: 78 })
    const disguised = { ...foreign, local: { ...foreign.local, netId: bob.local.netId } }
    expect(refusal(disguised)).toEqual([TerminationReason.sessionConfirmedError, true])

    const door = new Door(bob, checks({ refuse: () => TerminationReason.banned }))
    const banned = converse(initiator(party(1), bob), door)
    if (banned.initiator?.kind !== 'established' || banned.responder?.kind !== 'refused')
      throw new Error('not refused')
    expect(banned.responder.reason).toBe(TerminationReason.banned)
    expect(banned.responder.tell!.keys.send).toEqual(banned.initiator.keys.receive)
  })

  it('cannot pass for a router whose static key they have not', () => {
    const [alice, bob] = [party(1), party(2)]
    const mallory = { ...bob, local: { ...bob.local, staticKeys: generateX25519(seededRandom(9)) } }
    const talk = converse(initiator(alice, bob), new Door(mallory))
    expect([talk.initiator?.kind, talk.responder]).toEqual(['refused', undefined])
  })
})
