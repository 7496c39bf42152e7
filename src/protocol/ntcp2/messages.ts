/**
 * The parts of the three handshake messages that are not Noise: options and the payload of SessionConfirmed
 * (ntcp2, "1) SessionRequest", "2) SessionCreated", "3) SessionConfirmed").
 */

import { Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { BLOCK_HEADER, BlockCursor, BlockType, putBlockHeader } from '../blocks/block.ts'
import {
  OPTIONS_MIN_LENGTH,
  type PaddingOptions,
  readPaddingOptions,
  writePaddingOptions,
} from '../blocks/padding-options.ts'
import { readRouterInfoBlock } from '../blocks/router-info-block.ts'
import { MAX_ROUTER_INFO } from '../structures/router-info.ts'

// Specification constants

export const PROTOCOL_NAME = 'Noise_XKaesobfse+hs2+hs3_25519_ChaChaPoly_SHA256'
export const VERSION = 2
export const MAC = 16
/** Obfuscated X and the sealed options; padding follows. SessionCreated has the same shape. */
export const SESSION_REQUEST_LENGTH = 64
const OPTIONS_LENGTH = 16
/** The sealed static key of SessionConfirmed. */
export const PART1_LENGTH = 48
/** "A clock skew between two peers of greater than +/- 60 seconds is generally fatal" ("Clock Skew Guidelines"). */
export const MAX_SKEW_MS = 60_000

// Implementation constants

/** i2pd reads at most 287 bytes for the first two messages, 64 of them fixed. */
export const MAX_PADDING_SENT = 223
/** The most that Java has accepted (since API 0.9.69); also our memory bound for a stranger. */
export const MAX_PADDING_ACCEPTED = 880
/** MAC, RouterInfo block, Options block and a padding block of up to 1 KiB. */
export const MAX_PART2_LENGTH: number =
  MAC + BLOCK_HEADER + 1 + MAX_ROUTER_INFO + BLOCK_HEADER + 64 + BLOCK_HEADER + 1024
/** MAC, RouterInfo block header and flag, and the smallest signed RouterInfo one can write (387 + 8 + 1 + 1 + 2 + 40). */
export const MIN_PART2_LENGTH: number = MAC + BLOCK_HEADER + 1 + 439
/** Our padding block in SessionConfirmed; i2pd and Java pad by tens of bytes too. */
export const MAX_PART2_PADDING = 63

export interface SessionRequestOptions {
  readonly netId: number
  readonly version: number
  readonly paddingLength: number
  /** Exact length of SessionConfirmed part 2 with its MAC. */
  readonly part2Length: number
  /** Seconds since 1970. */
  readonly timestamp: number
}

export function readSessionRequestOptions(r: Reader): SessionRequestOptions {
  const netId = r.u8()
  const version = r.u8()
  const paddingLength = r.u16()
  const part2Length = r.u16()
  r.u16()
  const timestamp = r.u32()
  r.u32()
  r.end('SessionRequest options')
  return { netId, version, paddingLength, part2Length, timestamp }
}

export function writeSessionRequestOptions(o: SessionRequestOptions): Uint8Array {
  return new Writer(OPTIONS_LENGTH)
    .u8(o.netId)
    .u8(o.version)
    .u16(o.paddingLength)
    .u16(o.part2Length)
    .u16(0)
    .u32(o.timestamp)
    .u32(0).bytes
}

export interface SessionCreatedOptions {
  readonly paddingLength: number
  /** Seconds since 1970. */
  readonly timestamp: number
}

export function readSessionCreatedOptions(r: Reader): SessionCreatedOptions {
  r.u16()
  const paddingLength = r.u16()
  r.u32()
  const timestamp = r.u32()
  r.u32()
  r.end('SessionCreated options')
  return { paddingLength, timestamp }
}

export function writeSessionCreatedOptions(o: SessionCreatedOptions): Uint8Array {
  return new Writer(OPTIONS_LENGTH).u16(0).u16(o.paddingLength).u32(0).u32(o.timestamp).u32(0).bytes
}

/** The plaintext of SessionConfirmed part 2. */
export interface SessionConfirmedPayload {
  /** Still to be parsed and verified. */
  readonly routerInfo: Uint8Array
  readonly options: PaddingOptions | undefined
}

/**
 * RouterInfo, then Options, then Padding, nothing else ("Block Ordering Rules").
 * @throws {MalformedError}
 */
export function readSessionConfirmedPayload(plaintext: Uint8Array): SessionConfirmedPayload {
  const blocks = new BlockCursor()
  blocks.open(plaintext)
  if (!blocks.next() || blocks.type !== BlockType.routerInfo) {
    throw new MalformedError('SessionConfirmed does not begin with a RouterInfo')
  }
  if (blocks.length > MAX_ROUTER_INFO + 1) throw new MalformedError('RouterInfo too long')
  const { routerInfo } = readRouterInfoBlock(new Reader(blocks.data()))
  let options: PaddingOptions | undefined
  let last: number = BlockType.routerInfo
  while (blocks.next()) {
    const type: number = blocks.type
    if (type === BlockType.options && last === BlockType.routerInfo) {
      options = readPaddingOptions(new Reader(blocks.data()))
    } else if (type !== BlockType.padding) {
      throw new MalformedError(`block ${type} in SessionConfirmed`)
    }
    last = type
  }
  return { routerInfo, options }
}

/** `padding` is the size of the padding block's data; the result's length plus a MAC is the message's `part2Length`. */
export function writeSessionConfirmedPayload(
  routerInfo: Uint8Array,
  options: PaddingOptions,
  padding: number,
): Uint8Array {
  const w = new Writer(sessionConfirmedPart2Length(routerInfo.length, padding) - MAC)
  putBlockHeader(w, BlockType.routerInfo, 1 + routerInfo.length)
  w.u8(0).put(routerInfo)
  putBlockHeader(w, BlockType.options, OPTIONS_MIN_LENGTH)
  w.put(writePaddingOptions(options))
  putBlockHeader(w, BlockType.padding, padding)
  return w.bytes
}

export function sessionConfirmedPart2Length(routerInfoLength: number, padding: number): number {
  return (
    BLOCK_HEADER + 1 + routerInfoLength + BLOCK_HEADER + OPTIONS_MIN_LENGTH + BLOCK_HEADER + padding + MAC
  )
}
