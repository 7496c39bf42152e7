/**
 * Whether strangers reach us over SSU2, by whom else, and what we do for others in the same need: peer tests and introductions in all
 * three roles. Its owner has the sessions, the netDb and the socket.
 */
import { copy, Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, TimedCore } from '../../base/core.ts'
import { earliest } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import { type IpPort, readRelayTag, Ssu2BlockType, writeRelayTag } from '../../protocol/ssu2/blocks.ts'
import { MessageType } from '../../protocol/ssu2/header.ts'
import { openNoncePacket } from '../../protocol/ssu2/nonce-packet.ts'
import { readPeerTest } from '../../protocol/ssu2/peer-test.ts'
import { readRelayIntro, readRelayRequest, readRelayResponse } from '../../protocol/ssu2/relay.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { Introducer } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { Family, ReachEvent, ReachOptions, ReachPeer, ReachSink, Verdict } from './events.ts'
import { Held, type HeldBlock } from './held.ts'
import { Introducers } from './introducers.ts'
import { isTimely } from './limits.ts'
import { Outlook } from './outlook.ts'
import { ipPort, offerOf, type Peer, Peers } from './peers.ts'
import { RelayAlice } from './relay-alice.ts'
import { RelayBob } from './relay-bob.ts'
import { RelayCharlie } from './relay-charlie.ts'
import { Tags } from './tags.ts'
import { TestBob } from './test-bob.ts'
import { TestCharlie } from './test-charlie.ts'

// Implementation constants

/**
 * "Alice should wait for either receiving the Hole Punch, or a short delay (recommended 500 ms)": from behind a symmetric NAT only the
 * hole punch tells the right port. Where none gets in, waiting is in vain.
 */
const PATIENCE_MS: Millis = 500

/** Where strangers do not get in by themselves. */
const NEEDY: ReadonlySet<Verdict> = new Set(['firewalled', 'symmetric'])

export class Reach implements TimedCore<ReachEvent> {
  readonly #options: ReachOptions
  readonly #peers = new Peers()
  readonly #held = new Held()
  readonly #tags: Tags
  readonly #outlook: Outlook
  readonly #introducers: Introducers
  readonly #testBob: TestBob
  readonly #testCharlie: TestCharlie
  readonly #relayAlice: RelayAlice
  readonly #relayBob: RelayBob
  readonly #relayCharlie: RelayCharlie

  constructor(options: ReachOptions, now: Millis) {
    this.#options = options
    this.#tags = new Tags(options.random)
    this.#outlook = new Outlook(options, this.#peers, now)
    this.#introducers = new Introducers(options, this.#peers)
    this.#testBob = new TestBob(options, this.#peers)
    this.#testCharlie = new TestCharlie(options, this.#peers)
    this.#relayAlice = new RelayAlice(options, this.#peers)
    this.#relayBob = new RelayBob(options, this.#peers, this.#tags)
    this.#relayCharlie = new RelayCharlie(options, this.#peers)
  }

  verdict(family: Family): Verdict {
    return this.#outlook.verdict(family)
  }

  /** Whether a dial shall ask for a relay tag. */
  get needsIntroducers(): boolean {
    return this.#options.families.some((family) => NEEDY.has(this.verdict(family)))
  }

  /** Where others see us; to be published while the verdict is `ok`. */
  address(family: Family): IpPort | undefined {
    return this.#outlook.here(family)
  }

  /** To be published while the verdict is neither `ok` nor `unknown`. */
  introducers(family: Family, now: Millis): Introducer[] {
    return this.#introducers.published(family, now)
  }

  /** Whether to say C in the caps of this family's address, and to answer a RelayTagRequest in a handshake. */
  introducesOthers(family: Family): boolean {
    return this.#options.serve && this.verdict(family) === 'ok'
  }

  /** For the RelayTag block of SessionCreated; it counts once `connected` has it as `grantedTag`. */
  freshTag(family: Family): number | undefined {
    return this.introducesOthers(family) ? this.#tags.fresh() : undefined
  }

