/**
 * Introducing others: we are Bob, who gave Charlie a tag and carries what Alice and he say (ssu2, "Relay Process"). All of it goes
 * through sessions: nobody gets a packet from us who has none with us.
 */
import { type Millis, seconds } from '../../base/clock.ts'
import { SeenFilter } from '../../base/lru.ts'
import { Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { VERSION } from '../../protocol/ssu2/header.ts'
import {
  FIRST_CHARLIE_CODE,
  RelayCode,
  type RelayRequest,
  type RelayResponse,
  signRelayResponse,
  verifyRelayRequest,
  verifyRelayResponse,
  writeRelayIntro,
  writeRelayResponse,
} from '../../protocol/ssu2/relay.ts'
import { sameHost } from '../ip-ranges.ts'
import type { ReachOptions, ReachSink } from './events.ts'
import { allowance, isTarget, isTimely, MAX_NONCES, MAX_SERVED, NONCE_MS } from './limits.ts'
import type { Peer, Peers } from './peers.ts'
import { Pending } from './pending.ts'
import type { Tags } from './tags.ts'
import { key } from './test-bob.ts'

// Implementation constants

/** What one router may ask. Each may cost Charlie a RouterInfo and Alice's host a few small packets. */
const REQUESTS = 20
const REQUESTS_WINDOW: Millis = 60_000
/** For Charlie's answer; Alice waits a little longer. */
const ANSWER_MS: Millis = 5_000

interface Relay {
  readonly alice: Peer
  readonly charlie: Peer
}

export class RelayBob {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #tags: Tags
  readonly #relays = new Pending<Relay>(MAX_SERVED)
  readonly #allowance = allowance(REQUESTS, REQUESTS_WINDOW)
  #nonces: SeenFilter<string> | undefined

  constructor(options: ReachOptions, peers: Peers, tags: Tags) {
    this.#options = options
    this.#peers = peers
    this.#tags = tags
  }

  nextTimeout(): Millis | undefined {
    return this.#relays.next()
  }

  request(alice: Peer, request: RelayRequest, now: Millis, out: ReachSink): void {
    const { nonce, tag } = request
    // A second one may be a repeat or a replay: the first has been, or will be, answered.
    this.#nonces ??= new SeenFilter(NONCE_MS, MAX_NONCES, now)
    if (!this.#allowance.take(alice.key, now)) {
      this.#refuse(alice, nonce, RelayCode.bobLimit, now, out)
      return
    }
    if (this.#nonces.seen(key(alice.key, nonce), now) || this.#relays.get(nonce) !== undefined) return
    const owner = this.#tags.owner(tag)
    const charlie = owner === undefined ? undefined : this.#peers.get(owner)
    if (charlie === undefined || charlie.key === alice.key) {
      this.#refuse(alice, nonce, RelayCode.tagNotFound, now, out)
      return
    }
    const code = this.#objection(alice, charlie, request, now)
    if (code !== RelayCode.accept) {
      this.#refuse(alice, nonce, code, now, out)
      return
    }
    this.#relays.set(nonce, { alice, charlie }, now + ANSWER_MS)
    out.event({ kind: 'router-info', to: charlie.hash, routerInfo: alice.routerInfo })
    const intro = writeRelayIntro({ alice: alice.hash, request })
    out.event({ kind: 'block', to: charlie.hash, type: Ssu2BlockType.relayIntro, data: intro })
  }

  /** Whether `charlie` answers what he was asked through us. */
  expects(charlie: Peer, nonce: number): boolean {
    return this.#relays.get(nonce)?.charlie.key === charlie.key
  }

  /** From Charlie. */
  response(charlie: Peer, response: RelayResponse, now: Millis, out: ReachSink): void {
    const { nonce, code } = response
    const relay = this.#relays.get(nonce)
    if (relay?.charlie.key !== charlie.key) return
    this.#relays.delete(nonce)
    const his = code === RelayCode.accept || code >= FIRST_CHARLIE_CODE
    const { hash } = this.#options.local.identity
    if (!his || !verifyRelayResponse(charlie.routerInfo.identity, hash, response)) {
      this.#refuse(relay.alice, nonce, RelayCode.bobUnspecified, now, out)
      return
    }
    send(relay.alice, response, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (let due = this.#relays.due(now); due !== undefined; due = this.#relays.due(now)) {
      const [nonce, { alice }] = due
      this.#relays.delete(nonce)
      this.#refuse(alice, nonce, RelayCode.bobUnspecified, now, out)
    }
  }

  /** A RelayCode. */
  #objection(alice: Peer, charlie: Peer, request: RelayRequest, now: Millis): number {
    const { local, clock, mayReach } = this.#options
    const { version, timestamp, address } = request
    if (version !== VERSION || !isTimely(timestamp, clock.wall(now))) return RelayCode.bobUnspecified
    if (this.#relays.full) return RelayCode.bobLimit
    // She may ask over one family to be introduced over the other: then nobody but she knows the address.
    const other = address.ip.length !== alice.at.ip.length
    if (!isTarget(address, mayReach) || !(other || sameHost(address.ip, alice.at.ip)))
      return RelayCode.bobUnspecified
    // "IPv4 must be sent via an established IPv4 connection": Charlie's NAT is open for that family only.
    if (address.ip.length !== charlie.at.ip.length) return RelayCode.tagNotFound
    const good = verifyRelayRequest(alice.routerInfo.identity, local.identity.hash, charlie.hash, request)
    return good ? RelayCode.accept : RelayCode.bobSignature
  }

  #refuse(alice: Peer, nonce: number, code: number, now: Millis, out: ReachSink): void {
    const { local, clock } = this.#options
    const timestamp = seconds(clock.wall(now))
    const content = { code, nonce, timestamp, address: undefined, token: undefined }
    send(alice, signRelayResponse(local.signing, local.identity.hash, content), out)
  }
}

function send(alice: Peer, response: RelayResponse, out: ReachSink): void {
  const data = writeRelayResponse(response)
  out.event({ kind: 'block', to: alice.hash, type: Ssu2BlockType.relayResponse, data })
}
