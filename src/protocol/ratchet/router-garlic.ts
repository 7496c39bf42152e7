/**
 * Garlic to a router's own key (ecies-routers): Noise N, one message, no session, no reply. Used for lookups and stores at
 * floodfills and for build requests to an inbound gateway. The ephemeral key is plain X25519 here, not Elligator2.
 */
import { Writer } from '../../base/bytes.ts'
import { seconds, type WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import { generateX25519, type X25519KeyPair } from '../../crypto/x25519.ts'
import {
  clovesLength,
  MAX_OVERHEAD,
  readPayload,
  writeCloves,
  writeDateTime,
  writePadding,
} from './blocks.ts'
import type { Clove } from './clove.ts'
import { inSkew } from './skew.ts'

// Specification constants

/** 31 bytes: padded to 32 with a zero, not hashed (ecies-routers, "KDF for Initial ck and h"). */
const PROTOCOL_NAME = 'Noise_N_25519_ChaChaPoly_SHA256'
const KEY_LENGTH = 32
const MAC_LENGTH = 16

/**
 * `encryptionKey` is the far router's, 32 bytes. Returns a Garlic message's data without its length field; undefined when the
 * key is one that no router can have.
 */
export function wrapForRouter(
  encryptionKey: Uint8Array,
  cloves: readonly Clove[],
  random: Random,
  wall: WallMillis,
): Uint8Array | undefined {
  const w = new Writer(clovesLength(cloves) + MAX_OVERHEAD)
  // i2pd and Java want the DateTime first.
  writeDateTime(w, seconds(wall))
  writeCloves(w, cloves)
  writePadding(w, random)
  const ephemeral = generateX25519(random)
  const noise = start(encryptionKey, ephemeral.publicKey)
  const sharedSecret = ephemeral.agree(encryptionKey)
  if (sharedSecret === undefined) return undefined
  noise.mixKey(sharedSecret)
  return new Writer(KEY_LENGTH + w.pos + MAC_LENGTH)
    .put(ephemeral.publicKey)
    .put(noise.encryptAndHash(w.bytes.subarray(0, w.pos))).bytes
}

/** The cloves of garlic for the owner of `keys`; undefined when it is for someone else, malformed or out of date. */
export function unwrapForRouter(
  keys: X25519KeyPair,
  bytes: Uint8Array,
  wall: WallMillis,
): Clove[] | undefined {
  if (bytes.length < KEY_LENGTH + MAC_LENGTH) return undefined
  const ephemeral = bytes.subarray(0, KEY_LENGTH)
  const sharedSecret = keys.agree(ephemeral)
  if (sharedSecret === undefined) return undefined
  const noise = start(keys.publicKey, ephemeral)
  noise.mixKey(sharedSecret)
  const plain = noise.decryptAndHash(bytes.subarray(KEY_LENGTH))
  if (plain === undefined) return undefined
  try {
    const payload = readPayload(plain)
    return payload.dateTime !== undefined && inSkew(payload.dateTime, wall) ? payload.cloves : undefined
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

function start(responder: Uint8Array, ephemeral: Uint8Array): SymmetricState {
  const noise = SymmetricState.start(PROTOCOL_NAME)
  noise.mixHash(responder)
  noise.mixHash(ephemeral)
  return noise
}
