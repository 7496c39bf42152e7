/** Every connection of a transport, whose it is, and when it wants to be woken. Decides between duplicates. */
import { compareBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Sink } from '../../base/core.ts'
import { Deadlines } from '../../base/deadlines.ts'
import type { OutputQueue } from '../../protocol/blocks/output-queue.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { PeerStatus, TransportEvent } from './events.ts'
import { crossed, type Link, Peer } from './peer.ts'
import type { Session, SessionEvent, TransportName } from './session.ts'
import type { CountingSink, Shaper } from './shaper.ts'

// Implementation constants

/** How long the loser of two crossed connections stays: until the other router has closed what it does not want. */
const CROSSED_MS = 3_000

export class Links {
  readonly #ours: Hash
  readonly #shaper: Shaper
  readonly #links = new Map<Session, Link>()
  readonly #peers = new Map<HashKey, Peer>()
  readonly #deadlines = new Deadlines<Link>()
  #dirty: Link[] = []
  /** Incoming connections that have not proved who they are. */
  readonly halfOpen: Set<Link> = new Set()
  dialling = 0
  established = 0
  #endedIn = 0
  #endedOut = 0
  /** When the oldest message that no flush has seen was queued. */
  dirtySince: Millis | undefined

  constructor(ours: Hash, shaper: Shaper) {
    this.#ours = ours
    this.#shaper = shaper
  }

  of(session: Session): Link {
    return this.#links.get(session)!
  }

  all(): IterableIterator<Link> {
    return this.#links.values()
  }

  find(key: HashKey): Peer | undefined {
    return this.#peers.get(key)
  }

