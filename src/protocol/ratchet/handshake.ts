/**
 * The two handshake messages, New Session and New Session Reply (ecies, "New session format", "New Session Reply format"):
 * Noise IK with Elligator2 ephemeral keys and a tag before the reply. Letters are the spec's: a for Alice, the initiator, b for
 * Bob; s static, e ephemeral; sk and pk the halves of a pair; ck and h the Noise state.
 */
import { concat, Writer } from '../../base/bytes.ts'
import type { Random } from '../../base/random.ts'
import { open, seal } from '../../crypto/aead.ts'
import { elligatorDecode, generateElligatorKeyPair } from '../../crypto/elligator2.ts'
import { hkdf, hkdf2 } from '../../crypto/hkdf.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import { TAG_LENGTH } from './tag-set.ts'

// Specification constants

const PROTOCOL_NAME = 'Noise_IKelg2+hs2_25519_ChaChaPoly_SHA256'
const KEY_LENGTH = 32
const MAC_LENGTH = 16
const STATIC_SECTION_LENGTH = KEY_LENGTH + MAC_LENGTH
/** Without its payload. */
export const NEW_SESSION_LENGTH: number = KEY_LENGTH + STATIC_SECTION_LENGTH + MAC_LENGTH
export const NEW_SESSION_REPLY_LENGTH: number = TAG_LENGTH + KEY_LENGTH + MAC_LENGTH + MAC_LENGTH

const EMPTY = new Uint8Array(0)
/** Instead of a static key: no reply is wanted, or none is possible. */
const UNBOUND = new Uint8Array(KEY_LENGTH)

/** ck and h after the protocol name and the empty prologue: the same for all. */
const START = SymmetricState.start(PROTOCOL_NAME)

export interface SentNewSession {
  readonly message: Uint8Array
  /** State after the payload, from which every reply goes on in its own fork. */
  readonly noise: SymmetricState
  readonly ae: X25519KeyPair
}

/** `as` is our static key pair; undefined makes a message without binding. Undefined when `bpk` is no possible key. */
export function writeNewSession(
  as: X25519KeyPair | undefined,
  bpk: Uint8Array,
  payload: Uint8Array,
  random: Random,
): SentNewSession | undefined {
  const noise = START.fork()
  noise.mixHash(bpk)
  const { keys: ae, representative } = generateElligatorKeyPair(random)
  noise.mixHash(ae.publicKey)
  const es = ae.agree(bpk)
  if (es === undefined) return undefined
  noise.mixKey(es)
  const staticSection = noise.encryptAndHash(as === undefined ? UNBOUND : as.publicKey)
  if (as !== undefined) {
    const ss = as.agree(bpk)
    if (ss === undefined) return undefined
    noise.mixKey(ss)
  }
  // Without MixKey the payload's nonce is 1, the static section's having been 0.
  return { message: concat(representative, staticSection, noise.encryptAndHash(payload)), noise, ae }
}

export interface ReceivedNewSession {
  readonly payload: Uint8Array
  readonly noise: SymmetricState
  readonly aepk: Uint8Array
  /** Undefined: not bound, cannot be answered. */
  readonly apk: Uint8Array | undefined
}

/** Undefined when it is not a New Session message to the owner of `bs`. */
export function readNewSession(bs: X25519KeyPair, bytes: Uint8Array): ReceivedNewSession | undefined {
  if (bytes.length < NEW_SESSION_LENGTH) return undefined
  const aepk = elligatorDecode(bytes.subarray(0, KEY_LENGTH))
  const es = bs.agree(aepk)
  if (es === undefined) return undefined
  const noise = START.fork()
  noise.mixHash(bs.publicKey)
  noise.mixHash(aepk)
  noise.mixKey(es)
  const end = KEY_LENGTH + STATIC_SECTION_LENGTH
  const apk = noise.decryptAndHash(bytes.subarray(KEY_LENGTH, end))
  if (apk === undefined) return undefined
  const bound = apk.some((b) => b !== 0)
  if (bound) {
    const ss = bs.agree(apk)
    if (ss === undefined) return undefined
    noise.mixKey(ss)
  }
  const payload = noise.decryptAndHash(bytes.subarray(end))
  return payload === undefined ? undefined : { payload, noise, aepk, apk: bound ? apk : undefined }
}

