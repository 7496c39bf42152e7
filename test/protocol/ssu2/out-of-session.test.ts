import { describe, expect, it } from 'vitest'
import { copy, Reader } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import {
  LONG_HEADER,
  type LongHeader,
  MessageType,
  maskLongHeader,
  readLongHeader,
  VERSION,
} from '../../../src/protocol/ssu2/header.ts'
import {
  NO_TOKEN,
  openOutOfSession,
  padding,
  readFirstPacket,
  sealOutOfSession,
  writeRetry,
  writeTokenRequest,
} from '../../../src/protocol/ssu2/out-of-session.ts'
import { readPayload } from '../../../src/protocol/ssu2/payload.ts'

const NET_ID = 77
const WALL = 1_800_000_000_000
const random = seededRandom(11)
const introKey = random.bytes(32)

function header(over: Partial<LongHeader> = {}): LongHeader {
  return {
    destinationId: random.bytes(8),
    packetNumber: random.below(2 ** 32),
    type: MessageType.peerTest,
    version: VERSION,
    netId: NET_ID,
    sourceId: random.bytes(8),
    token: random.bytes(8),
    ...over,
  }
}

describe('packets outside a session', () => {
  it('are sealed, hidden and found again', () => {
    for (const type of [MessageType.peerTest, MessageType.holePunch, MessageType.tokenRequest]) {
      const clear = header({ type })
      const payload = random.bytes(8 + random.below(100))
      const packet = sealOutOfSession(clear, payload, introKey)
      expect(packet.length).toBe(32 + payload.length + 16)
      expect(readFirstPacket(packet, introKey, NET_ID)).toEqual(clear)
      expect(openOutOfSession(packet, introKey)).toEqual(payload)
      packet[packet.length - 1]! ^= 1
      expect(openOutOfSession(packet, introKey)).toBeUndefined()
    }
  })

  it('are none of ours with another version, network, type, key, two equal ids or too few bytes', () => {
    const read = (over: Partial<LongHeader>, length = 20): LongHeader | undefined =>
      readFirstPacket(sealOutOfSession(header(over), random.bytes(length), introKey), introKey, NET_ID)
    expect(read({})).toBeDefined()
    expect(read({ version: 3 })).toBeUndefined()
    expect(read({ netId: 2 })).toBeUndefined()
    for (const type of [1, 2, 3, 6, 9, 12, 255]) expect(read({ type })).toBeUndefined()
    const id = random.bytes(8)
    expect(read({ sourceId: id, destinationId: id })).toBeUndefined()
    expect(read({}, 8)).toBeDefined()
    expect(read({}, 7)).toBeUndefined()
    expect(read({ type: MessageType.sessionRequest }, 39)).toBeUndefined()
    const packet = sealOutOfSession(header(), random.bytes(20), introKey)
    expect(readFirstPacket(copy(packet), random.bytes(32), NET_ID)).toBeUndefined()
    for (let n = 0; n < 56; n++)
      expect(readFirstPacket(packet.subarray(0, n), introKey, NET_ID)).toBeUndefined()
  })

  it('TokenRequest tells the time and nothing else, in lengths that vary', () => {
    const lengths = new Set<number>()
    for (let i = 0; i < 200; i++) {
      const ids = { sourceId: random.bytes(8), destinationId: random.bytes(8) }
      const packet = writeTokenRequest({ ...ids, netId: NET_ID, wall: WALL }, introKey, random)
      lengths.add(packet.length)
      const read = readFirstPacket(packet, introKey, NET_ID)!
      expect(read).toMatchObject({ ...ids, type: MessageType.tokenRequest, token: NO_TOKEN })
      const payload = readPayload(openOutOfSession(packet, introKey)!)
      expect(payload).toEqual({ wall: WALL, relayTagRequested: false, rest: new Uint8Array(0) })
    }
    expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([58, 73])
  })

  it('Retry turns the ids round and is never three times its request', () => {
    for (let i = 0; i < 200; i++) {
      const request = header()
      const from = { ip: random.bytes(i % 2 === 0 ? 4 : 16), port: random.below(65536) }
      const verdict = i % 3 === 0 ? 7 : random.bytes(8)
      const packet = writeRetry({ request, verdict, from, wall: WALL }, introKey, random)
      expect(packet.length).toBeLessThan(2 * 56)
      maskLongHeader(packet, introKey, introKey, LONG_HEADER)
      const read = readLongHeader(new Reader(packet))
      expect(read).toMatchObject({
        type: MessageType.retry,
        version: VERSION,
        netId: NET_ID,
        destinationId: request.sourceId,
        sourceId: request.destinationId,
        token: typeof verdict === 'number' ? NO_TOKEN : verdict,
      })
      const payload = readPayload(openOutOfSession(packet, introKey)!)
      expect(payload.address).toEqual(from)
      expect(payload.wall).toBe(WALL)
      expect(payload.termination).toBe(typeof verdict === 'number' ? 7 : undefined)
    }
  })

  it('padding is at most what is asked for', () => {
    for (let i = 0; i < 100; i++) expect(padding(random, 5).length).toBeLessThanOrEqual(8)
    expect(padding(random, 0).length).toBe(3)
  })
})
