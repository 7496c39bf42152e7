import { describe, expect, it } from 'vitest'
import { copy, hex, Reader } from '../../../src/base/bytes.ts'
import { seededRandom, shuffle } from '../../../src/base/random.ts'
import {
  ConfirmedFragments,
  confirmedPackets,
  fragmentCount,
} from '../../../src/protocol/ssu2/confirmed-fragments.ts'
import { MessageType, maskShortHeader, readShortHeader } from '../../../src/protocol/ssu2/header.ts'

const random = seededRandom(21)
const id = random.bytes(8)
const key1 = random.bytes(32)
const key2 = random.bytes(32)

/** With their masks off. */
function cut(sealed: Uint8Array, room: number): Uint8Array[] {
  const packets = confirmedPackets(id, sealed, room, key1, key2)
  for (const packet of packets) maskShortHeader(packet, key1, key2)
  return packets
}

function flagsOf(packet: Uint8Array): number {
  return readShortHeader(new Reader(packet)).flags
}

describe('fragments of SessionConfirmed', () => {
  it('are no longer than there is room, no shorter than 24 bytes, and come together in any order', () => {
    for (let length = 500; length < 4000; length += 1 + random.below(7)) {
      for (const room of [1216, 1236, 1456]) {
        const sealed = random.bytes(length)
        const packets = cut(sealed, room)
        expect(packets.length).toBe(fragmentCount(length, room))
        for (const [i, packet] of packets.entries()) {
          expect(packet.length).toBeLessThanOrEqual(16 + room)
          expect(packet.length).toBeGreaterThanOrEqual(16 + 24)
          expect(readShortHeader(new Reader(packet))).toEqual({
            destinationId: id,
            packetNumber: 0,
            type: MessageType.sessionConfirmed,
            flags: (i << 4) | packets.length,
          })
        }
        const fragments = new ConfirmedFragments()
        const twice = shuffle(random, [...packets, ...packets])
        const wholes = twice.flatMap((packet) => fragments.add(flagsOf(packet), packet) ?? [])
        expect(wholes.length).toBe(1)
        expect(wholes[0]!.total).toBe(packets.length)
        expect(hex(wholes[0]!.sealed)).toBe(hex(sealed))
      }
    }
  })

  it('leaves enough for the last, right at the border', () => {
    for (let length = 1216 - 30; length < 1216 + 60; length++) {
      const packets = cut(random.bytes(length), 1216)
      expect(packets.length).toBe(length <= 1216 ? 1 : 2)
      expect(packets.at(-1)!.length).toBeGreaterThanOrEqual(40)
    }
  })

  it('do not fit together when they disagree, are numbered wrongly or are too many', () => {
    const packet = random.bytes(1016)
    const fragments = new ConfirmedFragments()
    expect(fragments.add(0x00, packet)).toBeUndefined()
    expect(fragments.add(0x22, packet)).toBeUndefined()
    expect(fragments.add(0x02, packet)).toBeUndefined()
    expect(fragments.add(0x13, packet)).toBeUndefined()
    expect(fragments.add(0x12, packet)?.sealed.length).toBe(2000)

    const greedy = new ConfirmedFragments()
    for (let i = 0; i < 15; i++) expect(greedy.add((i << 4) | 15, packet)).toBeUndefined()
  })

  it('can come again after a damaged one', () => {
    const [first, second] = cut(random.bytes(2000), 1216)
    const fragments = new ConfirmedFragments()
    const damaged = copy(first!)
    damaged[100]! ^= 1
    fragments.add(flagsOf(damaged), damaged)
    expect(fragments.add(flagsOf(second!), second!)).toBeDefined()
    fragments.clear()
    fragments.add(flagsOf(second!), second!)
    expect(fragments.add(flagsOf(first!), first!)).toBeDefined()
  })
})
