import { createDecipheriv, createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, hex } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { elligatorDecode } from '../../../src/crypto/elligator2.ts'
import { SymmetricState } from '../../../src/crypto/noise/symmetric-state.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import {
  NEW_SESSION_LENGTH,
  NEW_SESSION_REPLY_LENGTH,
  readNewSession,
  readNewSessionReply,
  replyTagSetKeys,
  writeNewSession,
  writeNewSessionReply,
} from '../../../src/protocol/ratchet/handshake.ts'
import { InboundTagSet, OutboundTagSet, TagTable, tagNumber } from '../../../src/protocol/ratchet/tag-set.ts'

const EMPTY = new Uint8Array(0)

// The spec's formulas once more, straight down the page and on node:crypto alone.

function sha(...parts: Uint8Array[]): Uint8Array {
  const h = createHash('sha256')
  for (const p of parts) h.update(p)
  return h.digest()
}

function HKDF(salt: Uint8Array, ikm: Uint8Array, info: string, length: number): Uint8Array {
  const prk = createHmac('sha256', salt).update(ikm).digest()
  const t1 = createHmac('sha256', prk).update(info).update(Uint8Array.of(1)).digest()
  const t2 = createHmac('sha256', prk).update(t1).update(info).update(Uint8Array.of(2)).digest()
  return concat(t1, t2).subarray(0, length)
}

function DECRYPT(k: Uint8Array, n: number, ciphertext: Uint8Array, ad: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(12)
  nonce[4] = n
  nonce[5] = n >> 8
  const end = ciphertext.length - 16
  const d = createDecipheriv('chacha20-poly1305', k, nonce, { authTagLength: 16 })
  d.setAAD(ad, { plaintextLength: end }).setAuthTag(ciphertext.subarray(end))
  return concat(d.update(ciphertext.subarray(0, end)), d.final())
}

class TagSetOfTheSpec {
  readonly nextRootKey: Uint8Array
  readonly entries: { tag: Uint8Array; key: Uint8Array }[] = []

  constructor(rootKey: Uint8Array, k: Uint8Array, count: number) {
    let keydata = HKDF(rootKey, k, 'KDFDHRatchetStep', 64)
    this.nextRootKey = keydata.subarray(0, 32)
    keydata = HKDF(keydata.subarray(32), EMPTY, 'TagAndKeyGenKeys', 64)
    const sessTagCk = keydata.subarray(0, 32)
    let symmKeyCk = keydata.subarray(32)
    keydata = HKDF(sessTagCk, EMPTY, 'STInitialization', 64)
    let sessTagChainKey = keydata.subarray(0, 32)
    const SESSTAG_CONSTANT = keydata.subarray(32)
    for (let i = 0; i < count; i++) {
      keydata = HKDF(sessTagChainKey, SESSTAG_CONSTANT, 'SessionTagKeyGen', 64)
      sessTagChainKey = keydata.subarray(0, 32)
      const tag = keydata.subarray(32, 40)
      keydata = HKDF(symmKeyCk, EMPTY, 'SymmetricRatchet', 64)
      symmKeyCk = keydata.subarray(0, 32)
      this.entries.push({ tag, key: keydata.subarray(32) })
    }
  }
}

describe('protocol names', () => {
  it('start the Noise states that i2pd has as constants', () => {
    const ik = SymmetricState.start('Noise_IKelg2+hs2_25519_ChaChaPoly_SHA256')
    expect(hex(ik.ck)).toBe('4caf11ef2c8e36564c53e88885064dbaacbe0054ad178f8079a646827e6ee40c')
    expect(hex(ik.h)).toBe('9ccf852cc93bb9504441e950e01d52322e0d47add1e9a555f755b569ae183b5c')
    const n = SymmetricState.start('Noise_N_25519_ChaChaPoly_SHA256')
    expect(hex(n.ck)).toBe(`${hex(new TextEncoder().encode('Noise_N_25519_ChaChaPoly_SHA256'))}00`)
    expect(hex(n.h)).toBe('694d52445a27d9adfad29c7632395dc1e4354c69b4f92eac8a1ee46a9ed21554')
  })
})

