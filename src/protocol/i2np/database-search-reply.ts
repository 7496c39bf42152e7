/** "Not here, but ask these" (i2np, "DatabaseSearchReply"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import { HASH_LENGTH, type Hash, readHashes } from '../structures/hash.ts'

export interface DatabaseSearchReply {
  readonly key: Hash
  readonly peers: readonly Hash[]
  /** Who answers; nothing proves it. */
  readonly from: Hash
}

export function readDatabaseSearchReply(r: Reader): DatabaseSearchReply {
  const key = r.take(HASH_LENGTH)
  const peers = readHashes(r, r.u8())
  const from = r.take(HASH_LENGTH)
  r.end('DatabaseSearchReply')
  return { key, peers, from }
}

export function writeDatabaseSearchReply(m: DatabaseSearchReply): Uint8Array {
  if (m.peers.length > 255) throw new RangeError('DatabaseSearchReply: too many peers')
  const w = new Writer(2 * HASH_LENGTH + 1 + m.peers.length * HASH_LENGTH).put(m.key).u8(m.peers.length)
  for (const peer of m.peers) w.put(peer)
  return w.put(m.from).bytes
}
