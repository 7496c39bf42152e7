/** The envelope of every message between routers (i2np, "I2NP Message Format", "Short I2NP Message Format"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import { type Millis, seconds, type WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { sha256 } from '../../crypto/sha256.ts'

// Specification constants
export const MessageType = {
  DatabaseStore: 1,
  DatabaseLookup: 2,
  DatabaseSearchReply: 3,
  DeliveryStatus: 10,
  Garlic: 11,
  TunnelData: 18,
  TunnelGateway: 19,
  Data: 20,
  VariableTunnelBuild: 23,
  VariableTunnelBuildReply: 24,
  ShortTunnelBuild: 25,
  OutboundTunnelBuildReply: 26,
} as const

export const STANDARD_HEADER = 16
export const SHORT_HEADER = 9
/** Bytes with the standard header: what fits in the 64 fragments of a tunnel message. */
export const MAX_MESSAGE = 62708
/** How far a peer's clock may be off; i2pd's figures, which are wider than the spec's advice of 60 s ahead. */
const MAX_PAST: Millis = 60_000
const MAX_AHEAD: Millis = 180_000

export interface I2npMessage {
  /** As in `MessageType`; others may come and are dropped by the router. */
  readonly type: number
  readonly id: number
  readonly expiration: WallMillis
  readonly payload: Uint8Array
}

/**
 * With the header of 16 bytes. The payload is not copied. The checksum is not looked at: every path that carries these bytes
 * authenticates them.
 */
export function readMessage(r: Reader): I2npMessage {
  const type = r.u8()
  const id = r.u32()
  const expiration = r.u64()
  const size = r.u16()
  r.u8() // checksum
  if (size > MAX_MESSAGE - STANDARD_HEADER) throw new MalformedError(`I2NP message of ${size} bytes`)
  return { type, id, expiration, payload: r.take(size) }
}

export function writeMessage(m: I2npMessage): Uint8Array {
  const size = checkedSize(m)
  const w = new Writer(STANDARD_HEADER + size).u8(m.type).u32(m.id).u64(m.expiration)
  return w.u16(size).u8(sha256(m.payload)[0]!).put(m.payload).bytes
}

/** With the header of 9 bytes, as in transports and cloves: everything left is payload, not copied. */
export function readShortMessage(r: Reader): I2npMessage {
  const type = r.u8()
  const id = r.u32()
  const expiration = r.u32() * 1000
  if (r.left > MAX_MESSAGE - STANDARD_HEADER) throw new MalformedError(`I2NP message of ${r.left} bytes`)
  return { type, id, expiration, payload: r.rest() }
}

export function writeShortMessage(m: I2npMessage): Uint8Array {
  const w = new Writer(SHORT_HEADER + checkedSize(m))
  writeShortMessageInto(m, w)
  return w.bytes
}

/** Into a frame that has room: the transports' hot path. */
export function writeShortMessageInto(m: I2npMessage, w: Writer): void {
  w.u8(m.type).u32(m.id).u32(seconds(m.expiration)).put(m.payload)
}

/** Expired, or dated so far ahead that its date means nothing. */
export function isExpired(m: I2npMessage, wall: WallMillis): boolean {
  return m.expiration < wall - MAX_PAST || m.expiration > wall + MAX_AHEAD
}

function checkedSize(m: I2npMessage): number {
  if (m.payload.length > MAX_MESSAGE - STANDARD_HEADER) throw new RangeError('I2NP message too long')
  return m.payload.length
}
