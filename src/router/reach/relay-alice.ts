/**
 * Reaching routers that nobody can dial: we are Alice, who asks one of Charlie's introducers after another (ssu2, "Relay Process",
 * "Processing by Alice").
 */
import { Reader, sameBytes } from '../../base/bytes.ts'
import { type Millis, seconds } from '../../base/clock.ts'
import { Deadlines, earliest } from '../../base/deadlines.ts'
import { type IpPort, Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { VERSION } from '../../protocol/ssu2/header.ts'
import type { NoncePacket } from '../../protocol/ssu2/nonce-packet.ts'
import {
  RelayCode,
  type RelayResponse,
  readRelayResponse,
  signRelayRequest,
  verifyRelayResponse,
  writeRelayRequest,
} from '../../protocol/ssu2/relay.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { Introducer } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { Family, ReachOptions, ReachSink } from './events.ts'
import { isTarget, isTimely } from './limits.ts'
import { endpointOf, familyOf, type Peer, type Peers } from './peers.ts'
import { Pending } from './pending.ts'

// Implementation constants

/** Routers sought at once. */
const MAX_SOUGHT = 64
/** For a session with an introducer: a look-up and a handshake. */
const SESSION_MS: Millis = 10_000
/** For its answer: two sessions that may have to repeat every packet. */
const ANSWER_MS: Millis = 6_000

interface Sought {
  readonly target: RouterInfo
  readonly family: Family
  /** Ours, where Charlie sends his hole punch. */
  readonly address: IpPort
  /** How long a hole punch may come later than the answer. */
  readonly patience: Millis
  /** Not asked yet. */
  introducers: Introducer[]
  /** Of the one with whom a session is awaited. */
  awaited: Introducer | undefined
  nonce: number | undefined
}

interface Asked {
  readonly sought: Sought
  readonly bob: Hash
  /** Charlie's, by way of Bob: the hole punch may still come and know better. */
  agreed: { readonly at: IpPort; readonly token: Uint8Array } | undefined
}

export class RelayAlice {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #sought = new Map<HashKey, Sought>()
  readonly #asked = new Pending<Asked>(MAX_SOUGHT)
  readonly #sessions = new Deadlines<HashKey>()

  constructor(options: ReachOptions, peers: Peers) {
    this.#options = options
    this.#peers = peers
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#asked.next(), this.#sessions.next())
  }

  /** False when it is sought already, or too many are. An event tells how it ends. */
  seek(
    target: RouterInfo,
    family: Family,
    introducers: readonly Introducer[],
    address: IpPort,
    patience: Millis,
    now: Millis,
    out: ReachSink,
  ): boolean {
    const key = hashKey(target.hash)
    if (this.#sought.has(key) || this.#sought.size >= MAX_SOUGHT) return false
    const wall = this.#options.clock.wall(now)
    const { hash } = this.#options.local.identity
    const usable = introducers.filter(
      (i) =>
        (i.expires === undefined || i.expires > wall) &&
        !sameBytes(i.hash, hash) &&
        !sameBytes(i.hash, target.hash),
    )
    const sought = {
      target,
      family,
      address,
      patience,
      introducers: usable,
      awaited: undefined,
      nonce: undefined,
    }
    this.#sought.set(key, sought)
    this.#next(sought, now, out)
    return true
  }

  /** A session has begun: with Charlie, nothing is left to do; with an introducer, it is asked. */
  connected(peer: Peer, now: Millis, out: ReachSink): void {
    const done = this.#sought.get(peer.key)
    if (done !== undefined) this.#forget(done)
    for (const sought of this.#sought.values()) {
      if (sought.awaited === undefined || hashKey(sought.awaited.hash) !== peer.key) continue
      this.#sessions.clear(hashKey(sought.target.hash))
      this.#ask(sought, sought.awaited, peer, now, out)
    }
  }

  /** A session has ended, or could not be had. */
  unreachable(hash: Hash, now: Millis, out: ReachSink): void {
    for (const sought of [...this.#sought.values()]) {
      const asked = sought.nonce === undefined ? undefined : this.#asked.get(sought.nonce)
      const waits = sought.awaited !== undefined && sameBytes(sought.awaited.hash, hash)
      if (waits || (asked !== undefined && asked.agreed === undefined && sameBytes(asked.bob, hash)))
        this.#next(sought, now, out)
    }
  }

  /** RelayResponse in a session. */
  response(bob: Peer, response: RelayResponse, now: Millis, out: ReachSink): void {
    const asked = this.#asked.get(response.nonce)
    if (asked === undefined || asked.agreed !== undefined || !sameBytes(asked.bob, bob.hash)) return
    const agreed = this.#agreed(asked, response, now)
    if (agreed === undefined) {
      this.#next(asked.sought, now, out)
      return
    }
    asked.agreed = agreed
    if (asked.sought.patience === 0) this.#reached(asked.sought, agreed.at, agreed.token, out)
    else this.#asked.delay(response.nonce, now + asked.sought.patience)
  }

  /** HolePunch. "Alice should check the UDP source port of the Hole Punch message, and use that if it is different." */
  packet(from: IpPort, packet: NoncePacket, now: Millis, out: ReachSink): void {
    const asked = this.#asked.get(packet.id)
    if (asked === undefined) return
    const response = readRelayResponse(new Reader(packet.block))
    if (response.nonce !== packet.id) return
    const agreed = this.#agreed(asked, response, now)
    if (agreed === undefined || !sameBytes(agreed.at.ip, from.ip) || !isTarget(from, this.#options.mayReach))
      return
    this.#reached(asked.sought, from, agreed.token, out)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (let due = this.#asked.due(now); due !== undefined; due = this.#asked.due(now)) {
      const { sought, agreed } = due[1]
      if (agreed === undefined) this.#next(sought, now, out)
      else this.#reached(sought, agreed.at, agreed.token, out)
    }
    for (let key = this.#sessions.due(now); key !== undefined; key = this.#sessions.due(now))
      this.#next(this.#sought.get(key)!, now, out)
  }

  /** Undefined for a refusal, and for what Charlie has not signed. */
  #agreed({ sought, bob }: Asked, response: RelayResponse, now: Millis): Asked['agreed'] {
    const { code, version, address, token, timestamp } = response
    if (code !== RelayCode.accept || address === undefined || token === undefined) return undefined
    if (version !== VERSION || !isTimely(timestamp, this.#options.clock.wall(now))) return undefined
    if (familyOf(address.ip) !== sought.family || !isTarget(address, this.#options.mayReach)) return undefined
    if (!verifyRelayResponse(sought.target.identity, bob, response)) return undefined
    return { at: address, token }
  }

  /** "Pick one" with a session; else one whose RouterInfo is known; else any. */
  #next(sought: Sought, now: Millis, out: ReachSink): void {
    this.#reset(sought)
    const { introducers } = sought
    const connected = introducers.findIndex((i) => this.#peers.get(i.hash) !== undefined)
    const known = introducers.findIndex((i) => this.#options.routers.get(i.hash) !== undefined)
    const [introducer] = introducers.splice(connected >= 0 ? connected : Math.max(known, 0), 1)
    if (introducer === undefined) {
      this.#forget(sought)
      out.event({ kind: 'introduction-failed', peer: sought.target.hash, family: sought.family })
      return
    }
    const bob = this.#peers.get(introducer.hash)
    if (bob !== undefined) {
      this.#ask(sought, introducer, bob, now, out)
      return
    }
    sought.awaited = introducer
    this.#sessions.set(hashKey(sought.target.hash), now + SESSION_MS)
    out.event({ kind: 'want-session', peer: introducer.hash })
  }

  #ask(sought: Sought, introducer: Introducer, bob: Peer, now: Millis, out: ReachSink): void {
    const { local, random, clock } = this.#options
    const nonce = random.below(2 ** 32)
    if (this.#asked.get(nonce) !== undefined) {
      this.#next(sought, now, out)
      return
    }
    sought.awaited = undefined
    sought.nonce = nonce
    this.#asked.set(nonce, { sought, bob: bob.hash, agreed: undefined }, now + ANSWER_MS)
    const request = signRelayRequest(local.signing, bob.hash, sought.target.hash, {
      nonce,
      tag: introducer.tag,
      timestamp: seconds(clock.wall(now)),
      address: sought.address,
    })
    out.event({
      kind: 'block',
      to: bob.hash,
      type: Ssu2BlockType.relayRequest,
      data: writeRelayRequest(request),
    })
  }

  #reached(sought: Sought, at: IpPort, token: Uint8Array, out: ReachSink): void {
    this.#forget(sought)
    out.event({ kind: 'reached', peer: sought.target.hash, endpoint: endpointOf(at), token })
  }

  #reset(sought: Sought): void {
    if (sought.nonce !== undefined) this.#asked.delete(sought.nonce)
    this.#sessions.clear(hashKey(sought.target.hash))
    sought.nonce = undefined
    sought.awaited = undefined
  }

  #forget(sought: Sought): void {
    this.#reset(sought)
    this.#sought.delete(hashKey(sought.target.hash))
  }
}
