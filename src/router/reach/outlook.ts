/** Our own place in the world: where others see us, whether strangers can reach us there, and when to have that tested by whom. */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { earliest } from '../../base/deadlines.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import type { NoncePacket } from '../../protocol/ssu2/nonce-packet.ts'
import type { PeerTest } from '../../protocol/ssu2/peer-test.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { AddressVotes } from './address-votes.ts'
import { FAMILIES, type Family, type ReachOptions, type ReachSink, type Verdict } from './events.ts'
import { familyOf, offerOf, type Peer, type Peers } from './peers.ts'
import { Reachability } from './reachability.ts'
import { TestAlice } from './test-alice.ts'
import { judge, type TestOutcome } from './verdict.ts'

// Implementation constants

/** Until a test that has begun is over, whatever becomes of it. */
const TEST_MAX_MS: Millis = 120_000
/** Without a Bob; one that comes is asked at once. */
const NO_BOB_MS: Millis = 30_000

interface Place {
  readonly reachability: Reachability
  readonly votes: AddressVotes
  /** By the user. */
  configured: IpPort | undefined
  /** By our NAT, asked to forward a port. */
  mapped: IpPort | undefined
  /** By the peer that was heard last. */
  seen: IpPort | undefined
  /** What the owner was told. */
  told: IpPort | undefined
  lastBob: HashKey | undefined
}

export class Outlook {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #alice: TestAlice
  readonly #places: Readonly<Record<Family, Place>>
  /** Where each peer sees us. */
  readonly #seenBy = new Map<HashKey, IpPort>()

  constructor(options: ReachOptions, peers: Peers, now: Millis) {
    this.#options = options
    this.#peers = peers
    this.#alice = new TestAlice(options, peers)
    const place = (): Place => ({
      reachability: new Reachability(options.random, now),
      votes: new AddressVotes(options.quorum),
      configured: undefined,
      mapped: undefined,
      seen: undefined,
      told: undefined,
      lastBob: undefined,
    })
    this.#places = { 4: place(), 6: place() }
  }

  verdict(family: Family): Verdict {
    return this.#places[family].reachability.verdict
  }

  /** Where strangers may find us; with a port that only some see while nothing better is known. */
  here(family: Family): IpPort | undefined {
    const { seen } = this.#places[family]
    return this.#settled(family) ?? seen
  }

