import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, Reader, sameBytes } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateX25519, type X25519KeyPair } from '../../../src/crypto/x25519.ts'
import { createBuild, type Hop, readBuildReplies } from '../../../src/protocol/build/creator.ts'
import {
  type BuildRequest,
  flagsRole,
  readShortRequest,
  roleFlags,
  writeShortRequest,
} from '../../../src/protocol/build/record.ts'
import {
  answerShortRecords,
  ephemeralKey,
  findRecord,
  openShortRecord,
} from '../../../src/protocol/build/responder.ts'
import { readTunnelBuild } from '../../../src/protocol/i2np/tunnel-build.ts'

const random = seededRandom(11)
const self = random.bytes(32)
const gateway = random.bytes(32)

interface Router extends Hop {
  readonly keys: X25519KeyPair
}

function routers(n: number): Router[] {
  return Array.from({ length: n }, () => {
    const keys = generateX25519(random)
    return { hash: random.bytes(32), encryptionKey: keys.publicKey, keys }
  })
}

/** Passes the message from hop to hop; each says what it read. */
function travel(payload: Uint8Array, hops: readonly Router[], statuses: readonly number[]): BuildRequest[] {
  return hops.map((hop, i) => {
    const records = readTunnelBuild(new Reader(payload), 218)
    const opened = openShortRecord(records, findRecord(records, hop.hash), hop.keys)!
    answerShortRecords(records, opened, statuses[i] ?? 0, random)
    return opened.request
  })
}

const out = { direction: 'outbound', gateway, tunnelId: 77 } as const
const into = { direction: 'inbound', self, tunnelId: 88 } as const

