/**
 * Reading lease sets, the two kinds as one (common-structures, "LeaseSet", "LeaseSet2", "LeaseSet2 Header"). Type 1 is never written any more; writing type 3 is in lease-set2.ts.
 */
import { concat, copy, Reader } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { signatureLength } from '../../crypto/signature.ts'
import { ENCRYPTION_FIELD, EncryptionType } from './certificate.ts'
import type { Hash } from './hash.ts'
import { type Identity, readIdentity } from './identity.ts'
import { type Lease, MAX_LEASES, readLease, readLease2 } from './lease.ts'
import { EMPTY_MAPPING, type Mapping, readMapping } from './mapping.ts'
import { readOfflineSignature } from './offline-signature.ts'
import { MAX_FUTURE } from './router-info.ts'
import { type SignatureCheck, type Unverified, verified } from './unverified.ts'

// Specification constants
/** What a DatabaseStore carries (i2np, "DatabaseStore"). */
export const StoreType = {
  RouterInfo: 0,
  LeaseSet: 1,
  LeaseSet2: 3,
  EncryptedLeaseSet: 5,
  MetaLeaseSet: 7,
} as const
/** Bytes; what i2pd accepts. */
const MAX_LEASE_SET = 4096
/** LeaseSet2 flags. */
const OFFLINE_KEYS = 1
export const UNPUBLISHED = 2
/** From a tunnel's birth to its end (tunnel-creation: ten minutes). */
const TUNNEL_LIFE: Millis = 600_000
/** Bytes of the keys whose type we know; of the hybrids only the X25519 half is listed. */
const LISTED_KEY_LENGTH: ReadonlyMap<number, number> = new Map([
  [EncryptionType.ElGamal, 256],
  [EncryptionType.X25519, 32],
  [EncryptionType.MlKem512X25519, 32],
  [EncryptionType.MlKem768X25519, 32],
  [EncryptionType.MlKem1024X25519, 32],
])

export interface EncryptionKey {
  /** As in `EncryptionType`; types we do not know are kept. */
  readonly type: number
  readonly key: Uint8Array
}

export interface LeaseSet {
  readonly type: typeof StoreType.LeaseSet | typeof StoreType.LeaseSet2
  /** Its netDb key: the destination's hash. */
  readonly hash: Hash
  readonly destination: Identity
  /** The newer of two is the one with the later date. */
  readonly published: WallMillis
  /** No later than an offline signature allows. */
  readonly expires: WallMillis
  readonly leases: readonly Lease[]
  /** In the destination's order of preference. */
  readonly encryptionKeys: readonly EncryptionKey[]
  readonly options: Mapping
  /** Not for floodfills: told to correspondents only. */
  readonly unpublished: boolean
  /** As received: what the signature covers and what is passed on. */
  readonly bytes: Uint8Array
}

/** Copies `bytes`. `storeType` is DatabaseStore's; encrypted and meta lease sets are refused. */
export function readLeaseSet(storeType: number, bytes: Uint8Array): Unverified<LeaseSet> {
  if (bytes.length > MAX_LEASE_SET) throw new MalformedError('lease set: too long')
  const r = new Reader(copy(bytes))
  if (storeType === StoreType.LeaseSet) return readLeaseSet1(r)
  if (storeType === StoreType.LeaseSet2) return readLeaseSet2(r)
  throw new MalformedError(`lease set of type ${storeType}`)
}

/** Its signatures only: the dates are for `checkLeaseSet`. */
export function verifyLeaseSet(unverified: Unverified<LeaseSet>): LeaseSet | undefined {
  return verified(unverified)
}

/** Whether a verified lease set may be stored or used at the date `wall`. */
export function checkLeaseSet(ls: LeaseSet, wall: WallMillis): 'ok' | 'future' | 'expired' {
  if (ls.published > wall + MAX_FUTURE) return 'future'
  return leaseSetEnd(ls) <= wall ? 'expired' : 'ok'
}

/** When the last way in closes. One without leases is a revocation, and ends when its header says. */
export function leaseSetEnd(ls: LeaseSet): WallMillis {
  let last: WallMillis = 0
  for (const lease of ls.leases) if (lease.end > last) last = lease.end
  return last === 0 ? ls.expires : Math.min(last, ls.expires)
}

