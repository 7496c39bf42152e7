import { expect, test } from 'vitest'
import { fromHex, hex } from '../../src/base/bytes.ts'
import { ipBytes, ipText } from '../../src/base/ip.ts'
import { seededRandom } from '../../src/base/random.ts'

test('addresses as text', () => {
  for (const [bytes, text] of [
    ['fe8000000000000000fc00fffe000001', 'fe80::fc:ff:fe00:1'],
    ['fe800000000000000000000000000000', 'fe80::'],
    ['00000000000000000000000000000001', '::1'],
    ['00000000000000000000000000000000', '::'],
    ['fe800001000200030004000500060007', 'fe80:1:2:3:4:5:6:7'],
    ['fe8000000000000110000000000000a0', 'fe80::1:1000:0:0:a0'],
    ['fe800000000000010000000000000001', 'fe80:0:0:1::1'],
    ['01020304', '1.2.3.4'],
    ['ff0000ff', '255.0.0.255'],
  ] as const) {
    expect(ipText(fromHex(bytes))).toBe(text)
    expect(hex(ipBytes(text)!)).toBe(bytes)
  }
})

test('every address comes back', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 500; i++) {
    const bytes = random.bytes(i % 2 === 0 ? 4 : 16)
    for (let at = 0; at < bytes.length; at += 2) if (random.below(2) === 0) bytes.fill(0, at, at + 2)
    expect(ipBytes(ipText(bytes))).toEqual(bytes)
  }
})

test('zones are left out, IPv4 in IPv6 is IPv4, capitals are digits', () => {
  expect(hex(ipBytes('fe80::1%wlan0')!)).toBe('fe800000000000000000000000000001')
  expect(hex(ipBytes('::ffff:1.2.3.4')!)).toBe('01020304')
  expect(hex(ipBytes('2001:DB8::A')!)).toBe('20010db800000000000000000000000a')
})

test('nothing else is an address', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1.2.3.x',
    '01.2.3.0004',
    'host.i2p',
    ':',
    ':::',
    '1::2::3',
  ])
    expect(ipBytes(text), text).toBeUndefined()
  for (const text of [
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    '::ffff:1.2.3',
  ])
    expect(ipBytes(text), text).toBeUndefined()
})
