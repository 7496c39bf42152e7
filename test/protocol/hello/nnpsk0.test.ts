import { expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/base/bytes.ts'
import { open, seal } from '../../../src/crypto/aead.ts'
import { x25519KeyPair } from '../../../src/crypto/x25519.ts'
import { NNpsk0 } from '../../../src/protocol/hello/nnpsk0.ts'

// cacophony's vectors as the Noise library snow keeps them (tests/vectors/cacophony.txt): Noise_NNpsk0_25519_ChaChaPoly_SHA256.
const PROLOGUE = fromHex('4a6f686e2047616c74')
const PSK = fromHex('54686973206973206d7920417573747269616e20706572737065637469766521')
const INITIATOR = x25519KeyPair(fromHex('893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a'))
const RESPONDER = x25519KeyPair(fromHex('bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b'))
const MESSAGES = [
  [
    '4c756477696720766f6e204d69736573',
    'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c794479b962b8aff8485742ac32f905ba45369e2465fb59e138a93d67a0d1266b6a54',
  ],
  [
    '4d757272617920526f746862617264',
    '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843d6062704d5a9c422a8e834423f8c1feada7e8d0d910a1a2cd030fb584221e3',
  ],
  ['462e20412e20486179656b', 'e632c3763d7669067383433197a3baddf146e9e70ad4b4e9e59e0f'],
  ['4361726c204d656e676572', '64c6bee32ea91c8474bb4c21d7a700109ad45af77b29764ba5eb1e'],
].map(([payload, ciphertext]) => ({ payload: fromHex(payload!), ciphertext: fromHex(ciphertext!) }))
const [M1, M2, M3, M4] = MESSAGES as [Message, Message, Message, Message]
type Message = (typeof MESSAGES)[number]

test('gives the bytes of an independent implementation', () => {
  const alice = new NNpsk0(PSK, PROLOGUE, INITIATOR)
  const bob = new NNpsk0(PSK, PROLOGUE, RESPONDER)
  expect(hex(alice.writeMessage1(M1.payload))).toBe(hex(M1.ciphertext))
  expect(hex(bob.readMessage1(M1.ciphertext)!)).toBe(hex(M1.payload))
  expect(hex(bob.writeMessage2(M2.payload)!)).toBe(hex(M2.ciphertext))
  expect(hex(alice.readMessage2(M2.ciphertext)!)).toBe(hex(M2.payload))
  // cacophony goes on with transport messages: the initiator's is the third, the responder's the fourth.
  const [first, second] = alice.split()
  expect(bob.split()).toEqual([first, second])
  expect(hex(seal(first, 0, undefined, M3.payload))).toBe(hex(M3.ciphertext))
  expect(hex(open(second, 0, undefined, M4.ciphertext)!)).toBe(hex(M4.payload))
})

test('an ephemeral key of small order ends it', () => {
  const bob = new NNpsk0(PSK, PROLOGUE, RESPONDER)
  const zero = { publicKey: new Uint8Array(32), privateKey: new Uint8Array(32), agree: () => undefined }
  const mallory = new NNpsk0(PSK, PROLOGUE, zero as unknown as typeof INITIATOR)
  expect(bob.readMessage1(mallory.writeMessage1(M1.payload))).toEqual(M1.payload)
  expect(bob.writeMessage2(M2.payload)).toBeUndefined()
})
