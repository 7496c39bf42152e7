import { _map_to_curve_elligator2_curve25519, x25519 } from '@noble/curves/ed25519.js'
import { expect, test } from 'vitest'
import { hex } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import { elligatorDecode, elligatorEncode, generateElligatorKeyPair } from '../../src/crypto/elligator2.ts'
import { generateX25519 } from '../../src/crypto/x25519.ts'
import { h, withEachBackend } from './backends.ts'

const P = 2n ** 255n - 19n

test("i2pd's vectors (tests/test-elligator.cpp)", () => {
  // A key that is not reduced: 2^255 + x stands for x + 19.
  const key = h('33951964003c940878063ccfd0348af42150ca16d2646f2c5856e8338377d880')
  const low = '2820b6b241e0f68a6c4a7fee3d978228ef3ae45533cd410aa91a415331d8612d'
  const high = '3cfb87c46c0b4575ca8175e0ed1c0ae9dae79db78df86997c4847b9f20b27718'
  expect(hex(elligatorEncode(key, 0)!)).toBe(low)
  expect(hex(elligatorEncode(key, 1)!)).toBe(high)
  expect(
    elligatorEncode(h('e6f66fdf6e230c603c5e6e59a254ea1476a13eb9511b9549846781e12e52230a'), 0),
  ).toBeUndefined()
  expect(
    elligatorEncode(h('e6f66fdf6e230c603c5e6e59a254ea1476a13eb9511b9549846781e12e52230a'), 1),
  ).toBeUndefined()
  for (const [representative, publicKey] of [
    [
      'e73507d38bae63992b3f57aac48c0abc14509589288457995a2b4ca3490aa207',
      '1e8afffed6bf53fe271ad572473262ded8faec68e5e67ef45ebb82eeba52604f',
    ],
    [
      '95a16019041dbefed9832048ede11928d90365f24a38aa7aef1b97e23954101b',
      '794f05ba3e3a72958022468c88981e0be5782be1e1145ce2c3c6fde16ded5363',
    ],
    [
      'f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff3f',
      '9cdb525555555555555555555555555555555555555555555555555555555555',
    ],
    [low, '46951964003c940878063ccfd0348af42150ca16d2646f2c5856e8338377d800'],
    [high, '46951964003c940878063ccfd0348af42150ca16d2646f2c5856e8338377d800'],
  ] as const) {
    expect(hex(elligatorDecode(h(representative)))).toBe(publicKey)
  }
})

test("Monocypher's direct map vectors (tests/gen/vectors/elligator_dir)", () => {
  for (const [representative, publicKey] of [
    [
      'd3c41ec20dbe9fc33ccc14823d898066f433a892994ffbcc921e9f5ace519d02',
      '170a436471aaa00d817436197fde47fa3320aa040b48d1d2a9f155e15ce3975e',
    ],
    [
      'e03a05ebde6ca000cdc5c539bf48a1d08222483b87693046e00a411a8d93dd34',
      'b8e22e654ae391c44be4760a30d13950651d454c7ec71f0bdf7c5669bb22b564',
    ],
    [
      'ec3afb86e23aff9a05c54b4274abb5daf77ad956b5a4a38caf7529866e5f5a3e',
      'c1f0588b07c7624ff31b1465354d7a55eee0ce4302f4d91fa88236cfd808501f',
    ],
    [
      'd19cfb8cb3940aba546f0be57895e2cc869fe55aab069c5abcf9e7ba6444a806',
      '12524580b61c9f88f4f1cd24042002b0df4bc3feb242555bf276f96453c15826',
    ],
  ] as const) {
    expect(hex(elligatorDecode(h(representative)))).toBe(publicKey)
  }
})

test("decoding equals @noble's map, top bits ignored", () => {
  const random = seededRandom(1)
  const edge = [
    new Uint8Array(32),
    new Uint8Array(32).fill(0xff),
    Uint8Array.from({ length: 32 }, (_, i) => (i ? 0 : 1)),
  ]
  for (const representative of [...edge, ...Array.from({ length: 300 }, () => random.bytes(32))]) {
    const masked = new Uint8Array(representative)
    masked[31]! &= 0x3f
    const r = BigInt(`0x${hex(masked.toReversed())}`)
    const { xMn, xMd } = _map_to_curve_elligator2_curve25519(r)
    const decoded = BigInt(`0x${hex(elligatorDecode(representative).reverse())}`)
    expect((decoded * xMd) % P).toBe(((xMn % P) + P) % P)
  }
})

test('10,000 keys: half encode, all come back, the top bits are what the random byte says', () => {
  const random = seededRandom(2)
  let encoded = 0
  const topBits = [0, 0, 0, 0]
  for (let i = 0; i < 10_000; i++) {
    const { publicKey } = generateX25519(random)
    const representative = elligatorEncode(publicKey, random.bytes(1)[0]!)
    if (representative === undefined) continue
    encoded++
    topBits[representative[31]! >> 6]!++
    expect(hex(elligatorDecode(representative))).toBe(hex(publicKey))
  }
  expect(encoded).toBeGreaterThan(4500)
  expect(encoded).toBeLessThan(5500)
  for (const count of topBits) {
    expect(count).toBeGreaterThan(encoded * 0.22)
    expect(count).toBeLessThan(encoded * 0.28)
  }
})

test('the points without a y of their own', () => {
  const zero = new Uint8Array(32)
  expect(hex(elligatorEncode(zero, 0)!)).toBe(hex(zero))
  expect(elligatorEncode(zero, 1)).toBeUndefined()
  expect(hex(elligatorDecode(zero))).toBe(hex(zero))
  expect(() => elligatorEncode(new Uint8Array(31), 0)).toThrow(RangeError)
  expect(() => elligatorDecode(new Uint8Array(33))).toThrow(RangeError)
})

withEachBackend('generated pairs', () => {
  test('fit, and replay from a seed', () => {
    const random = seededRandom(3)
    for (let i = 0; i < 20; i++) {
      const { keys, representative } = generateElligatorKeyPair(random)
      expect(hex(elligatorDecode(representative))).toBe(hex(keys.publicKey))
      expect(hex(x25519.getPublicKey(keys.privateKey))).toBe(hex(keys.publicKey))
    }
    const { keys, representative } = generateElligatorKeyPair(seededRandom(42))
    expect(hex(keys.privateKey)).toBe('df061367cb4c2d9ba19874daea0c665de73509e239d1b3d18e5a71ca59e4b1f2')
    expect(hex(representative)).toBe('2ce67949903336910228927158b021af6f6196bdd8ccd3f265be0393d8c79797')
  })

  test('a random source that repeats itself does not hang', () => {
    const stuck = { bytes: (n: number) => new Uint8Array(n).fill(3), below: () => 0 }
    const key = generateX25519(stuck).publicKey
    if (elligatorEncode(key, 3) === undefined)
      expect(() => generateElligatorKeyPair(stuck)).toThrow('random source')
    else expect(hex(generateElligatorKeyPair(stuck).keys.publicKey)).toBe(hex(key))
  })
})
