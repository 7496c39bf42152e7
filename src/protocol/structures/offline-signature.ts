/** How a destination lets a transient key sign for it (common-structures, "OfflineSignature"; proposal 123). */
import type { Reader } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { signatureLength, signingKeyLength, verifySignature } from '../../crypto/signature.ts'
import type { Identity } from './identity.ts'

/** A key that signatures are checked against. */
export interface SigningKey {
  readonly type: number
  readonly key: Uint8Array
}

export interface OfflineSignature {
  readonly expires: WallMillis
  readonly transient: SigningKey
  /** What the destination signed: expiry, type and key as received. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** Shares the reader's memory. The signature's length is that of `signer`, the destination. */
export function readOfflineSignature(r: Reader, signer: Identity): OfflineSignature {
  const start = r.pos
  const expires = r.u32() * 1000
  const type = r.u16()
  const keyLength = signingKeyLength(type)
  const length = signatureLength(signer.signingType)
  if (keyLength === undefined || length === undefined)
    throw new MalformedError(`offline signature for type ${type}`)
  const key = r.take(keyLength)
  const signed = r.bytes.subarray(start, r.pos)
  return { expires, transient: { type, key }, signed, signature: r.take(length) }
}

/** The transient key when `signer` authorised it and the date is within its life. */
export function verifyOfflineSignature(
  offline: OfflineSignature,
  signer: Identity,
  wall: WallMillis,
): SigningKey | undefined {
  if (offline.expires <= wall) return undefined
  const valid = verifySignature(signer.signingType, signer.signingKey, offline.signed, offline.signature)
  return valid ? offline.transient : undefined
}
