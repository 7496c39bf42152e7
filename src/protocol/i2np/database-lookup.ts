/** A question to the netDb (i2np, "DatabaseLookup"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { HASH_LENGTH, type Hash, readHashes } from '../structures/hash.ts'

// Specification constants
const REPLY_TUNNEL = 0x01
const AES_REPLY = 0x02
const KIND_SHIFT = 2
const ECIES_REPLY = 0x10
const KINDS = ['any', 'lease-set', 'router', 'exploratory'] as const
const MAX_EXCLUDED = 512
const MAX_TAGS = 32
export const REPLY_KEY_LENGTH = 32
export const ECIES_TAG_LENGTH = 8
const AES_TAG_LENGTH = 32

type LookupKind = (typeof KINDS)[number]

/** How the answer is to be encrypted. */
interface ReplyEncryption {
  /** 'aes' is what ElGamal routers asked for: read, but not answered. */
  readonly scheme: 'ecies' | 'aes'
  readonly key: Uint8Array
  readonly tags: readonly Uint8Array[]
}

export interface DatabaseLookup {
  readonly key: Hash
  /** Who asks, or the gateway of its reply tunnel. */
  readonly from: Hash
  /** Absent: the answer goes directly to `from`. */
  readonly replyTunnelId?: number
  readonly kind: LookupKind
  readonly excluded: readonly Hash[]
  readonly encryption?: ReplyEncryption
}

export function readDatabaseLookup(r: Reader): DatabaseLookup {
  const key = r.take(HASH_LENGTH)
  const from = r.take(HASH_LENGTH)
  const flags = r.u8()
  const tunnel = (flags & REPLY_TUNNEL) !== 0 ? { replyTunnelId: r.u32() } : {}
  const kind = KINDS[(flags >> KIND_SHIFT) & 3]!
  const count = r.u16()
  if (count > MAX_EXCLUDED) throw new MalformedError(`DatabaseLookup: ${count} excluded`)
  const excluded = readHashes(r, count)
  const encryption = (flags & (AES_REPLY | ECIES_REPLY)) !== 0 ? { encryption: readEncryption(r, flags) } : {}
  r.end('DatabaseLookup')
  return { key, from, ...tunnel, kind, excluded, ...encryption }
}

export function writeDatabaseLookup(m: DatabaseLookup): Uint8Array {
  const { excluded, encryption, replyTunnelId } = m
  if (excluded.length > MAX_EXCLUDED) throw new RangeError('DatabaseLookup: too many excluded')
  let size = 2 * HASH_LENGTH + 3 + excluded.length * HASH_LENGTH
  let flags = KINDS.indexOf(m.kind) << KIND_SHIFT
  if (replyTunnelId !== undefined) {
    flags |= REPLY_TUNNEL
    size += 4
  }
  if (encryption !== undefined) {
    flags |= encryption.scheme === 'ecies' ? ECIES_REPLY : AES_REPLY
    size += REPLY_KEY_LENGTH + 1 + encryption.tags.length * tagLength(encryption.scheme)
  }
  const w = new Writer(size).put(m.key).put(m.from).u8(flags)
  if (replyTunnelId !== undefined) w.u32(replyTunnelId)
  w.u16(excluded.length)
  for (const hash of excluded) w.put(hash)
  if (encryption !== undefined) {
    w.put(encryption.key).u8(encryption.tags.length)
    for (const tag of encryption.tags) w.put(tag)
  }
  return w.bytes
}

function readEncryption(r: Reader, flags: number): ReplyEncryption {
  const scheme = (flags & ECIES_REPLY) !== 0 ? 'ecies' : 'aes'
  const key = r.take(REPLY_KEY_LENGTH)
  const count = r.u8()
  if (count === 0 || count > MAX_TAGS) throw new MalformedError(`DatabaseLookup: ${count} tags`)
  const tags: Uint8Array[] = []
  for (let i = 0; i < count; i++) tags.push(r.take(tagLength(scheme)))
  return { scheme, key, tags }
}

function tagLength(scheme: 'ecies' | 'aes'): number {
  return scheme === 'ecies' ? ECIES_TAG_LENGTH : AES_TAG_LENGTH
}
