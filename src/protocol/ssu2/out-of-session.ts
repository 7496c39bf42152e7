/**
 * Packets that need no session: sealed with an intro key, which is public, so they prove nothing but that the sender has read a
 * RouterInfo (ssu2, "KDF for Retry", "Token Request", "Retry"). Nothing in them may be believed for more than a next step.
 */
import { concat, Reader, sameBytes } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { open, seal } from '../../crypto/aead.ts'
import { BlockType, writeBlock } from '../blocks/block.ts'
import { writeDateTime } from '../blocks/date-time.ts'
import { writeTermination } from '../blocks/termination.ts'
import { type IpPort, Ssu2BlockType, writeAddress } from './blocks.ts'
import { MAC } from './handshake.ts'
import {
  EPHEMERAL_END,
  LONG_HEADER,
  type LongHeader,
  MessageType,
  maskConnectionId,
  maskLongHeader,
  maskNumberAndType,
  maskThirdPart,
  messageType,
  readLongHeader,
  TOKEN,
  VERSION,
  writeLongHeader,
} from './header.ts'

// Specification constants

/** A payload of 8 bytes behind a long header. */
const MIN_OUT_OF_SESSION: number = LONG_HEADER + 8 + MAC
/** "Minimum Size" of SessionRequest. */
const MIN_SESSION_REQUEST = 88
export const NO_TOKEN: Uint8Array = new Uint8Array(TOKEN)

// Implementation constants

/** i2pd's 0 to 15; keeps a Retry far below three times the request ("Retry", Notes). */
const MAX_PADDING = 15

/** Any packet with a long header that is sealed with an intro key, masks on. Also PeerTest and HolePunch. */
export function sealOutOfSession(header: LongHeader, payload: Uint8Array, introKey: Uint8Array): Uint8Array {
  const clear = writeLongHeader(header)
  const packet = concat(clear, seal(introKey, header.packetNumber, clear, payload))
  maskLongHeader(packet, introKey, introKey, LONG_HEADER)
  return packet
}

/** The payload of a packet whose masks are off. */
export function openOutOfSession(packet: Uint8Array, introKey: Uint8Array): Uint8Array | undefined {
  if (packet.length < MIN_OUT_OF_SESSION) return undefined
  const clear = packet.subarray(0, LONG_HEADER)
  return open(introKey, readLongHeader(new Reader(clear)).packetNumber, clear, packet.subarray(LONG_HEADER))
}

/**
 * Takes the masks off a packet that belongs to no session of ours and reads its header, or undefined unless it is of a type that
 * may come from a stranger, of our version and network: nobody else gets an answer ("SessionRequest", Notes). All that is left
 * to do for SessionRequest is to check the token; the other types are still sealed.
 */
export function readFirstPacket(
  packet: Uint8Array,
  introKey: Uint8Array,
  netId: number,
): LongHeader | undefined {
  if (packet.length < MIN_OUT_OF_SESSION) return undefined
  maskConnectionId(packet, introKey)
  maskNumberAndType(packet, introKey)
  const type = messageType(packet)
  if (type === MessageType.sessionRequest) {
    if (packet.length < MIN_SESSION_REQUEST) return undefined
  } else if (
    type !== MessageType.tokenRequest &&
    type !== MessageType.peerTest &&
    type !== MessageType.holePunch
  ) {
    return undefined
  }
  maskThirdPart(packet, introKey, type === MessageType.sessionRequest ? EPHEMERAL_END : LONG_HEADER)
  const header = readLongHeader(new Reader(packet))
  if (header.version !== VERSION || header.netId !== netId) return undefined
  // "Bob must drop the message if the Source Connection ID equals the Destination Connection ID."
  return sameBytes(header.sourceId, header.destinationId) ? undefined : header
}

export interface TokenRequest {
  readonly sourceId: Uint8Array
  readonly destinationId: Uint8Array
  readonly netId: number
  readonly wall: WallMillis
}

export function writeTokenRequest(request: TokenRequest, introKey: Uint8Array, random: Random): Uint8Array {
  const header = {
    destinationId: request.destinationId,
    packetNumber: random.below(2 ** 32),
    type: MessageType.tokenRequest,
    version: VERSION,
    netId: request.netId,
    sourceId: request.sourceId,
    token: NO_TOKEN,
  }
  const payload = concat(writeBlock(BlockType.dateTime, writeDateTime(request.wall)), padding(random))
  return sealOutOfSession(header, payload, introKey)
}

export interface Retry {
  /** The header of the SessionRequest or TokenRequest that it answers. */
  readonly request: LongHeader
  /** 8 bytes for the next SessionRequest, or the TerminationReason why there is to be none. */
  readonly verdict: Uint8Array | number
  /** Where the request came from. */
  readonly from: IpPort
  readonly wall: WallMillis
}

/** Three times as long as no request: at most 107 bytes, where a request has 56 at least. */
export function writeRetry(retry: Retry, introKey: Uint8Array, random: Random): Uint8Array {
  const { request, verdict } = retry
  const rejected = typeof verdict === 'number'
  const header = {
    destinationId: request.sourceId,
    packetNumber: random.below(2 ** 32),
    type: MessageType.retry,
    version: VERSION,
    netId: request.netId,
    sourceId: request.destinationId,
    token: rejected ? NO_TOKEN : verdict,
  }
  const termination = rejected
    ? writeBlock(Ssu2BlockType.termination, writeTermination({ framesReceived: 0, reason: verdict }))
    : new Uint8Array(0)
  const payload = concat(
    writeBlock(BlockType.dateTime, writeDateTime(retry.wall)),
    writeBlock(Ssu2BlockType.address, writeAddress(retry.from)),
    termination,
    padding(random),
  )
  return sealOutOfSession(header, payload, introKey)
}

/** A last block of random bytes. */
export function padding(random: Random, max: number = MAX_PADDING): Uint8Array {
  return writeBlock(BlockType.padding, random.bytes(random.below(max + 1)))
}
