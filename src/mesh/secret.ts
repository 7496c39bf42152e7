/**
 * The secret of a mesh, the forms people pass it on in (words, `ramsons://` link), and the keys that come from it
 * (mesh design, "Secret").
 */
import { utf8 } from '../base/bytes.ts'
import { ConfigError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { hkdf } from '../crypto/hkdf.ts'
import { scrypt } from '../crypto/scrypt.ts'
import { WORDS } from './words.ts'

// Specification constants
const SALT = 'ramsons mesh 1'
const SCRYPT = { N: 2 ** 15, r: 8, p: 1, length: 32 } as const
const LINK_SCHEME = 'ramsons://'
/** 16-254 are free for networks other than the public one (I2P proposal 147). */
const FIRST_NET_ID = 16
const NET_IDS = 239
/** Not a secret: whoever reads this file can take part. */
export const OPEN = 'open'
/** The name of a mesh that was given none: it can be joined by its words alone. */
export const DEFAULT_NAME = 'ramsons'

// Implementation constants
/** Six of 2048 are 66 bits. */
const SECRET_WORDS = 6
const WORD_PREFIX = 4
/** What a passphrase of the user's own must be worth at least, by a mean estimate. */
const MIN_BITS = 64
const MAX_SECRET = 256
const MAX_NAME = 32

/** What joins a mesh. */
export interface Invitation {
  readonly name: string
  readonly secret: string
}

export interface MeshKeys {
  readonly netId: number
  /** Kd: tags announcements. */
  readonly discovery: Uint8Array
  /** Kh: the hello's pre-shared key and the prologue of the mesh face's transports. */
  readonly hello: Uint8Array
}

/** Six words of the list, between single spaces. */
export function newSecret(random: Random): string {
  return Array.from({ length: SECRET_WORDS }, () => WORDS[random.below(WORDS.length)]!).join(' ')
}

/** About 100 ms: call once. */
export function meshKeys({ name, secret }: Invitation): MeshKeys {
  const m = scrypt(utf8(secret), utf8(SALT + name), SCRYPT)
  const none = new Uint8Array(0)
  return {
    netId: FIRST_NET_ID + (hkdf(none, m, 'netid', 1)[0]! % NET_IDS),
    discovery: hkdf(none, m, 'discovery', 32),
    hello: hkdf(none, m, 'hello', 32),
  }
}

/** `ramsons://name/six-words-between-hyphens`; any other secret is percent-encoded. */
export function toLink({ name, secret }: Invitation): string {
  const words = secret.split(' ')
  const path = words.every((w) => BY_PREFIX.has(w.slice(0, WORD_PREFIX)))
    ? words.join('-')
    : encodeURIComponent(secret)
  return `${LINK_SCHEME}${encodeURIComponent(name)}/${path}`
}

/** As read aloud: the words, with `name:` before them unless it is the default. */
export function toWords({ name, secret }: Invitation): string {
  return name === DEFAULT_NAME ? secret : `${name}: ${secret}`
}

/**
 * A link, or words with or without `name:` before them.
 * @throws {ConfigError} when it is neither, a word is unknown, or the passphrase is weak; the message never holds the secret.
 */
export function parseInvitation(text: string): Invitation {
  const trimmed = text.trim()
  if (trimmed.toLowerCase().startsWith(LINK_SCHEME)) return fromLink(trimmed.slice(LINK_SCHEME.length))
  const colon = trimmed.indexOf(':')
  if (colon < 0) return { name: DEFAULT_NAME, secret: parseSecret(trimmed) }
  return { name: parseName(trimmed.slice(0, colon)), secret: parseSecret(trimmed.slice(colon + 1)) }
}

function fromLink(rest: string): Invitation {
  const slash = rest.indexOf('/')
  if (slash < 0) throw refused('a link of the form ramsons://name/words')
  try {
    const name = parseName(decodeURIComponent(rest.slice(0, slash)))
    return { name, secret: parseSecret(decodeURIComponent(rest.slice(slash + 1).replace(/\/$/, ''))) }
  } catch (e) {
    throw e instanceof URIError ? refused('a link whose % signs are followed by two hex digits') : e
  }
}

/**
 * The one spelling of a mesh's name; empty means the default.
 * @throws {ConfigError} on what would not survive being read aloud.
 */
export function parseName(text: string): string {
  const name = text.trim().toLowerCase()
  if (name === '') return DEFAULT_NAME
  if (name.length > MAX_NAME || !/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name)) {
    throw new ConfigError('mesh.name', text, `up to ${MAX_NAME} of a-z, 0-9 and inner hyphens`)
  }
  return name
}

/**
 * The one spelling of a secret: list words in full and lower case between spaces, `open`, or the user's own passphrase with its
 * white space evened out.
 * @throws {ConfigError} without the secret in its message.
 */
export function parseSecret(text: string): string {
  const evened = text.normalize('NFC').trim().replace(/\s+/g, ' ')
  const tokens = evened.toLowerCase().split(/[\s,-]+/)
  if (tokens.length === 1 && tokens[0] === OPEN) return OPEN
  const words = tokens.map(listWord)
  const unknown = words.indexOf(undefined)
  if (tokens.length === SECRET_WORDS && unknown < 0) return words.join(' ')
  // Most of a note that was copied with a mistake: say which word, rather than call it a weak passphrase.
  const known = words.filter((w) => w !== undefined).length
  if (
    /^[a-z\s,-]+$/.test(evened.toLowerCase()) &&
    known >= SECRET_WORDS - 2 &&
    tokens.length <= SECRET_WORDS + 1
  ) {
    throw refused(
      unknown < 0 || tokens.length !== SECRET_WORDS
        ? `${SECRET_WORDS} words (these are ${tokens.length})`
        : `six words of the list (number ${unknown + 1} is not one)`,
    )
  }
  if (evened.length > MAX_SECRET) throw refused(`at most ${MAX_SECRET} characters`)
  if (passphraseBits(evened) < MIN_BITS) {
    throw refused(
      'six generated words (ramsons mesh new), "open", or a much longer passphrase: this one can be guessed',
    )
  }
  return evened
}

function refused(allowed: string): ConfigError {
  return new ConfigError('mesh.secret', '(not shown)', allowed)
}

const BY_PREFIX: ReadonlyMap<string, string> = new Map(WORDS.map((w) => [w.slice(0, WORD_PREFIX), w]))

/** The word, or the one that its first four letters stand for. */
function listWord(token: string): string | undefined {
  const word = BY_PREFIX.get(token.slice(0, WORD_PREFIX))
  return word === token || token.length === WORD_PREFIX ? word : undefined
}

/**
 * A deliberately mean guess at what a guesser must try. Letters in words are worth two bits (English runs at about that), each
 * different word counts once and never more than a word of a large dictionary; other characters four; whatever repeats or continues a run (aaaa,
 * 1234) nothing.
 */
export function passphraseBits(secret: string): number {
  const WORD_BITS = 13
  let bits = 0
  const seen = new Set<string>()
  for (const [piece] of secret.toLowerCase().matchAll(/\p{L}+|[^\p{L}\s]+/gu)) {
    if (seen.has(piece)) continue
    seen.add(piece)
    let fresh = 0
    for (let i = 0; i < piece.length; i++) {
      const step = i === 0 ? Number.NaN : piece.charCodeAt(i) - piece.charCodeAt(i - 1)
      if (!(Math.abs(step) <= 1)) fresh++
    }
    const letters = /\p{L}/u.test(piece)
    bits += letters ? Math.min(2 * fresh, WORD_BITS) : 4 * Math.min(fresh, new Set(piece).size)
  }
  return bits
}
