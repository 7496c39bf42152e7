/** What a single message between destinations carries (datagrams, "Repliable Datagrams", "Datagram2", "Datagram3"). */
import { concat, Reader, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { signatureLength, verifySignature } from '../../crypto/signature.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'
import { type Identity, type LocalIdentity, readIdentity } from '../structures/identity.ts'
import { readMapping } from '../structures/mapping.ts'
import {
  type OfflineSignature,
  readOfflineSignature,
  type SigningKey,
  verifyOfflineSignature,
} from '../structures/offline-signature.ts'

// Specification constants

/** Low nibble of the flags of Datagram2 and Datagram3. */
const VERSION_MASK = 0x0f
const FLAG_OPTIONS = 0x10
const FLAG_OFFLINE = 0x20

/** A datagram whose signature was good. Both parts share the memory of the bytes it was read from. */
export interface Datagram {
  readonly from: Identity
  readonly payload: Uint8Array
}

/** Datagram3: anyone could have written it. */
export interface UnauthenticatedDatagram {
  readonly from: Hash
  readonly payload: Uint8Array
}

/** Repliable, protocol 17: destination, signature, payload. */
export function writeDatagram(local: LocalIdentity, payload: Uint8Array): Uint8Array {
  return concat(local.identity.bytes, local.signing.sign(payload), payload)
}

/** Undefined when the signature does not verify. */
export function readDatagram(bytes: Uint8Array): Datagram | undefined {
  const r = new Reader(bytes)
  const from = readIdentity(r)
  const signature = r.take(lengthOfSignature(from.signingType))
  const payload = r.rest()
  const valid = verifySignature(from.signingType, from.signingKey, payload, signature)
  return valid ? { from, payload } : undefined
}

/** Protocol 19: its signature covers the recipient's hash, so nobody can pass it on to another. */
export function writeDatagram2(local: LocalIdentity, to: Hash, payload: Uint8Array): Uint8Array {
  const body = new Writer(2 + payload.length).u16(2).put(payload).bytes
  return concat(local.identity.bytes, body, local.signing.sign(concat(to, body)))
}

/** Undefined when it is not for `recipient` or its signature does not verify. */
export function readDatagram2(bytes: Uint8Array, recipient: Hash, wall: WallMillis): Datagram | undefined {
  const r = new Reader(bytes)
  const from = readIdentity(r)
  const start = r.pos
  const flags = readFlags(r, 2)
  const offline = (flags & FLAG_OFFLINE) === 0 ? undefined : readOfflineSignature(r, from)
  const key = offline === undefined ? keyOf(from) : verifyOfflineSignature(offline, from, wall)
  const length = lengthOfSignature(signingType(from, offline))
  if (r.left < length) throw new MalformedError('datagram without signature')
  const payload = r.take(r.left - length)
  const signed = concat(recipient, bytes.subarray(start, r.pos))
  const signature = r.rest()
  if (key === undefined || !verifySignature(key.type, key.key, signed, signature)) return undefined
  return { from, payload }
}

/** Protocol 20: the sender's hash and no signature. */
export function writeDatagram3(from: Hash, payload: Uint8Array): Uint8Array {
  return new Writer(HASH_LENGTH + 2 + payload.length).put(from).u16(3).put(payload).bytes
}

export function readDatagram3(bytes: Uint8Array): UnauthenticatedDatagram {
  const r = new Reader(bytes)
  const from = r.take(HASH_LENGTH)
  readFlags(r, 3)
  return { from, payload: r.rest() }
}

/** Reads flags and options; the options are for applications that we have none of. */
function readFlags(r: Reader, version: number): number {
  const flags = r.u16()
  if ((flags & VERSION_MASK) !== version)
    throw new MalformedError(`datagram of version ${flags & VERSION_MASK}`)
  if ((flags & FLAG_OPTIONS) !== 0) readMapping(r)
  return flags
}

function keyOf(identity: Identity): SigningKey {
  return { type: identity.signingType, key: identity.signingKey }
}

function signingType(from: Identity, offline: OfflineSignature | undefined): number {
  return offline === undefined ? from.signingType : offline.transient.type
}

function lengthOfSignature(type: number): number {
  const length = signatureLength(type)
  if (length === undefined) throw new MalformedError(`signature of type ${type}`)
  return length
}
