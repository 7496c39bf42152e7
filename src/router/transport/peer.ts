/** One connection, and one router with all connections to it. */
import { compareBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId } from '../../base/core.ts'
import { OutputQueue } from '../../protocol/blocks/output-queue.ts'
import type { Hash, HashKey } from '../../protocol/structures/hash.ts'
import type { Session } from './session.ts'

// Implementation constants

/**
 * Two connections in opposite directions crossed each other when the later began this soon after the earlier stood: neither
 * router could know of the other's attempt. Two round trips of a bad wireless link.
 */
const CROSSING_MS = 5_000

export class Link {
  readonly session: Session
  endpoint: Endpoint
  /** The connection under it, and the name its owner gave it, when it was adopted. */
  readonly adopted: { readonly id: LinkId; readonly name: string } | undefined
  readonly initiator: boolean
  readonly startedAt: Millis
  establishedAt: Millis | undefined
  /** Known from the start when we dial. */
  peer: Peer | undefined
  /** Has messages that no flush has seen. */
  dirty = false
  /** See Shaper. */
  credit = 0
  /** What the transport's deadlines hold for it. */
  deadline: Millis | undefined

  constructor(
    session: Session,
    endpoint: Endpoint,
    initiator: boolean,
    peer: Peer | undefined,
    now: Millis,
    adopted?: { readonly id: LinkId; readonly name: string },
  ) {
    this.session = session
    this.endpoint = endpoint
    this.initiator = initiator
    this.adopted = adopted
    this.peer = peer
    this.startedAt = now
  }
}

export class Peer {
  readonly hash: Hash
  readonly key: HashKey
  /** Where messages go. */
  current: Link | undefined
  /** Attempts under way, over one transport or several. */
  readonly dials: Set<Link> = new Set()
  /** Messages for whichever attempt succeeds. */
  waiting: OutputQueue = new OutputQueue()
  /** Established too, but only read from: its initiator is about to close it. */
  readonly standby: Set<Link> = new Set()

  constructor(hash: Hash, key: HashKey) {
    this.hash = hash
    this.key = key
  }

  get empty(): boolean {
    return this.current === undefined && this.dials.size === 0 && this.standby.size === 0
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
