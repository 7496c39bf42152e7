/** RouterIdentity and Destination, one layout for both (common-structures, "KeysAndCert"). */
import { fromBase32, toBase32 } from '../../base/base32.ts'
import { concat, Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { type Ed25519KeyPair, generateEd25519 } from '../../crypto/ed25519.ts'
import { hkdf } from '../../crypto/hkdf.ts'
import { sha256 } from '../../crypto/sha256.ts'
import { SignatureType } from '../../crypto/signature.ts'
import { generateX25519, type X25519KeyPair, x25519KeyPair } from '../../crypto/x25519.ts'
import {
  ENCRYPTION_FIELD,
  EncryptionType,
  readCertificate,
  SIGNING_FIELD,
  writeKeyCertificate,
} from './certificate.ts'
import { HASH_LENGTH, type Hash } from './hash.ts'

// Specification constants
const KEY_AREA = ENCRYPTION_FIELD + SIGNING_FIELD
const PADDING_BLOCK = 32
const B32_SUFFIX = '.b32.i2p'

/** Names the use of a derived key, so that no other use can yield the same one. */
const DERIVATION = 'ramsons destination encryption key'

export interface Identity {
  /** As received. */
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`. */
  readonly hash: Hash
  readonly signingType: number
  readonly signingKey: Uint8Array
  readonly encryptionType: number
  /** A destination's is unused: its keys are in its lease set. */
  readonly encryptionKey: Uint8Array
}

/** An identity that is ours. */
export interface LocalIdentity {
  readonly identity: Identity
  readonly signing: Ed25519KeyPair
  /** A router's own key, or the one a destination puts in its lease set. */
  readonly encryption: X25519KeyPair
}

/** What it returns shares the reader's memory: whoever keeps it gives a reader over bytes of its own. */
export function readIdentity(r: Reader): Identity {
  const start = r.pos
  const encryptionField = r.take(ENCRYPTION_FIELD)
  const signingField = r.take(SIGNING_FIELD)
  const types = readCertificate(r)
  const inField = Math.min(types.signingKeyLength, SIGNING_FIELD)
  const signingHead = signingField.subarray(SIGNING_FIELD - inField)
  const bytes = r.bytes.subarray(start, r.pos)
  return {
    bytes,
    hash: sha256(bytes),
    signingType: types.signingType,
    signingKey: types.excess.length === 0 ? signingHead : concat(signingHead, types.excess),
    encryptionType: types.encryptionType,
    encryptionKey: encryptionField.subarray(0, types.encryptionKeyLength),
  }
}

/** The only keys a router may have: X25519 and Ed25519. */
export function newRouterIdentity(random: Random): LocalIdentity {
  const encryption = generateX25519(random)
  const signing = generateEd25519(random)
  const keys = concat(encryption.publicKey, padding(random, KEY_AREA - 64), signing.publicKey)
  const certificate = writeKeyCertificate(SignatureType.EdDSA_SHA512_Ed25519, EncryptionType.X25519)
  return { identity: readIdentity(new Reader(concat(keys, certificate))), signing, encryption }
}

/** Its encryption field is unused and says ElGamal, as is customary; `destinationEncryption` has the real key. */
export function newDestination(random: Random): LocalIdentity {
  const signing = generateEd25519(random)
  const keys = concat(padding(random, KEY_AREA - 32), signing.publicKey)
  const certificate = writeKeyCertificate(SignatureType.EdDSA_SHA512_Ed25519, EncryptionType.ElGamal)
  const identity = readIdentity(new Reader(concat(keys, certificate)))
  return { identity, signing, encryption: destinationEncryption(signing) }
}

/**
 * The lease set key of a destination whose key file has no room for one. Derived, so that it outlives a restart (peers'
 * sessions go on) with any router's key file.
 */
export function destinationEncryption(signing: Ed25519KeyPair): X25519KeyPair {
  return x25519KeyPair(hkdf(new Uint8Array(32), signing.privateKey, DERIVATION, 32))
}

/** 'xxxx.b32.i2p' (naming, "Base 32 Names"). */
export function toB32(hash: Hash): string {
  return toBase32(hash) + B32_SUFFIX
}

/** Undefined when `name` is not the b32 name of a hash; names of blinded destinations are longer. */
export function fromB32(name: string): Hash | undefined {
  const lower = name.toLowerCase()
  if (!lower.endsWith(B32_SUFFIX) || lower.length !== 52 + B32_SUFFIX.length) return undefined
  try {
    const hash = fromBase32(lower.slice(0, 52))
    return hash.length === HASH_LENGTH ? hash : undefined
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

/** One random block over and over, so that stored identities compress (proposal 161). */
function padding(random: Random, length: number): Uint8Array {
  const block = random.bytes(PADDING_BLOCK)
  const w = new Writer(length)
  while (w.pos < length) w.put(block)
  return w.bytes
}
