/** Hashes name routers and destinations (common-structures, "Hash": SHA-256). */
import { toBase64 } from '../../base/base64.ts'
import type { Reader } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'

// Specification constants
export const HASH_LENGTH = 32

/** 32 bytes. */
export type Hash = Uint8Array

/** The 32 bytes as one latin1 string: a key for maps and sets. */
export type HashKey = string

export function hashKey(hash: Hash): HashKey {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString('latin1')
}

/** @throws {MalformedError} unless `key` came from `hashKey`. */
export function fromHashKey(key: HashKey): Hash {
  const hash = new Uint8Array(Buffer.from(key, 'latin1'))
  if (hash.length !== HASH_LENGTH) throw new MalformedError('not a hash key')
  return hash
}

/** Enough to tell routers apart in a debug log. */
export function shortHash(hash: Hash): string {
  return toBase64(hash.subarray(0, 3))
}

/** `count` hashes, not copied. */
export function readHashes(r: Reader, count: number): Hash[] {
  const hashes: Hash[] = []
  for (let i = 0; i < count; i++) hashes.push(r.take(HASH_LENGTH))
  return hashes
}
