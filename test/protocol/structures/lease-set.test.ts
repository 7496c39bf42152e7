import { describe, expect, it } from 'vitest'
import { concat, hex, type Reader, Writer } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateEd25519 } from '../../../src/crypto/ed25519.ts'
import { newDestination } from '../../../src/protocol/structures/identity.ts'
import type { Lease } from '../../../src/protocol/structures/lease.ts'
import {
  checkLeaseSet,
  type LeaseSet,
  leaseSetEnd,
  readLeaseSet,
  StoreType,
  verifyLeaseSet,
} from '../../../src/protocol/structures/lease-set.ts'
import { signLeaseSet2 } from '../../../src/protocol/structures/lease-set2.ts'
import {
  refusesTrailingByte,
  refusesTruncations,
  survivesMutations,
  survivesRandomBytes,
} from '../refusals.ts'

const random = seededRandom(3)
const local = newDestination(random)
const published = Date.UTC(2026, 10, 22)
const leases: Lease[] = [1, 2, 3].map((n) => ({
  gateway: random.bytes(32),
  tunnelId: n * 1000,
  end: published + n * 100_000,
}))
const encryptionKeys = [
  { type: 6, key: random.bytes(32) },
  { type: 4, key: local.encryption.publicKey },
]
const content = {
  published,
  expires: published + 600_000,
  leases,
  encryptionKeys,
  flags: 0,
  options: new Map([['_http._tcp', '0 0 0 80']]),
}
const own = signLeaseSet2(content, local)

