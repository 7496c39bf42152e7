/** What two neighbours tell each other under the hello's encryption (mesh design, "Hello and dialling"). */
import { Reader, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'

// Specification constants
/** Every payload has this size, so that messages need no lengths and their size tells nothing. */
export const PAYLOAD_SIZE = 1024
const IV = 16
const INTRO_KEY = 32
const FIXED = 2 + IV + 2 + INTRO_KEY + 8 + 1
/** Bytes left for the RouterInfo; one with two addresses has some 800. */
export const MAX_HELLO_ROUTER_INFO: number = PAYLOAD_SIZE - FIXED

/**
 * How far a router's date can be trusted: 4 its own hardware or operator, 3 NTP, 2 the mesh's majority with such a router in
 * it, 1 the mesh's majority without, 0 nothing. A claim, like everything a peer says.
 */
export type ClockQuality = 0 | 1 | 2 | 3 | 4

export interface HelloPayload {
  /** As signed; not yet verified. */
  readonly routerInfo: Uint8Array
  /** NTCP2's `i`, 16 bytes: unpublished addresses have none in the RouterInfo. */
  readonly ntcp2Iv: Uint8Array
  /** SSU2 at the same address; 0 without. */
  readonly udpPort: number
  /** SSU2's intro key, 32 bytes; zeros without SSU2. */
  readonly introKey: Uint8Array
  readonly clock: WallMillis
  readonly quality: ClockQuality
}

/** The rest is zeros: nobody sees them. @throws {RangeError} when our own RouterInfo does not fit. */
export function writeHelloPayload(p: HelloPayload): Uint8Array {
  if (p.routerInfo.length > MAX_HELLO_ROUTER_INFO) throw new RangeError('RouterInfo does not fit a hello')
  return new Writer(PAYLOAD_SIZE)
    .u16(p.routerInfo.length)
    .put(p.routerInfo)
    .put(p.ntcp2Iv)
    .u16(p.udpPort)
    .put(p.introKey)
    .u64(p.clock)
    .u8(p.quality).bytes
}

/** Borrows. What follows is padding: a later version may use it. */
export function readHelloPayload(bytes: Uint8Array): HelloPayload {
  const r = new Reader(bytes)
  const payload = {
    routerInfo: r.take(r.u16()),
    ntcp2Iv: r.take(IV),
    udpPort: r.u16(),
    introKey: r.take(INTRO_KEY),
    clock: r.u64(),
    quality: readQuality(r.u8()),
  }
  if (bytes.length !== PAYLOAD_SIZE) throw new MalformedError(`hello payload of ${bytes.length} bytes`)
  return payload
}

function readQuality(value: number): ClockQuality {
  if (value > 4) throw new MalformedError(`clock quality ${value}`)
  return value as ClockQuality
}
