import { describe, expect, test } from 'vitest'
import { hex } from '../../src/base/bytes.ts'
import { ConfigError } from '../../src/base/errors.ts'
import { seededRandom } from '../../src/base/random.ts'
import {
  DEFAULT_NAME,
  meshKeys,
  newSecret,
  OPEN,
  parseInvitation,
  parseName,
  parseSecret,
  passphraseBits,
  toLink,
  toWords,
} from '../../src/mesh/secret.ts'
import { WORDS } from '../../src/mesh/words.ts'

test('2048 words, told apart by four letters', () => {
  expect(WORDS.length).toBe(2048)
  expect(new Set(WORDS.map((w) => w.slice(0, 4))).size).toBe(2048)
  for (const w of WORDS) expect(w).toMatch(/^[a-z]{3,7}$/)
  expect([...WORDS].sort()).toEqual(WORDS)
})

describe('secret', () => {
  const secret = newSecret(seededRandom(1))
  const words = secret.split(' ')

  test('six words, each time others', () => {
    expect(words.length).toBe(6)
    for (const w of words) expect(WORDS).toContain(w)
    expect(newSecret(seededRandom(2))).not.toBe(secret)
  })

  test('however it was written down', () => {
    const short = words.map((w) => w.slice(0, 4)).join(' ')
    for (const form of [
      secret,
      `  ${secret.toUpperCase()}\n`,
      words.join('-'),
      words.join(', '),
      words.join('\t'),
      short,
    ])
      expect(parseSecret(form)).toBe(secret)
    expect(parseSecret('Open')).toBe(OPEN)
  })

  test('a mistake in the words is named without the words', () => {
    const wrong = [...words.slice(0, 3), 'qqqq', ...words.slice(4)].join(' ')
    const refusal = (text: string): ConfigError => {
      try {
        parseSecret(text)
      } catch (e) {
        expect(e).toBeInstanceOf(ConfigError)
        if (text !== '') expect((e as Error).message).not.toContain(text)
        return e as ConfigError
      }
      throw new Error(`accepted ${text}`)
    }
    expect(refusal(wrong).message).toMatch(/number 4 is not one/)
    expect(refusal(words.slice(0, 5).join(' ')).message).toMatch(/these are 5/)
    expect(refusal(`${secret} able`).message).toMatch(/these are 7/)
    for (const weak of [
      '',
      'password',
      'hunter2',
      'open sesame',
      '12345678901234567890123456789',
      'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
      'mesh mesh mesh mesh mesh mesh mesh mesh',
      'correct horse battery',
      'abcdefghijklmnopqrstuvwxyz',
    ])
      expect(refusal(weak).message).toMatch(/guessed|words/)
    expect(refusal('x9'.repeat(200)).message).toMatch(/256/)
  })

  test('a long passphrase of the user’s own is taken as it is, white space evened out', () => {
    const own = 'Der Bärlauch  wächst im\nApril unter den Buchen am Bach'
    expect(parseSecret(own)).toBe('Der Bärlauch wächst im April unter den Buchen am Bach')
    expect(parseSecret('k8#Zq!v2 Lw0$Tn5@ Xr7&Bd3*')).toBe('k8#Zq!v2 Lw0$Tn5@ Xr7&Bd3*')
    expect(passphraseBits(secret)).toBeGreaterThan(30)
  })

  test('link and words, both ways', () => {
    for (const invitation of [
      { name: DEFAULT_NAME, secret },
      { name: 'north-bank', secret },
      { name: 'village', secret: 'Der Bärlauch wächst im April unter den Buchen am Bach/100%' },
      { name: 'square', secret: OPEN },
    ]) {
      expect(parseInvitation(toLink(invitation))).toEqual(invitation)
      expect(parseInvitation(`${toLink(invitation)}/`)).toEqual(invitation)
      expect(parseInvitation(toWords(invitation))).toEqual(invitation)
      expect(toLink(invitation)).toMatch(/^ramsons:\/\/[a-z0-9-]+\/[^\s/]+$/)
    }
    expect(toLink({ name: 'north-bank', secret })).toBe(`ramsons://north-bank/${words.join('-')}`)
    expect(toWords({ name: DEFAULT_NAME, secret })).toBe(secret)
  })

  test('what is no invitation', () => {
    for (const bad of [
      '',
      'ramsons://',
      'ramsons://x',
      'ramsons://x/',
      `ramsons://x%zz/${words.join('-')}`,
      `a b: ${secret}`,
      `ramsons://-/${words.join('-')}`,
    ])
      expect(() => parseInvitation(bad)).toThrow(ConfigError)
    expect(parseName(' North-Bank ')).toBe('north-bank')
    expect(parseName('')).toBe(DEFAULT_NAME)
    for (const bad of ['-x', 'x-', 'ä', 'a/b', 'x'.repeat(33)])
      expect(() => parseName(bad)).toThrow(ConfigError)
  })
})

test('keys: fixed for a name and secret, all different otherwise', () => {
  const keys = meshKeys({ name: 'ramsons', secret: 'able about above absent absorb acid' })
  // scrypt and HKDF of Python's hashlib and hmac for the same words.
  expect(keys.netId).toBe(PYTHON.netId)
  expect(hex(keys.discovery)).toBe(PYTHON.discovery)
  expect(hex(keys.hello)).toBe(PYTHON.hello)
  const other = meshKeys({ name: 'other', secret: 'able about above absent absorb acid' })
  expect(hex(other.hello)).not.toBe(hex(keys.hello))
  for (let i = 0; i < 20; i++) {
    const { netId } = meshKeys({ name: 'n', secret: `s${i}` })
    expect(netId).toBeGreaterThanOrEqual(16)
    expect(netId).toBeLessThanOrEqual(254)
  }
})

const PYTHON = {
  netId: 37,
  discovery: '00be3fd999cb9d6fb13bca6e7ab605a1e1296917e46369ac1f27327a10f032ec',
  hello: '58f78a181a23fd7e1105d7675e8d9bbfcc6c3776d6fe5309a39c34908558b3b6',
}