function accept(type: number, bytes: Uint8Array): LeaseSet | undefined {
  try {
    return verifyLeaseSet(readLeaseSet(type, bytes))
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

/** A LeaseSet2 signed by a transient key that the destination authorised until `until`. */
function offline(until: number, tamper: (w: Uint8Array) => void = () => {}): Uint8Array {
  const transient = generateEd25519(random)
  const grant = new Writer(38)
    .u32(until / 1000)
    .u16(7)
    .put(transient.publicKey).bytes
  const signature = local.signing.sign(grant)
  tamper(signature)
  const head = new Writer(8)
    .u32(published / 1000)
    .u16(600)
    .u16(1).bytes
  const tail = new Writer(2 + 1 + 36 + 1).u16(0).u8(1).u16(4).u16(32).put(random.bytes(32)).u8(0).bytes
  const body = concat(local.identity.bytes, head, grant, signature, tail)
  return concat(body, transient.sign(Uint8Array.of(3), body))
}

describe('LeaseSet2', () => {
  it('signs what it reads, the same as its own view', () => {
    const ls = accept(StoreType.LeaseSet2, own.bytes)!
    expect(ls).toBeDefined()
    expect({ ...ls, destination: 0, options: [...ls.options] }).toEqual({
      ...own,
      destination: 0,
      options: [...own.options],
    })
    expect(ls.encryptionKeys.map((k) => k.type)).toEqual([6, 4])
    expect(ls.hash).toEqual(local.identity.hash)
    expect(ls.expires).toBe(published + 600_000)
    expect(leaseSetEnd(ls)).toBe(published + 300_000)
    expect(ls.unpublished).toBe(false)
    expect(accept(3, signLeaseSet2({ ...content, flags: 2 }, local).bytes)!.unpublished).toBe(true)
  })

  it('refuses every single changed byte', () => {
    const bytes = new Uint8Array(own.bytes)
    for (let i = 0; i < bytes.length; i++) {
      bytes[i]! ^= 1 << (i % 8)
      expect(accept(3, bytes), `byte ${i}`).toBeUndefined()
      bytes[i] = own.bytes[i]!
    }
    expect(accept(3, bytes)).toBeDefined()
  })

  it('refuses damaged bytes and other store types', () => {
    const read = (r: Reader): unknown => readLeaseSet(3, r.bytes)
    refusesTruncations(own.bytes, read)
    refusesTrailingByte(own.bytes, read)
    survivesRandomBytes(read)
    for (const type of [0, 2, 5, 7, 11]) expect(() => readLeaseSet(type, own.bytes)).toThrow(MalformedError)
    expect(() => readLeaseSet(3, new Uint8Array(4097))).toThrow(MalformedError)
    const rewrite = (keys: { type: number; key: Uint8Array }[]): Uint8Array =>
      signLeaseSet2({ ...content, encryptionKeys: keys }, local).bytes
    expect(accept(3, rewrite([]))).toBeUndefined()
    expect(accept(3, rewrite([{ type: 4, key: random.bytes(31) }]))).toBeUndefined()
    expect(accept(3, rewrite([{ type: 77, key: random.bytes(31) }]))).toBeDefined()
  })

  it('refuses to write what others would refuse', () => {
    const many = Array.from({ length: 17 }, () => leases[0]!)
    expect(() => signLeaseSet2({ ...content, leases: many }, local)).toThrow(RangeError)
    expect(() => signLeaseSet2({ ...content, expires: published - 1000 }, local)).toThrow(RangeError)
    expect(() => signLeaseSet2({ ...content, expires: published + 70_000_000 }, local)).toThrow(RangeError)
    const bytes = new Uint8Array(own.bytes)
    bytes[bytes.length - 64 - 3 * 40 - 1] = 17
    expect(() => readLeaseSet(3, bytes)).toThrow(MalformedError)
  })

  it('verifies offline signatures and ends with them', () => {
    const until = published + 60_000
    const ls = accept(3, offline(until))!
    expect(ls).toBeDefined()
    expect(ls.expires).toBe(until)
    expect(
      accept(
        3,
        offline(until, (s) => (s[5]! ^= 4)),
      ),
    ).toBeUndefined()
    const bytes = offline(until)
    refusesTruncations(bytes, (r) => readLeaseSet(3, r.bytes))
    survivesMutations(bytes, (r) => readLeaseSet(3, r.bytes))
    for (let i = 391; i < bytes.length; i++) {
      bytes[i]! ^= 0x10
      expect(accept(3, bytes), `byte ${i}`).toBeUndefined()
      bytes[i]! ^= 0x10
    }
  })

  it('judges dates', () => {
    expect(checkLeaseSet(own, published)).toBe('ok')
    expect(checkLeaseSet(own, published - 120_001)).toBe('future')
    expect(checkLeaseSet(own, published + 299_999)).toBe('ok')
    expect(checkLeaseSet(own, published + 300_000)).toBe('expired')
    const revoked = signLeaseSet2({ ...content, leases: [] }, local)
    expect(leaseSetEnd(revoked)).toBe(published + 600_000)
  })
})

describe('LeaseSet (1)', () => {
  const w = new Writer(391 + 256 + 32 + 1 + 2 * 44).put(local.identity.bytes)
  const key = random.bytes(256)
  w.put(key).put(random.bytes(32)).u8(2)
  for (const lease of leases.slice(0, 2)) w.put(lease.gateway).u32(lease.tunnelId).u64(lease.end)
  const bytes = concat(w.bytes, local.signing.sign(w.bytes))

  it('reads', () => {
    const ls = accept(StoreType.LeaseSet, bytes)!
    expect(ls.leases).toEqual(leases.slice(0, 2))
    expect(ls.expires).toBe(published + 200_000)
    expect(ls.encryptionKeys).toEqual([{ type: 0, key }])
    expect(hex(ls.bytes)).toBe(hex(bytes))
  })

  it('refuses damaged bytes', () => {
    const read = (r: Reader): unknown => readLeaseSet(1, r.bytes)
    refusesTruncations(bytes, read)
    refusesTrailingByte(bytes, read)
    survivesRandomBytes(read)
    for (let i = 0; i < bytes.length; i += 3) {
      bytes[i]! ^= 2
      expect(accept(1, bytes), `byte ${i}`).toBeUndefined()
      bytes[i]! ^= 2
    }
  })
})
