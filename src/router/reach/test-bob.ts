/**
 * Peer tests for others: we are Bob, who finds a Charlie and carries what both say (ssu2, "Peer Test Process", "Processing by
 * Bob"). All of it goes through sessions: nobody gets a packet from us who has none with us.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { SeenFilter } from '../../base/lru.ts'
import { Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { VERSION } from '../../protocol/ssu2/header.ts'
import { type PeerTest, PeerTestCode, verifyPeerTest, writePeerTest } from '../../protocol/ssu2/peer-test.ts'
import { HASH_LENGTH, type Hash, type HashKey } from '../../protocol/structures/hash.ts'
import { sameHost } from '../ip-ranges.ts'
import type { ReachOptions, ReachSink } from './events.ts'
import { allowance, isTarget, isTimely, MAX_NONCES, MAX_SERVED, NONCE_MS } from './limits.ts'
import { familyOf, offerOf, type Peer, type Peers } from './peers.ts'
import { Pending } from './pending.ts'

// Implementation constants

/** What one router may ask: i2pd tries four times in a row at its start. Each may cost Charlie a RouterInfo. */
const TESTS = 6
const TESTS_WINDOW: Millis = 5 * 60_000
/** For message 3. Half of what Alice waits, so that there is time for another Charlie. */
const ANSWER_MS: Millis = 8_000
/** "Bob could try another Charlie here". */
const MAX_CHARLIES = 2
const NOBODY: Hash = new Uint8Array(HASH_LENGTH)

interface Test {
  readonly alice: Peer
  readonly request: PeerTest
  /** Those asked; the last one's answer counts. */
  readonly charlies: Peer[]
}

export class TestBob {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #tests = new Pending<Test>(MAX_SERVED)
  readonly #allowance = allowance(TESTS, TESTS_WINDOW)
  #nonces: SeenFilter<string> | undefined

  constructor(options: ReachOptions, peers: Peers) {
    this.#options = options
    this.#peers = peers
  }

  nextTimeout(): Millis | undefined {
    return this.#tests.next()
  }

  /** Message 1. */
  request(alice: Peer, request: PeerTest, now: Millis, out: ReachSink): void {
    const { nonce } = request.data
    // A second one may be a repeat or a replay: the first has been, or will be, answered.
    this.#nonces ??= new SeenFilter(NONCE_MS, MAX_NONCES, now)
    if (!this.#allowance.take(alice.key, now)) {
      refuse(alice, request, PeerTestCode.bobLimit, out)
      return
    }
    if (this.#nonces.seen(key(alice.key, nonce), now) || this.#tests.get(nonce) !== undefined) return
    const code = this.#objection(alice, request, now)
    if (code !== PeerTestCode.accept) {
      refuse(alice, request, code, out)
      return
    }
    this.#next({ alice, request, charlies: [] }, PeerTestCode.noCharlie, now, out)
  }

  /** Message 3. */
  answer(charlie: Peer, answer: PeerTest, now: Millis, out: ReachSink): void {
    const test = this.#tests.get(answer.data.nonce)
    if (test === undefined || test.charlies.at(-1)!.key !== charlie.key) return
    const { alice, request } = test
    const { hash } = this.#options.local.identity
    const { data, signature, code } = answer
    const same =
      sameBytes(data.address.ip, request.data.address.ip) && data.address.port === request.data.address.port
    if (!same || !verifyPeerTest(charlie.routerInfo.identity, hash, alice.hash, data, signature)) {
      this.#tests.delete(data.nonce)
      refuse(alice, request, PeerTestCode.bobUnspecified, out)
      return
    }
    const another = code === PeerTestCode.accept ? undefined : this.#choose(test)
    if (another !== undefined) {
      this.#ask(test, another, now, out)
      return
    }
    this.#tests.delete(data.nonce)
    if (code === PeerTestCode.accept)
      out.event({ kind: 'router-info', to: alice.hash, routerInfo: charlie.routerInfo })
    send(alice, { message: 4, code, hash: charlie.hash, data, signature }, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (let due = this.#tests.due(now); due !== undefined; due = this.#tests.due(now))
      this.#next(due[1], PeerTestCode.bobUnspecified, now, out)
  }

  /** A PeerTestCode. */
  #objection(alice: Peer, { data, signature }: PeerTest, now: Millis): number {
    const { local, clock, mayReach } = this.#options
    if (data.version !== VERSION || !isTimely(data.timestamp, clock.wall(now)))
      return PeerTestCode.bobUnspecified
    if (this.#tests.full) return PeerTestCode.bobLimit
    // "For IPv4, it matches Alice's IP, and for IPv6, at least the first 8 bytes of the IP match."
    if (!sameHost(data.address.ip, alice.at.ip) || !isTarget(data.address, mayReach))
      return PeerTestCode.bobAddress
    const good = verifyPeerTest(alice.routerInfo.identity, local.identity.hash, undefined, data, signature)
    return good ? PeerTestCode.accept : PeerTestCode.bobSignature
  }

  /** Another Charlie, or `otherwise` to Alice. */
  #next(test: Test, otherwise: number, now: Millis, out: ReachSink): void {
    const charlie = this.#choose(test)
    if (charlie !== undefined) this.#ask(test, charlie, now, out)
    else {
      this.#tests.delete(test.request.data.nonce)
      refuse(test.alice, test.request, otherwise, out)
    }
  }

  #ask(test: Test, charlie: Peer, now: Millis, out: ReachSink): void {
    const { alice, request, charlies } = test
    charlies.push(charlie)
    this.#tests.set(request.data.nonce, test, now + ANSWER_MS)
    out.event({ kind: 'router-info', to: charlie.hash, routerInfo: alice.routerInfo })
    send(charlie, { ...request, message: 2, code: PeerTestCode.accept, hash: alice.hash }, out)
  }

  /** Alice takes none who publishes no address, or has ours or hers. */
  #choose({ alice, request, charlies }: Test): Peer | undefined {
    if (charlies.length >= MAX_CHARLIES) return undefined
    const { ip } = request.data.address
    const family = familyOf(ip)
    return this.#peers.pick(this.#options.random, (peer) => {
      if (sameHost(peer.at.ip, alice.at.ip) || peer.key === alice.key) return false
      if (charlies.some((asked) => asked.key === peer.key)) return false
      const offer = offerOf(peer.routerInfo, family)
      return offer?.at !== undefined && offer.caps.includes('B') && !sameHost(offer.at.ip, ip)
    })
  }
}

/** The question goes back as it came: we have nothing to sign. */
function refuse(alice: Peer, request: PeerTest, code: number, out: ReachSink): void {
  send(alice, { ...request, message: 4, code, hash: NOBODY }, out)
}

function send(to: Peer, test: PeerTest, out: ReachSink): void {
  out.event({ kind: 'block', to: to.hash, type: Ssu2BlockType.peerTest, data: writePeerTest(test) })
}

export function key(asker: HashKey, nonce: number): string {
  return `${nonce} ${asker}`
}
