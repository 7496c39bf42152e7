/** How NTCP2 conversations begin: dialled, accepted from strangers, or adopted on a stream that a mesh hello has opened. */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../base/core.ts'
import { ipBytes } from '../../base/ip.ts'
import { SeenFilter } from '../../base/lru.ts'
import { OutputQueue } from '../../protocol/blocks/output-queue.ts'
import { TerminationReason } from '../../protocol/blocks/termination.ts'
import type { Handshake, Local, Remote } from '../../protocol/ntcp2/handshake.ts'
import { initiate } from '../../protocol/ntcp2/initiator.ts'
import { MAX_SKEW_MS } from '../../protocol/ntcp2/messages.ts'
import { respond } from '../../protocol/ntcp2/responder.ts'
import { Ntcp2Session } from '../../protocol/ntcp2/session.ts'
import type { HashKey } from '../../protocol/structures/hash.ts'
import { ntcp2Address } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { mayComeFrom, type Ntcp2Choice } from './addresses.ts'
import type { TransportEvent } from './events.ts'
import type { TransportLimits } from './limits.ts'
import type { Links } from './links.ts'
import { Link, type Peer } from './peer.ts'
import type { Reception } from './reception.ts'
import type { SessionSink } from './session-sink.ts'

// Implementation constants

/** Handshake values remembered against replay: more than the common rate limit lets pass in a generation. */
const MAX_REPLAY = 8192

export interface Ntcp2Options {
  readonly local: Local
  readonly limits: TransportLimits
  readonly links: Links
  readonly reception: Reception
  readonly sink: SessionSink
  /** Ours, as sent; undefined before there is one. */
  readonly ours: () => RouterInfo | undefined
}

interface Tcp {
  readonly session: Ntcp2Session
  readonly link: Link
  /** Whom to greet once connected. */
  begin: ((now: Millis) => Handshake | undefined) | undefined
}

export class Ntcp2 {
  readonly #o: Ntcp2Options
  readonly #tcp = new Map<LinkId, Tcp>()
  #replay: SeenFilter<HashKey> | undefined

  constructor(options: Ntcp2Options) {
    this.#o = options
  }

