/** Signatures by their type number (common-structures, "Key Certificates", signing key types). */
import { createPublicKey, verify } from 'node:crypto'
import { ed25519Verify } from './ed25519.ts'

// Specification constants

export const SignatureType = {
  DSA_SHA1: 0,
  ECDSA_SHA256_P256: 1,
  ECDSA_SHA384_P384: 2,
  ECDSA_SHA512_P521: 3,
  EdDSA_SHA512_Ed25519: 7,
  RedDSA_SHA512_Ed25519: 11,
} as const

interface Kind {
  readonly keyLength: number
  readonly signatureLength: number
  readonly curve?: string
  readonly hash?: string
}

/** Bytes of a signing public key and of a signature. RSA and GOST types are never legal in a RouterInfo or a Destination. */
const KINDS: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [SignatureType.DSA_SHA1, { keyLength: 128, signatureLength: 40 }],
  [SignatureType.ECDSA_SHA256_P256, { keyLength: 64, signatureLength: 64, curve: 'P-256', hash: 'sha256' }],
  [SignatureType.ECDSA_SHA384_P384, { keyLength: 96, signatureLength: 96, curve: 'P-384', hash: 'sha384' }],
  [SignatureType.ECDSA_SHA512_P521, { keyLength: 132, signatureLength: 132, curve: 'P-521', hash: 'sha512' }],
  [SignatureType.EdDSA_SHA512_Ed25519, { keyLength: 32, signatureLength: 64 }],
  [SignatureType.RedDSA_SHA512_Ed25519, { keyLength: 32, signatureLength: 64 }],
])

/** Undefined when the type is unknown. */
export function signatureLength(type: number): number | undefined {
  return KINDS.get(type)?.signatureLength
}

/** Length of the public key. Undefined when the type is unknown. */
export function signingKeyLength(type: number): number | undefined {
  return KINDS.get(type)?.keyLength
}

/** False also for unknown types, wrong lengths and DSA-SHA1, which no live router signs with. */
export function verifySignature(
  type: number,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const kind = KINDS.get(type)
  if (kind === undefined) return false
  if (publicKey.length !== kind.keyLength || signature.length !== kind.signatureLength) return false
  if (type === SignatureType.DSA_SHA1) return false
  // RedDSA differs in how it signs; its verification equation is Ed25519's (red25519, "Verification").
  if (kind.curve === undefined) return ed25519Verify(publicKey, message, signature)
  return verifyEcdsa(kind.curve, kind.hash!, publicKey, message, signature)
}

function verifyEcdsa(
  curve: string,
  hash: string,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const half = publicKey.length / 2
  try {
    const key = createPublicKey({
      key: {
        kty: 'EC',
        crv: curve,
        x: Buffer.from(publicKey.subarray(0, half)).toString('base64url'),
        y: Buffer.from(publicKey.subarray(half)).toString('base64url'),
      },
      format: 'jwk',
    })
    return verify(hash, message, { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false // not a point of the curve
  }
}
