/** NTCP2's RouterInfo block: one byte of flags and an uncompressed RouterInfo (ntcp2, "RouterInfo"). */
import { type Reader, Writer } from '../../base/bytes.ts'

// Specification constants

const FLAG_FLOOD = 0x01

export interface RouterInfoBlock {
  /** Asks a floodfill to flood it; only for routers with published addresses. */
  readonly flood: boolean
  /** Still to be parsed and verified. */
  readonly routerInfo: Uint8Array
}

export function readRouterInfoBlock(r: Reader): RouterInfoBlock {
  return { flood: (r.u8() & FLAG_FLOOD) !== 0, routerInfo: r.rest() }
}

export function writeRouterInfoBlock(block: RouterInfoBlock): Uint8Array {
  return new Writer(1 + block.routerInfo.length).u8(block.flood ? FLAG_FLOOD : 0).put(block.routerInfo).bytes
}
