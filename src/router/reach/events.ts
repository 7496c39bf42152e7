/** What this room tells its owner, and what it needs to know of the rest. */
import type { Clock, Millis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import type { Random } from '../../base/random.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { LocalIdentity } from '../../protocol/structures/identity.ts'
import type { Introducer } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'

/** Of IP addresses. */
export type Family = 4 | 6
export const FAMILIES: readonly Family[] = [4, 6]

/**
 * How strangers fare with us: `firewalled` only behind introducers; `symmetric` too, and our port differs for each peer besides.
 */
export type Verdict = 'unknown' | 'ok' | 'firewalled' | 'symmetric'

export type ReachEvent =
  /** Send this block in the session with `to`, again until it is acknowledged. Without a session, forget it. */
  | { readonly kind: 'block'; readonly to: Hash; readonly type: number; readonly data: Uint8Array }
  /** The same with a RouterInfo, not ours, before the block that follows: a RouterInfo block, or a DatabaseStore when it is large. */
  | { readonly kind: 'router-info'; readonly to: Hash; readonly routerInfo: RouterInfo }
  /** Answer with `connected` once there is an SSU2 session, or with `dialFailed`. */
  | { readonly kind: 'want-session'; readonly peer: Hash }
  /** Dial some router whose SSU2 address of this family is published and has the capability (B tests, C introduces). */
  | { readonly kind: 'want-peer'; readonly family: Family; readonly capability: 'B' | 'C' }
  /** Keep the way from this introducer open: send a packet, unless one has just been sent. */
  | { readonly kind: 'keep-alive'; readonly peer: Hash }
  /** Send SessionRequest with this token there at once: it expects us. */
  | {
      readonly kind: 'reached'
      readonly peer: Hash
      readonly endpoint: Endpoint
      readonly token: Uint8Array
    }
  | { readonly kind: 'introduction-failed'; readonly peer: Hash; readonly family: Family }
  | { readonly kind: 'verdict'; readonly family: Family; readonly verdict: Verdict }
  /** Where others see us has changed: publish it, or not, as the verdict has it. */
  | { readonly kind: 'address'; readonly family: Family; readonly address: IpPort }
  /** What to publish for this family now. */
  | {
      readonly kind: 'introducers'
      readonly family: Family
      readonly introducers: readonly Introducer[]
    }

export type ReachSink = Sink<ReachEvent>

export interface ReachOptions {
  readonly local: LocalIdentity
  /** `i` of our SSU2 addresses. */
  readonly introKey: Uint8Array
  readonly netId: number
  readonly random: Random
  readonly clock: Clock
  /** View of the netDb: verified RouterInfos. */
  readonly routers: { get(hash: Hash): RouterInfo | undefined }
  /** Whether we send to such an address at all: its family, and no reserved range outside a test network. */
  readonly mayReach: (ip: Uint8Array) => boolean
  /** A token for a SessionRequest from there. */
  readonly giveToken: (to: IpPort, now: Millis) => Uint8Array
  /** Those that we have SSU2 addresses of. */
  readonly families: readonly Family[]
  /** Whether we test and introduce others. */
  readonly serve: boolean
  /** Peers of different networks that must agree on our address; 3 unless a test network has fewer. */
  readonly quorum?: number
}

/** An SSU2 session. */
export interface ReachPeer {
  readonly hash: Hash
  readonly routerInfo: RouterInfo
  /** Where it is now. */
  readonly endpoint: Endpoint
  /** We dialled it. */
  readonly initiator: boolean
  /** Of the RelayTag block of the handshake: by it the peer introduces others to us. */
  readonly relayTag?: number | undefined
  /** The one that we gave it in the handshake. */
  readonly grantedTag?: number | undefined
}
