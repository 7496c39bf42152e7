/** NTCP2's static key and `i` of a face, kept in its state: others remember them (ntcp2, "Published Addresses"). */
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
  readonly iv: Uint8Array
}

/** Made at first use, and anew when the state is damaged. */
export function transportKeys(folder: FaceFolder, random: Random): TransportKeys {
  const state = folder.readState()
  const key = bytes(state['ntcp2_key'], KEY_LENGTH)
  const iv = bytes(state['ntcp2_iv'], IV_LENGTH)
  if (key !== undefined && iv !== undefined) return { staticKeys: x25519KeyPair(key), iv }
  const made = { staticKeys: generateX25519(random), iv: random.bytes(IV_LENGTH) }
  folder.writeState({
    ...state,
    ntcp2_key: toBase64(made.staticKeys.privateKey),
    ntcp2_iv: toBase64(made.iv),
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
