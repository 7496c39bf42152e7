import { expect, test } from 'vitest'
import { concat, hex, utf8 } from '../../src/base/bytes.ts'
import { open, seal } from '../../src/crypto/aead.ts'
import { SymmetricState } from '../../src/crypto/noise/symmetric-state.ts'
import { sha256 } from '../../src/crypto/sha256.ts'
import { type X25519KeyPair, x25519KeyPair } from '../../src/crypto/x25519.ts'
import { flipped, h, withEachBackend } from './backends.ts'

// The cacophony vectors, which most Noise libraries share: one set of keys for all patterns.
const PROLOGUE = h('4a6f686e2047616c74')
const initiatorStatic = (): X25519KeyPair =>
  x25519KeyPair(h('e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1'))
const initiatorEphemeral = (): X25519KeyPair =>
  x25519KeyPair(h('893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a'))
const responderStatic = (): X25519KeyPair =>
  x25519KeyPair(h('4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893'))
const responderEphemeral = (): X25519KeyPair =>
  x25519KeyPair(h('bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b'))

const PAYLOADS = [
  '4c756477696720766f6e204d69736573',
  '4d757272617920526f746862617264',
  '462e20412e20486179656b',
  '4361726c204d656e676572',
  '4a65616e2d426170746973746520536179',
  '457567656e2042f6686d20766f6e2042617765726b',
].map(h)

const N_MESSAGES = [
  'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c794430db5925e72ccdb0333fb13bd1f920cc34627b8fe30f81383a15d67a9ba306ca',
  'b9546f9f6bc43ff1ab776874425ddd59a45f6294633df65c8e55ee14cbc175',
  '4732bd7c598a84a15a477ce67562f54bc4fac4ef04ea178c5796c9',
  '2fbd9d4fd39df3bbfc22b63525ba454cdd65d1cf9b3ae658612f5f',
  '81619224c9c0d7ec75eb670b7d3154b8f97bfbd07cf0fe3df2f538b7d19dc5f21e',
  '8c21c98a5236dad958a67c39829d1bfcfcb0d529af864b17902185f56f3cb7bd86998ddc29',
].map(h)

const XK_MESSAGES = [
  'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944a3785af283c991bab613473804356ef6931f83acf64f99c274b93570857cfc5e',
  '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088433a4534805fa9fe4eb8343ace6609160c767ad9b832e8eea1d9b7a2111818dd',
  '5d8e67b9c1b8e36f5dc674bc5cd2ce243fb5d1710fa57de0370da7cc979015398eaad94603b05498ba9a613d2fd923dcaa6fd4288dfd8d70f419bf737efb4cd37f5da37ebb728849318c82',
  '3205e1265f809505e6edc092839d3156745d2abafbfd946b261e41',
  '470bcb1ae099555ff0d729500df550418d6ee5149d9e40bd2f4c6b3d263cc818d5',
  'd7187ed9d217ba6e91cf596e4871012ccedf7b5bed0d4cb8f7affb020fa17a95a23371e0f6',
].map(h)

