/** Two routers about to shake hands over a link of packets, from seeded randomness, in virtual time. */
import { toBase64 } from '../../../src/base/base64.ts'
import { copy, hex } from '../../../src/base/bytes.ts'
import { WallClock } from '../../../src/base/clock.ts'
import type { Endpoint } from '../../../src/base/core.ts'
import { SeenFilter } from '../../../src/base/lru.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import type {
  Established,
  HandshakeStep,
  Local,
  Refused,
  Remote,
} from '../../../src/protocol/ssu2/handshake.ts'
import {
  connectionKey,
  destinationKey,
  MessageType,
  maskConnectionId,
} from '../../../src/protocol/ssu2/header.ts'
import { Initiator, type InitiatorOptions } from '../../../src/protocol/ssu2/initiator.ts'
import { readFirstPacket } from '../../../src/protocol/ssu2/out-of-session.ts'
import {
  openSessionRequest,
  type Responder,
  type ResponderChecks,
} from '../../../src/protocol/ssu2/responder.ts'
import { answerTokenRequest, retry } from '../../../src/protocol/ssu2/retry.ts'
import { GivenTokens } from '../../../src/protocol/ssu2/tokens.ts'
import { type LocalIdentity, newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import { type RouterInfo, signRouterInfo } from '../../../src/protocol/structures/router-info.ts'

const NET_ID = 77
/** The date at monotonic time 0. */
export const WALL: number = Date.UTC(2026, 10, 23)
export const ALICE: Endpoint = { address: '21.1.1.1', port: 1111 }
export const BOB: Endpoint = { address: '22.2.2.2', port: 2222 }

export interface Party {
  readonly identity: LocalIdentity
  readonly local: Local
  readonly routerInfo: RouterInfo
}

export interface PartyOptions {
  readonly netId?: number
  readonly prologue?: Uint8Array
  /** Ms that its clock is ahead. */
  readonly ahead?: number
  readonly published?: number
  readonly mtu?: number
  /** Bytes of options that do not shrink. */
  readonly ballast?: number
}

export function party(seed: number, options: PartyOptions = {}): Party {
  const random = seededRandom(seed)
  const identity = newRouterIdentity(random)
  const staticKeys = generateX25519(random)
  const introKey = random.bytes(32)
  const netId = options.netId ?? NET_ID
  const address = new Map([
    ['i', toBase64(introKey)],
    ['s', toBase64(staticKeys.publicKey)],
    ['v', '2'],
  ])
  if (options.mtu !== undefined) address.set('mtu', String(options.mtu))
  const info = new Map([
    ['caps', 'LR'],
    ['netId', String(netId)],
    ['router.version', '0.9.67'],
  ])
  const ballast = options.ballast ?? 0
  for (let i = 0; i < ballast; i += 100) info.set(`x${i}`, hex(random.bytes(50)))
  const routerInfo = signRouterInfo(
    {
      published: options.published ?? WALL,
      addresses: [{ cost: 3, style: 'SSU2', options: address }],
      options: info,
    },
    identity,
  )
  const clock = new WallClock(WALL + (options.ahead ?? 0), 0)
  return {
    identity,
    routerInfo,
    local: { staticKeys, introKey, netId, prologue: options.prologue, random, clock },
  }
}

function remoteOf(p: Party, endpoint: Endpoint = BOB, mtu = 1500): Remote {
  const { staticKeys, introKey } = p.local
  return { routerInfo: p.routerInfo, staticKey: staticKeys.publicKey, introKey, endpoint, mtu }
}

export function initiator(
  alice: Party,
  bob: Party,
  options: Partial<InitiatorOptions> = {},
  endpoint: Endpoint = BOB,
): Initiator {
  const ours = { ours: alice.routerInfo.bytes, wantRelayTag: false, mtu: 1500 }
  return new Initiator(alice.local, remoteOf(bob, endpoint), { ...ours, ...options })
}

export function checks(over: Partial<ResponderChecks> = {}): ResponderChecks {
  return {
    replay: new SeenFilter(120_000, 1000, 0),
    relayTag: () => undefined,
    refuse: () => undefined,
    ...over,
  }
}

/** A packet with its connection id as it would be on its way to `p`. */
export function maskedTo(packet: Uint8Array, p: Party): Uint8Array {
  maskConnectionId(packet, p.local.introKey)
  return packet
}

/** The little of a transport that stands between a socket and responders. */
export class Door {
  readonly tokens: GivenTokens
  readonly #bob: Party
  readonly #checks: ResponderChecks
  readonly responders: Map<string, Responder> = new Map()
  readonly results: (Established | Refused)[] = []
  readonly why: string[] = []

  constructor(bob: Party, its: ResponderChecks = checks()) {
    this.#bob = bob
    this.#checks = its
    this.tokens = new GivenTokens(seededRandom(99), 0)
  }

  received(packet: Uint8Array, from: Endpoint, now: number): readonly Uint8Array[] {
    const { local } = this.#bob
    if (packet.length < 40) return []
    const responder = this.responders.get(destinationKey(packet, local.introKey))
    const step = responder?.received(packet, now)
    if (responder !== undefined && step?.another !== true) return this.#step(responder, step!)
    const header = readFirstPacket(packet, local.introKey, local.netId)
    if (header === undefined) return []
    if (header.type === MessageType.tokenRequest) {
      const answer = answerTokenRequest(local, this.tokens, header, packet, from, now)
      return answer === undefined ? [] : [answer]
    }
    const ip = Uint8Array.from(from.address.split('.'), Number)
    if (!this.tokens.redeem(header.token, { ip, port: from.port }, now)) {
      const answer = retry(local, this.tokens, header, from, now)
      return answer === undefined ? [] : [answer]
    }
    const opened = openSessionRequest(local, this.#checks, header, packet, from, now)
    if (opened.why !== undefined) this.why.push(opened.why)
    if (opened.responder !== undefined) {
      this.responders.set(connectionKey(opened.responder.receiveId), opened.responder)
    }
    return opened.send
  }

  get deadline(): number {
    return Math.min(...[...this.responders.values()].map((r) => r.deadline))
  }

  timeout(now: number): readonly Uint8Array[] {
    return [...this.responders.values()].flatMap((r) => this.#step(r, r.timeout(now)))
  }

  #step(responder: Responder, step: HandshakeStep): readonly Uint8Array[] {
    if (step.result !== undefined) {
      this.results.push(step.result)
      this.responders.delete(connectionKey(responder.receiveId))
    }
    return step.send
  }
}

export interface Sent {
  readonly from: 'initiator' | 'responder'
  readonly at: number
  readonly bytes: Uint8Array
}

export interface Conversation {
  readonly initiator: Established | Refused | undefined
  readonly responder: Established | Refused | undefined
  /** All that was sent, in order, whether it arrived or not. */
  readonly wire: readonly Sent[]
  readonly endedAt: number
}

/** What becomes of packet `index`: its copies, each with the ms it takes. */
export type Link = (packet: Sent, index: number) => readonly { bytes: Uint8Array; after: number }[]

export const lossless: Link = ({ bytes }) => [{ bytes, after: 20 }]

/** Runs both until neither has anything to do; SessionConfirmed is repeated as a session would, at 1.25, 3.75 and 8.75 s. */
export function converse(
  alice: Initiator,
  door: Door,
  link: Link = lossless,
  from: Endpoint = ALICE,
): Conversation {
  const wire: Sent[] = []
  const flying: { at: number; to: 'initiator' | 'responder'; bytes: Uint8Array }[] = []
  let now = 0
  let result: Established | Refused | undefined
  const send = (who: Sent['from'], packets: readonly Uint8Array[]): void => {
    for (const packet of packets) {
      const sent = { from: who, at: now, bytes: copy(packet) }
      wire.push(sent)
      const to = who === 'initiator' ? 'responder' : 'initiator'
      for (const { bytes, after } of link(sent, wire.length - 1))
        flying.push({ at: now + after, to, bytes: copy(bytes) })
    }
  }
  const step = (s: HandshakeStep): void => {
    send('initiator', s.send)
    if (s.result === undefined) return
    result = s.result
    if (result.kind !== 'established') return
    for (const after of [1250, 3750, 8750])
      for (const bytes of result.confirm!) repeats.push({ at: now + after, bytes })
  }
  const repeats: { at: number; bytes: Uint8Array }[] = []
  step(alice.start(now))
  for (;;) {
    flying.sort((a, b) => a.at - b.at)
    const answered = door.results.length > 0
    const times = [
      flying[0]?.at ?? Infinity,
      result === undefined ? alice.deadline : Infinity,
      door.deadline,
      answered ? Infinity : (repeats[0]?.at ?? Infinity),
    ]
    now = Math.max(now, Math.min(...times))
    if (now === Infinity) break
    const arrived = flying[0]
    if (arrived !== undefined && arrived.at <= now) {
      flying.shift()
      if (arrived.to === 'responder') send('responder', door.received(arrived.bytes, from, now))
      else if (result === undefined) step(alice.received(arrived.bytes, now))
    } else if (result === undefined && alice.deadline <= now) step(alice.timeout(now))
    else if (door.deadline <= now) send('responder', door.timeout(now))
    else if (!answered && repeats[0] !== undefined) send('initiator', [repeats.shift()!.bytes])
  }
  const endedAt = wire.at(-1)?.at ?? 0
  return { initiator: result, responder: door.results[0], wire, endedAt }
}
