/**
 * Noise N between a tunnel's creator (initiator) and one hop (responder), and the keys that both draw from it
 * (tunnel-creation-ecies, "KDF for Request Record", "KDF"). Letters as in the spec: ck chaining key, h hash.
 */
import { concat } from '../../base/bytes.ts'
import { chacha20 } from '../../crypto/chacha20.ts'
import { hkdf2 } from '../../crypto/hkdf.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import { EPHEMERAL_KEY } from './record.ts'

// Specification constants
const PROTOCOL_NAME = 'Noise_N_25519_ChaChaPoly_SHA256'
const NO_KEY_MATERIAL = new Uint8Array(0)
const GARLIC_TAG = 8
/** ChaCha20's nonce has the record's index at this byte. */
const NONCE_LENGTH = 12
const NONCE_INDEX = 4

export interface HopKeys {
  /** For the hop's own reply (AEAD) and the other records of the message (ChaCha20). */
  readonly replyKey: Uint8Array
  readonly layerKey: Uint8Array
  readonly ivKey: Uint8Array
  /** Associated data of the hop's reply. */
  readonly h: Uint8Array
  /** Outbound endpoints only: how the reply is garlic encrypted. */
  readonly garlicReply?: GarlicReply
}

export interface GarlicReply {
  readonly key: Uint8Array
  /** 8 bytes. */
  readonly tag: Uint8Array
}

/** The creator's side: ephemeral key and ciphertext, as they follow the truncated hash. Undefined when the hop's key is bad. */
export function sealRequest(
  hopKey: Uint8Array,
  ephemeral: X25519KeyPair,
  clear: Uint8Array,
): { sealed: Uint8Array; state: SymmetricState } | undefined {
  const state = SymmetricState.start(PROTOCOL_NAME)
  state.mixHash(hopKey)
  state.mixHash(ephemeral.publicKey)
  const secret = ephemeral.agree(hopKey)
  if (secret === undefined) return undefined
  state.mixKey(secret)
  return { sealed: concat(ephemeral.publicKey, state.encryptAndHash(clear)), state }
}

/** The hop's side. Undefined when it was not made for our key. */
export function openRequest(
  keys: X25519KeyPair,
  sealed: Uint8Array,
): { clear: Uint8Array; state: SymmetricState } | undefined {
  const ephemeral = sealed.subarray(0, EPHEMERAL_KEY)
  const state = SymmetricState.start(PROTOCOL_NAME)
  state.mixHash(keys.publicKey)
  state.mixHash(ephemeral)
  const secret = keys.agree(ephemeral)
  if (secret === undefined) return undefined
  state.mixKey(secret)
  const clear = state.decryptAndHash(sealed.subarray(EPHEMERAL_KEY))
  return clear === undefined ? undefined : { clear, state }
}

/** Keys of a short record. An outbound endpoint's IV key comes from one step further. */
export function shortRecordKeys(state: SymmetricState, outboundEndpoint: boolean): HopKeys {
  const h = state.h
  const [ck1, replyKey] = hkdf2(state.ck, NO_KEY_MATERIAL, 'SMTunnelReplyKey')
  const [ck2, layerKey] = hkdf2(ck1, NO_KEY_MATERIAL, 'SMTunnelLayerKey')
  if (!outboundEndpoint) return { replyKey, layerKey, ivKey: ck2, h }
  const [ck3, ivKey] = hkdf2(ck2, NO_KEY_MATERIAL, 'TunnelLayerIVKey')
  const [ck4, key] = hkdf2(ck3, NO_KEY_MATERIAL, 'RGarlicKeyAndTag')
  return { replyKey, layerKey, ivKey, h, garlicReply: { key, tag: ck4.subarray(0, GARLIC_TAG) } }
}

/** Applies ChaCha20 to another hop's record in place; applying it twice undoes it. */
export function streamRecord(replyKey: Uint8Array, index: number, record: Uint8Array): void {
  const nonce = new Uint8Array(NONCE_LENGTH)
  nonce[NONCE_INDEX] = index
  record.set(chacha20(replyKey, nonce, record))
}
