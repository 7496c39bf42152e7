import { describe, expect, it } from 'vitest'
import { hex } from '../../../src/base/bytes.ts'
import type { Established } from '../../../src/protocol/ssu2/handshake.ts'
import { type Conversation, converse, Door, initiator, party } from './parties.ts'

function established({ initiator: a, responder: b }: Conversation): [Established, Established] {
  if (a?.kind !== 'established' || b?.kind !== 'established')
    throw new Error(`not established: ${JSON.stringify([a, b])}`)
  return [a, b]
}

describe('handshake', () => {
  it('gives both sides the same keys, crosswise, and the initiator to the responder', () => {
    for (let seed = 1; seed < 20; seed++) {
      const alice = party(seed)
      const bob = party(1000 + seed)
      const talk = converse(initiator(alice, bob), new Door(bob))
      const [a, b] = established(talk)
      expect(a.keys.send).toEqual(b.keys.receive)
      expect(a.keys.receive).toEqual(b.keys.send)
      expect(a.keys.send).not.toEqual(a.keys.receive)
      expect(hex(a.sendId)).toBe(hex(b.receiveId))
      expect(hex(a.receiveId)).toBe(hex(b.sendId))
      expect(b.remote.bytes).toEqual(alice.routerInfo.bytes)
      expect(a.remote).toBe(bob.routerInfo)
      expect(talk.wire.map((m) => m.from)).toEqual([
        'initiator',
        'responder',
        'initiator',
        'responder',
        'initiator',
      ])
    }
  })
})
