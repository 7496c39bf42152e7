/** What the blocks of a handshake or out-of-session packet say. Order is free but for padding and RouterInfo ("Block Ordering Rules"). */
import { concat, Reader } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { BlockCursor, BlockType, writeBlock } from '../blocks/block.ts'
import { readDateTime } from '../blocks/date-time.ts'
import { type PaddingOptions, readPaddingOptions } from '../blocks/padding-options.ts'
import { readTermination } from '../blocks/termination.ts'
import {
  type IpPort,
  type NewToken,
  readAddress,
  readNewToken,
  readRelayTag,
  Ssu2BlockType,
} from './blocks.ts'
import { readSsu2RouterInfoBlock } from './router-info-block.ts'

export interface Payload {
  wall?: WallMillis
  options?: PaddingOptions
  /** The reader's, as the writer sees it. */
  address?: IpPort
  relayTagRequested: boolean
  relayTag?: number
  newToken?: NewToken
  /** A TerminationReason. */
  termination?: number
  /** Whole blocks of other types, one after another: the data phase's, or of a later version. */
  rest: Uint8Array
}

/**
 * What it says owns its memory.
 * @throws {MalformedError}
 */
export function readPayload(plaintext: Uint8Array): Payload {
  const payload: Payload = { relayTagRequested: false, rest: new Uint8Array(0) }
  const rest: Uint8Array[] = []
  const blocks = new BlockCursor()
  blocks.open(plaintext)
  while (blocks.next()) {
    const r = new Reader(blocks.data())
    switch (blocks.type) {
      case BlockType.dateTime:
        payload.wall = readDateTime(r)
        break
      case BlockType.options:
        payload.options = readPaddingOptions(r)
        break
      case Ssu2BlockType.address:
        payload.address = readAddress(r)
        break
      case Ssu2BlockType.relayTagRequest:
        payload.relayTagRequested = true
        break
      case Ssu2BlockType.relayTag:
        payload.relayTag = readRelayTag(r)
        break
      case Ssu2BlockType.newToken:
        payload.newToken = readNewToken(r)
        break
      case Ssu2BlockType.termination:
        payload.termination = readTermination(r).reason
        break
      case BlockType.padding:
        break
      default:
        rest.push(writeBlock(blocks.type, r.rest()))
    }
  }
  payload.rest = concat(...rest)
  return payload
}

export interface SessionConfirmedPayload extends Payload {
  /** Still to be parsed and verified. */
  readonly routerInfo: Uint8Array
}

/** @throws {MalformedError} unless it begins with a RouterInfo. */
export function readSessionConfirmedPayload(plaintext: Uint8Array): SessionConfirmedPayload {
  const first = new BlockCursor()
  first.open(plaintext)
  if (!first.next() || first.type !== BlockType.routerInfo) {
    throw new MalformedError('SessionConfirmed does not begin with a RouterInfo')
  }
  const { routerInfo } = readSsu2RouterInfoBlock(new Reader(first.data()))
  return { ...readPayload(plaintext.subarray(first.end)), routerInfo }
}
