/** Writing the lease set of today (common-structures, "LeaseSet2"). */
import { concat, Writer } from '../../base/bytes.ts'
import { seconds, type WallMillis } from '../../base/clock.ts'
import type { LocalIdentity } from './identity.ts'
import { LEASE2_LENGTH, type Lease, MAX_LEASES, writeLease2 } from './lease.ts'
import { type EncryptionKey, type LeaseSet, StoreType, UNPUBLISHED } from './lease-set.ts'
import { type Mapping, writeMapping } from './mapping.ts'

export interface LeaseSet2Content {
  /** Grows by a second at least with every version. */
  readonly published: WallMillis
  readonly expires: WallMillis
  readonly leases: readonly Lease[]
  readonly encryptionKeys: readonly EncryptionKey[]
  readonly flags: number
  readonly options: Mapping
}

/**
 * Dates are cut to whole seconds. The signature covers the store type as well as the structure.
 * @throws {RangeError} on more than 16 leases or an expiry that two bytes of seconds cannot express.
 */
export function signLeaseSet2(content: LeaseSet2Content, local: LocalIdentity): LeaseSet {
  const { leases, encryptionKeys } = content
  const destination = local.identity
  const published = seconds(content.published)
  const life = seconds(content.expires) - published
  if (leases.length > MAX_LEASES) throw new RangeError('lease set: too many leases')
  if (life < 0 || life > 0xffff) throw new RangeError('lease set: expiry out of range')
  const options = writeMapping(content.options)
  let size = 1 + destination.bytes.length + 8 + options.length + 1 + 1 + leases.length * LEASE2_LENGTH
  for (const { key } of encryptionKeys) size += 4 + key.length
  const w = new Writer(size).u8(StoreType.LeaseSet2).put(destination.bytes)
  w.u32(published).u16(life).u16(content.flags).put(options).u8(encryptionKeys.length)
  for (const { type, key } of encryptionKeys) w.u16(type).u16(key.length).put(key)
  w.u8(leases.length)
  for (const lease of leases) writeLease2(lease, w)
  return {
    type: StoreType.LeaseSet2,
    hash: destination.hash,
    destination,
    published: published * 1000,
    expires: (published + life) * 1000,
    leases,
    encryptionKeys,
    options: content.options,
    unpublished: (content.flags & UNPUBLISHED) !== 0,
    bytes: concat(w.bytes.subarray(1), local.signing.sign(w.bytes)),
  }
}
