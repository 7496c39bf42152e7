/** SU3, the signed file of reseeds and updates ("updates", "SU3 File Specification"). */
import { Reader, text, utf8 } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { certificateDates, verifySu3Rsa } from '../../crypto/rsa.ts'
import { sha512 } from '../../crypto/sha512.ts'

// Specification constants
const MAGIC = [...utf8('I2Psu3')]
const FORMAT_VERSION = 0
/** RSA-SHA512-4096, what every reseed signer uses. */
const RSA_SHA512_4096 = 6
const RSA_SHA512_4096_LENGTH = 512
const MIN_VERSION_LENGTH = 16
export const FileType = { Zip: 0 } as const
export const ContentType = { Reseed: 3 } as const

export interface Su3 {
  readonly fileType: number
  readonly contentType: number
  /** Of a reseed: seconds since 1970 in decimal. */
  readonly version: string
  /** `user@mail.i2p`. */
  readonly signer: string
  readonly content: Uint8Array
  /** What the signature covers, and the signature. */
  readonly signed: Uint8Array
  readonly signatureType: number
  readonly signature: Uint8Array
}

/** Not verified yet. Borrows `bytes`. @throws {MalformedError} */
export function readSu3(bytes: Uint8Array): Su3 {
  const r = new Reader(bytes)
  if (MAGIC.some((b) => r.u8() !== b)) throw new MalformedError('neither a zip nor an su3 file')
  r.u8()
  if (r.u8() !== FORMAT_VERSION) throw new MalformedError('su3: unknown format version')
  const signatureType = r.u16()
  const signatureLength = r.u16()
  r.u8()
  const versionLength = r.u8()
  r.u8()
  const signerLength = r.u8()
  const contentLength = r.u64()
  r.u8()
  const fileType = r.u8()
  r.u8()
  const contentType = r.u8()
  r.take(12) // unused
  if (versionLength < MIN_VERSION_LENGTH) throw new MalformedError('su3: version too short')
  const version = text(r.take(versionLength)).replace(/\0+$/, '')
  const signer = text(r.take(signerLength))
  const content = r.take(contentLength)
  const signed = bytes.subarray(0, r.pos)
  const signature = r.take(signatureLength)
  r.end('su3')
  return { fileType, contentType, version, signer, content, signed, signatureType, signature }
}

/** Undefined when the signature is good and the certificate is of this date, else what is wrong. */
export function su3Problem(su3: Su3, certificate: Uint8Array, wall: WallMillis): string | undefined {
  if (su3.signatureType !== RSA_SHA512_4096 || su3.signature.length !== RSA_SHA512_4096_LENGTH)
    return `signature type ${su3.signatureType} is not supported`
  const dates = certificateDates(certificate)
  if (dates === undefined) return `the certificate of ${su3.signer} cannot be read`
  if (wall < Date.parse(dates.from)) return `the certificate of ${su3.signer} is not valid yet`
  if (wall > Date.parse(dates.until)) return `the certificate of ${su3.signer} has expired`
  return verifySu3Rsa(certificate, sha512(su3.signed), su3.signature) ? undefined : 'the signature is wrong'
}