/** What the tag set of the replies to one New Session message is made from: root key and k. */
export function replyTagSetKeys(noise: SymmetricState): readonly [Uint8Array, Uint8Array] {
  return [noise.ck, hkdf(noise.ck, EMPTY, 'SessionReplyTags', KEY_LENGTH)]
}

/** What the first tag sets of a session are made from: one root key, and k for each direction. */
export interface SessionKeys {
  readonly rootKey: Uint8Array
  readonly kab: Uint8Array
  readonly kba: Uint8Array
}

/** `noise` is of the New Session message and stays as it is: each reply has its own ephemeral key and makes its own session. */
export function writeNewSessionReply(
  newSession: { readonly noise: SymmetricState; readonly aepk: Uint8Array },
  apk: Uint8Array,
  tag: Uint8Array,
  payload: Uint8Array,
  random: Random,
): { readonly message: Uint8Array; readonly keys: SessionKeys } | undefined {
  const { keys: be, representative } = generateElligatorKeyPair(random)
  const ee = be.agree(newSession.aepk)
  const se = be.agree(apk)
  if (ee === undefined || se === undefined) return undefined
  const noise = replyState(newSession.noise, tag, be.publicKey, ee, se)
  const keySection = noise.encryptAndHash(EMPTY)
  const keys = split(noise)
  const w = new Writer(NEW_SESSION_REPLY_LENGTH + payload.length)
  w.put(tag).put(representative).put(keySection)
  return { message: w.put(seal(payloadKey(keys), 0, noise.h, payload)).bytes, keys }
}

/** Undefined when it is not a reply to `sent`. `as` is our static key pair. */
export function readNewSessionReply(
  sent: { readonly noise: SymmetricState; readonly ae: X25519KeyPair },
  as: X25519KeyPair,
  bytes: Uint8Array,
): { readonly payload: Uint8Array; readonly keys: SessionKeys } | undefined {
  if (bytes.length < NEW_SESSION_REPLY_LENGTH) return undefined
  const keySection = TAG_LENGTH + KEY_LENGTH
  const bepk = elligatorDecode(bytes.subarray(TAG_LENGTH, keySection))
  const ee = sent.ae.agree(bepk)
  const se = as.agree(bepk)
  if (ee === undefined || se === undefined) return undefined
  const noise = replyState(sent.noise, bytes.subarray(0, TAG_LENGTH), bepk, ee, se)
  const end = keySection + MAC_LENGTH
  if (noise.decryptAndHash(bytes.subarray(keySection, end)) === undefined) return undefined
  const keys = split(noise)
  const payload = open(payloadKey(keys), 0, noise.h, bytes.subarray(end))
  return payload === undefined ? undefined : { payload, keys }
}

function replyState(
  start: SymmetricState,
  tag: Uint8Array,
  bepk: Uint8Array,
  ee: Uint8Array,
  se: Uint8Array,
): SymmetricState {
  const noise = start.fork()
  noise.mixHash(tag)
  noise.mixHash(bepk)
  noise.mixKey(ee)
  noise.mixKey(se)
  return noise
}

function split(noise: SymmetricState): SessionKeys {
  const [kab, kba] = hkdf2(noise.ck, EMPTY, '')
  return { rootKey: noise.ck, kab, kba }
}

/** The reply's payload is like the first message of the session, but bound to the handshake by h. */
function payloadKey(keys: SessionKeys): Uint8Array {
  return hkdf(keys.kba, EMPTY, 'AttachPayloadKDF', KEY_LENGTH)
}
