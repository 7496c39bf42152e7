/** SSU2's RouterInfo block: flags, a fragment byte that always says "whole", a RouterInfo, gzipped or not (ssu2, "RouterInfo"). */
import { concat, type Reader } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { gunzip, gzip } from '../../base/gzip.ts'
import { type Random, randomId } from '../../base/random.ts'
import { writeDatabaseStore } from '../i2np/database-store.ts'
import { type I2npMessage, MessageType } from '../i2np/message.ts'
import { StoreType } from '../structures/lease-set.ts'
import { MAX_ROUTER_INFO, readRouterInfo } from '../structures/router-info.ts'

// Specification constants

const FLAG_FLOOD = 0x01
const FLAG_GZIP = 0x02
/** Fragment 0 of 1: "The Router Info block is never fragmented". */
const WHOLE = 0x01
/** Flags and fragment byte. */
const ROUTER_INFO_BLOCK_HEADER = 2

// Implementation constants

/** Of a RouterInfo as a message: it goes no further than to the peer. */
const STORE_LIFETIME: Millis = 10_000

export interface Ssu2RouterInfoBlock {
  /** Asks a floodfill to flood it; only for routers with published addresses. */
  readonly flood: boolean
  /** Unpacked; still to be parsed and verified. */
  readonly routerInfo: Uint8Array
}

/** @throws {MalformedError} */
export function readSsu2RouterInfoBlock(r: Reader): Ssu2RouterInfoBlock {
  const flags = r.u8()
  if (r.u8() !== WHOLE) throw new MalformedError('fragment of a RouterInfo')
  const bytes = r.rest()
  const routerInfo = (flags & FLAG_GZIP) === 0 ? bytes : gunzip(bytes, MAX_ROUTER_INFO)
  return { flood: (flags & FLAG_FLOOD) !== 0, routerInfo }
}

/** "Compression is recommended if it allows a Router Info to fit": gzipped when it would take more than `room` bytes with this header. */
export function writeSsu2RouterInfoBlock(
  { flood, routerInfo }: Ssu2RouterInfoBlock,
  room: number,
): Uint8Array {
  const fits = ROUTER_INFO_BLOCK_HEADER + routerInfo.length <= room
  const flags = (flood ? FLAG_FLOOD : 0) | (fits ? 0 : FLAG_GZIP)
  return concat(Uint8Array.of(flags, WHOLE), fits ? routerInfo : gzip(routerInfo))
}

/** For one that fits into no packet as a block: "use an I2NP DatabaseStore Message instead". */
export function routerInfoMessage(routerInfo: Uint8Array, random: Random, wall: WallMillis): I2npMessage {
  const { hash } = readRouterInfo(routerInfo).claimed
  const payload = writeDatabaseStore({ key: hash, type: StoreType.RouterInfo, data: routerInfo })
  return { type: MessageType.DatabaseStore, id: randomId(random), expiration: wall + STORE_LIFETIME, payload }
}