describe('New Session and New Session Reply', () => {
  const random = seededRandom(5)
  const as = generateX25519(random)
  const bs = generateX25519(random)
  const request = Uint8Array.from({ length: 300 }, (_, i) => i)
  const answer = Uint8Array.of(1, 2, 3)

  it('follow the spec formula by formula', () => {
    const sent = writeNewSession(as, bs.publicKey, request, random)!
    const ns = sent.message
    expect(ns.length).toBe(NEW_SESSION_LENGTH + request.length)

    // Bob, KDF for the static key section
    let h = sha(new TextEncoder().encode('Noise_IKelg2+hs2_25519_ChaChaPoly_SHA256'))
    let chainKey = h
    h = sha(h)
    h = sha(h, bs.publicKey)
    const aepk = elligatorDecode(ns.subarray(0, 32))
    expect(aepk).toEqual(sent.ae.publicKey)
    h = sha(h, aepk)
    let keydata = HKDF(chainKey, bs.agree(aepk)!, '', 64)
    chainKey = keydata.subarray(0, 32)
    expect(hex(DECRYPT(keydata.subarray(32), 0, ns.subarray(32, 80), h))).toBe(hex(as.publicKey))
    h = sha(h, ns.subarray(32, 80))
    // KDF for the payload section
    keydata = HKDF(chainKey, bs.agree(as.publicKey)!, '', 64)
    chainKey = keydata.subarray(0, 32)
    expect(hex(DECRYPT(keydata.subarray(32), 0, ns.subarray(80), h))).toBe(hex(request))
    h = sha(h, ns.subarray(80))

    // Reply tag set
    const tagset = new TagSetOfTheSpec(chainKey, HKDF(chainKey, EMPTY, 'SessionReplyTags', 32), 3)
    const [rootKey, k] = replyTagSetKeys(readNewSession(bs, ns)!.noise)
    const replyTags = new OutboundTagSet(0, rootKey, k)
    replyTags.nextTag()
    const tag = replyTags.nextTag()
    expect(hex(tag)).toBe(hex(tagset.entries[1]!.tag))

    // Alice, KDF for the reply
    const reply = writeNewSessionReply(readNewSession(bs, ns)!, as.publicKey, tag, answer, random)!
    const nsr = reply.message
    expect(nsr.length).toBe(NEW_SESSION_REPLY_LENGTH + answer.length)
    expect(nsr.subarray(0, 8)).toEqual(new Uint8Array(tag))
    h = sha(h, nsr.subarray(0, 8))
    const bepk = elligatorDecode(nsr.subarray(8, 40))
    h = sha(h, bepk)
    chainKey = HKDF(chainKey, sent.ae.agree(bepk)!, '', 32)
    keydata = HKDF(chainKey, as.agree(bepk)!, '', 64)
    chainKey = keydata.subarray(0, 32)
    expect(DECRYPT(keydata.subarray(32), 0, nsr.subarray(40, 56), h).length).toBe(0)
    h = sha(h, nsr.subarray(40, 56))
    keydata = HKDF(chainKey, EMPTY, '', 64)
    const kab = keydata.subarray(0, 32)
    const kba = keydata.subarray(32)
    const payloadKey = HKDF(kba, EMPTY, 'AttachPayloadKDF', 32)
    expect(hex(DECRYPT(payloadKey, 0, nsr.subarray(56), h))).toBe(hex(answer))

    // First tag sets of the session
    for (const [mine, spec] of [
      [new OutboundTagSet(0, reply.keys.rootKey, reply.keys.kab), new TagSetOfTheSpec(chainKey, kab, 5)],
      [new OutboundTagSet(0, reply.keys.rootKey, reply.keys.kba), new TagSetOfTheSpec(chainKey, kba, 5)],
    ] as const) {
      expect(hex(mine.nextRootKey)).toBe(hex(spec.nextRootKey))
      for (const entry of spec.entries) {
        expect(hex(mine.nextTag())).toBe(hex(entry.tag))
        expect(hex(mine.nextKey())).toBe(hex(entry.key))
      }
    }
  })

  it('without binding has the payload under n = 1 of the first key', () => {
    const { message: ns } = writeNewSession(undefined, bs.publicKey, request, random)!
    const aepk = elligatorDecode(ns.subarray(0, 32))
    const name = sha(new TextEncoder().encode('Noise_IKelg2+hs2_25519_ChaChaPoly_SHA256'))
    let h = sha(sha(sha(name), bs.publicKey), aepk)
    const k = HKDF(name, bs.agree(aepk)!, '', 64).subarray(32)
    expect(DECRYPT(k, 0, ns.subarray(32, 80), h)).toEqual(new Uint8Array(32))
    h = sha(h, ns.subarray(32, 80))
    expect(hex(DECRYPT(k, 1, ns.subarray(80), h))).toBe(hex(request))
    const received = readNewSession(bs, ns)!
    expect(received.apk).toBeUndefined()
    expect(hex(received.payload)).toBe(hex(request))
  })

  it('is the same bytes for the same random numbers', () => {
    const run = (): string => {
      const r = seededRandom(77)
      const [a, b] = [generateX25519(r), generateX25519(r)]
      const sent = writeNewSession(a, b.publicKey, request, r)!
      const got = readNewSession(b, sent.message)!
      const tag = new OutboundTagSet(0, ...replyTagSetKeys(got.noise)).nextTag()
      return hex(sha(sent.message, writeNewSessionReply(got, a.publicKey, tag, answer, r)!.message))
    }
    expect(run()).toBe(run())
    expect(run()).toBe('8acab6bfd2e1180865599c3341f5bbe4c187eeadc2c661dfdb55c28c9ec45f7b')
  })

  it('gives both sides the same keys, for each of several replies others', () => {
    const sent = writeNewSession(as, bs.publicKey, request, random)!
    const got = readNewSession(bs, sent.message)!
    const tags = new OutboundTagSet(0, ...replyTagSetKeys(got.noise))
    const seen = new Set<string>()
    for (let i = 0; i < 3; i++) {
      const reply = writeNewSessionReply(got, as.publicKey, tags.nextTag(), answer, random)!
      const read = readNewSessionReply(sent, as, reply.message)!
      expect(hex(read.payload)).toBe(hex(answer))
      expect(read.keys).toEqual(reply.keys)
      seen.add(hex(read.keys.kab))
    }
    expect(seen.size).toBe(3)
  })

  it('refuses every truncation, every changed byte and random bytes', () => {
    const sent = writeNewSession(as, bs.publicKey, answer, random)!
    const got = readNewSession(bs, sent.message)!
    const tag = new OutboundTagSet(0, ...replyTagSetKeys(got.noise)).nextTag()
    const reply = writeNewSessionReply(got, as.publicKey, tag, answer, random)!.message
    const damaged = (bytes: Uint8Array, read: (b: Uint8Array) => unknown): void => {
      for (let n = 0; n < bytes.length; n++) {
        expect(read(bytes.subarray(0, n))).toBeUndefined()
        const changed = new Uint8Array(bytes)
        changed[n]! ^= 0x10
        expect(read(changed)).toBeUndefined()
      }
      expect(read(concat(bytes, EMPTY, Uint8Array.of(0)))).toBeUndefined()
      for (let i = 0; i < 30; i++) expect(read(random.bytes(random.below(300)))).toBeUndefined()
    }
    damaged(sent.message, (b) => readNewSession(bs, b))
    damaged(reply, (b) => readNewSessionReply(sent, as, b))
    expect(readNewSession(as, sent.message)).toBeUndefined()
    expect(readNewSessionReply(sent, bs, reply)).toBeUndefined()
    expect(writeNewSession(as, new Uint8Array(32), answer, random)).toBeUndefined()
  })
})

