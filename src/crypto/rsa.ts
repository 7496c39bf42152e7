/** The RSA signature of an SU3 file ("updates", SU3 file specification, signature type 6: RSA-SHA512-4096). */
import { constants, createPublicKey, type KeyObject, publicDecrypt, X509Certificate } from 'node:crypto'
import { constantTimeEqual } from './equal.ts'

/**
 * The signature is PKCS#1 v1.5 over the bare digest: type 1 padding around the 64 bytes, without the DigestInfo that most
 * libraries put before them. `signer` is a certificate or a public key, PEM or DER. False on anything that does not verify,
 * an unreadable signer included; dates of a certificate are the caller's to check.
 */
export function verifySu3Rsa(
  signer: string | Uint8Array,
  sha512Digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const key = publicKey(signer)
    if (key.asymmetricKeyType !== 'rsa') return false
    return constantTimeEqual(
      publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature),
      sha512Digest,
    )
  } catch {
    return false
  }
}

function publicKey(signer: string | Uint8Array): KeyObject {
  if (typeof signer === 'string') return createPublicKey(signer)
  const bytes = Buffer.from(signer)
  if (bytes.includes('-----BEGIN')) return createPublicKey(bytes)
  try {
    return new X509Certificate(bytes).publicKey
  } catch {
    return createPublicKey({ key: bytes, format: 'der', type: 'spki' })
  }
}

/**
 * From when until when a certificate is valid, as texts that `Date.parse` reads (`May  7 05:09:10 2020 GMT`); undefined when
 * it is none. PEM or DER.
 */
export function certificateDates(
  certificate: string | Uint8Array,
): { readonly from: string; readonly until: string } | undefined {
  try {
    const { validFrom, validTo } = new X509Certificate(certificate)
    return { from: validFrom, until: validTo }
  } catch {
    return undefined
  }
}