  /** The peer with this hash, made when missing. */
  peer(hash: Hash): Peer {
    const key = hashKey(hash)
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      peer = new Peer(hash, key)
      this.#peers.set(key, peer)
    }
    return peer
  }

  /** Nothing came of it. */
  forget(peer: Peer): void {
    if (peer.empty) this.#peers.delete(peer.key)
  }

  /** The session over this transport with the peer, in use or not. */
  over(transport: TransportName, peer: Peer): Link | undefined {
    for (const link of [peer.current, ...peer.standby])
      if (link?.session.transport === transport && link.session.state === 'data') return link
    return undefined
  }

  add(link: Link): void {
    this.#links.set(link.session, link)
    this.#shaper.hold(link)
    if (!link.initiator) this.halfOpen.add(link)
    else if (link.peer !== undefined) {
      this.#peers.set(link.peer.key, link.peer)
      link.peer.dials.add(link)
      this.dialling++
    }
    this.settle(link)
  }

  /** Takes over the session's deadline; call after everything that was done to it. */
  settle(link: Link): void {
    const { deadline, state } = link.session
    if (deadline === link.deadline || state === 'ended') return
    link.deadline = deadline
    this.#deadlines.set(link, deadline)
  }

  nextDeadline(): Millis | undefined {
    return this.#deadlines.next()
  }

  /** One link whose deadline has come; `settle` it afterwards. */
  due(now: Millis): Link | undefined {
    const link = this.#deadlines.due(now)
    if (link !== undefined) link.deadline = undefined
    return link
  }

  /** It has messages for the next flush. */
  markDirty(link: Link, now: Millis): void {
    if (link.dirty || link.session.state !== 'data') return
    link.dirty = true
    this.#dirty.push(link)
    this.dirtySince ??= now
  }

  flush(now: Millis, sink: CountingSink): void {
    const { deadline } = this.#shaper
    if (this.#dirty.length === 0 && (deadline === undefined || now < deadline)) return
    const dirty = this.#dirty
    this.#dirty = []
    this.dirtySince = undefined
    for (const link of dirty) link.dirty = false
    this.#shaper.serve(dirty, now, sink)
    for (const link of dirty) this.settle(link)
  }

  /** The session in use that has been idle for longest. */
  idlest(): Link | undefined {
    let idlest: Link | undefined
    for (const { current } of this.#peers.values()) {
      if (current === undefined) continue
      if (idlest === undefined || current.session.lastActive < idlest.session.lastActive) idlest = current
    }
    return idlest
  }

  /** Bytes over all connections there ever were. */
  traffic(): { readonly in: number; readonly out: number } {
    let [inbound, outbound] = [this.#endedIn, this.#endedOut]
    for (const { session } of this.#links.values()) {
      inbound += session.bytesIn
      outbound += session.bytesOut
    }
    return { in: inbound, out: outbound }
  }

  *status(): IterableIterator<PeerStatus> {
    for (const { hash, current } of this.#peers.values()) {
      if (current === undefined) continue
      const { endpoint, initiator, session } = current
      const { transport, bytesIn, bytesOut, rttMs, packetsSent, packetsLost } = session
      const linkName = current.adopted?.name
      const since = current.establishedAt!
      yield {
        hash,
        transport,
        endpoint,
        linkName,
        initiator,
        since,
        bytesIn,
        bytesOut,
        rttMs,
        packetsSent,
        packetsLost,
      }
    }
  }

  /** A handshake has succeeded. */
  opened(
    link: Link,
    remote: RouterInfo,
    now: Millis,
    sink: Sink<SessionEvent>,
    out: Sink<TransportEvent>,
  ): void {
    const peer = link.peer ?? this.peer(remote.hash)
    link.peer = peer
    link.establishedAt = now
    this.established++
    this.halfOpen.delete(link)
    this.#dialled(peer, link)
    const { endpoint, initiator } = link
    const linkName = link.adopted?.name
    const older = peer.current
    if (older === undefined) {
      peer.current = link
      out.event({
        kind: 'session-open',
        peer: peer.hash,
        routerInfo: remote,
        endpoint,
        initiator,
        linkName,
      })
    } else {
      this.#resolve(peer, older, link, now, sink)
      if (!initiator) out.event({ kind: 'router-info', routerInfo: remote, flood: false, from: peer.hash })
    }
    this.#dropNeedlessDials(peer, now, sink)
    if (peer.current !== undefined) this.markDirty(peer.current, now)
  }

  /** True when it was a dial and there is no other session with that router. */
  ended(link: Link, reason: number, now: Millis, out: Sink<TransportEvent>): boolean {
    const { peer, session } = link
    this.#links.delete(session)
    this.#deadlines.clear(link)
    this.halfOpen.delete(link)
    if (link.establishedAt !== undefined) this.established--
    this.#endedIn += session.bytesIn
    this.#endedOut += session.bytesOut
    if (link.adopted !== undefined) out.event({ kind: 'link-closed', link: link.adopted.id })
    if (peer === undefined) return false
    const dialled = this.#dialled(peer, link)
    peer.standby.delete(link)
    if (peer.current === link) {
      const [spare] = peer.standby
      peer.current = spare
      if (spare === undefined) out.event({ kind: 'session-closed', peer: peer.hash, reason })
      else this.#promote(peer, spare, session.output, now)
    }
    if (peer.empty) this.#peers.delete(peer.key)
    return dialled && peer.dials.size === 0 && peer.current === undefined
  }

  /**
   * Two sessions with one router: one goes on. After crossing dials only the initiator of the other closes it, and not at
   * once: nothing under way is lost, and a router with another rule (i2pd keeps what was dialled to it) is left with a session.
   */
  #resolve(peer: Peer, older: Link, newer: Link, now: Millis, sink: Sink<SessionEvent>): void {
    const winner = peer.winner(older, newer, this.#ours)
    const loser = winner === newer ? older : newer
    peer.current = winner
    loser.session.output.moveTo(winner.session.output, now)
    peer.standby.add(loser)
    if (!crossed(older, newer)) loser.session.terminate(TerminationReason.normal, 'duplicate', now, sink)
    else if (loser.initiator) {
      loser.session.endAt(now + CROSSED_MS)
      this.settle(loser)
    }
  }

  /**
   * Connected while other attempts are under way. Ours over another way are dropped; when the peer has reached us, an attempt goes
   * on only if its session would be the one to stay.
   */
  #dropNeedlessDials(peer: Peer, now: Millis, sink: Sink<SessionEvent>): void {
    const { current } = peer
    if (current === undefined) return
    peer.waiting.moveTo(current.session.output, now)
    if (!current.initiator && compareBytes(this.#ours, peer.hash) < 0) return
    for (const { session } of [...peer.dials])
      session.terminate(TerminationReason.normal, 'connected meanwhile', now, sink)
  }

  #dialled(peer: Peer, link: Link): boolean {
    const dialled = peer.dials.delete(link)
    if (dialled) this.dialling--
    return dialled
  }

  #promote(peer: Peer, spare: Link, queue: OutputQueue, now: Millis): void {
    peer.standby.delete(spare)
    spare.session.endAt(Number.POSITIVE_INFINITY)
    queue.moveTo(spare.session.output, now)
    this.markDirty(spare, now)
  }
}
