/**
 * Packet headers and what hides them (ssu2, "Packet Header", "Header Encryption"). A header is bound to its packet: its clear
 * bytes go into the AEAD, and the last 24 bytes of the packet are the nonces of its masks.
 *
 * Every function here changes a packet in place, and masks are XORed: the same call puts a mask on and takes it off.
 */
import { type Reader, Writer } from '../../base/bytes.ts'
import { chacha20 } from '../../crypto/chacha20.ts'
import { chacha20Mask } from '../../crypto/chacha20-block.ts'

// Specification constants

export const MessageType = {
  sessionRequest: 0,
  sessionCreated: 1,
  sessionConfirmed: 2,
  data: 6,
  peerTest: 7,
  retry: 9,
  tokenRequest: 10,
  holePunch: 11,
} as const

export const VERSION = 2
/** Before a session, and of packets outside one: with version, network, source connection id and token. */
export const LONG_HEADER = 32
/** SessionConfirmed and Data. */
export const SHORT_HEADER = 16
/** Both nonces must lie behind a short header; a payload has at least 8 bytes for the same reason. */
export const MIN_PACKET = 40
export const CONNECTION_ID = 8
export const TOKEN = 8
/** X and Y follow the long header of SessionRequest and SessionCreated and are hidden with it. */
export const EPHEMERAL_END: number = LONG_HEADER + 32

/** Where the nonces of both masks begin, from the end of the packet. */
const NONCE_1 = 24
const NONCE_2 = 12
/** Of the third part of a long header. */
const ZERO_NONCE = new Uint8Array(12)

/** Where the second mask begins: packet number, type and flags. */
const SECOND_PART = 8
/** Where the third part of a long header begins. */
const THIRD_PART = 16
/** The message type of a header whose second part is in the clear. */
const TYPE_AT = 12

const NONCE_LENGTH = 12
/** Of `destinationKey`, the same memory for every packet. */
const scratch = new Uint8Array(CONNECTION_ID + NONCE_LENGTH)

/** The 8 bytes of a connection id as one latin1 string: a key for maps. */
export type ConnectionKey = string

export interface LongHeader {
  readonly destinationId: Uint8Array
  readonly packetNumber: number
  readonly type: number
  readonly version: number
  readonly netId: number
  readonly sourceId: Uint8Array
  /** 8 bytes; zeros for none. */
  readonly token: Uint8Array
}

export interface ShortHeader {
  readonly destinationId: Uint8Array
  readonly packetNumber: number
  readonly type: number
  /** Fragment number and count of SessionConfirmed; bit 0 of Data asks for an ACK at once. */
  readonly flags: number
}

export function readLongHeader(r: Reader): LongHeader {
  const destinationId = r.take(CONNECTION_ID)
  const packetNumber = r.u32()
  const type = r.u8()
  const version = r.u8()
  const netId = r.u8()
  r.u8()
  return {
    destinationId,
    packetNumber,
    type,
    version,
    netId,
    sourceId: r.take(CONNECTION_ID),
    token: r.take(TOKEN),
  }
}

export function writeLongHeader(header: LongHeader): Uint8Array {
  return new Writer(LONG_HEADER)
    .put(header.destinationId)
    .u32(header.packetNumber)
    .u8(header.type)
    .u8(header.version)
    .u8(header.netId)
    .u8(0)
    .put(header.sourceId)
    .put(header.token).bytes
}

export function readShortHeader(r: Reader): ShortHeader {
  const destinationId = r.take(CONNECTION_ID)
  const header = { destinationId, packetNumber: r.u32(), type: r.u8(), flags: r.u8() }
  r.u16()
  return header
}

export function writeShortHeader(header: ShortHeader): Uint8Array {
  return new Writer(SHORT_HEADER)
    .put(header.destinationId)
    .u32(header.packetNumber)
    .u8(header.type)
    .u8(header.flags)
    .u16(0).bytes
}

/** The message type of a packet whose second mask is off. */
export function messageType(packet: Uint8Array): number {
  return packet[TYPE_AT]!
}

/** Masks bytes 0-7, the destination connection id, with k_header_1. The packet has at least `MIN_PACKET` bytes. */
export function maskConnectionId(packet: Uint8Array, key1: Uint8Array): void {
  chacha20Mask(key1, packet, packet.length - NONCE_1, 0)
}

/** Masks bytes 8-15, packet number, type and flags, with k_header_2. The packet has at least `MIN_PACKET` bytes. */
export function maskNumberAndType(packet: Uint8Array, key2: Uint8Array): void {
  chacha20Mask(key2, packet, packet.length - NONCE_2, SECOND_PART)
}

/**
 * Encrypts or decrypts the third part of a long header with k_header_2: bytes 16-31, or to `EPHEMERAL_END` where an ephemeral
 * key follows.
 */
export function maskThirdPart(packet: Uint8Array, key2: Uint8Array, end: number): void {
  packet.set(chacha20(key2, ZERO_NONCE, packet.subarray(THIRD_PART, end)), THIRD_PART)
}

/** All masks of a packet with a long header. `end` as in `maskThirdPart`. */
export function maskLongHeader(packet: Uint8Array, key1: Uint8Array, key2: Uint8Array, end: number): void {
  maskConnectionId(packet, key1)
  maskNumberAndType(packet, key2)
  maskThirdPart(packet, key2, end)
}

/** Both masks of a packet with a short header. */
export function maskShortHeader(packet: Uint8Array, key1: Uint8Array, key2: Uint8Array): void {
  maskConnectionId(packet, key1)
  maskNumberAndType(packet, key2)
}

/** The destination connection id of a packet as it came, which is left so. `key1` is our intro key. */
export function destinationKey(packet: Uint8Array, key1: Uint8Array): ConnectionKey {
  const nonceAt = packet.length - NONCE_1
  for (let i = 0; i < CONNECTION_ID; i++) scratch[i] = packet[i]!
  for (let i = 0; i < NONCE_LENGTH; i++) scratch[CONNECTION_ID + i] = packet[nonceAt + i]!
  chacha20Mask(key1, scratch, CONNECTION_ID, 0)
  return connectionKey(scratch)
}

/** The connection id in the clear at `at`. */
export function connectionKey(bytes: Uint8Array, at = 0): ConnectionKey {
  return String.fromCharCode(
    bytes[at]!,
    bytes[at + 1]!,
    bytes[at + 2]!,
    bytes[at + 3]!,
    bytes[at + 4]!,
    bytes[at + 5]!,
    bytes[at + 6]!,
    bytes[at + 7]!,
  )
}
