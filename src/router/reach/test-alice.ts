/**
 * Peer tests of our own: we are Alice (ssu2, "Peer Test Process"). Charlie's first packet must come to us while our NAT has no
 * reason to let it in; only then do we write to him.
 */
import { sameBytes } from '../../base/bytes.ts'
import { type Millis, seconds } from '../../base/clock.ts'
import { jitter } from '../../base/random.ts'
import { type IpPort, Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { MessageType } from '../../protocol/ssu2/header.ts'
import { inverse, type NoncePacket, sealNoncePacket } from '../../protocol/ssu2/nonce-packet.ts'
import {
  type PeerTest,
  PeerTestCode,
  type PeerTestData,
  peerTestData,
  signPeerTest,
  verifyPeerTest,
  writePeerTest,
} from '../../protocol/ssu2/peer-test.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { sameHost } from '../ip-ranges.ts'
import type { Family, ReachOptions, ReachSink } from './events.ts'
import { isTarget, isTimely } from './limits.ts'
import { endpointOf, offerOf, type Peer, type Peers } from './peers.ts'
import { Pending } from './pending.ts'
import type { TestOutcome } from './verdict.ts'

// Implementation constants

/** One for each family. */
const MAX_TESTS = 2
/** For message 4: two sessions that may have to repeat every packet. Bob gives up on Charlie earlier. */
const ANSWER_MS: Millis = 20_000
/**
 * "Waiting several seconds after getting message 4": Charlie repeats message 5 after 3 to 5 s, and one lost packet shall not make
 * us firewalled.
 */
const WAIT_MS: Millis = 6_000
/** Between messages 6, and for message 7 after the last. */
const REPEAT_MS: Millis = 3_000
const MAX_MESSAGES_6 = 3
const JITTER = 0.1

interface Test {
  readonly family: Family
  readonly bob: Peer
  readonly expected: IpPort
  readonly data: PeerTestData
  readonly signature: Uint8Array
  /** Message 5, of a host that was no contact when it came. */
  early: { readonly from: IpPort; readonly test: PeerTest } | undefined
  /** Of message 4. */
  charlie: Charlie | undefined
  sent: number
}

interface Charlie {
  readonly routerInfo: RouterInfo
  readonly introKey: Uint8Array
  /** Where message 6 goes. */
  readonly at: IpPort
}

export class TestAlice {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #tests = new Pending<Test>(MAX_TESTS)

  constructor(options: ReachOptions, peers: Peers) {
    this.#options = options
    this.#peers = peers
  }

  nextTimeout(): Millis | undefined {
    return this.#tests.next()
  }

  isTesting(family: Family): boolean {
    for (const [, test] of this.#tests.values()) if (test.family === family) return true
    return false
  }

  /** Asks `bob` to have `address` tested, which he sees as `expected`. */
  start(bob: Peer, address: IpPort, expected: IpPort, now: Millis, out: ReachSink): void {
    const { random, clock, local } = this.#options
    const nonce = random.below(2 ** 32)
    if (this.#tests.full || this.#tests.get(nonce) !== undefined) return
    const data = peerTestData(nonce, seconds(clock.wall(now)), address)
    const signature = signPeerTest(local.signing, bob.hash, undefined, data)
    const test = { family: bob.family, bob, expected, data, signature }
    this.#tests.set(nonce, { ...test, early: undefined, charlie: undefined, sent: 0 }, now + ANSWER_MS)
    const block = writePeerTest({ message: 1, code: PeerTestCode.accept, data, signature })
    out.event({ kind: 'block', to: bob.hash, type: Ssu2BlockType.peerTest, data: block })
  }

  /** Whether message 4 from `bob` is an answer to a question of ours. */
  expects(bob: Peer, answer: PeerTest): boolean {
    return this.#asked(bob, answer) !== undefined
  }

  /** Message 4. `charlie` is the router that it names, if we have heard of it. */
  answered(
    bob: Peer,
    answer: PeerTest,
    charlie: RouterInfo | undefined,
    now: Millis,
    out: ReachSink,
  ): TestOutcome | undefined {
    const test = this.#asked(bob, answer)
    if (test === undefined) return undefined
    const { nonce } = test.data
    test.charlie = charlie === undefined ? undefined : this.#charlie(test, answer, charlie, now)
    if (test.charlie === undefined) {
      // Whatever came before it was not from a Charlie that Bob may name.
      this.#tests.delete(nonce)
      return { ...outcomeOf(test), reached: false }
    }
    if (test.early !== undefined && !this.#isFrom(test, test.charlie, test.early.from, test.early.test))
      test.early = undefined
    if (test.early === undefined) {
      this.#tests.delay(nonce, now + jitter(this.#options.random, WAIT_MS, JITTER))
      return undefined
    }
    test.charlie = { ...test.charlie, at: test.early.from }
    this.#probe(test, test.charlie, now, out)
    return undefined
  }

  /** Message 5 or 7. */
  packet(from: IpPort, packet: NoncePacket, test: PeerTest, now: Millis): TestOutcome | undefined {
    const ours = this.#tests.get(packet.id)
    if (ours === undefined || test.data.nonce !== packet.id || from.ip.length !== ours.data.address.ip.length)
      return undefined
    if (test.message === 5) this.#early(ours, from, test, now)
    else if (test.message === 7 && packet.address !== undefined)
      return this.#report(ours, from, packet.address, test)
    return undefined
  }

  timeout(now: Millis, out: ReachSink): TestOutcome[] {
    const outcomes: TestOutcome[] = []
    for (let due = this.#tests.due(now); due !== undefined; due = this.#tests.due(now)) {
      const [nonce, test] = due
      if (test.charlie !== undefined && test.sent < MAX_MESSAGES_6) this.#probe(test, test.charlie, now, out)
      else {
        this.#tests.delete(nonce)
        outcomes.push(outcomeOf(test))
      }
    }
    return outcomes
  }

  #asked(bob: Peer, answer: PeerTest): Test | undefined {
    const test = this.#tests.get(answer.data.nonce)
    return test?.bob.key === bob.key && test.charlie === undefined ? test : undefined
  }

  /** Undefined when the answer is a refusal, is not Charlie's, or names one who cannot test us. */
  #charlie(test: Test, answer: PeerTest, charlie: RouterInfo, now: Millis): Charlie | undefined {
    const { local, clock, mayReach } = this.#options
    const { data, signature } = answer
    if (answer.code !== PeerTestCode.accept || !isTimely(data.timestamp, clock.wall(now))) return undefined
    const { hash } = local.identity
    if (sameBytes(charlie.hash, hash) || sameBytes(charlie.hash, test.bob.hash)) return undefined
    if (!samePlace(data.address, test.data.address)) return undefined
    const offer = offerOf(charlie, test.family)
    if (offer?.at === undefined || !isTarget(offer.at, mayReach)) return undefined
    // Somebody whom our NAT lets in anyway proves nothing.
    if (sameHost(offer.at.ip, test.bob.at.ip) || this.#peers.isContact(offer.at.ip, now)) return undefined
    if (!verifyPeerTest(charlie.identity, test.bob.hash, hash, data, signature)) return undefined
    return { routerInfo: charlie, introKey: offer.introKey, at: offer.at }
  }

  #early(ours: Test, from: IpPort, test: PeerTest, now: Millis): void {
    // After message 6 our NAT lets in message 5 as well.
    if (ours.early !== undefined || ours.sent > 0) return
    if (this.#peers.isContact(from.ip, now) || !isTarget(from, this.#options.mayReach)) return
    if (ours.charlie === undefined) {
      ours.early = { from, test }
      return
    }
    if (!this.#isFrom(ours, ours.charlie, from, test)) return
    ours.early = { from, test }
    ours.charlie = { ...ours.charlie, at: from }
    // At once, by the next timeout.
    this.#tests.delay(ours.data.nonce, now)
  }

  #report(ours: Test, from: IpPort, seen: IpPort, test: PeerTest): TestOutcome | undefined {
    if (ours.charlie === undefined || ours.sent === 0 || !this.#isFrom(ours, ours.charlie, from, test))
      return undefined
    if (seen.ip.length !== from.ip.length) return undefined
    this.#tests.delete(ours.data.nonce)
    return { ...outcomeOf(ours), seen }
  }

  /** Charlie signs messages 5 and 7, or returns what we signed, or leaves the signature out. */
  #isFrom(ours: Test, { routerInfo, at }: Charlie, from: IpPort, { data, signature }: PeerTest): boolean {
    if (!sameHost(from.ip, at.ip)) return false
    if (signature.length === 0) return true
    if (sameBytes(data.bytes, ours.data.bytes) && sameBytes(signature, ours.signature)) return true
    const { hash } = this.#options.local.identity
    return verifyPeerTest(routerInfo.identity, ours.bob.hash, hash, data, signature)
  }

  #probe(test: Test, charlie: Charlie, now: Millis, out: ReachSink): void {
    const { clock, netId, random } = this.#options
    const { data, signature } = test
    const packet = {
      type: MessageType.peerTest,
      id: inverse(data.nonce),
      dateTime: clock.wall(now),
      address: charlie.at,
      block: writePeerTest({ message: 6, code: PeerTestCode.accept, data, signature }),
    }
    out.udp(endpointOf(charlie.at), sealNoncePacket(packet, charlie.introKey, netId, random))
    this.#peers.contacted(charlie.at.ip, now)
    test.sent++
    this.#tests.delay(data.nonce, now + jitter(random, REPEAT_MS, JITTER))
  }
}

function samePlace(a: IpPort, b: IpPort): boolean {
  return a.port === b.port && sameBytes(a.ip, b.ip)
}

function outcomeOf(test: Test): TestOutcome {
  return {
    family: test.family,
    bob: test.bob.hash,
    answered: test.charlie !== undefined,
    reached: test.early !== undefined,
    seen: undefined,
    expected: test.expected,
  }
}
