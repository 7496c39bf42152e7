import { describe, expect, it } from 'vitest'
import { concat, copy, hex, utf8 } from '../../../src/base/bytes.ts'
import { SymmetricState } from '../../../src/crypto/noise/symmetric-state.ts'
import { sha256 } from '../../../src/crypto/sha256.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import { TerminationReason } from '../../../src/protocol/blocks/termination.ts'
import { EphemeralObfuscation, type Handshake } from '../../../src/protocol/ntcp2/handshake.ts'
import { initiate } from '../../../src/protocol/ntcp2/initiator.ts'
import {
  PROTOCOL_NAME,
  writeSessionCreatedOptions,
  writeSessionRequestOptions,
} from '../../../src/protocol/ntcp2/messages.ts'
import { respond } from '../../../src/protocol/ntcp2/responder.ts'
import { signRouterInfo } from '../../../src/protocol/structures/router-info.ts'
import { checks, converse, NET_ID, type Party, party, remoteOf, WALL } from './parties.ts'

function start(alice: Party, bob: Party, routerInfo: Uint8Array = alice.routerInfo.bytes): Handshake {
  return initiate(alice.local, remoteOf(bob), routerInfo, 0)
}

describe('handshake', () => {
  it('gives both sides the same keys, crosswise, and the initiator to the responder', () => {
    for (let seed = 1; seed < 40; seed++) {
      const alice = party(seed)
      const bob = party(1000 + seed)
      const { initiator, responder, wire } = converse(start(alice, bob), respond(bob.local, checks()))
      if (initiator?.kind !== 'established' || responder?.kind !== 'established')
        throw new Error('not established')
      expect(initiator.keys.send).toEqual(responder.keys.receive)
      expect(initiator.keys.receive).toEqual(responder.keys.send)
      expect(initiator.keys.send).not.toEqual(initiator.keys.receive)
      expect(responder.remote.bytes).toEqual(alice.routerInfo.bytes)
      expect(initiator.remote).toBe(bob.routerInfo)
      expect(wire.map((m) => m.from)).toEqual(['initiator', 'responder', 'initiator'])
      for (const { bytes } of wire.slice(0, 2)) expect(bytes.length).toBeLessThanOrEqual(287)
      expect(initiator.rttMs).toBe(40)
      expect(responder.rttMs).toBe(40)
    }
  })

  it('is a function of its randomness', () => {
    const run = (): string => {
      const alice = party(1)
      const bob = party(2)
      const { wire, initiator } = converse(start(alice, bob), respond(bob.local, checks()))
      if (initiator?.kind !== 'established') throw new Error('not established')
      const { send, receive } = initiator.keys
      return hex(sha256(...wire.map((m) => m.bytes), send.key, send.sip, receive.key, receive.sip))
    }
    expect(run()).toBe(run())
    // Pinned: these are the bytes of the code that i2pd accepts (test/interop).
    expect(run()).toMatchInlineSnapshot(`"f5a2ce577b3ca869a201eea6957f9229a79e028818ec25dfe74f5991b22fe23a"`)
  })

  it('carries the CBC state from X to Y', () => {
    const bob = party(2)
    const hide = new EphemeralObfuscation(bob.local.hash, bob.local.iv)
    const reveal = new EphemeralObfuscation(bob.local.hash, bob.local.iv)
    const key = new Uint8Array(32).fill(5)
    const first = hide.hide(key)
    const second = hide.hide(key)
    expect(second).not.toEqual(first)
    expect([hex(reveal.reveal(first)), hex(reveal.reveal(second))]).toEqual([hex(key), hex(key)])
  })

  it('measures the clocks, half a round trip taken off', () => {
    const alice = party(1)
    const bob = party(2, { ahead: 30_000 })
    const { initiator, responder } = converse(start(alice, bob), respond(bob.local, checks()), 1000)
    if (initiator?.kind !== 'established' || responder?.kind !== 'established')
      throw new Error('not established')
    expect(Math.abs(initiator.clockOffset - 30_000)).toBeLessThanOrEqual(500)
    expect(Math.abs(responder.clockOffset + 30_000)).toBeLessThanOrEqual(500)
  })

  it('answers a skewed clock with SessionCreated, which tells the initiator the time', () => {
    for (const ahead of [120_000, -120_000]) {
      const alice = party(1)
      const bob = party(2, { ahead })
      const { initiator, responder, wire } = converse(start(alice, bob), respond(bob.local, checks()))
      expect(wire.map((m) => m.from)).toEqual(['initiator', 'responder'])
      expect(responder).toMatchObject({ kind: 'refused', manner: 'end', reason: TerminationReason.clockSkew })
      expect(responder).not.toHaveProperty('clockOffset')
      if (initiator?.kind !== 'refused') throw new Error('established')
      expect([initiator.manner, initiator.reason]).toEqual(['reset', TerminationReason.clockSkew])
      expect(Math.abs(initiator.clockOffset! - ahead)).toBeLessThanOrEqual(500)
    }
  })

  it('learns the time from a responder that answers before it has read our padding, as i2pd does', () => {
    for (const [ahead, why] of [
      [120_000, 'clocks differ'],
      [0, 'ignores our padding'],
    ] as const) {
      const alice = party(1)
      const bob = party(2, { ahead })
      const steps = start(alice, bob)
      const request = steps.next().value.send!
      expect(request.length).toBeGreaterThan(64)
      const answer = sessionCreatedTo(request, bob)
      const { value } = steps.next({ bytes: answer, now: 100 })
      if (!('kind' in value) || value.kind !== 'refused') throw new Error('not refused')
      expect(value.why).toContain(why)
      if (ahead === 0) expect(value.clockOffset).toBeUndefined()
      else expect(Math.abs(value.clockOffset! - ahead)).toBeLessThan(1000)
    }
  })

  it('fails silently when any byte of the first two messages is changed', () => {
    for (const message of [0, 1]) {
      const alice = party(3)
      const bob = party(4)
      const { wire } = converse(start(alice, bob), respond(bob.local, checks()))
      for (let at = 0; at < wire[message]!.bytes.length; at += 7) {
        const a = party(3)
        const b = party(4)
        const { initiator, responder } = converse(start(a, b), respond(b.local, checks()), 20, (bytes, i) => {
          if (i !== message) return bytes
          const changed = copy(bytes)
          changed[at]! ^= 0x10
          return changed
        })
        // A change in message 1's padding shows in message 2, one in message 2's padding in message 3.
        const first = message === 0 && at < 64 ? responder : message === 1 && at >= 64 ? responder : initiator
        expect(first, `message ${message + 1}, byte ${at}`).toMatchObject({ kind: 'refused' })
        if (first === initiator) expect(first).toMatchObject({ manner: 'reset' })
        if (message === 0 && at < 64) expect(responder).toMatchObject({ manner: 'probe' })
      }
    }
  })

  it('resets when SessionConfirmed is changed', () => {
    for (const at of [0, 47, 48, 300]) {
      const alice = party(3)
      const bob = party(4)
      const { responder } = converse(start(alice, bob), respond(bob.local, checks()), 20, (bytes, i) => {
        if (i !== 2) return bytes
        const changed = copy(bytes)
        changed[at]! ^= 1
        return changed
      })
      expect(responder).toMatchObject({ kind: 'refused', manner: 'reset' })
    }
  })

  it('refuses a replayed SessionRequest, and one for another network, version or prologue', () => {
    const bob = party(2)
    const seen = checks()
    const request = converse(start(party(1), bob), respond(bob.local, seen)).wire[0]!.bytes
    const again = respond(bob.local, seen)
    again.next()
    expect(again.next({ bytes: request.subarray(0, 64), now: 1000 }).value).toMatchObject({
      manner: 'probe',
      why: 'replayed SessionRequest',
    })
    const foreign = party(1, { netId: 2 })
    expect(converse(start(foreign, bob), respond(bob.local, checks()))).toMatchObject({
      initiator: undefined,
      responder: { manner: 'probe', why: 'network 2' },
    })
    const meshed = party(1, { prologue: utf8('secret') })
    expect(converse(start(meshed, bob), respond(bob.local, checks())).responder).toMatchObject({
      manner: 'probe',
    })
    const both = party(2, { prologue: utf8('secret') })
    expect(converse(start(meshed, both), respond(both.local, checks())).responder).toMatchObject({
      kind: 'established',
    })
  })

  it('refuses absurd lengths in SessionRequest without an answer', () => {
    const bob = party(2)
    for (const [paddingLength, part2Length, version] of [
      [60_000, 1000, 2],
      [881, 1000, 2],
      [0, 15, 2],
      [0, 0, 2],
      [0, 65_535, 2],
      [0, 1000, 3],
    ] as const) {
      const bytes = sessionRequest(bob, { paddingLength, part2Length, version })
      const steps = respond(bob.local, checks())
      steps.next()
      expect(steps.next({ bytes, now: 0 }).value).toMatchObject({ kind: 'refused', manner: 'probe' })
    }
    for (const paddingLength of [256, 880]) {
      const steps = respond(bob.local, checks())
      steps.next()
      const bytes = sessionRequest(bob, { paddingLength, part2Length: 1000, version: 2 })
      expect(steps.next({ bytes, now: 0 }).value).toEqual({ read: paddingLength })
    }
  })

  it('refuses ephemeral keys of low order and with the high bit', () => {
    const bob = party(2)
    for (const x of [new Uint8Array(32), new Uint8Array(32).fill(0xff)]) {
      const steps = respond(bob.local, checks())
      steps.next()
      const hidden = new EphemeralObfuscation(bob.local.hash, bob.local.iv).hide(x)
      expect(steps.next({ bytes: concat(hidden, new Uint8Array(32)), now: 0 }).value).toMatchObject({
        manner: 'probe',
      })
    }
  })

  it('tells an authenticated peer why it is refused', () => {
    const bob = party(2)
    const refusal = (alice: Party, routerInfo = alice.routerInfo.bytes): unknown => {
      const { responder } = converse(start(alice, bob, routerInfo), respond(bob.local, checks()))
      if (responder?.kind !== 'refused') throw new Error('established')
      expect(responder.manner).toBe('terminate')
      expect(responder.keys).toBeDefined()
      return responder.reason
    }
    const alice = party(1)
    const forged = copy(alice.routerInfo.bytes)
    forged[forged.length - 1]! ^= 1
    expect(refusal(alice, forged)).toBe(TerminationReason.routerInfoSignature)
    expect(refusal(alice, forged.subarray(0, 500))).toBe(TerminationReason.routerInfoSignature)
    // A correctly signed RouterInfo of someone with another static key.
    expect(refusal(alice, party(5).routerInfo.bytes)).toBe(TerminationReason.staticKeyMismatch)
    const { addresses, options, published } = alice.routerInfo
    const otherNet = new Map(options).set('netId', String(NET_ID + 1))
    const wrongNet = signRouterInfo({ addresses, options: otherNet, published }, alice.identity)
    expect(refusal(alice, wrongNet.bytes)).toBe(TerminationReason.sessionConfirmedError)
    for (const date of [WALL - 91 * 60_000, WALL + 3 * 60_000]) {
      const undated = signRouterInfo({ addresses, options, published: date }, alice.identity)
      expect(refusal(alice, undated.bytes)).toBe(TerminationReason.sessionConfirmedError)
    }
    const banned = converse(
      start(party(1), bob),
      respond(
        bob.local,
        checks(() => TerminationReason.banned),
      ),
    )
    expect(banned.responder).toMatchObject({ manner: 'terminate', reason: TerminationReason.banned })
  })

  it('looks random: no constant position and no constant size in a hundred sessions', () => {
    const bob = party(500)
    const firsts: Uint8Array[] = []
    const sizes = [new Set<number>(), new Set<number>(), new Set<number>()]
    for (let seed = 0; seed < 100; seed++) {
      const { wire } = converse(start(party(seed + 1), bob), respond(bob.local, checks()))
      firsts.push(wire[0]!.bytes.subarray(0, 64))
      for (const [i, { bytes }] of wire.entries()) sizes[i]!.add(bytes.length)
    }
    for (let at = 0; at < 64; at++) expect(new Set(firsts.map((b) => b[at])).size).toBeGreaterThan(60)
    for (const seen of sizes) expect(seen.size).toBeGreaterThan(30)
  })
})

