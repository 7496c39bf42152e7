/**
 * Being reached through an introducer: we are Charlie, who answers Bob and opens his own NAT for Alice with a hole punch (ssu2,
 * "Relay Process", "Hole Punch"). Only for those who introduce us, and never to a port where services are.
 */
import { sameBytes } from '../../base/bytes.ts'
import { type Millis, seconds } from '../../base/clock.ts'
import { SeenFilter } from '../../base/lru.ts'
import { jitter } from '../../base/random.ts'
import { type IpPort, Ssu2BlockType } from '../../protocol/ssu2/blocks.ts'
import { MessageType, VERSION } from '../../protocol/ssu2/header.ts'
import { sealNoncePacket } from '../../protocol/ssu2/nonce-packet.ts'
import {
  RelayCode,
  type RelayIntro,
  signRelayResponse,
  verifyRelayRequest,
  writeRelayResponse,
} from '../../protocol/ssu2/relay.ts'
import { type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { hostKey } from '../ip-ranges.ts'
import type { Family, ReachOptions, ReachSink } from './events.ts'
import { allowance, isTarget, isTimely, MAX_NONCES, MAX_SERVED, NONCE_MS } from './limits.ts'
import { endpointOf, familyOf, offerOf, type Peer, type Peers } from './peers.ts'
import { Pending } from './pending.ts'
import { key } from './test-bob.ts'

// Implementation constants

/** What one introducer may bring, and what one host may get from us, whoever asks. */
const INTROS = 60
const INTROS_WINDOW: Millis = 60_000
const HOST_INTROS = 6
const HOST_WINDOW: Millis = 60_000
/** "Hole punch may be retransmitted": as long as Alice does not come. i2pd sends four. */
const MAX_PUNCHES = 3
const REPEAT_MS: Millis = 1_250
const REPEAT_JITTER = 0.2

interface Punch {
  readonly alice: HashKey
  readonly to: IpPort
  readonly introKey: Uint8Array
  readonly response: Uint8Array
  sent: number
}

export class RelayCharlie {
  readonly #options: ReachOptions
  readonly #peers: Peers
  readonly #punches = new Pending<Punch>(MAX_SERVED)
  readonly #bobs = allowance(INTROS, INTROS_WINDOW)
  readonly #hosts = allowance(HOST_INTROS, HOST_WINDOW)
  #nonces: SeenFilter<string> | undefined

  constructor(options: ReachOptions, peers: Peers) {
    this.#options = options
    this.#peers = peers
  }

  nextTimeout(): Millis | undefined {
    return this.#punches.next()
  }

  /**
   * `ourTag` is what `bob` gave us for introductions, `ours` where Alice finds us, `alice` the router that he names; each if there is
   * one.
   */
  intro(
    bob: Peer,
    { alice: hash, request }: RelayIntro,
    ourTag: number | undefined,
    ours: (family: Family) => IpPort | undefined,
    alice: RouterInfo | undefined,
    now: Millis,
    out: ReachSink,
  ): void {
    const { local, clock, giveToken } = this.#options
    const { nonce, address } = request
    this.#nonces ??= new SeenFilter(NONCE_MS, MAX_NONCES, now)
    if (this.#nonces.seen(key(bob.key, nonce), now) || this.#punches.get(nonce) !== undefined) return
    const here = ours(familyOf(address.ip))
    let code = this.#objection(bob, { alice: hash, request }, ourTag, alice, now)
    if (code === RelayCode.accept && here === undefined) code = RelayCode.charlieAddress
    const accepted = code === RelayCode.accept
    const response = signRelayResponse(local.signing, bob.hash, {
      code,
      nonce,
      timestamp: seconds(clock.wall(now)),
      address: accepted ? here : undefined,
      token: accepted ? giveToken(address, now) : undefined,
    })
    const data = writeRelayResponse(response)
    out.event({ kind: 'block', to: bob.hash, type: Ssu2BlockType.relayResponse, data })
    if (!accepted) return
    const { introKey } = offerOf(alice!, familyOf(address.ip))!
    const punch = { alice: hashKey(hash), to: address, introKey, response: data, sent: 0 }
    this.#punches.set(nonce, punch, now)
    this.#punch(nonce, punch, now, out)
  }

  /** Alice has come. */
  connected(peer: Peer): void {
    for (const [nonce, punch] of this.#punches.values())
      if (punch.alice === peer.key) this.#punches.delete(nonce)
  }

  timeout(now: Millis, out: ReachSink): void {
    for (let due = this.#punches.due(now); due !== undefined; due = this.#punches.due(now)) {
      const [nonce, punch] = due
      if (punch.sent < MAX_PUNCHES) this.#punch(nonce, punch, now, out)
      else this.#punches.delete(nonce)
    }
  }

  /** A RelayCode. */
  #objection(
    bob: Peer,
    { alice: hash, request }: RelayIntro,
    ourTag: number | undefined,
    alice: RouterInfo | undefined,
    now: Millis,
  ): number {
    const { local, clock, mayReach } = this.#options
    const { version, timestamp, address, tag } = request
    if (ourTag === undefined || tag !== ourTag) return RelayCode.charlieUnspecified
    if (version !== VERSION || !isTimely(timestamp, clock.wall(now))) return RelayCode.charlieUnspecified
    if (sameBytes(hash, local.identity.hash) || sameBytes(hash, bob.hash)) return RelayCode.charlieUnspecified
    if (!this.#bobs.take(bob.key, now) || this.#punches.full) return RelayCode.charlieLimit
    if (alice === undefined) return RelayCode.aliceUnknown
    if (!verifyRelayRequest(alice.identity, bob.hash, local.identity.hash, request))
      return RelayCode.charlieSignature
    if (!isTarget(address, mayReach) || offerOf(alice, familyOf(address.ip)) === undefined)
      return RelayCode.charlieAddress
    if (this.#peers.get(hash) !== undefined) return RelayCode.alreadyConnected
    return this.#hosts.take(hostKey(address.ip), now) ? RelayCode.accept : RelayCode.charlieLimit
  }

  #punch(nonce: number, punch: Punch, now: Millis, out: ReachSink): void {
    const { clock, netId, random } = this.#options
    const { to, introKey, response: block } = punch
    const packet = { type: MessageType.holePunch, id: nonce, dateTime: clock.wall(now), address: to, block }
    out.udp(endpointOf(to), sealNoncePacket(packet, introKey, netId, random))
    this.#peers.contacted(to.ip, now)
    punch.sent++
    this.#punches.delay(nonce, now + jitter(random, REPEAT_MS, REPEAT_JITTER))
  }
}
