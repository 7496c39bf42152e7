/**
 * The wrapper of everything one destination sends another: a gzip stream whose header carries ports and protocol (i2cp,
 * "Payload"; RFC 1952). What we send is stored, not deflated: it is encrypted content or small, and time costs more.
 */
import { MalformedError } from '../../base/errors.ts'
import { crc32, inflateRaw } from '../../base/gzip.ts'

// Specification constants
/** What a payload's protocol byte says; datagrams are 17 (repliable), 18 (raw), 19 and 20 (Datagram2 and 3). */
export const STREAMING_PROTOCOL = 6
/** Magic 2, method 1, flags 1, mtime 4 (the two ports), extra flags 1, operating system 1 (the protocol). */
const HEADER = 10
/** CRC-32 and size, little-endian. */
const TRAILER = 8
/** Final flag and type 1, length 2, its complement 2 (RFC 1951, "Non-compressed blocks"). */
const STORED_HEADER = 5
const MAX_STORED = 0xffff
const FINAL_STORED = 0x01
const METHOD_DEFLATE = 8
/** Gzip flags that put more fields behind the header. */
const FLAG_HEADER_CRC = 0x02
const FLAG_EXTRA = 0x04
const FLAG_NAME = 0x08
const FLAG_COMMENT = 0x10

// Implementation constants

/** i2cp allows no larger message, so no payload inflates beyond it either. */
const MAX_PAYLOAD = 65_536

export interface PayloadHeader {
  readonly protocol: number
  readonly sourcePort: number
  readonly destinationPort: number
}

export interface Payload extends PayloadHeader {
  readonly data: Uint8Array
}

/** `data` is copied. @throws {RangeError} above 65,535 bytes, more than one stored block holds. */
export function writePayload(header: PayloadHeader, data: Uint8Array): Uint8Array {
  const n = data.length
  if (n > MAX_STORED) throw new RangeError(`payload of ${n} bytes`)
  const out = new Uint8Array(HEADER + STORED_HEADER + n + TRAILER)
  out[0] = 0x1f
  out[1] = 0x8b
  out[2] = METHOD_DEFLATE
  out[4] = header.sourcePort >>> 8
  out[5] = header.sourcePort
  out[6] = header.destinationPort >>> 8
  out[7] = header.destinationPort
  out[8] = 2
  out[9] = header.protocol
  out[10] = FINAL_STORED
  out[11] = n
  out[12] = n >>> 8
  out[13] = ~n
  out[14] = ~n >>> 8
  out.set(data, HEADER + STORED_HEADER)
  putLittle(out, HEADER + STORED_HEADER + n, crc32(data))
  putLittle(out, HEADER + STORED_HEADER + n + 4, n)
  return out
}

/** A stored payload's `data` shares the memory of `bytes`. @throws {MalformedError} also when the CRC or size is wrong. */
export function readPayload(bytes: Uint8Array): Payload {
  if (
    bytes.length < HEADER + TRAILER ||
    bytes[0] !== 0x1f ||
    bytes[1] !== 0x8b ||
    bytes[2] !== METHOD_DEFLATE
  )
    throw new MalformedError('payload: not gzip')
  const start = skipHeader(bytes)
  const end = bytes.length - TRAILER
  if (start > end) throw new MalformedError('payload: too short')
  const data = stored(bytes, start, end) ?? inflated(bytes.subarray(start, end))
  if (getLittle(bytes, end) !== crc32(data) || getLittle(bytes, end + 4) !== data.length)
    throw new MalformedError('payload: wrong checksum')
  return {
    protocol: bytes[9]!,
    sourcePort: (bytes[4]! << 8) | bytes[5]!,
    destinationPort: (bytes[6]! << 8) | bytes[7]!,
    data,
  }
}

/** The content of a single stored block that fills [start, end); undefined for anything else. */
function stored(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
  if (end - start < STORED_HEADER || bytes[start] !== FINAL_STORED) return undefined
  const n = bytes[start + 1]! | (bytes[start + 2]! << 8)
  const complement = bytes[start + 3]! | (bytes[start + 4]! << 8)
  if ((n ^ complement) !== 0xffff || end - start !== STORED_HEADER + n) return undefined
  return bytes.subarray(start + STORED_HEADER, end)
}

function inflated(deflate: Uint8Array): Uint8Array {
  const { buffer, byteOffset, length } = inflateRaw(deflate, MAX_PAYLOAD)
  return new Uint8Array(buffer, byteOffset, length)
}

/** Where the deflate stream begins: other routers write none of the optional fields, but gzip has them. */
function skipHeader(bytes: Uint8Array): number {
  const flags = bytes[3]!
  let at = HEADER
  if (flags === 0) return at
  if ((flags & FLAG_EXTRA) !== 0) at += 2 + (bytes[at]! | (bytes[at + 1]! << 8))
  if ((flags & FLAG_NAME) !== 0) at = afterZero(bytes, at)
  if ((flags & FLAG_COMMENT) !== 0) at = afterZero(bytes, at)
  return (flags & FLAG_HEADER_CRC) !== 0 ? at + 2 : at
}

function afterZero(bytes: Uint8Array, from: number): number {
  const zero = bytes.indexOf(0, from)
  if (zero < 0) throw new MalformedError('payload: header without end')
  return zero + 1
}

function getLittle(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

function putLittle(bytes: Uint8Array, at: number, v: number): void {
  bytes[at] = v
  bytes[at + 1] = v >>> 8
  bytes[at + 2] = v >>> 16
  bytes[at + 3] = v >>> 24
}
