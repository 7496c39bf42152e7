/**
 * Peer tests for others: we are Charlie, who writes to a stranger because Bob says she asked for it (ssu2, "Peer Test Process").
 * So that nobody makes us write to somebody else: a few small packets, to few hosts, never to a port where services are.
 */
import { sameBytes } from '../../base/bytes.ts'
import { type Millis, seconds } from '../../base/clock.ts'
import { SeenFilter } from '../../base/lru.ts'
import { jitter } from '../../base/random.ts'
import { type IpPort, Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { MessageType, VERSION } from '../../protocol/ssu2/header.ts'
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
import type { Hash } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { hostKey } from '../ip-ranges.ts'
import type { ReachOptions, ReachSink } from './events.ts'
import { allowance, isTarget, isTimely, MAX_NONCES, MAX_SERVED, NONCE_MS } from './limits.ts'
import { endpointOf, familyOf, offerOf, type Peer, type Peers } from './peers.ts'
import { Pending } from './pending.ts'
import { key } from './test-bob.ts'

// Implementation constants

/** What one Bob may bring, and what one host may get from us, whoever asks. */
const TESTS = 6
const TESTS_WINDOW: Millis = 60_000
const HOST_TESTS = 3
const HOST_WINDOW: Millis = 5 * 60_000
/** Message 5, and once or twice more while message 6 does not come; as i2pd. */
const MAX_MESSAGES_5 = 3
const REPEAT_MS: Millis = 4_000
const REPEAT_JITTER = 0.25
/** Message 6 may come long after the last message 5: Alice waits for message 4 and for message 5. As i2pd. */
const LIFE_MS: Millis = 60_000
/** As many as Alice sends messages 6: one for one, so nothing is gained by inventing their source. */
const MAX_MESSAGES_7 = 3

interface Test {
  readonly bob: Hash
  readonly alice: RouterInfo
  readonly introKey: Uint8Array
  readonly request: PeerTest
  readonly data: PeerTestData
  readonly signature: Uint8Array
  readonly end: Millis
  sent5: number
  sent7: number
}

export class TestCharlie {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #tests = new Pending<Test>(MAX_SERVED)
  readonly #bobs = allowance(TESTS, TESTS_WINDOW)
  readonly #hosts = allowance(HOST_TESTS, HOST_WINDOW)
  #nonces: SeenFilter<string> | undefined

  constructor(options: ReachOptions, peers: Peers) {
    this.#options = options
    this.#peers = peers
  }

  nextTimeout(): Millis | undefined {
    return this.#tests.next()
  }

  /** Message 2. `alice` is the router that it names, if we have heard of it. */
  request(bob: Peer, request: PeerTest, alice: RouterInfo | undefined, now: Millis, out: ReachSink): void {
    const { local, clock, random } = this.#options
    const { nonce, address } = request.data
    this.#nonces ??= new SeenFilter(NONCE_MS, MAX_NONCES, now)
    if (this.#nonces.seen(key(bob.key, nonce), now) || this.#tests.get(nonce) !== undefined) return
    const code = this.#objection(bob, request, alice, now)
    const data = peerTestData(nonce, seconds(clock.wall(now)), address)
    const signature = signPeerTest(local.signing, bob.hash, request.hash, data)
    const answer = writePeerTest({ message: 3, code, data, signature })
    out.event({ kind: 'block', to: bob.hash, type: Ssu2BlockType.peerTest, data: answer })
    if (code !== PeerTestCode.accept) return
    const { introKey } = offerOf(alice!, familyOf(address.ip))!
    const common = { bob: bob.hash, alice: alice!, introKey, request, data, signature }
    const test: Test = { ...common, end: now + LIFE_MS, sent5: 0, sent7: 0 }
    this.#tests.set(nonce, test, now)
    this.#call(test, now + jitter(random, REPEAT_MS, REPEAT_JITTER), now, out)
  }

  /** Message 6. */
  packet(from: IpPort, packet: NoncePacket, test: PeerTest, now: Millis, out: ReachSink): void {
    const { nonce } = test.data
    const ours = packet.id === inverse(nonce) ? this.#tests.get(nonce) : undefined
    if (ours === undefined || test.message !== 6 || ours.sent7 >= MAX_MESSAGES_7) return
    if (familyOf(from.ip) !== familyOf(ours.data.address.ip) || !isTarget(from, this.#options.mayReach))
      return
    if (!this.#isFrom(ours, test)) return
    ours.sent7++
    ours.sent5 = MAX_MESSAGES_5
    this.#tests.delay(nonce, ours.end)
    this.#send(ours, 7, from, now, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (let due = this.#tests.due(now); due !== undefined; due = this.#tests.due(now)) {
      const [nonce, test] = due
      if (now >= test.end) this.#tests.delete(nonce)
      else if (test.sent5 >= MAX_MESSAGES_5) this.#tests.delay(nonce, test.end)
      else this.#call(test, now + jitter(this.#options.random, REPEAT_MS, REPEAT_JITTER), now, out)
    }
  }

  /** A PeerTestCode. */
  #objection(
    bob: Peer,
    { data, hash, signature }: PeerTest,
    alice: RouterInfo | undefined,
    now: Millis,
  ): number {
    const { clock, mayReach, local } = this.#options
    if (data.version !== VERSION || !isTimely(data.timestamp, clock.wall(now)))
      return PeerTestCode.charlieUnspecified
    if (sameBytes(hash!, local.identity.hash) || sameBytes(hash!, bob.hash))
      return PeerTestCode.charlieUnspecified
    if (!this.#bobs.take(bob.key, now) || this.#tests.full) return PeerTestCode.charlieLimit
    if (alice === undefined) return PeerTestCode.aliceUnknown
    if (!verifyPeerTest(alice.identity, bob.hash, undefined, data, signature))
      return PeerTestCode.charlieSignature
    if (!isTarget(data.address, mayReach) || offerOf(alice, familyOf(data.address.ip)) === undefined)
      return PeerTestCode.charlieAddress
    // Her NAT might let us in for what was before.
    if (this.#peers.get(alice.hash) !== undefined || this.#peers.isContact(data.address.ip, now))
      return PeerTestCode.alreadyConnected
    return this.#hosts.take(hostKey(data.address.ip), now) ? PeerTestCode.accept : PeerTestCode.charlieLimit
  }

  /** Alice signs message 6, or returns what we signed, or leaves the signature out. */
  #isFrom(ours: Test, { data, signature }: PeerTest): boolean {
    if (signature.length === 0) return true
    if (sameBytes(data.bytes, ours.data.bytes) && sameBytes(signature, ours.signature)) return true
    return verifyPeerTest(ours.alice.identity, ours.bob, undefined, data, signature)
  }

  #call(test: Test, again: Millis, now: Millis, out: ReachSink): void {
    test.sent5++
    this.#tests.delay(test.data.nonce, again)
    this.#send(test, 5, test.data.address, now, out)
  }

  #send(test: Test, message: 5 | 7, to: IpPort, now: Millis, out: ReachSink): void {
    const { clock, netId, random } = this.#options
    const { data, signature } = test
    const packet = {
      type: MessageType.peerTest,
      id: data.nonce,
      dateTime: clock.wall(now),
      address: message === 7 ? to : undefined,
      block: writePeerTest({ message, code: PeerTestCode.accept, data, signature }),
    }
    out.udp(endpointOf(to), sealNoncePacket(packet, test.introKey, netId, random))
    this.#peers.contacted(to.ip, now)
  }
}
