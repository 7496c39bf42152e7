/**
 * Key files as i2pd and Java I2P write them (i2pd's `router.keys` and `.dat`, Java's `eepPriv.dat`; common-structures,
 * "PrivateKeyFile"): the identity, the encryption private key, the signing private key.
 */
import { Reader, sameBytes, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { ed25519KeyPair } from '../../crypto/ed25519.ts'
import { SignatureType } from '../../crypto/signature.ts'
import { x25519KeyPair } from '../../crypto/x25519.ts'
import { EncryptionType } from './certificate.ts'
import { destinationEncryption, type LocalIdentity, readIdentity } from './identity.ts'

// Specification constants
const ELGAMAL_PRIVATE = 256
const X25519_PRIVATE = 32
const ED25519_PRIVATE = 32

/**
 * The caller's bytes may be wiped afterwards.
 * @throws {MalformedError} also when the keys are of kinds we do not use ourselves, or the signing key is kept offline.
 */
export function readPrivateKeys(bytes: Uint8Array): LocalIdentity {
  const r = new Reader(new Uint8Array(bytes))
  const identity = readIdentity(r)
  if (identity.signingType !== SignatureType.EdDSA_SHA512_Ed25519)
    throw new MalformedError(`key file: signature type ${identity.signingType} is not supported`)
  const encryptionType = identity.encryptionType
  if (encryptionType !== EncryptionType.ElGamal && encryptionType !== EncryptionType.X25519)
    throw new MalformedError(`key file: encryption type ${encryptionType} is not supported`)
  const encryptionKey = r.take(encryptionType === EncryptionType.X25519 ? X25519_PRIVATE : ELGAMAL_PRIVATE)
  const seed = r.take(ED25519_PRIVATE)
  if (seed.every((b) => b === 0)) throw new MalformedError('key file: offline signing keys are not supported')
  r.end('key file')
  const signing = ed25519KeyPair(seed)
  if (!sameBytes(signing.publicKey, identity.signingKey))
    throw new MalformedError("key file: the signing key is not the identity's")
  const encryption =
    encryptionType === EncryptionType.X25519 ? x25519KeyPair(encryptionKey) : destinationEncryption(signing)
  return { identity, signing, encryption }
}

/** An ElGamal private key is written as zeros: nobody decrypts with it. */
export function writePrivateKeys(local: LocalIdentity): Uint8Array {
  const { identity, signing, encryption } = local
  const x25519 = identity.encryptionType === EncryptionType.X25519
  const size = identity.bytes.length + (x25519 ? X25519_PRIVATE : ELGAMAL_PRIVATE) + ED25519_PRIVATE
  const w = new Writer(size).put(identity.bytes)
  if (x25519) w.put(encryption.privateKey)
  else w.pos += ELGAMAL_PRIVATE
  return w.put(signing.privateKey).bytes
}
