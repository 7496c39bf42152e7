/** scrypt (RFC 7914): a key from a passphrase. */
import { scryptSync } from 'node:crypto'

export interface ScryptCost {
  /** Cost, a power of two; memory is 128 * N * r bytes. */
  readonly N: number
  readonly r: number
  readonly p: number
  /** Bytes wanted. */
  readonly length: number
}

/** Blocks for as long as the cost says: never on a packet's path. */
export function scrypt(password: Uint8Array, salt: Uint8Array, cost: ScryptCost): Uint8Array {
  const { N, r, p, length } = cost
  // OpenSSL's own limit of 32 MiB is meant for defaults; the exact need, with its working blocks, is this.
  const maxmem = 128 * r * (N + p + 2)
  return scryptSync(password, salt, length, { N, r, p, maxmem })
}
