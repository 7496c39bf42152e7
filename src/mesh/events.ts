/** What a neighbourhood is told of its own router, and what it wants done. */
import type { Endpoint, LinkId } from '../base/core.ts'
import type { ClockQuality } from '../protocol/hello/payload.ts'
import type { RouterInfo } from '../protocol/structures/router-info.ts'
import type { Announcement } from './announcement.ts'
import type { LinkInterface } from './link.ts'

/** What we tell of ourselves; replaced whole when any of it changes. */
export interface OwnRouter {
  readonly routerInfo: RouterInfo
  /** NTCP2's `i`, 16 bytes. */
  readonly ntcp2Iv: Uint8Array
  /** 0 without SSU2. */
  readonly udpPort: number
  /** 32 bytes; zeros without SSU2. */
  readonly introKey: Uint8Array
}

/** What a neighbour told: its RouterInfo's signature and network are checked, its date is not. */
export interface NeighbourHello extends OwnRouter {
  readonly quality: ClockQuality
  /** Its clock minus ours, ms, half the round trip corrected; before the step it may have caused. */
  readonly offset: number
}

/** On the link itself. */
export type LinkEvent =
  /** Open mDNS on this interface; its records and queries are wanted. */
  | { readonly kind: 'join'; readonly interface: LinkInterface }
  /** Close it once what was announced before is out. Sessions over it are lost. */
  | { readonly kind: 'leave'; readonly linkName: string }
  /** Send our records with this AAAA, and those of `goodbyes` with TTL 0, in one packet. */
  | {
      readonly kind: 'announce'
      readonly linkName: string
      readonly address: string
      readonly announcement: Announcement | undefined
      readonly goodbyes: readonly string[]
    }
  | { readonly kind: 'query'; readonly linkName: string }
  /** Accept TCP on this scoped address; `listenFailed` if that cannot be. */
  | { readonly kind: 'listen'; readonly linkName: string; readonly address: string; readonly port: number }
  | { readonly kind: 'unlisten'; readonly linkName: string; readonly address: string; readonly port: number }

export type NeighbourhoodEvent =
  | LinkEvent
  /** The hello is done: the stream belongs to NTCP2 now, and `rest` are its first bytes. */
  | {
      readonly kind: 'neighbour'
      readonly link: LinkId
      readonly role: 'initiator' | 'responder'
      readonly hello: NeighbourHello
      readonly endpoint: Endpoint
      readonly linkName: string
      readonly rest: Uint8Array
    }
  /** The mesh face's clock must step by this much, ms, before what comes next. */
  | { readonly kind: 'clock-step'; readonly by: number }