/** SessionCreated of a responder that leaves the padding of `request` out of its transcript. */
function sessionCreatedTo(request: Uint8Array, bob: Party): Uint8Array {
  const { staticKeys, iv, hash, random, clock } = bob.local
  const obfuscation = new EphemeralObfuscation(hash, iv)
  const noise = SymmetricState.start(PROTOCOL_NAME)
  noise.mixHash(staticKeys.publicKey)
  const x = obfuscation.reveal(request.subarray(0, 32))
  noise.mixHash(x)
  noise.mixKey(staticKeys.agree(x)!)
  noise.decryptAndHash(request.subarray(32, 64))
  const e = generateX25519(random)
  noise.mixHash(e.publicKey)
  noise.mixKey(e.agree(x)!)
  const options = writeSessionCreatedOptions({
    paddingLength: 0,
    timestamp: Math.round(clock.wall(50) / 1000),
  })
  return concat(obfuscation.hide(e.publicKey), noise.encryptAndHash(options))
}

/** Message 1 up to its padding, with options of our choice. */
function sessionRequest(
  bob: Party,
  options: { paddingLength: number; part2Length: number; version: number },
): Uint8Array {
  const { random } = party(9).local
  const e = generateX25519(random)
  const noise = SymmetricState.start(PROTOCOL_NAME)
  noise.mixHash(bob.local.staticKeys.publicKey)
  noise.mixHash(e.publicKey)
  noise.mixKey(e.agree(bob.local.staticKeys.publicKey)!)
  const sealed = noise.encryptAndHash(
    writeSessionRequestOptions({ netId: NET_ID, timestamp: Math.round(WALL / 1000), ...options }),
  )
  return concat(new EphemeralObfuscation(bob.local.hash, bob.local.iv).hide(e.publicKey), sealed)
}