describe('tag sets', () => {
  const random = seededRandom(9)
  const owner = { peer: 'x' }

  function pair(id = 0): { out: OutboundTagSet; set: InboundTagSet; table: TagTable } {
    const [rootKey, k] = [random.bytes(32), random.bytes(32)]
    const table = new TagTable()
    return {
      out: new OutboundTagSet(id, rootKey, k),
      set: new InboundTagSet(id, rootKey, k, 'session', owner, table),
      table,
    }
  }

  function message(out: OutboundTagSet): { n: number; tag: number; key: string } {
    const n = out.index
    return { n, tag: tagNumber(out.nextTag()), key: hex(out.nextKey()) }
  }

  it('agree in tags and keys through loss and reordering, and forget nothing they should not', () => {
    const { out, set, table } = pair()
    const take = (m: { n: number; tag: number; key: string }): void => {
      expect(table.get(m.tag)).toBe(set)
      expect(set.take(m.tag)).toBe(m.n)
      expect(hex(set.key(m.n))).toBe(m.key)
      expect(table.get(m.tag)).toBeUndefined()
    }
    const late: { n: number; tag: number; key: string }[] = []
    for (let i = 0; i < 5000; i++) {
      const m = message(out)
      const fate = random.below(10)
      if (fate < 2) continue
      if (fate < 4) late.push(m)
      else take(m)
      if (late.length > 1) take(late.shift()!)
    }
    expect(table.size).toBeLessThan(1024)
    set.close()
    expect(table.size).toBe(0)
  })

  it('survive a gap as wide as the look-ahead and no wider', () => {
    for (const [gap, ok] of [
      [23, true],
      [24, false],
    ] as const) {
      const { out, table } = pair()
      for (let i = 0; i < gap; i++) message(out)
      expect(table.get(message(out).tag) !== undefined).toBe(ok)
    }
    const { out, set, table } = pair(1)
    for (let i = 0; i < 2000; i++) {
      const m = message(out)
      set.take(m.tag)
      expect(hex(set.key(m.n))).toBe(m.key)
    }
    const missed = Array.from({ length: 639 }, () => message(out))
    const last = message(out)
    expect(set.take(last.tag)).toBe(2639)
    expect(hex(set.key(2639))).toBe(last.key)
    expect(table.get(missed[0]!.tag)).toBeUndefined()
    const held = missed.filter((m) => table.get(m.tag) !== undefined)
    expect(held.length).toBe(319)
    for (const m of held.reverse()) {
      expect(set.take(m.tag)).toBe(m.n)
      expect(hex(set.key(m.n))).toBe(m.key)
    }
  })

  it('end at index 65535, the sender a little before', () => {
    const { out, set, table } = pair(1)
    while (!out.exhausted) {
      const m = message(out)
      expect(set.take(m.tag)).toBe(m.n)
      set.key(m.n)
    }
    expect(out.index).toBe(65531)
    expect(table.size).toBe(5)
  }, 120_000)
})
