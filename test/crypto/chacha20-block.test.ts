import { expect, test } from 'vitest'
import { copy, hex } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import { chacha20 } from '../../src/crypto/chacha20.ts'
import { chacha20Mask } from '../../src/crypto/chacha20-block.ts'
import { h } from './backends.ts'

test('RFC 8439, 2.3.2', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i)
  const bytes = h('0000000000000000 000000090000004a00000000')
  chacha20Mask(key, bytes, 8, 0)
  expect(hex(bytes)).toBe('10f1e7e4d13b5915000000090000004a00000000')
})

test('is what chacha20 says, wherever nonce and bytes are, and undoes itself', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 500; i++) {
    const key = random.bytes(32)
    const packet = random.bytes(40 + random.below(40))
    const at = random.below(9)
    const nonceAt = 16 + random.below(packet.length - 27)
    const masked = copy(packet)
    chacha20Mask(key, masked, nonceAt, at)
    const expected = copy(packet)
    expected.set(chacha20(key, packet.subarray(nonceAt, nonceAt + 12), packet.subarray(at, at + 8)), at)
    expect(hex(masked)).toBe(hex(expected))
    chacha20Mask(key, masked, nonceAt, at)
    expect(hex(masked)).toBe(hex(packet))
  }
})