withEachBackend('SymmetricState', () => {
  test('Noise_N: a name of 31 bytes is padded, not hashed', () => {
    const e = initiatorEphemeral()
    const rs = responderStatic()
    const state = SymmetricState.start('Noise_N_25519_ChaChaPoly_SHA256', PROLOGUE)
    state.mixHash(rs.publicKey)
    state.mixHash(e.publicKey)
    state.mixKey(e.agree(rs.publicKey)!)
    const first = concat(e.publicKey, state.encryptAndHash(PAYLOADS[0]!))
    expect(hex(first)).toBe(hex(N_MESSAGES[0]!))
    expect(hex(state.h)).toBe('6497ab83a10e5d03b42e6f770738f62f91584b0b589380fddff642b141af56b6')
    const [k] = state.split()
    for (let n = 0; n < 5; n++) {
      expect(hex(seal(k, n, undefined, PAYLOADS[n + 1]!))).toBe(hex(N_MESSAGES[n + 1]!))
      expect(hex(open(k, n, undefined, N_MESSAGES[n + 1]!)!)).toBe(hex(PAYLOADS[n + 1]!))
    }
  })

  test('Noise_XK, both roles: NTCP2 and SSU2 without their changes', () => {
    const [s, e, rs, re] = [initiatorStatic(), initiatorEphemeral(), responderStatic(), responderEphemeral()]
    const alice = SymmetricState.start('Noise_XK_25519_ChaChaPoly_SHA256', PROLOGUE)
    const bob = SymmetricState.start('Noise_XK_25519_ChaChaPoly_SHA256', PROLOGUE)
    for (const state of [alice, bob]) state.mixHash(rs.publicKey)
    for (const state of [alice, bob]) state.mixHash(e.publicKey)
    alice.mixKey(e.agree(rs.publicKey)!)
    bob.mixKey(rs.agree(e.publicKey)!)
    const one = alice.encryptAndHash(PAYLOADS[0]!)
    expect(hex(concat(e.publicKey, one))).toBe(hex(XK_MESSAGES[0]!))
    expect(hex(bob.decryptAndHash(one)!)).toBe(hex(PAYLOADS[0]!))

    for (const state of [alice, bob]) state.mixHash(re.publicKey)
    bob.mixKey(re.agree(e.publicKey)!)
    alice.mixKey(e.agree(re.publicKey)!)
    const two = bob.encryptAndHash(PAYLOADS[1]!)
    expect(hex(concat(re.publicKey, two))).toBe(hex(XK_MESSAGES[1]!))
    expect(hex(alice.decryptAndHash(two)!)).toBe(hex(PAYLOADS[1]!))

    const encryptedStatic = alice.encryptAndHash(s.publicKey) // n = 1, under message 2's key
    expect(hex(bob.decryptAndHash(encryptedStatic)!)).toBe(hex(s.publicKey))
    alice.mixKey(s.agree(re.publicKey)!)
    bob.mixKey(re.agree(s.publicKey)!)
    const three = alice.encryptAndHash(PAYLOADS[2]!)
    expect(hex(concat(encryptedStatic, three))).toBe(hex(XK_MESSAGES[2]!))
    expect(hex(bob.decryptAndHash(three)!)).toBe(hex(PAYLOADS[2]!))

    expect(hex(alice.h)).toBe('cefffc5d1074126cc980ebfe902587ff36ba61dc77d4447ebe0f96dc22ae59d7')
    expect(hex(bob.h)).toBe(hex(alice.h))
    const [toBob, toAlice] = alice.split()
    expect(bob.split().map(hex)).toEqual([toBob, toAlice].map(hex))
    expect(hex(seal(toAlice, 0, undefined, PAYLOADS[3]!))).toBe(hex(XK_MESSAGES[3]!))
    expect(hex(seal(toBob, 0, undefined, PAYLOADS[4]!))).toBe(hex(XK_MESSAGES[4]!))
    expect(hex(seal(toAlice, 1, undefined, PAYLOADS[5]!))).toBe(hex(XK_MESSAGES[5]!))
  })
})

test('a long name is hashed, and an empty prologue is still mixed in', () => {
  const name = 'Noise_XKaesobfse+hs2+hs3_25519_ChaChaPoly_SHA256'
  const state = SymmetricState.start(name)
  expect(hex(state.ck)).toBe(hex(sha256(utf8(name))))
  expect(hex(state.h)).toBe(hex(sha256(state.ck)))
})

test('what does not verify changes nothing', () => {
  const alice = SymmetricState.start('test')
  alice.mixKey(utf8('key'))
  const bob = alice.fork()
  const ciphertext = alice.encryptAndHash(utf8('hello'))
  const before = hex(bob.h)
  expect(bob.decryptAndHash(flipped(ciphertext, 3))).toBeUndefined()
  expect(bob.decryptAndHash(ciphertext.subarray(0, 15))).toBeUndefined()
  expect(hex(bob.h)).toBe(before)
  expect(hex(bob.decryptAndHash(ciphertext)!)).toBe(hex(utf8('hello')))
  expect(hex(bob.h)).toBe(hex(alice.h))
})

test('n counts from 0 after MixKey, and can be set', () => {
  const state = SymmetricState.start('test')
  expect(() => state.k).toThrow('MixKey')
  expect(() => state.encryptAndHash(utf8('a'))).toThrow('MixKey')
  state.mixKey(utf8('key'))
  const set = state.fork()
  expect(hex(state.encryptAndHash(utf8('a')))).toBe(hex(set.encryptAndHash(utf8('a'), 0)))
  const h1 = state.h
  expect(hex(state.encryptAndHash(utf8('b')))).toBe(hex(seal(state.k, 1, h1, utf8('b'))))
  const h2 = state.h
  expect(hex(state.encryptAndHash(utf8('c'), 7))).toBe(hex(seal(state.k, 7, h2, utf8('c'))))
  const h3 = state.h
  expect(hex(state.encryptAndHash(utf8('d')))).toBe(hex(seal(state.k, 8, h3, utf8('d'))))
  state.mixKey(utf8('again'))
  const h4 = state.h
  expect(hex(state.encryptAndHash(utf8('e')))).toBe(hex(seal(state.k, 0, h4, utf8('e'))))
})

test('a fork goes its own way', () => {
  const state = SymmetricState.start('test')
  state.mixKey(utf8('key'))
  const twin = state.fork()
  twin.mixKey(utf8('other'))
  twin.mixHash(utf8('other'))
  expect(hex(twin.ck)).not.toBe(hex(state.ck))
  expect(hex(twin.k)).not.toBe(hex(state.k))
  expect(hex(twin.h)).not.toBe(hex(state.h))
})
