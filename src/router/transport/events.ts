/** What a transport tells its owner. */
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId } from '../../base/core.ts'
import type { I2npMessage } from '../../protocol/i2np/message.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import type { LongHeader } from '../../protocol/ssu2/header.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { TransportName } from './session.ts'

export type TransportEvent =
  | { readonly kind: 'message'; readonly from: Hash; readonly message: I2npMessage }
  | {
      readonly kind: 'session-open'
      readonly peer: Hash
      readonly routerInfo: RouterInfo
      readonly endpoint: Endpoint
      readonly initiator: boolean
      /** Of an adopted connection. */
      readonly linkName: string | undefined
    }
  /** The last session with this router; `reason` is a TerminationReason, theirs or ours. */
  | { readonly kind: 'session-closed'; readonly peer: Hash; readonly reason: number }
  | { readonly kind: 'dial-failed'; readonly peer: Hash }
  /** Answer with `routerFound` or `routerNotFound`. */
  | { readonly kind: 'unknown-router'; readonly peer: Hash }
  /** A peer's own, signature, network and date checked; `flood` asks a floodfill to pass it on. */
  | {
      readonly kind: 'router-info'
      readonly routerInfo: RouterInfo
      readonly flood: boolean
      readonly from: Hash
    }
  /** An authenticated peer's clock minus ours, ms. */
  | { readonly kind: 'clock'; readonly peer: Hash; readonly offset: number }
  /** A block of an SSU2 session that is about other routers: relaying, peer tests, relay tags. */
  | { readonly kind: 'block'; readonly from: Hash; readonly type: number; readonly data: Uint8Array }
  /** A PeerTest or HolePunch, its masks off and still sealed. */
  | {
      readonly kind: 'out-of-session'
      readonly header: LongHeader
      readonly packet: Uint8Array
      readonly from: Endpoint
    }
  /** A datagram has gone to a router with which there is no session. */
  | { readonly kind: 'dialled'; readonly endpoint: Endpoint }
  /** An SSU2 session has begun, whatever others there are with this router. */
  | {
      readonly kind: 'ssu2-open'
      readonly hash: Hash
      readonly routerInfo: RouterInfo
      readonly endpoint: Endpoint
      readonly initiator: boolean
      readonly relayTag?: number | undefined
      readonly grantedTag?: number | undefined
    }
  | { readonly kind: 'ssu2-moved'; readonly peer: Hash; readonly endpoint: Endpoint }
  /** The last SSU2 session with this router has ended. */
  | { readonly kind: 'ssu2-closed'; readonly peer: Hash }
  /** A router is wanted that publishes introducers only; answer with `introduced` or `notIntroduced`. */
  | { readonly kind: 'introduce'; readonly routerInfo: RouterInfo }
  /** Where a peer sees us. */
  | { readonly kind: 'our-address'; readonly peer: Hash; readonly address: IpPort }
  /** An adopted connection has ended. */
  | { readonly kind: 'link-closed'; readonly link: LinkId }

/** One router we have a session with. */
export interface PeerStatus {
  readonly hash: Hash
  readonly transport: TransportName
  readonly endpoint: Endpoint
  readonly linkName: string | undefined
  readonly initiator: boolean
  readonly since: Millis
  readonly bytesIn: number
  readonly bytesOut: number
  readonly rttMs: Millis | undefined
  /** 0 over NTCP2, whose packets are the operating system's. */
  readonly packetsSent: number
  readonly packetsLost: number
}
