/**
 * What stands behind the 384 bytes of keys (common-structures, "Certificate", "Key Certificates"). Types 1 to 4 are dead, and a
 * KEY certificate must be exactly as long as its types need: two spellings of one identity would be two hashes.
 */
import { type Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { SignatureType, signingKeyLength } from '../../crypto/signature.ts'

// Specification constants
const NULL_CERTIFICATE = 0
const KEY_CERTIFICATE = 5
/** Field widths in the key area. */
export const ENCRYPTION_FIELD = 256
export const SIGNING_FIELD = 128

export const EncryptionType = {
  ElGamal: 0,
  P256: 1,
  P384: 2,
  P521: 3,
  X25519: 4,
  MlKem512X25519: 5,
  MlKem768X25519: 6,
  MlKem1024X25519: 7,
} as const

/** What an identity may declare; the hybrids (5 to 7) stand only in a LeaseSet2's list of keys. */
const IDENTITY_ENCRYPTION_KEY_LENGTH: ReadonlyMap<number, number> = new Map([
  [EncryptionType.ElGamal, 256],
  [EncryptionType.P256, 64],
  [EncryptionType.P384, 96],
  [EncryptionType.P521, 132],
  [EncryptionType.X25519, 32],
])

export interface KeyTypes {
  readonly signingType: number
  readonly encryptionType: number
  readonly signingKeyLength: number
  readonly encryptionKeyLength: number
  /** The part of a long signing key that found no room in its field. Not copied. */
  readonly excess: Uint8Array
}

export function readCertificate(r: Reader): KeyTypes {
  const type = r.u8()
  const body = r.sub(r.u16())
  if (type === NULL_CERTIFICATE) return keyTypes(SignatureType.DSA_SHA1, EncryptionType.ElGamal, body)
  if (type !== KEY_CERTIFICATE) throw new MalformedError(`certificate of type ${type}`)
  const signingType = body.u16()
  const encryptionType = body.u16()
  return keyTypes(signingType, encryptionType, body)
}

/** A KEY certificate for keys without excess. */
export function writeKeyCertificate(signingType: number, encryptionType: number): Uint8Array {
  return new Writer(7).u8(KEY_CERTIFICATE).u16(4).u16(signingType).u16(encryptionType).bytes
}

function keyTypes(signingType: number, encryptionType: number, body: Reader): KeyTypes {
  const signing = signingKeyLength(signingType)
  const encryption = IDENTITY_ENCRYPTION_KEY_LENGTH.get(encryptionType)
  if (signing === undefined) throw new MalformedError(`signature type ${signingType} in an identity`)
  if (encryption === undefined) throw new MalformedError(`encryption type ${encryptionType} in an identity`)
  const excess = body.take(Math.max(0, signing - SIGNING_FIELD))
  body.end('certificate')
  return { signingType, encryptionType, signingKeyLength: signing, encryptionKeyLength: encryption, excess }
}
