/** A signed structure whose signatures nobody has looked at yet. */
import { verifySignature } from '../../crypto/signature.ts'

export interface SignatureCheck {
  readonly type: number
  readonly key: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

/** `claimed` is what the bytes say; only a signature makes it so. The checks run over the bytes as received. */
export interface Unverified<T> {
  readonly claimed: T
  readonly checks: readonly SignatureCheck[]
}

/** The structure when all its signatures are good. */
export function verified<T>(unverified: Unverified<T>): T | undefined {
  for (const check of unverified.checks) {
    if (!verifySignature(check.type, check.key, check.message, check.signature)) return undefined
  }
  return unverified.claimed
}