  /** An SSU2 session has begun, or another has taken its place. */
  connected(peer: ReachPeer, now: Millis, out: ReachSink): void {
    const at = ipPort(peer.endpoint)
    if (at === undefined) return
    const stranger = !peer.initiator && !this.#peers.isContact(at.ip, now)
    if (this.#peers.get(peer.hash) !== undefined) this.#forget(peer.hash, now, out)
    const added = this.#peers.add(peer, now)!
    if (peer.grantedTag !== undefined) this.#tags.given(peer.hash, peer.grantedTag)
    this.#outlook.connected(added, stranger, now, out)
    this.#relayCharlie.connected(added)
    this.#relayAlice.connected(added, now, out)
    this.#follow(now, out)
    if (peer.relayTag !== undefined) this.#introducers.tag(added, peer.relayTag, now, out)
    else this.#introducers.connected(added, now, out)
  }

  /** There is no SSU2 session with it any more. */
  disconnected(hash: Hash, now: Millis, out: ReachSink): void {
    this.#forget(hash, now, out)
    this.#relayAlice.unreachable(hash, now, out)
  }

  /** A session has migrated: it is at `endpoint` now. */
  moved(hash: Hash, endpoint: Endpoint, now: Millis): void {
    const peer = this.#peers.get(hash)
    if (peer !== undefined) this.#peers.add({ ...peer, endpoint }, now)
  }

  /** A session that we wanted cannot be had. */
  dialFailed(hash: Hash, now: Millis, out: ReachSink): void {
    this.#relayAlice.unreachable(hash, now, out)
  }

  /** A first packet to `endpoint`: from then on our NAT lets in its host. */
  dialled(endpoint: Endpoint, now: Millis): void {
    const at = ipPort(endpoint)
    if (at !== undefined) this.#peers.contacted(at.ip, now)
  }

  /** A RouterInfo that is new in the netDb. */
  routerFound(ri: RouterInfo, now: Millis, out: ReachSink): void {
    for (const block of this.#held.found(ri.hash)) this.#guarded(() => this.#block(block, ri, now, out))
    this.#follow(now, out)
  }

  /** `peer` sees us at `ours`: the Address block of a handshake or a session. */
  heardAddress(hash: Hash, ours: IpPort, now: Millis, out: ReachSink): void {
    const peer = this.#peers.get(hash)
    if (peer !== undefined) this.#outlook.heard(peer, ours, now, out)
  }

  /** The user says that strangers reach us there. */
  configured(family: Family, address: IpPort, now: Millis, out: ReachSink): void {
    this.#outlook.configured(family, address, now, out)
    this.#follow(now, out)
  }

  /** Our NAT says that it forwards this to us; undefined when it does so no longer. */
  mapped(family: Family, address: IpPort | undefined, now: Millis, out: ReachSink): void {
    this.#outlook.mapped(family, address, now, out)
    this.#follow(now, out)
  }

  /** Our machine has moved: what was known of its place is not known any more. */
  networkChanged(now: Millis, out: ReachSink): void {
    this.#outlook.networkChanged(now, out)
    this.#follow(now, out)
  }

  /**
   * Seeks a way to a router that publishes introducers only. False when there is none to try, or it is under way; otherwise it ends
   * with `reached` or `introduction-failed`.
   */
  introduce(target: RouterInfo, now: Millis, out: ReachSink): boolean {
    for (const family of this.#options.families) {
      const offer = offerOf(target, family)
      const here = this.#outlook.here(family)
      if (offer === undefined || offer.at !== undefined || offer.introducers.length === 0) continue
      if (here === undefined) continue
      const patience = this.verdict(family) === 'ok' ? PATIENCE_MS : 0
      return this.#relayAlice.seek(target, family, offer.introducers, here, patience, now, out)
    }
    return false
  }

  /** One of the blocks RelayRequest, RelayResponse, RelayIntro, PeerTest, RelayTagRequest, RelayTag in the session with `from`. */
  block(from: Hash, type: number, data: Uint8Array, now: Millis, out: ReachSink): void {
    this.#guarded(() => this.#block({ from, type, data: copy(data) }, undefined, now, out))
    this.#follow(now, out)
  }

  /** A packet of type 7 or 11, its masks off (`readFirstPacket`). */
  packet(from: Endpoint, packet: Uint8Array, now: Millis, out: ReachSink): void {
    this.#guarded(() => this.#packet(from, packet, now, out))
    this.#follow(now, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    this.#outlook.timeout(now, out)
    this.#testBob.timeout(now, out)
    this.#testCharlie.timeout(now, out)
    this.#relayAlice.timeout(now, out)
    this.#relayBob.timeout(now, out)
    this.#relayCharlie.timeout(now, out)
    this.#introducers.timeout(now, out)
    for (const block of this.#held.expired(now)) this.#guarded(() => this.#block(block, 'unknown', now, out))
    this.#follow(now, out)
  }

  nextTimeout(): Millis | undefined {
    return [
      this.#outlook.nextTimeout(),
      this.#testBob.nextTimeout(),
      this.#testCharlie.nextTimeout(),
      this.#relayAlice.nextTimeout(),
      this.#relayBob.nextTimeout(),
      this.#relayCharlie.nextTimeout(),
      this.#introducers.nextTimeout(),
      this.#held.nextTimeout(),
    ].reduce(earliest)
  }

  /** `router` is the one that the block names, once it was found or given up; undefined at first. */
  #block(block: HeldBlock, router: RouterInfo | 'unknown' | undefined, now: Millis, out: ReachSink): void {
    const peer = this.#peers.get(block.from)
    if (peer === undefined) return
    const r = new Reader(block.data)
    if (block.type === Ssu2BlockType.peerTest) this.#peerTest(peer, block, router, now, out)
    else if (block.type === Ssu2BlockType.relayIntro) this.#relayIntro(peer, block, router, now, out)
    else if (block.type === Ssu2BlockType.relayResponse) {
      const response = readRelayResponse(r)
      if (this.#relayBob.expects(peer, response.nonce)) this.#relayBob.response(peer, response, now, out)
      else this.#relayAlice.response(peer, response, now, out)
    } else if (block.type === Ssu2BlockType.relayTag) this.#introducers.tag(peer, readRelayTag(r), now, out)
    else if (!this.#options.serve) return
    else if (block.type === Ssu2BlockType.relayRequest)
      this.#relayBob.request(peer, readRelayRequest(r), now, out)
    else if (block.type === Ssu2BlockType.relayTagRequest) this.#tagRequest(peer, out)
  }

  #peerTest(
    peer: Peer,
    block: HeldBlock,
    router: RouterInfo | 'unknown' | undefined,
    now: Millis,
    out: ReachSink,
  ): void {
    const test = readPeerTest(new Reader(block.data))
    if (test.message === 4) {
      if (!this.#outlook.expects(peer, test)) return
      // A refusal names nobody whom we need to know.
      const named = test.code === 0 ? this.#named(test.hash!, block, router, now) : undefined
      if (named !== 'held') this.#outlook.answered(peer, test, named, now, out)
    } else if (!this.#options.serve) return
    else if (test.message === 1) this.#testBob.request(peer, test, now, out)
    else if (test.message === 3) this.#testBob.answer(peer, test, now, out)
    else if (test.message === 2) {
      const named = this.#named(test.hash!, block, router, now)
      if (named !== 'held') this.#testCharlie.request(peer, test, named, now, out)
    }
  }

  #relayIntro(
    peer: Peer,
    block: HeldBlock,
    router: RouterInfo | 'unknown' | undefined,
    now: Millis,
    out: ReachSink,
  ): void {
    const intro = readRelayIntro(new Reader(block.data))
    const tag = this.#introducers.tagOf(peer.hash)
    const named = tag === undefined ? undefined : this.#named(intro.alice, block, router, now)
    if (named === 'held') return
    this.#relayCharlie.intro(peer, intro, tag, (family) => this.#outlook.here(family), named, now, out)
  }

  /** The router that a block names, or `held` while its RouterInfo may still come. */
  #named(
    hash: Hash,
    block: HeldBlock,
    router: RouterInfo | 'unknown' | undefined,
    now: Millis,
  ): RouterInfo | 'held' | undefined {
    if (router !== undefined && router !== 'unknown') return router
    const known = this.#options.routers.get(hash)
    if (known !== undefined) return known
    return router === undefined && this.#held.hold(hash, block, now) ? 'held' : undefined
  }

  #tagRequest(peer: Peer, out: ReachSink): void {
    const tag = this.introducesOthers(peer.family) ? this.#tags.give(peer.hash) : undefined
    if (tag === undefined) return
    out.event({ kind: 'block', to: peer.hash, type: Ssu2BlockType.relayTag, data: writeRelayTag(tag) })
  }

  #packet(endpoint: Endpoint, bytes: Uint8Array, now: Millis, out: ReachSink): void {
    const { introKey, clock } = this.#options
    const from = ipPort(endpoint)
    const packet = from === undefined ? undefined : openNoncePacket(bytes, introKey)
    if (packet === undefined || !isTimely(Math.floor(packet.dateTime / 1000), clock.wall(now))) return
    if (packet.type === MessageType.holePunch) {
      this.#relayAlice.packet(from!, packet, now, out)
      return
    }
    const test = readPeerTest(new Reader(packet.block))
    if (test.message === 6) this.#testCharlie.packet(from!, packet, test, now, out)
    else this.#outlook.packet(from!, packet, test, now, out)
  }

  #forget(hash: Hash, now: Millis, out: ReachSink): void {
    this.#peers.remove(hash, now)
    this.#tags.forget(hash)
    this.#outlook.disconnected(hash)
    this.#introducers.forget(hash, now, out)
  }

  /** Who cannot be reached needs introducers. */
  #follow(now: Millis, out: ReachSink): void {
    for (const family of this.#options.families) {
      this.#introducers.need(family, NEEDY.has(this.verdict(family)), now, out)
    }
  }

  /** What peers send may be anything. */
  #guarded(handle: () => void): void {
    try {
      handle()
    } catch (e) {
      if (!(e instanceof MalformedError)) throw e
    }
  }
}