  /** `padded` is false when our clock may be wrong: without padding theirs can be read from the answer. */
  dial(
    routerInfo: RouterInfo,
    choice: Ntcp2Choice,
    peer: Peer,
    padded: boolean,
    now: Millis,
    out: Sink<TransportEvent>,
  ): void {
    const { address, port, staticKey, iv } = choice
    const endpoint = { address, port }
    const tcp = this.#open(out.tcpOpen(endpoint), endpoint, true, undefined, peer, now)
    tcp.begin = (at) => this.#initiate({ routerInfo, staticKey, iv }, padded, at)
  }

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<TransportEvent>): void {
    const steps = this.#welcome(from, now, out)
    if (steps === undefined) {
      out.tcpEnd(id, true)
      return
    }
    const { session, link } = this.#open(id, from, false, undefined, undefined, now)
    session.start(steps, now, this.#o.sink.with(now, out))
    this.#o.links.settle(link)
  }

  connected(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    const tcp = this.#tcp.get(id)
    const steps = tcp?.begin?.(now)
    if (tcp === undefined || steps === undefined) return
    tcp.begin = undefined
    tcp.session.start(steps, now, this.#o.sink.with(now, out))
    this.#o.links.settle(tcp.link)
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<TransportEvent>): void {
    const tcp = this.#tcp.get(id)
    if (tcp === undefined) return
    tcp.session.received(bytes, now, this.#o.sink.with(now, out))
    this.#o.links.settle(tcp.link)
  }

  closed(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    const tcp = this.#tcp.get(id)
    this.#tcp.delete(id)
    tcp?.session.closed(this.#o.sink.with(now, out))
  }

  writable(id: LinkId, now: Millis, out: Sink<TransportEvent>): void {
    const tcp = this.#tcp.get(id)
    if (tcp === undefined) return
    tcp.session.writable(now, this.#o.sink.with(now, out))
    this.#o.links.markDirty(tcp.link, now)
  }

  /**
   * Runs NTCP2 on a connection that someone else opened and greeted. The initiator must know `remote`, and its IV unless an
   * address in `remote` has one; a responder that knows `remote` accepts nobody else. `rest`: bytes that came behind the
   * greeting.
   */
  adopt(
    id: LinkId,
    role: 'initiator' | 'responder',
    remote: RouterInfo | undefined,
    linkName: string,
    endpoint: Endpoint,
    rest: Uint8Array,
    now: Millis,
    out: Sink<TransportEvent>,
    iv?: Uint8Array,
  ): void {
    const initiator = role === 'initiator'
    const target = initiator && remote !== undefined ? adoptedRemote(remote, iv) : undefined
    const { sink, links } = this.#o
    const inner = sink.with(now, out)
    const steps = initiator
      ? target && this.#initiate(target, true, now)
      : this.#respond(now, (ri) =>
          remote !== undefined && !sameBytes(ri.hash, remote.hash)
            ? TerminationReason.staticKeyMismatch
            : undefined,
        )
    if (steps === undefined) {
      out.tcpEnd(id, true)
      out.event({ kind: 'link-closed', link: id })
      return
    }
    const peer = target && links.peer(target.routerInfo.hash)
    const { session, link } = this.#open(id, endpoint, initiator, linkName, peer, now)
    session.start(steps, now, inner)
    if (rest.length > 0) session.received(rest, now, inner)
    links.settle(link)
  }

  #initiate(remote: Remote, padded: boolean, now: Millis): Handshake | undefined {
    const ours = this.#o.ours()
    return ours && initiate(this.#o.local, remote, ours.bytes, now, padded)
  }

  #respond(now: Millis, objection: (ri: RouterInfo) => number | undefined): Handshake | undefined {
    const { ours, local, reception } = this.#o
    if (ours() === undefined) return undefined
    this.#replay ??= new SeenFilter(2 * MAX_SKEW_MS, MAX_REPLAY, now)
    const refuse = (ri: RouterInfo): number | undefined => reception.refuse(ri) ?? objection(ri)
    return respond(local, { replay: this.#replay, refuse })
  }

  #open(
    id: LinkId,
    endpoint: Endpoint,
    initiator: boolean,
    linkName: string | undefined,
    peer: Peer | undefined,
    now: Millis,
  ): Tcp {
    const { local, ours, limits, links } = this.#o
    const session = new Ntcp2Session(id, local, () => ours()!.bytes, new OutputQueue(), limits, now)
    const adopted = linkName === undefined ? undefined : { id, name: linkName }
    const link = new Link(session, endpoint, initiator, peer, now, adopted)
    const tcp: Tcp = { session, link, begin: undefined }
    this.#tcp.set(id, tcp)
    links.add(link)
    return tcp
  }

  /** The handshake with a stranger, if it may begin. */
  #welcome(from: Endpoint, now: Millis, out: Sink<TransportEvent>): Handshake | undefined {
    const { reception } = this.#o
    const source = ipBytes(from.address)
    if (source === undefined || !reception.admits(source, from.address, now, out)) return undefined
    return this.#respond(now, (ri) => (mayComeFrom(ri, source) ? undefined : TerminationReason.banned))
  }
}

/** A neighbour's static key, and its IV from the greeting or from its RouterInfo. */
function adoptedRemote(routerInfo: RouterInfo, iv: Uint8Array | undefined): Remote | undefined {
  for (const address of routerInfo.addresses) {
    const ntcp2 = ntcp2Address(address)
    const use = iv ?? ntcp2?.iv
    if (ntcp2 !== undefined && use !== undefined) return { routerInfo, staticKey: ntcp2.staticKey, iv: use }
  }
  return undefined
}
