/** The packet of a stream (streaming, "Packet Format", "Flags and Option Data Fields"). */
import { copy, Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'
import { type Identity, readIdentity } from '../structures/identity.ts'
import { type OfflineSignature, readOfflineSignature } from '../structures/offline-signature.ts'

// Specification constants
export const SYNCHRONIZE = 0x0001
export const CLOSE = 0x0002
export const RESET = 0x0004
export const SIGNATURE_INCLUDED = 0x0008
const FROM_INCLUDED = 0x0020
const DELAY_REQUESTED = 0x0040
const MAX_PACKET_SIZE_INCLUDED = 0x0080
export const ECHO = 0x0200
export const NO_ACK = 0x0400
const OFFLINE_SIGNATURE = 0x0800
/** Two stream ids, sequence, ackThrough, counts, delay, flags, option size. */
const HEADER = 22
/** A SYNCHRONIZE has the recipient's hash where NACKs would be, in the space of this many. */
const HASH_NACKS = HASH_LENGTH / 4
export const MAX_NACKS = 255
/** More delay than this asks for no more data until further notice. i2pd asks for exactly this, so it counts as well. */
export const CHOKE_DELAY = 60_000

// Implementation constants
/** Bytes of a packet: twice what anyone sends with all options. */
const MAX_PACKET = 8192
/** A packet may keep so much memory alive beside its own bytes. */
const MAX_SLACK = 2048

export interface StreamPacket {
  /** As received. */
  readonly bytes: Uint8Array
  /** The recipient's id of the stream; 0 while the sender does not know it. */
  readonly sendStreamId: number
  /** The sender's id. */
  readonly receiveStreamId: number
  readonly sequence: number
  readonly ackThrough: number
  /** 4 bytes each; in a SYNCHRONIZE the 32 bytes of a hash. */
  readonly nacks: Uint8Array
  readonly flags: number
  /** DELAY_REQUESTED, in ms. */
  readonly delay: number | undefined
  readonly from: Identity | undefined
  readonly maxPacketSize: number | undefined
  readonly offline: OfflineSignature | undefined
  /** The last option, whatever its length. */
  readonly signature: Uint8Array | undefined
  readonly payload: Uint8Array
}

/** What `writePacket` writes; the flags for options follow from which are there. */
export interface PacketFields {
  readonly sendStreamId: number
  readonly receiveStreamId: number
  readonly sequence: number
  readonly ackThrough: number
  /** NACKs, or a SYNCHRONIZE's recipient. */
  readonly nacks?: readonly number[]
  readonly recipient?: Hash
  /** Seconds until we would send it again. */
  readonly resendDelay?: number
  /** Flags without option data. */
  readonly flags?: number
  readonly delay?: number
  readonly from?: Identity
  readonly maxPacketSize?: number
  /** An offline signature as it stands in a lease set. */
  readonly offline?: Uint8Array
  /** Room for a signature, to be filled in over the finished packet. */
  readonly signatureLength?: number
}

export interface WrittenPacket {
  readonly bytes: Uint8Array
  readonly payloadAt: number
  readonly signatureAt: number
}

/**
 * `bytes`, or a copy where they would keep a message alive that may be thirty times as large, for packets wait.
 * @throws {MalformedError} on more bytes than a packet has.
 */
export function keepable(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_PACKET) throw new MalformedError('stream packet: too long')
  return bytes.buffer.byteLength > bytes.length + MAX_SLACK ? copy(bytes) : bytes
}

/** The two ids that say which stream a packet is for. @throws {MalformedError} on less than a header. */
export function peekIds(bytes: Uint8Array): { sendStreamId: number; receiveStreamId: number } {
  if (bytes.length < HEADER) throw new MalformedError('stream packet: too short')
  const r = new Reader(bytes)
  return { sendStreamId: r.u32(), receiveStreamId: r.u32() }
}

/** What it returns shares the memory of `bytes`. `remote` is whose stream it is, when that is known. */
export function readPacket(bytes: Uint8Array, remote?: Identity): StreamPacket {
  const r = new Reader(bytes)
  const sendStreamId = r.u32()
  const receiveStreamId = r.u32()
  const sequence = r.u32()
  const ackThrough = r.u32()
  const nacks = r.take(4 * r.u8())
  r.u8()
  const flags = r.u16()
  const options = r.sub(r.u16())
  const delay = (flags & DELAY_REQUESTED) !== 0 ? options.u16() : undefined
  const from = (flags & FROM_INCLUDED) !== 0 ? readIdentity(options) : undefined
  const maxPacketSize = (flags & MAX_PACKET_SIZE_INCLUDED) !== 0 ? options.u16() : undefined
  const offline = (flags & OFFLINE_SIGNATURE) !== 0 ? readOffline(options, from ?? remote) : undefined
  const signature = (flags & SIGNATURE_INCLUDED) !== 0 ? options.rest() : undefined
  return {
    bytes,
    sendStreamId,
    receiveStreamId,
    sequence,
    ackThrough,
    nacks,
    flags,
    delay,
    from,
    maxPacketSize,
    offline,
    signature,
    payload: r.rest(),
  }
}

/** Everything but payload and signature, with room for both. */
export function writePacket(fields: PacketFields, payloadLength: number): WrittenPacket {
  const { nacks, recipient, delay, from, maxPacketSize, offline, signatureLength = 0 } = fields
  let flags = fields.flags ?? 0
  let options = signatureLength
  if (delay !== undefined) {
    flags |= DELAY_REQUESTED
    options += 2
  }
  if (from !== undefined) {
    flags |= FROM_INCLUDED
    options += from.bytes.length
  }
  if (maxPacketSize !== undefined) {
    flags |= MAX_PACKET_SIZE_INCLUDED
    options += 2
  }
  if (offline !== undefined) {
    flags |= OFFLINE_SIGNATURE
    options += offline.length
  }
  if (signatureLength > 0) flags |= SIGNATURE_INCLUDED
  const nackCount = recipient !== undefined ? HASH_NACKS : (nacks?.length ?? 0)
  const w = new Writer(HEADER + 4 * nackCount + options + payloadLength)
  w.u32(fields.sendStreamId).u32(fields.receiveStreamId).u32(fields.sequence).u32(fields.ackThrough)
  w.u8(nackCount)
  if (recipient !== undefined) w.put(recipient)
  else if (nacks !== undefined) for (const nack of nacks) w.u32(nack)
  w.u8(Math.min(255, fields.resendDelay ?? 0))
    .u16(flags)
    .u16(options)
  if (delay !== undefined) w.u16(delay)
  if (from !== undefined) w.put(from.bytes)
  if (maxPacketSize !== undefined) w.u16(maxPacketSize)
  if (offline !== undefined) w.put(offline)
  return { bytes: w.bytes, signatureAt: w.pos, payloadAt: w.pos + signatureLength }
}

/** The sequence numbers in `nacks`, or undefined when there are none. */
export function nackSet(nacks: Uint8Array): Set<number> | undefined {
  if (nacks.length === 0) return undefined
  const set = new Set<number>()
  const r = new Reader(nacks)
  while (r.left >= 4) set.add(r.u32())
  return set
}

function readOffline(options: Reader, signer: Identity | undefined): OfflineSignature {
  if (signer === undefined) throw new MalformedError('stream packet: offline signature of nobody')
  return readOfflineSignature(options, signer)
}
