/** What the netDb needs from around it, and what it tells. */
import type { Clock, Millis } from '../../base/clock.ts'
import type { Log } from '../../base/log.ts'
import { type Random, randomId } from '../../base/random.ts'
import type { Traffic } from '../../protocol/blocks/output-queue.ts'
import type { I2npMessage } from '../../protocol/i2np/message.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { LeaseSet } from '../../protocol/structures/lease-set.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'

// Implementation constants
/** Life of our messages: long enough for slow radio links, short enough that nobody forwards what we gave up on. */
const MESSAGE_LIFE: Millis = 12_000
const MESSAGE_LIFE_SPREAD: Millis = 3_000

/** The tunnel pool of a destination of ours. The netDb keeps clients apart by it and knows nothing else of them. */
export type Client = number

/**
 * How a message came: in a session, perhaps in garlic; or out of an inbound tunnel of a client, without client of an
 * exploratory one. An answer counts only when it came the way that the question named: to take it from elsewhere would show
 * who asked, or that two destinations live here.
 */
export type Arrival = 'session' | { readonly client: Client | undefined }

/** Where answers reach us: the gateway of an inbound tunnel and its id there. */
interface ReplyPath {
  readonly gateway: Hash
  readonly tunnelId: number
}

export type NetDbEvent =
  /** Directly, over a transport. */
  | { readonly kind: 'send'; readonly to: Hash; readonly message: I2npMessage; readonly traffic: Traffic }
  /** Encrypted to the router `to`, through an outbound tunnel of the client's; without client, an exploratory one. */
  | {
      readonly kind: 'send-garlic'
      readonly client: Client | undefined
      readonly to: Hash
      readonly message: I2npMessage
    }
  /** To the gateway of somebody's inbound tunnel: an answer of ours as floodfill. */
  | {
      readonly kind: 'send-tunnel'
      readonly gateway: Hash
      readonly tunnelId: number
      readonly message: I2npMessage
    }
  /** An answer may come to this client encrypted with this key under this tag; precedes the question. */
  | {
      readonly kind: 'reply-key'
      readonly client: Client | undefined
      readonly key: Uint8Array
      readonly tag: Uint8Array
    }
  /** New or newer, or known already and looked up. */
  | { readonly kind: 'router'; readonly routerInfo: RouterInfo }
  | { readonly kind: 'lease-set'; readonly leaseSet: LeaseSet; readonly client: Client | undefined }
  | {
      readonly kind: 'not-found'
      readonly key: Hash
      readonly what: 'router' | 'lease-set'
      readonly client: Client | undefined
    }

export interface NetDbSink {
  event(e: NetDbEvent): void
}

export interface NetDbOptions {
  /** Our own router's hash. */
  readonly local: Hash
  readonly netId: number
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  /** Whether we keep entries of others and answer for them. */
  readonly floodfill: boolean
  readonly maxRouters: number
  readonly paths: {
    /** Undefined while the client (without: the exploratory pool) has not both an inbound and an outbound tunnel. */
    reply(client: Client | undefined): ReplyPath | undefined
  }
  /** Whether a session with this router is up. */
  connected(hash: Hash): boolean
  /** Whether a router that we have no session with could be asked at all. Without: any that is not marked unreachable. */
  reachable?(ri: RouterInfo): boolean
}

export function newMessage(
  options: NetDbOptions,
  type: number,
  payload: Uint8Array,
  now: Millis,
): I2npMessage {
  const { random, clock } = options
  const expiration = clock.wall(now) + MESSAGE_LIFE + random.below(MESSAGE_LIFE_SPREAD)
  return { type, id: randomId(random), expiration, payload }
}