describe('short build records', () => {
  for (let n = 1; n <= 7; n++) {
    it(`build an outbound tunnel of ${n} hops`, () => {
      const hops = routers(n)
      const build = createBuild(hops, out, 4242, 1000, random)!
      expect(build.payload.length).toBe(1 + 218 * (n <= 4 ? 4 : 8))
      const requests = travel(build.payload, hops, [])
      for (const [i, q] of requests.entries()) {
        const last = i === n - 1
        expect(q.role).toBe(last ? 'outbound-endpoint' : 'participant')
        expect(q.receiveTunnelId).toBe(build.hops[i]!.receiveTunnelId)
        expect(q.nextTunnelId).toBe(last ? 77 : build.hops[i + 1]!.receiveTunnelId)
        expect(sameBytes(q.nextHop, last ? gateway : hops[i + 1]!.hash)).toBe(true)
        expect([q.requestTime, q.lifetime, q.layerEncryption]).toEqual([1000, 600, 0])
      }
      expect(requests[n - 1]!.nextMessageId).toBe(4242)
      expect(readBuildReplies(build, build.payload)).toEqual(hops.map(() => 0))
    })

    it(`build an inbound tunnel of ${n} hops`, () => {
      const hops = routers(n)
      const build = createBuild(hops, into, 4242, 1000, random)!
      expect(build.payload.length).toBe(1 + 218 * (n < 4 ? 4 : 8))
      const requests = travel(build.payload, hops, [])
      expect(requests.map((q) => q.role)).toEqual(
        hops.map((_, i) => (i === 0 ? 'inbound-gateway' : 'participant')),
      )
      const last = requests[n - 1]!
      expect([last.nextTunnelId, last.nextMessageId]).toEqual([88, 4242])
      expect(sameBytes(last.nextHop, self)).toBe(true)
      const ours = readTunnelBuild(new Reader(build.payload), 218)[build.phony!.index]!
      expect(sameBytes(ours.subarray(0, 16), self.subarray(0, 16))).toBe(true)
      expect(ours[47]! & 0x80).toBe(0)
      expect(readBuildReplies(build, build.payload)).toEqual(hops.map(() => 0))
    })
  }

  it('gives hop and creator the same keys', () => {
    const hops = routers(3)
    const build = createBuild(hops, out, 1, 1000, random)!
    for (const [i, hop] of hops.entries()) {
      const records = readTunnelBuild(new Reader(build.payload), 218)
      const opened = openShortRecord(records, findRecord(records, hop.hash), hop.keys)!
      expect(opened.keys.layerKey).toEqual(build.hops[i]!.layerKey)
      expect(opened.keys.ivKey).toEqual(build.hops[i]!.ivKey)
      expect(opened.keys.garlicReply).toEqual(i === 2 ? build.garlicReply : undefined)
      answerShortRecords(records, opened, 0, random)
    }
  })

  it('lets no hop read before its turn, and nobody else at all', () => {
    const hops = routers(3)
    const build = createBuild(hops, out, 1, 1000, random)!
    const records = readTunnelBuild(new Reader(build.payload), 218)
    expect(findRecord(records, hops[0]!.hash)).toBeGreaterThanOrEqual(0)
    expect(findRecord(records, hops[1]!.hash)).toBe(-1)
    expect(openShortRecord(records, findRecord(records, hops[0]!.hash), hops[1]!.keys)).toBeUndefined()
  })

  it('uses a fresh ephemeral key for every record', () => {
    const hops = routers(2)
    const seen = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const build = createBuild(hops, out, 1, 1000, random)!
      const records = readTunnelBuild(new Reader(build.payload), 218)
      seen.add(Buffer.from(ephemeralKey(records[findRecord(records, hops[0]!.hash)]!)).toString('hex'))
    }
    expect(seen.size).toBe(20)
  })

  it('shows which hop refused', () => {
    const hops = routers(4)
    const build = createBuild(hops, out, 1, 1000, random)!
    travel(build.payload, hops, [0, 30, 0, 30])
    expect(readBuildReplies(build, build.payload)).toEqual([0, 30, 0, 30])
  })

  it('notices a record that was touched on the way', () => {
    const hops = routers(3)
    const build = createBuild(hops, out, 1, 1000, random)!
    travel(build.payload, hops.slice(0, 2), [])
    const at = 1 + 218 * build.slots[0]!.index + 5
    build.payload[at] = build.payload[at]! ^ 1
    travel(build.payload, hops.slice(2), [])
    expect(readBuildReplies(build, build.payload)).toEqual([undefined, 0, 0])

    const inbound = createBuild(hops, into, 1, 1000, random)!
    travel(inbound.payload, hops, [])
    const phony = 1 + 218 * inbound.phony!.index + 217
    inbound.payload[phony] = inbound.payload[phony]! ^ 1
    expect(readBuildReplies(inbound, inbound.payload)).toBeUndefined()
  })

  it('refuses answers of another shape', () => {
    const build = createBuild(routers(1), out, 1, 1000, random)!
    expect(readBuildReplies(build, build.payload.subarray(0, 500))).toBeUndefined()
    expect(readBuildReplies(build, new Uint8Array(0))).toBeUndefined()
    expect(readBuildReplies(build, new Uint8Array(build.payload.length))).toBeUndefined()
  })

  it('cannot be made of no hops, too many, or a bad key', () => {
    expect(createBuild([], out, 1, 1000, random)).toBeUndefined()
    expect(createBuild(routers(8), into, 1, 1000, random)).toBeUndefined()
    expect(
      createBuild([{ hash: self, encryptionKey: new Uint8Array(32) }], out, 1, 1000, random),
    ).toBeUndefined()
  })

  it('has the bytes of the spec', () => {
    const clear = writeShortRequest(
      {
        role: 'outbound-endpoint',
        receiveTunnelId: 0x01020304,
        nextTunnelId: 0x05060708,
        nextHop: gateway,
        layerEncryption: 0,
        requestTime: 0x11121314,
        lifetime: 600,
        nextMessageId: 0x21222324,
      },
      random,
    )
    expect(clear.length).toBe(154)
    expect([...clear.subarray(0, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(sameBytes(clear.subarray(8, 40), gateway)).toBe(true)
    expect([...clear.subarray(40, 58)]).toEqual([
      0x40, 0, 0, 0, 0x11, 0x12, 0x13, 0x14, 0, 0, 2, 0x58, 0x21, 0x22, 0x23, 0x24, 0, 0,
    ])
    for (let n = 0; n < 56; n++) {
      expect(() => readShortRequest(new Reader(clear.subarray(0, n)))).toThrow(MalformedError)
    }
    expect([roleFlags('inbound-gateway'), roleFlags('participant')]).toEqual([0x80, 0])
    expect(() => flagsRole(0xc0)).toThrow(MalformedError)
  })

  it('never throws on random records', () => {
    const [hop] = routers(1)
    for (let i = 0; i < 50; i++) {
      const record = concat(hop!.hash.subarray(0, 16), random.bytes(202))
      expect(openShortRecord([record], 0, hop!.keys)).toBeUndefined()
    }
  })

  // The derivation once more, from the spec's text and Node's primitives alone.
  it('follows the key derivation of the spec', () => {
    const hop = routers(1)[0]!
    const build = createBuild([hop], out, 9, 1000, random)!
    const records = readTunnelBuild(new Reader(build.payload), 218)
    const index = findRecord(records, hop.hash)
    const record = Uint8Array.from(records[index]!)
    const sha = (...p: Uint8Array[]): Uint8Array =>
      new Uint8Array(
        createHash('sha256')
          .update(concat(...p))
          .digest(),
      )
    const mac = (k: Uint8Array, d: Uint8Array): Uint8Array =>
      new Uint8Array(createHmac('sha256', k).update(d).digest())
    const kdf = (salt: Uint8Array, ikm: Uint8Array, info: string): [Uint8Array, Uint8Array] => {
      const prk = mac(salt, ikm)
      const name = new TextEncoder().encode(info)
      const one = mac(prk, concat(name, new Uint8Array([1])))
      return [one, mac(prk, concat(one, name, new Uint8Array([2])))]
    }
    const name = concat(new TextEncoder().encode('Noise_N_25519_ChaChaPoly_SHA256'), new Uint8Array(1))
    let h = sha(sha(sha(name), hop.keys.publicKey), record.subarray(16, 48))
    h = sha(h, record.subarray(48))
    let [ck] = kdf(name, hop.keys.agree(record.subarray(16, 48))!, '')
    const none = new Uint8Array(0)
    const [ck1, replyKey] = kdf(ck, none, 'SMTunnelReplyKey')
    const [ck2, layerKey] = kdf(ck1, none, 'SMTunnelLayerKey')
    const [ck3, ivKey] = kdf(ck2, none, 'TunnelLayerIVKey')
    const [ck4, garlicKey] = kdf(ck3, none, 'RGarlicKeyAndTag')
    ck = ck4
    expect(sameBytes(build.hops[0]!.layerKey, layerKey)).toBe(true)
    expect(sameBytes(build.hops[0]!.ivKey, ivKey)).toBe(true)
    expect(sameBytes(build.garlicReply!.key, garlicKey)).toBe(true)
    expect(sameBytes(build.garlicReply!.tag, ck.subarray(0, 8))).toBe(true)
    expect(sameBytes(build.slots[0]!.keys.replyKey, replyKey)).toBe(true)
    expect(sameBytes(build.slots[0]!.keys.h, h)).toBe(true)
    // Another record: ChaCha20 from block counter 1, the record's index at byte 4 of the nonce.
    const other = (index + 1) % 4
    const iv = new Uint8Array(16)
    iv[0] = 1
    iv[8] = other
    const expected = new Uint8Array(createCipheriv('chacha20', replyKey, iv).update(records[other]!))
    travel(build.payload, [hop], [])
    expect(sameBytes(records[other]!, expected)).toBe(true)
  })
})
