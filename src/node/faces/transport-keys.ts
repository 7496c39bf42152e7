/** The static key of both transports and their `i`, kept in a face's state: others remember them (ntcp2, ssu2, "Published Addresses"). */
import { fromBase64, toBase64 } from '../../base/base64.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { generateX25519, type X25519KeyPair, x25519KeyPair } from '../../crypto/x25519.ts'
import type { FaceFolder } from '../data-folder.ts'

// Specification constants
const KEY_LENGTH = 32
const IV_LENGTH = 16

export interface TransportKeys {
  readonly staticKeys: X25519KeyPair
  /** NTCP2's `i`. */
  readonly iv: Uint8Array
  /** SSU2's `i`. */
  readonly introKey: Uint8Array
}

/** Made at first use, and anew when the state is damaged. */
export function transportKeys(folder: FaceFolder, random: Random): TransportKeys {
  const state = folder.readState()
  const key = bytes(state['ntcp2_key'], KEY_LENGTH)
  const iv = bytes(state['ntcp2_iv'], IV_LENGTH)
  const introKey = bytes(state['ssu2_intro_key'], KEY_LENGTH)
  if (key !== undefined && iv !== undefined && introKey !== undefined)
    return { staticKeys: x25519KeyPair(key), iv, introKey }
  const made = {
    staticKeys: key === undefined ? generateX25519(random) : x25519KeyPair(key),
    iv: iv ?? random.bytes(IV_LENGTH),
    introKey: introKey ?? random.bytes(KEY_LENGTH),
  }
  folder.writeState({
    ...state,
    ntcp2_key: toBase64(made.staticKeys.privateKey),
    ntcp2_iv: toBase64(made.iv),
    ssu2_intro_key: toBase64(made.introKey),
  })
  return made
}

function bytes(value: unknown, length: number): Uint8Array | undefined {
  try {
    const decoded = typeof value === 'string' ? fromBase64(value) : undefined
    return decoded?.length === length ? decoded : undefined
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
