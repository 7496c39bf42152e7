/** One connection, and one router with all connections to it. */
import { compareBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import type { Remote } from '../../protocol/ntcp2/handshake.ts'
import type { Ntcp2Session } from '../../protocol/ntcp2/session.ts'
import type { Hash, HashKey } from '../../protocol/structures/hash.ts'

// Implementation constants

/**
 * Two connections in opposite directions crossed each other when the later began this soon after the earlier stood: neither
 * router could know of the other's attempt. Two round trips of a bad wireless link.
 */
const CROSSING_MS = 5_000

export class Link {
  readonly session: Ntcp2Session
  readonly endpoint: Endpoint
  /** The name its owner gave an adopted connection. */
  readonly linkName: string | undefined
  readonly initiator: boolean
  readonly startedAt: Millis
  establishedAt: Millis | undefined
  rttMs: Millis | undefined
  /** Known from the start when we dial. */
  peer: Peer | undefined
  /** Whom to greet once connected. */
  begin: Remote | undefined
  /** Has messages that no flush has seen. */
  dirty = false
  /** What the transport's deadlines hold for it. */
  deadline: Millis | undefined

  constructor(
    session: Ntcp2Session,
    endpoint: Endpoint,
    initiator: boolean,
    linkName: string | undefined,
    peer: Peer | undefined,
    now: Millis,
  ) {
    this.session = session
    this.endpoint = endpoint
    this.initiator = initiator
    this.linkName = linkName
    this.peer = peer
    this.startedAt = now
  }
}

export class Peer {
  readonly hash: Hash
  readonly key: HashKey
  /** Where messages go. */
  current: Link | undefined
  /** Messages wait in its session's queue until something is established. */
  dialling: Link | undefined
  /** Established too, but only read from: its initiator is about to close it. */
  readonly standby: Set<Link> = new Set()

  constructor(hash: Hash, key: HashKey) {
    this.hash = hash
    this.key = key
  }

  get empty(): boolean {
    return this.current === undefined && this.dialling === undefined && this.standby.size === 0
  }

  /**
   * Which of two established connections both routers keep. After crossing dials it is the one whose initiator has the lower
   * hash; otherwise the newer one, because its initiator would not have dialled if it still had the older.
   */
  winner(older: Link, newer: Link, ours: Hash): Link {
    if (!crossed(older, newer)) return newer
    const weAreLower = compareBytes(ours, this.hash) < 0
    return newer.initiator === weAreLower ? newer : older
  }
}

export function crossed(older: Link, newer: Link): boolean {
  return older.initiator !== newer.initiator && newer.startedAt <= older.establishedAt! + CROSSING_MS
}
