import { describe, expect, it } from 'vitest'
import { concat, fromHex, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { writeBlock } from '../../../src/protocol/blocks/block.ts'
import { LONG_HEADER, MessageType, VERSION } from '../../../src/protocol/ssu2/header.ts'
import {
  inverse,
  type NoncePacket,
  openNoncePacket,
  sealNoncePacket,
} from '../../../src/protocol/ssu2/nonce-packet.ts'
import { readFirstPacket, sealOutOfSession } from '../../../src/protocol/ssu2/out-of-session.ts'

const NET_ID = 77
const random = seededRandom(5)
const introKey = random.bytes(32)
const NONCE = 0xa1b2c3d4
const packet: NoncePacket = {
  type: MessageType.peerTest,
  id: NONCE,
  dateTime: 1_800_000_000_000,
  address: undefined,
  block: random.bytes(83),
}
const addressed = { ...packet, address: { ip: fromHex('2a000000000000000000000000000001'), port: 4567 } }

function received(bytes: Uint8Array, key = introKey): NoncePacket | undefined {
  const owned = new Uint8Array(bytes)
  return readFirstPacket(owned, key, NET_ID) === undefined ? undefined : openNoncePacket(owned, key)
}

/** One with any header and payload. */
function made(
  header: { destination?: string; source?: string; type?: number },
  ...blocks: Uint8Array[]
): Uint8Array {
  const {
    destination = 'a1b2c3d4a1b2c3d4',
    source = '5e4d3c2b5e4d3c2b',
    type = MessageType.peerTest,
  } = header
  const full = {
    destinationId: fromHex(destination),
    packetNumber: 9,
    type,
    version: VERSION,
    netId: NET_ID,
    sourceId: fromHex(source),
    token: new Uint8Array(8),
  }
  return sealOutOfSession(full, concat(...blocks), introKey)
}

const dateTime = writeBlock(0, new Writer(4).u32(1_800_000_000).bytes)
const test = writeBlock(10, packet.block)

describe('packets made of a nonce', () => {
  it('are opened by whom they are for', () => {
    for (const one of [
      packet,
      addressed,
      { ...packet, type: MessageType.holePunch, id: 0 },
      { ...packet, id: inverse(NONCE) },
    ]) {
      const bytes = sealNoncePacket(one, introKey, NET_ID, random)
      expect(received(bytes)).toEqual(one)
      expect(received(bytes, random.bytes(32))).toBeUndefined()
    }
  })

  it('have two copies of the nonce as one connection id and its inverse as the other', () => {
    const header = readFirstPacket(sealNoncePacket(packet, introKey, NET_ID, random), introKey, NET_ID)!
    expect(header.destinationId).toEqual(fromHex('a1b2c3d4a1b2c3d4'))
    expect(header.sourceId).toEqual(fromHex('5e4d3c2b5e4d3c2b'))
    expect(inverse(inverse(NONCE))).toBe(NONCE)
  })

  it('show nothing of the nonce, and are never the same twice', () => {
    const [one, two] = [
      sealNoncePacket(packet, introKey, NET_ID, random),
      sealNoncePacket(packet, introKey, NET_ID, random),
    ]
    expect(one.subarray(0, 16)).not.toEqual(two.subarray(0, 16))
    expect(one.subarray(0, 8)).not.toEqual(fromHex('a1b2c3d4a1b2c3d4'))
  })

  it('are padded by few bytes', () => {
    const lengths = new Set(
      Array.from({ length: 300 }, () => sealNoncePacket(packet, introKey, NET_ID, random).length),
    )
    const bare = LONG_HEADER + 7 + 3 + packet.block.length + 3 + 16
    expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([bare, bare + 31])
  })

  it('open only when every byte is as it was sent', () => {
    const bytes = sealNoncePacket(addressed, introKey, NET_ID, random)
    for (let n = 0; n < bytes.length; n++)
      expect(received(bytes.subarray(0, n)), `${n} bytes`).toBeUndefined()
    expect(received(concat(bytes, Uint8Array.of(0)))).toBeUndefined()
    for (let i = 0; i < bytes.length; i++) {
      const changed = new Uint8Array(bytes)
      changed[i]! ^= 0x40
      expect(received(changed), `byte ${i}`).toBeUndefined()
    }
    for (let i = 0; i < 200; i++) expect(received(random.bytes(random.below(300)))).toBeUndefined()
  })

  it('are refused with other ids and types', () => {
    expect(received(made({}, dateTime, test))).toEqual(packet)
    expect(received(made({ destination: 'a1b2c3d4a1b2c3d5' }, dateTime, test))).toBeUndefined()
    expect(received(made({ source: '5e4d3c2b5e4d3c2a' }, dateTime, test))).toBeUndefined()
    expect(received(made({ type: MessageType.tokenRequest }, dateTime, test))).toBeUndefined()
  })

  it('must have a date and the block of their type', () => {
    expect(() => received(made({}, test))).toThrow(MalformedError)
    expect(() => received(made({}, dateTime, dateTime))).toThrow(MalformedError)
    expect(() => received(made({ type: MessageType.holePunch }, dateTime, test))).toThrow(MalformedError)
    expect(() => received(made({}, dateTime, writeBlock(13, new Uint8Array(7)), test))).toThrow(
      MalformedError,
    )
    expect(() => received(made({}, dateTime, test, Uint8Array.of(99, 0, 9, 1)))).toThrow(MalformedError)
  })
})
