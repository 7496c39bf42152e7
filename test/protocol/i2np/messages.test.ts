import { describe, expect, it } from 'vitest'
import { concat, copy, fromHex, hex, Reader } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { gzip } from '../../../src/base/gzip.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { readData, writeData } from '../../../src/protocol/i2np/data.ts'
import {
  type DatabaseLookup,
  readDatabaseLookup,
  writeDatabaseLookup,
} from '../../../src/protocol/i2np/database-lookup.ts'
import {
  readDatabaseSearchReply,
  writeDatabaseSearchReply,
} from '../../../src/protocol/i2np/database-search-reply.ts'
import {
  type DatabaseStore,
  readDatabaseStore,
  writeDatabaseStore,
} from '../../../src/protocol/i2np/database-store.ts'
import { readDeliveryStatus, writeDeliveryStatus } from '../../../src/protocol/i2np/delivery-status.ts'
import { readGarlic, writeGarlic } from '../../../src/protocol/i2np/garlic.ts'
import {
  isExpired,
  MAX_MESSAGE,
  MessageType,
  readMessage,
  readShortMessage,
  writeMessage,
  writeShortMessage,
} from '../../../src/protocol/i2np/message.ts'
import {
  buildRecordLength,
  readTunnelBuild,
  writeTunnelBuild,
} from '../../../src/protocol/i2np/tunnel-build.ts'
import { readTunnelData, writeTunnelData } from '../../../src/protocol/i2np/tunnel-data.ts'
import { readTunnelGateway, writeTunnelGateway } from '../../../src/protocol/i2np/tunnel-gateway.ts'
import {
  refusesTrailingByte,
  refusesTruncations,
  survivesMutations,
  survivesRandomBytes,
} from '../refusals.ts'
import { vector } from '../vectors.ts'

const random = seededRandom(4)
const hash = (): Uint8Array => random.bytes(32)

/** Both ways, then every kind of damage. */
function checks<T>(value: T, write: (value: T) => Uint8Array, read: (r: Reader) => T): Uint8Array {
  const bytes = write(value)
  expect(read(new Reader(bytes))).toEqual(value)
  refusesTruncations(bytes, read)
  refusesTrailingByte(bytes, read)
  survivesRandomBytes(read)
  survivesMutations(bytes, read)
  return bytes
}

describe('message headers', () => {
  const message = { type: 20, id: 0x01020304, expiration: 1_700_000_000_000, payload: fromHex('616263') }

  it('has 16 bytes with a checksum', () => {
    const bytes = writeMessage(message)
    expect(hex(bytes)).toBe('14010203040000018bcfe568000003ba616263')
    expect(readMessage(new Reader(bytes))).toEqual(message)
    refusesTruncations(bytes, readMessage)
    survivesRandomBytes(readMessage)
  })

  it('has 9 bytes in transports and cloves', () => {
    const bytes = writeShortMessage(message)
    expect(hex(bytes)).toBe('14010203046553f100616263')
    expect(readShortMessage(new Reader(bytes))).toEqual(message)
    expect(() => readShortMessage(new Reader(bytes.subarray(0, 8)))).toThrow(MalformedError)
  })

  it('has a largest size', () => {
    const payload = new Uint8Array(MAX_MESSAGE - 16)
    expect(readMessage(new Reader(writeMessage({ ...message, payload }))).payload.length).toBe(payload.length)
    expect(readShortMessage(new Reader(writeShortMessage({ ...message, payload }))).payload.length).toBe(
      payload.length,
    )
    const over = new Uint8Array(payload.length + 1)
    expect(() => writeMessage({ ...message, payload: over })).toThrow(RangeError)
    expect(() => readShortMessage(new Reader(new Uint8Array(9 + over.length)))).toThrow(MalformedError)
    const long = concat(writeMessage({ ...message, payload }), Uint8Array.of(0))
    new DataView(long.buffer).setUint16(13, over.length)
    expect(() => readMessage(new Reader(long))).toThrow(MalformedError)
  })

  it('expires a minute late and is not taken three minutes early', () => {
    const wall = message.expiration
    expect(isExpired(message, wall + 60_000)).toBe(false)
    expect(isExpired(message, wall + 61_000)).toBe(true)
    expect(isExpired(message, wall - 180_000)).toBe(false)
    expect(isExpired(message, wall - 181_000)).toBe(true)
  })
})

describe('DatabaseStore', () => {
  it('carries a RouterInfo compressed', () => {
    const data = vector('i2pd-2.45.1/router.info')
    const read = (r: Reader): DatabaseStore => {
      const store = readDatabaseStore(r)
      return { ...store, data: copy(store.data) } // inflate gives a Buffer, which toEqual tells apart
    }
    const bytes = checks({ key: hash(), type: 0, data }, writeDatabaseStore, read)
    expect(bytes.length).toBeLessThan(37 + 2 + data.length)
  })

  it('carries lease sets as they are, and a reply path', () => {
    const reply = { token: 0xfffffffe, tunnelId: 7, gateway: hash() }
    const value = { key: hash(), type: 3, reply, data: random.bytes(100) }
    const bytes = writeDatabaseStore(value)
    expect(readDatabaseStore(new Reader(bytes))).toEqual(value)
    refusesTruncations(bytes.subarray(0, 37 + 36), readDatabaseStore)
    survivesRandomBytes(readDatabaseStore)
  })

  it('ignores reserved bits of the type', () => {
    const bytes = writeDatabaseStore({ key: hash(), type: 3, data: random.bytes(10) })
    bytes[32]! |= 0xf0
    expect(readDatabaseStore(new Reader(bytes)).type).toBe(3)
  })

  it('refuses to inflate more than a RouterInfo', () => {
    const bomb = gzip(new Uint8Array(10_000_000))
    const bytes = concat(hash(), new Uint8Array(5), Uint8Array.of(bomb.length >> 8, bomb.length), bomb)
    const start = performance.now()
    expect(() => readDatabaseStore(new Reader(bytes))).toThrow(MalformedError)
    expect(performance.now() - start).toBeLessThan(50)
    const most = writeDatabaseStore({ key: hash(), type: 0, data: new Uint8Array(3072) })
    expect(readDatabaseStore(new Reader(most)).data.length).toBe(3072)
    const over = writeDatabaseStore({ key: hash(), type: 0, data: new Uint8Array(3073) })
    expect(() => readDatabaseStore(new Reader(over))).toThrow(MalformedError)
  })
})