/** It has no dates but its leases': it was published when its youngest tunnel was new, and expires with it. */
function readLeaseSet1(r: Reader): Unverified<LeaseSet> {
  const destination = readIdentity(r)
  const encryptionKey = r.take(ENCRYPTION_FIELD)
  r.take(destination.signingKey.length) // a revocation key that nobody ever used
  const count = r.u8()
  if (count === 0 || count > MAX_LEASES) throw new MalformedError(`lease set: ${count} leases`)
  const leases: Lease[] = []
  let expires: WallMillis = 0
  for (let i = 0; i < count; i++) {
    const lease = readLease(r)
    leases.push(lease)
    expires = Math.max(expires, lease.end)
  }
  const message = r.bytes.subarray(0, r.pos)
  const { signingType, signingKey } = destination
  const signature = r.take(signatureLength(signingType)!)
  r.end('lease set')
  const claimed: LeaseSet = {
    type: StoreType.LeaseSet,
    hash: destination.hash,
    destination,
    published: Math.max(0, expires - TUNNEL_LIFE),
    expires,
    leases,
    encryptionKeys: [{ type: EncryptionType.ElGamal, key: encryptionKey }],
    options: EMPTY_MAPPING,
    unpublished: false,
    bytes: r.bytes,
  }
  return { claimed, checks: [{ type: signingType, key: signingKey, message, signature }] }
}

function readLeaseSet2(r: Reader): Unverified<LeaseSet> {
  const header = readHeader(r)
  const options = readMapping(r)
  const encryptionKeys: EncryptionKey[] = []
  for (let n = r.u8(); n > 0; n--) encryptionKeys.push(readKey(r))
  if (encryptionKeys.length === 0) throw new MalformedError('lease set: no encryption key')
  const leaseCount = r.u8()
  if (leaseCount > MAX_LEASES) throw new MalformedError(`lease set: ${leaseCount} leases`)
  const leases: Lease[] = []
  for (let i = 0; i < leaseCount; i++) leases.push(readLease2(r))
  const message = concat(Uint8Array.of(StoreType.LeaseSet2), r.bytes.subarray(0, r.pos))
  const { destination, signerType, signerKey } = header
  const signature = r.take(signatureLength(signerType)!)
  r.end('lease set')
  const claimed: LeaseSet = {
    type: StoreType.LeaseSet2,
    hash: destination.hash,
    destination,
    published: header.published,
    expires: header.expires,
    leases,
    encryptionKeys,
    options,
    unpublished: (header.flags & UNPUBLISHED) !== 0,
    bytes: r.bytes,
  }
  return { claimed, checks: [...header.checks, { type: signerType, key: signerKey, message, signature }] }
}

interface Header {
  readonly destination: Identity
  readonly published: WallMillis
  readonly expires: WallMillis
  readonly flags: number
  readonly signerType: number
  readonly signerKey: Uint8Array
  /** That the destination authorised a transient signer. */
  readonly checks: readonly SignatureCheck[]
}

function readHeader(r: Reader): Header {
  const destination = readIdentity(r)
  const published = r.u32() * 1000
  const expires = published + r.u16() * 1000
  const flags = r.u16()
  const { signingType, signingKey } = destination
  const header = { destination, published, flags }
  if ((flags & OFFLINE_KEYS) === 0)
    return { ...header, expires, signerType: signingType, signerKey: signingKey, checks: [] }
  const offline = readOfflineSignature(r, destination)
  const { signed: message, signature, transient } = offline
  return {
    ...header,
    expires: Math.min(expires, offline.expires),
    signerType: transient.type,
    signerKey: transient.key,
    checks: [{ type: signingType, key: signingKey, message, signature }],
  }
}

function readKey(r: Reader): EncryptionKey {
  const type = r.u16()
  const key = r.take(r.u16())
  const length = LISTED_KEY_LENGTH.get(type)
  if (length !== undefined && key.length !== length)
    throw new MalformedError(`lease set: key of type ${type} with ${key.length} bytes`)
  return { type, key }
}
