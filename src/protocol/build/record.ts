/** The cleartext of build records (tunnel-creation-ecies, "Short Request Record Unencrypted", "Short Reply Record Unencrypted"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'

// Specification constants
/** Bytes of a hop's hash that mark its record. */
export const TRUNCATED_HASH = 16
export const EPHEMERAL_KEY = 32
const SHORT_REQUEST_CLEAR = 154
export const SHORT_REPLY_CLEAR = 202
/** The only layer encryption there is: AES. */
export const LAYER_AES = 0
/** Seconds; the only lifetime there is. */
export const TUNNEL_SECONDS = 600
/** Reply bytes. Any other than 0 refuses; every refusal is written as 30 so that it tells nothing of its cause. */
export const ACCEPTED = 0
export const REFUSED = 30
const FLAG_INBOUND_GATEWAY = 0x80
const FLAG_OUTBOUND_ENDPOINT = 0x40

export type HopRole = 'inbound-gateway' | 'participant' | 'outbound-endpoint'

/** What the creator asks of one hop. */
export interface BuildRequest {
  readonly role: HopRole
  /** Where this hop will receive the tunnel's messages. */
  readonly receiveTunnelId: number
  /** At the next hop; for an outbound endpoint: at the gateway that takes the reply. */
  readonly nextTunnelId: number
  readonly nextHop: Hash
  readonly layerEncryption: number
  /** Whole minutes since 1970. */
  readonly requestTime: number
  /** Seconds. */
  readonly lifetime: number
  /** Id of the message with which the build, or its reply, goes on. */
  readonly nextMessageId: number
}

/** 154 bytes: no options, the rest random. */
export function writeShortRequest(q: BuildRequest, random: Random): Uint8Array {
  const w = new Writer(SHORT_REQUEST_CLEAR)
  w.u32(q.receiveTunnelId)
    .u32(q.nextTunnelId)
    .put(q.nextHop)
    .u8(roleFlags(q.role))
    .u16(0)
    .u8(q.layerEncryption)
  w.u32(q.requestTime).u32(q.lifetime).u32(q.nextMessageId).u16(0)
  return w.put(random.bytes(SHORT_REQUEST_CLEAR - w.pos)).bytes
}

/**
 * Options are not read: the only ones defined ask for bandwidth, answering them is optional, and other routers leave padding
 * there that is no mapping.
 * @throws {MalformedError} also on both role bits at once and on tunnel ids of zero.
 */
export function readShortRequest(r: Reader): BuildRequest {
  const receiveTunnelId = r.u32()
  const nextTunnelId = r.u32()
  const nextHop = r.take(HASH_LENGTH)
  const role = flagsRole(r.u8())
  r.u16() // more flags, unused
  const layerEncryption = r.u8()
  const requestTime = r.u32()
  const lifetime = r.u32()
  const nextMessageId = r.u32()
  if (receiveTunnelId === 0 || nextTunnelId === 0) throw new MalformedError('build request: tunnel id 0')
  return {
    role,
    receiveTunnelId,
    nextTunnelId,
    nextHop,
    layerEncryption,
    requestTime,
    lifetime,
    nextMessageId,
  }
}

/** `length` bytes: no options, random padding, the status last. */
export function writeReply(status: number, length: number, random: Random): Uint8Array {
  const w = new Writer(length).u16(0).put(random.bytes(length - 3))
  return w.u8(status).bytes
}

export function readReplyStatus(clear: Uint8Array): number {
  return clear[clear.length - 1]!
}

/** The date as request records have it. */
export function buildMinutes(wall: WallMillis): number {
  return Math.floor(wall / 60_000)
}

export function roleFlags(role: HopRole): number {
  if (role === 'inbound-gateway') return FLAG_INBOUND_GATEWAY
  return role === 'outbound-endpoint' ? FLAG_OUTBOUND_ENDPOINT : 0
}

/** @throws {MalformedError} */
export function flagsRole(flags: number): HopRole {
  const gateway = (flags & FLAG_INBOUND_GATEWAY) !== 0
  const endpoint = (flags & FLAG_OUTBOUND_ENDPOINT) !== 0
  if (gateway && endpoint) throw new MalformedError('build request: gateway and endpoint at once')
  if (gateway) return 'inbound-gateway'
  return endpoint ? 'outbound-endpoint' : 'participant'
}