describe('DatabaseLookup', () => {
  it('goes both ways in every form', () => {
    const kinds = ['any', 'lease-set', 'router', 'exploratory'] as const
    const flags = kinds.map((kind) => {
      const bytes = checks(
        { key: hash(), from: hash(), kind, excluded: [] },
        writeDatabaseLookup,
        readDatabaseLookup,
      )
      return bytes[64]
    })
    expect(flags).toEqual([0, 4, 8, 12])
    const tunnel: DatabaseLookup = {
      key: hash(),
      from: hash(),
      replyTunnelId: 99,
      kind: 'lease-set',
      excluded: [hash(), hash()],
      encryption: { scheme: 'ecies', key: hash(), tags: [random.bytes(8)] },
    }
    expect(checks(tunnel, writeDatabaseLookup, readDatabaseLookup)[64]).toBe(0x15)
    const aes = { scheme: 'aes', key: hash(), tags: [hash(), hash()] } as const
    expect(checks({ ...tunnel, encryption: aes }, writeDatabaseLookup, readDatabaseLookup)[64]).toBe(0x07)
  })

  it('bounds the excluded and the tags', () => {
    const excluded = Array.from({ length: 512 }, hash)
    const bytes = writeDatabaseLookup({ key: hash(), from: hash(), kind: 'router', excluded })
    expect(readDatabaseLookup(new Reader(bytes)).excluded.length).toBe(512)
    const over = concat(bytes, hash())
    new DataView(over.buffer).setUint16(65, 513)
    expect(() => readDatabaseLookup(new Reader(over))).toThrow(MalformedError)
    const base = { key: hash(), from: hash(), kind: 'router', excluded: [] } as const
    for (const count of [0, 33]) {
      const tags = Array.from({ length: count }, () => random.bytes(8))
      const bad = writeDatabaseLookup({ ...base, encryption: { scheme: 'ecies', key: hash(), tags } })
      expect(() => readDatabaseLookup(new Reader(bad))).toThrow(MalformedError)
    }
  })
})

describe('the other messages', () => {
  it('DatabaseSearchReply', () => {
    checks({ key: hash(), peers: [], from: hash() }, writeDatabaseSearchReply, readDatabaseSearchReply)
    const peers = [hash(), hash(), hash()]
    checks({ key: hash(), peers, from: hash() }, writeDatabaseSearchReply, readDatabaseSearchReply)
  })

  it('DeliveryStatus', () => {
    checks({ messageId: 12345, timestamp: random.bytes(8) }, writeDeliveryStatus, readDeliveryStatus)
  })

  it('Garlic and Data', () => {
    checks(random.bytes(50), writeGarlic, readGarlic)
    checks(random.bytes(50), writeData, readData)
  })

  it('TunnelData', () => {
    const bytes = writeTunnelData({ tunnelId: 0xfffffff0, data: random.bytes(1024) })
    expect(bytes.length).toBe(1028)
    expect(hex(writeTunnelData(readTunnelData(new Reader(bytes))))).toBe(hex(bytes))
    refusesTruncations(bytes, readTunnelData)
    refusesTrailingByte(bytes, readTunnelData)
  })

  it('TunnelGateway, with bytes behind the message ignored', () => {
    const value = { tunnelId: 5, message: random.bytes(40) }
    const bytes = writeTunnelGateway(value)
    expect(readTunnelGateway(new Reader(bytes))).toEqual(value)
    expect(readTunnelGateway(new Reader(concat(bytes, Uint8Array.of(1))))).toEqual(value)
    refusesTruncations(bytes, readTunnelGateway)
    survivesRandomBytes(readTunnelGateway)
  })

  it('tunnel builds', () => {
    for (const type of [MessageType.ShortTunnelBuild, MessageType.VariableTunnelBuild]) {
      const length = buildRecordLength(type)
      const records = [1, 2, 3].map(() => random.bytes(length))
      const read = (r: Reader): Uint8Array[] => readTunnelBuild(r, length)
      const bytes = writeTunnelBuild(records)
      expect(read(new Reader(bytes))).toEqual(records)
      refusesTruncations(bytes, read)
      refusesTrailingByte(bytes, read)
      for (const count of [0, 9]) {
        const bad = concat(Uint8Array.of(count), new Uint8Array(count * length))
        expect(() => read(new Reader(bad))).toThrow(MalformedError)
      }
    }
    expect(buildRecordLength(25)).toBe(218)
    expect(buildRecordLength(26)).toBe(218)
    expect(buildRecordLength(24)).toBe(528)
  })
})