  nextTimeout(): Millis | undefined {
    let next = this.#alice.nextTimeout()
    for (const family of this.#options.families)
      if (!this.#alice.isTesting(family)) next = earliest(next, this.#places[family].reachability.testAt)
    return next
  }

  /** `stranger`: it came to us, and our NAT had no reason to let it in. */
  connected(peer: Peer, stranger: boolean, now: Millis, out: ReachSink): void {
    const { reachability } = this.#places[peer.family]
    if (stranger && reachability.stranger(peer.at.ip, now)) this.#tell(peer.family, out)
  }

  disconnected(hash: Hash): void {
    this.#seenBy.delete(hashKey(hash))
  }

  /** An Address block in a session. */
  heard(peer: Peer, ours: IpPort, now: Millis, out: ReachSink): void {
    if (familyOf(ours.ip) !== peer.family || ours.port === 0 || !this.#options.mayReach(ours.ip)) return
    const place = this.#places[peer.family]
    this.#seenBy.set(peer.key, ours)
    // It knows our address, so it can be our Bob.
    if (place.reachability.waits && isTester(peer))
      place.reachability.testAt = Math.min(place.reachability.testAt, now)
    // Whoever comes to us may be anyone as often as he likes; whom we dial, we choose.
    if (!peer.initiator) return
    place.seen = ours
    const before = place.votes.believed
    if (!place.votes.heard(peer.at.ip, ours)) return
    const { ip } = place.votes.believed!
    if (before !== undefined && !sameBytes(before.ip, ip)) place.reachability.testAt = now
    this.#tellAddress(peer.family, out)
  }

  configured(family: Family, address: IpPort, now: Millis, out: ReachSink): void {
    const place = this.#places[family]
    place.configured = address
    if (place.reachability.asserted(now)) this.#tell(family, out)
    this.#tellAddress(family, out)
  }

  mapped(family: Family, address: IpPort | undefined, now: Millis, out: ReachSink): void {
    const place = this.#places[family]
    // The outside of this NAT may be the inside of another.
    const usable = address !== undefined && this.#options.mayReach(address.ip) ? address : undefined
    const had = place.mapped !== undefined
    place.mapped = usable
    if (usable === undefined && had) place.reachability.retracted(now)
    else if (usable !== undefined && !had && place.reachability.asserted(now)) this.#tell(family, out)
    this.#tellAddress(family, out)
  }

  networkChanged(now: Millis, out: ReachSink): void {
    this.#seenBy.clear()
    for (const family of FAMILIES) {
      const place = this.#places[family]
      place.votes.forget()
      place.seen = undefined
      place.mapped = undefined
      if (place.reachability.forget(now)) this.#tell(family, out)
    }
  }

  expects(bob: Peer, answer: PeerTest): boolean {
    return this.#alice.expects(bob, answer)
  }

  answered(bob: Peer, answer: PeerTest, charlie: RouterInfo | undefined, now: Millis, out: ReachSink): void {
    this.#concluded(this.#alice.answered(bob, answer, charlie, now, out), now, out)
  }

  packet(from: IpPort, packet: NoncePacket, test: PeerTest, now: Millis, out: ReachSink): void {
    this.#concluded(this.#alice.packet(from, packet, test, now), now, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (const outcome of this.#alice.timeout(now, out)) this.#concluded(outcome, now, out)
    for (const family of this.#options.families) {
      const { reachability } = this.#places[family]
      if (reachability.testAt <= now && !this.#alice.isTesting(family)) this.#test(family, now, out)
    }
  }

  #test(family: Family, now: Millis, out: ReachSink): void {
    const place = this.#places[family]
    const fits = (peer: Peer): boolean =>
      peer.family === family && isTester(peer) && this.#seen(peer) !== undefined
    const bob =
      this.#peers.pick(this.#options.random, (peer) => fits(peer) && peer.key !== place.lastBob) ??
      this.#peers.pick(this.#options.random, fits)
    if (bob === undefined) {
      place.reachability.wait(now + NO_BOB_MS)
      out.event({ kind: 'want-peer', family, capability: 'B' })
      return
    }
    place.lastBob = bob.key
    place.reachability.begun(now + TEST_MAX_MS)
    const seen = this.#seen(bob)!
    this.#alice.start(bob, place.configured ?? place.mapped ?? seen, seen, now, out)
  }

  #seen(bob: Peer): IpPort | undefined {
    return this.#seenBy.get(bob.key) ?? this.here(bob.family)
  }

  #concluded(outcome: TestOutcome | undefined, now: Millis, out: ReachSink): void {
    if (outcome === undefined) return
    const { reachability } = this.#places[outcome.family]
    if (reachability.result(judge(outcome, reachability.verdict), now)) this.#tell(outcome.family, out)
  }

  #settled(family: Family): IpPort | undefined {
    const { configured, mapped, votes } = this.#places[family]
    const { believed } = votes
    return configured ?? mapped ?? (believed === undefined || believed.port === 0 ? undefined : believed)
  }

  #tell(family: Family, out: ReachSink): void {
    out.event({ kind: 'verdict', family, verdict: this.verdict(family) })
  }

  #tellAddress(family: Family, out: ReachSink): void {
    const place = this.#places[family]
    const address = this.#settled(family)
    const { told } = place
    if (address === undefined) return
    if (told !== undefined && told.port === address.port && sameBytes(told.ip, address.ip)) return
    place.told = address
    out.event({ kind: 'address', family, address })
  }
}

/** Whether it may be our Bob: it answers tests, at an address of the family that it is connected by. */
function isTester({ routerInfo, family }: Peer): boolean {
  return offerOf(routerInfo, family)?.caps.includes('B') ?? false
}
