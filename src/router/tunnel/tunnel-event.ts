/** What the tunnels of a router say to the outside, and what they ask of it. */
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Traffic } from '../../protocol/blocks/output-queue.ts'
import type { Hop } from '../../protocol/build/creator.ts'
import type { I2npMessage } from '../../protocol/i2np/message.ts'
import type { Hash, HashKey } from '../../protocol/structures/hash.ts'

export type Direction = 'inbound' | 'outbound'

/** Numbers one pool of this router; never reused. */
export type PoolId = number

export type PeerResult = 'accepted' | 'declined' | 'timeout' | 'test-ok' | 'test-failed'

export type TunnelEvent =
  | { readonly kind: 'send'; readonly to: Hash; readonly message: I2npMessage; readonly traffic: Traffic }
  /** Came out of one of our inbound tunnels; `tunnelId` is the one at its gateway. */
  | {
      readonly kind: 'received'
      readonly pool: PoolId
      readonly tunnelId: number
      readonly message: I2npMessage
    }
  /** Someone's outbound tunnel ends here, or ours has no hops, and the message is for this router. */
  | { readonly kind: 'local'; readonly message: I2npMessage }
  /**
   * A garlic message that begins with this tag and comes out of a tunnel of that pool is for this key, once: its clove comes
   * back to `handleUnwrapped` or `deliveryStatus`.
   */
  | {
      readonly kind: 'reply-key'
      readonly pool: PoolId
      readonly key: Uint8Array
      readonly tag: Uint8Array
    }
  /** Its set of working tunnels of that direction is another than before. */
  | { readonly kind: 'pool-changed'; readonly pool: PoolId; readonly direction: Direction }
  | { readonly kind: 'peer-result'; readonly peer: Hash; readonly what: PeerResult }

export interface TunnelSink {
  event(e: TunnelEvent): void
}

/** Something with a deadline. */
export interface Due {
  due(now: Millis, out: TunnelSink): void
}

export interface SideOptions {
  /** Hops; 0 is a tunnel that begins and ends here. */
  readonly length: number
  readonly quantity: number
}

export interface PoolOptions {
  readonly name: string
  readonly kind: 'exploratory' | 'client'
  readonly inbound: SideOptions
  readonly outbound: SideOptions
  /** No router in both directions, where there are enough routers. */
  readonly disjoint: boolean
  /** Only these routers, and no rule about their addresses. */
  readonly trusted?: readonly Hash[]
}

/** How often each router stands in our tunnels, those being built included. */
export interface TunnelUsage {
  readonly tunnels: number
  count(router: HashKey): number
}

/** What the choice of hops may know of a pool. */
export interface PoolView {
  readonly name: string
  readonly kind: 'exploratory' | 'client'
  readonly disjoint: boolean
  readonly trusted: readonly Hash[] | undefined
  /** 32 random bytes: the order of routers in this pool's tunnels follows from them. */
  readonly key: Uint8Array
  readonly usage: TunnelUsage
  /** Routers in its tunnels of one direction, those being built included. */
  routers(direction: Direction): ReadonlySet<HashKey>
}

/** Chooses `length` hops in path order; undefined when it cannot. */
export type HopSelector = (
  pool: PoolView,
  direction: Direction,
  length: number,
  now: Millis,
) => readonly Hop[] | undefined

/** An inbound tunnel as others use it. */
export interface InboundView {
  readonly gateway: Hash
  readonly gatewayTunnelId: number
  readonly expires: WallMillis
  readonly zeroHop: boolean
}

/** Where an outbound tunnel's endpoint takes a message. */
export type OutboundDelivery =
  | { readonly kind: 'tunnel'; readonly gateway: Hash; readonly tunnelId: number }
  | { readonly kind: 'router'; readonly hash: Hash }

export interface TransitLimits {
  /** Tunnels of others; 0 refuses all. */
  readonly maxTransit: number
  /** Bytes of tunnel messages a second, both kinds of transit together. */
  readonly transitBytesPerSecond: number
  /** Build requests a second from one neighbour, and how many at once. */
  readonly peerBuildsPerSecond: number
  readonly peerBuildBurst: number
  /** Build requests a second from everyone: each costs a Diffie-Hellman. */
  readonly buildsPerSecond: number
}
