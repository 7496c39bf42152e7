/** I2P's base64: the RFC 4648 alphabet with `-` and `~` for `+` and `/` (naming, "Base64"). */
import { MalformedError } from './errors.ts'

/** With `=` padding, as many readers require. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('base64')
    .replaceAll('+', '-')
    .replaceAll('/', '~')
}

/** @throws {MalformedError} on a foreign character, wrong padding or length. */
export function fromBase64(s: string): Uint8Array {
  if (!/^[A-Za-z0-9~-]*={0,2}$/.test(s) || s.length % 4 !== 0) throw new MalformedError('invalid I2P base64')
  return new Uint8Array(Buffer.from(s.replaceAll('-', '+').replaceAll('~', '/'), 'base64'))
}
