import { describe, expect, it } from 'vitest'
import { hex, Writer } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { open } from '../../../src/crypto/aead.ts'
import { hkdf } from '../../../src/crypto/hkdf.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import { MAX_PAYLOAD, type NextKey, readPayload, writeNextKey } from '../../../src/protocol/ratchet/blocks.ts'
import { ReceiverRatchet, SenderRatchet } from '../../../src/protocol/ratchet/dh-ratchet.ts'
import { Session, type SessionContext } from '../../../src/protocol/ratchet/session.ts'
import { TagTable, tagNumber } from '../../../src/protocol/ratchet/tag-set.ts'

const random = seededRandom(21)

function context(): SessionContext {
  return { random, tags: new TagTable(), buffer: new Writer(MAX_PAYLOAD) }
}

/** Flags, id and whether a key follows: the block as the spec's diagram has it. */
function shape(next: NextKey): string {
  const w = new Writer(50)
  writeNextKey(w, next)
  return `${hex(w.bytes.subarray(0, 6))} ${w.pos - 3}`
}

describe('the DH ratchet of one direction', () => {
  it('has the keys, ids and flags of the table in "Key and Tag Set IDs"', () => {
    const [sender, receiver] = [new SenderRatchet(), new ReceiverRatchet()]
    const shapes: string[] = []
    for (let tagSet = 1; tagSet <= 5; tagSet++) {
      sender.ask(tagSet, random)
      const k = receiver.asked(sender.asking!, tagSet, random)!
      shapes.push(shape(sender.asking!), shape(receiver.telling!))
      const answer = receiver.telling!
      expect(sender.answered(answer)).toEqual(k)
      expect(sender.asking).toBeUndefined()
      expect(sender.answered(answer)).toBeUndefined() // a repetition
      receiver.told()
    }
    expect(shapes).toEqual([
      '070023050000 35', // key 0, request reverse
      '070023030000 35', // reverse key 0
      '070023010001 35', // key 1
      '070003020000 3', // reverse id 0
      '070003040001 3', // id 1, request reverse
      '070023030001 35', // reverse key 1
      '070023010002 35',
      '070003020001 3',
      '070003040002 3',
      '070023030002 35',
    ])
  })

  it('derives k from the two newest keys', () => {
    const receiver = new ReceiverRatchet()
    const own = generateX25519(random)
    const got = receiver.asked(
      { reverse: false, requestReverse: true, id: 0, key: own.publicKey },
      1,
      random,
    )!
    const expected = hkdf(own.agree(receiver.telling!.key!)!, new Uint8Array(0), 'XDHRatchetTagSet', 32)
    expect(hex(got)).toBe(hex(expected))
  })

  it('ignores blocks that are not the next in order, and impossible keys', () => {
    const key = generateX25519(random).publicKey
    const receiver = new ReceiverRatchet()
    const forward = { reverse: false, requestReverse: true, id: 0, key }
    expect(receiver.asked({ ...forward, id: 1 }, 1, random)).toBeUndefined()
    expect(receiver.asked({ ...forward, requestReverse: false }, 1, random)).toBeUndefined()
    expect(receiver.asked({ ...forward, key: undefined }, 1, random)).toBeUndefined()
    expect(receiver.asked({ ...forward, key: new Uint8Array(32) }, 1, random)).toBeUndefined()
    expect(receiver.telling).toBeUndefined()
    const sender = new SenderRatchet()
    const reverse = { reverse: true, requestReverse: false, id: 0, key }
    expect(sender.answered(reverse)).toBeUndefined() // nothing was asked
    sender.ask(1, random)
    expect(sender.answered({ ...reverse, id: 1 })).toBeUndefined()
    expect(sender.answered({ ...reverse, key: undefined })).toBeUndefined()
    expect(sender.answered({ ...reverse, key: new Uint8Array(32) })).toBeUndefined()
    expect(sender.answered(reverse)).toBeDefined()
  })
})

describe('sessions that ratchet', () => {
  it('go on through six tag sets in one direction and two in the other, answers coming late and more than once', () => {
    const keys = { rootKey: random.bytes(32), kab: random.bytes(32), kba: random.bytes(32) }
    const [ca, cb] = [context(), context()]
    const a = new Session('b', true, keys, ca, 0)
    const b = new Session('a', false, keys, cb, 0)
    const pass = (from: Session, to: Session, c: SessionContext): void => {
      const message = from.encrypt([], undefined, 0)
      const tag = tagNumber(message)
      const set = c.tags.get(tag)!
      const index = set.take(tag)
      const plain = open(set.key(index), index, message.subarray(0, 8), message.subarray(8))!
      to.received(set, index, readPayload(plain), 0)
    }
    for (let i = 0; i < 27_000; i++) {
      pass(a, b, cb)
      if (i % 3 === 0) pass(b, a, ca)
    }
    expect(a.tagSets).toEqual([6, 2])
    expect(b.tagSets).toEqual([2, 6])
    // two replaced sets of 960 tags at most, and the one in use
    expect(cb.tags.size).toBeLessThan(3 * 960)
    b.expire(4 * 60_000)
    expect(cb.tags.size).toBeLessThan(960)
    a.close()
    b.close()
    expect(ca.tags.size + cb.tags.size).toBe(0)
  }, 60_000)

  it('answers a forward key with an empty message when there is nothing else to send', () => {
    const keys = { rootKey: random.bytes(32), kab: random.bytes(32), kba: random.bytes(32) }
    const [ca, cb] = [context(), context()]
    const a = new Session('b', true, keys, ca, 0)
    const b = new Session('a', false, keys, cb, 0)
    for (let i = 0; i <= 4096; i++) {
      const message = a.encrypt([], undefined, 0)
      const set = cb.tags.get(tagNumber(message))!
      const index = set.take(tagNumber(message))
      const plain = open(set.key(index), index, message.subarray(0, 8), message.subarray(8))!
      expect(b.replyAt).toBeUndefined()
      b.received(set, index, readPayload(plain), 0)
    }
    expect(b.replyAt).toBe(1000)
    expect(b.tagSets).toEqual([0, 1])
  })
})
