/** What a conversation over either transport is to the router: NTCP2's and SSU2's sessions both look like this. */

import type { Millis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import type { OutputQueue } from '../../protocol/blocks/output-queue.ts'
import type { PeerEvent } from '../../protocol/blocks/peer-event.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'

export type TransportName = 'ntcp2' | 'ssu2'

/** What a handshake has proved. */
export interface Opened {
  readonly remote: RouterInfo
  /** Their clock minus ours, ms. */
  readonly clockOffset: number
  readonly rttMs: Millis
  /** SSU2: the peer introduces others to us under this tag. */
  readonly relayTag?: number | undefined
  /** SSU2: the tag that we gave the peer. */
  readonly grantedTag?: number | undefined
}

export interface Session {
  readonly transport: TransportName
  /** Messages for the peer; they leave at `flush`. */
  readonly output: OutputQueue
  /** `data` once messages can be sent; `draining` while a refused stranger is kept waiting. */
  readonly state: 'new' | 'handshake' | 'data' | 'draining' | 'ended'
  readonly lastActive: Millis
  /** When `timeout` wants to be called. */
  readonly deadline: Millis
  readonly bytesIn: number
  readonly bytesOut: number
  /** Smoothed where the transport measures it. */
  readonly rttMs: Millis | undefined
  /** Packets sent and found lost; 0 where the operating system does that. */
  readonly packetsSent: number
  readonly packetsLost: number
  flush(now: Millis, out: Sink<SessionEvent>): void
  timeout(now: Millis, out: Sink<SessionEvent>): void
  /** Ends it from our side, telling the peer why when there are keys to do so. */
  terminate(reason: number, why: string, now: Millis, out: Sink<SessionEvent>): void
  /** Ends it at `at` if it lives so long; a later call replaces an earlier one. */
  endAt(at: Millis): void
}

export type SessionEvent =
  | PeerEvent
  | { readonly kind: 'established'; readonly session: Session; readonly result: Opened }
  | {
      readonly kind: 'ended'
      readonly session: Session
      /** A TerminationReason, theirs or ours. */
      readonly reason: number
      readonly why: string
      /** Their clock minus ours, when an initiator learned it from a handshake that failed for it. */
      readonly clockOffset: number | undefined
    }
  /** SSU2: a block that is no session's business: relaying, peer tests, tags, tokens. */
  | { readonly kind: 'block'; readonly session: Session; readonly type: number; readonly data: Uint8Array }
  /** SSU2: the peer sees us there. */
  | { readonly kind: 'address'; readonly session: Session; readonly address: IpPort }
  /** SSU2: the peer has another address now, and has proved it. */
  | { readonly kind: 'moved'; readonly session: Session; readonly to: Endpoint }
