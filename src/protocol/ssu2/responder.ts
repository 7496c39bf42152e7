/** The responder's (Bob's) half of the handshake: SessionRequest, SessionCreated, SessionConfirmed. */
import { concat, copy, Reader, sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import { unlessMalformed } from '../../base/errors.ts'
import { ipBytes } from '../../base/ip.ts'
import type { SeenFilter } from '../../base/lru.ts'
import { constantTimeEqual } from '../../crypto/equal.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import { generateX25519, type X25519KeyPair } from '../../crypto/x25519.ts'
import { BlockType, writeBlock } from '../blocks/block.ts'
import { writeDateTime } from '../blocks/date-time.ts'
import { TerminationReason } from '../blocks/termination.ts'
import { type HashKey, hashKey } from '../structures/hash.ts'
import { type Ssu2Address, ssu2Address } from '../structures/router-address.ts'
import {
  checkRouterInfo,
  type RouterInfo,
  readRouterInfo,
  verifyRouterInfo,
} from '../structures/router-info.ts'
import { Ssu2BlockType, writeAddress, writeRelayTag } from './blocks.ts'
import { ConfirmedFragments, confirmedHeader } from './confirmed-fragments.ts'
import {
  confirmedHeaderKey,
  createdHeaderKey,
  dataPhaseKeys,
  type HandshakeStep,
  hasHighBit,
  type Local,
  MAC,
  MAX_HANDSHAKE_PADDING,
  MAX_ROUTER_INFO_AGE_MS,
  MAX_SKEW_MS,
  NOTHING,
  PROTOCOL_NAME,
  type Refused,
  Repeated,
  type Repeats,
} from './handshake.ts'
import {
  EPHEMERAL_END,
  LONG_HEADER,
  type LongHeader,
  MessageType,
  MIN_PACKET,
  maskLongHeader,
  maskNumberAndType,
  readShortHeader,
  VERSION,
  writeLongHeader,
} from './header.ts'
import { NO_TOKEN, padding, readFirstPacket } from './out-of-session.ts'
import { readPayload, readSessionConfirmedPayload, type SessionConfirmedPayload } from './payload.ts'
import { isSkewed, rejection } from './retry.ts'

// Specification constants

/** "Handshake Retransmission", "Session Created". */
const SESSION_CREATED: Repeats = { after: [1000, 3000, 7000], failed: 12_000 }
/** A sealed static key. */
const PART1_LENGTH: number = 32 + MAC

// Implementation constants

/** Answers to a repeated SessionRequest, beside those that time brings: the initiator's three. */
const MAX_ANSWERS = 3
/** Data that overtakes SessionConfirmed: a window's beginning. More is sent again by the initiator. */
const MAX_EARLY = 8

export interface ResponderChecks {
  /** X values used lately; lifetime at least twice the allowed skew ("SessionRequest", Notes). */
  readonly replay: SeenFilter<HashKey>
  /** A tag under which we would relay for whoever asks now, or undefined. */
  readonly relayTag: () => number | undefined
  /** The transport's own objection to an authenticated peer: a TerminationReason, or undefined to accept. */
  readonly refuse: (remote: RouterInfo) => number | undefined
}

/** What a SessionRequest with a good token leads to. */
export interface Opened {
  /** Undefined when it came to nothing. */
  readonly responder?: Responder
  readonly send: readonly Uint8Array[]
  /** Log line at debug level. */
  readonly why?: string
}

/** `header` and `packet` are from `readFirstPacket`, the token is checked and used up. */
export function openSessionRequest(
  local: Local,
  checks: ResponderChecks,
  header: LongHeader,
  packet: Uint8Array,
  from: Endpoint,
  now: Millis,
): Opened {
  const { random, clock, introKey, netId, staticKeys } = local
  const ip = ipBytes(from.address)
  if (ip === undefined) return dropped(`from ${from.address}`)
  const noise = SymmetricState.start(PROTOCOL_NAME, local.prologue)
  noise.mixHash(staticKeys.publicKey)

  // SessionRequest: -> e, es
  const x = packet.subarray(LONG_HEADER, EPHEMERAL_END)
  if (hasHighBit(x)) return dropped('X out of range')
  noise.mixHash(packet.subarray(0, LONG_HEADER))
  noise.mixHash(x)
  const es = staticKeys.agree(x)
  if (es === undefined) return dropped('X of low order')
  noise.mixKey(es)
  const headerKey = createdHeaderKey(noise)
  const plaintext = noise.decryptAndHash(packet.subarray(EPHEMERAL_END))
  if (plaintext === undefined) return dropped('SessionRequest does not verify')
  // After the AEAD, so that junk cannot push honest values out of the filter.
  if (checks.replay.seen(hashKey(x), now)) return dropped('replayed SessionRequest')
  const payload = unlessMalformed(() => readPayload(plaintext))
  if (payload?.wall === undefined) return dropped('malformed SessionRequest')
  if (isSkewed(local, payload.wall, now)) {
    const answer = rejection(local, TerminationReason.clockSkew, header, from, now)
    return { send: answer === undefined ? [] : [answer], why: 'clocks differ' }
  }

  // SessionCreated: <- e, ee
  const clear = writeLongHeader({
    destinationId: header.sourceId,
    packetNumber: random.below(2 ** 32),
    type: MessageType.sessionCreated,
    version: VERSION,
    netId,
    sourceId: header.destinationId,
    token: NO_TOKEN,
  })
  noise.mixHash(clear)
  const e = generateX25519(random)
  noise.mixHash(e.publicKey)
  const ee = e.agree(x)
  if (ee === undefined) return dropped('X of low order')
  noise.mixKey(ee)
  const grantedTag = payload.relayTagRequested ? checks.relayTag() : undefined
  const sealed = noise.encryptAndHash(
    concat(
      writeBlock(BlockType.dateTime, writeDateTime(clock.wall(now))),
      writeBlock(Ssu2BlockType.address, writeAddress({ ip, port: from.port })),
      grantedTag === undefined
        ? new Uint8Array(0)
        : writeBlock(Ssu2BlockType.relayTag, writeRelayTag(grantedTag)),
      padding(random, MAX_HANDSHAKE_PADDING),
    ),
  )
  const created = concat(clear, e.publicKey, sealed)
  maskLongHeader(created, introKey, headerKey, EPHEMERAL_END)
  const request = copy(packet)
  maskLongHeader(request, introKey, introKey, EPHEMERAL_END)
  const responder = new Responder(local, checks, {
    header,
    request,
    created,
    noise,
    e,
    clockOffset: payload.wall - clock.wall(now),
    grantedTag,
    now,
  })
  return { responder, send: responder.first() }
}

/** What SessionRequest and SessionCreated leave behind. */
interface Begun {
  readonly header: LongHeader
  /** SessionRequest and SessionCreated as they go over the wire. */
  readonly request: Uint8Array
  readonly created: Uint8Array
  readonly noise: SymmetricState
  readonly e: X25519KeyPair
  /** Without the way that SessionRequest took. */
  readonly clockOffset: number
  readonly grantedTag: number | undefined
  readonly now: Millis
}

/** Waits for SessionConfirmed. */
export class Responder {
  /** In packets to us. */
  readonly receiveId: Uint8Array
  /** In packets to the initiator. */
  readonly sendId: Uint8Array
  readonly #local: Local
  readonly #checks: ResponderChecks
  readonly #begun: Begun
  readonly #headerKey: Uint8Array
  readonly #created: Repeated
  readonly #fragments = new ConfirmedFragments()
  readonly #early: Uint8Array[] = []
  #answers = 0

  constructor(local: Local, checks: ResponderChecks, begun: Begun) {
    this.#local = local
    this.#checks = checks
    this.#begun = begun
    this.receiveId = copy(begun.header.destinationId)
    this.sendId = copy(begun.header.sourceId)
    this.#headerKey = confirmedHeaderKey(begun.noise)
    this.#created = new Repeated([begun.created], SESSION_CREATED, begun.now)
  }

  /** When `timeout` wants to be called. */
  get deadline(): Millis {
    return this.#created.deadline
  }

  first(): Uint8Array[] {
    return this.#created.copies()
  }

  timeout(now: Millis): HandshakeStep {
    if (this.#created.failed(now)) return refused('no SessionConfirmed', TerminationReason.frameTimeout)
    return { send: this.#created.due(now) }
  }

  /** A packet to `receiveId` from the initiator's endpoint, as it came. */
  received(packet: Uint8Array, now: Millis): HandshakeStep {
    if (packet.length < MIN_PACKET) return NOTHING
    maskNumberAndType(packet, this.#headerKey)
    const { packetNumber, type, flags } = readShortHeader(new Reader(packet))
    if (type === MessageType.sessionConfirmed && packetNumber === 0) {
      const whole = this.#fragments.add(flags, packet)
      return whole === undefined ? NOTHING : this.#sessionConfirmed(whole, now)
    }
    maskNumberAndType(packet, this.#headerKey)
    if (this.#isRequest(packet)) {
      if (this.#answers === MAX_ANSWERS) return NOTHING
      this.#answers++
      return { send: this.#created.copies() }
    }
    if (this.#isAnotherRequest(packet)) return { send: [], another: true }
    if (this.#early.length < MAX_EARLY) this.#early.push(packet)
    return NOTHING
  }

  /** Byte for byte: SessionCreated was lost, or is on its way. */
  #isRequest(packet: Uint8Array): boolean {
    return sameBytes(packet, this.#begun.request)
  }

  #isAnotherRequest(packet: Uint8Array): boolean {
    const { introKey, netId } = this.#local
    return readFirstPacket(copy(packet), introKey, netId)?.type === MessageType.sessionRequest
  }

  #sessionConfirmed(whole: { sealed: Uint8Array; total: number }, now: Millis): HandshakeStep {
    const { e, grantedTag } = this.#begun
    const { sealed, total } = whole
    // A copy: a damaged packet must not spoil the state for the true one.
    const noise = this.#begun.noise.fork()

    // SessionConfirmed: -> s, se
    noise.mixHash(confirmedHeader(this.receiveId, 0, total))
    const s = noise.decryptAndHash(sealed.subarray(0, PART1_LENGTH))
    const se = s && e.agree(s)
    if (se !== undefined) noise.mixKey(se)
    const plaintext = se && noise.decryptAndHash(sealed.subarray(PART1_LENGTH))
    if (s === undefined || plaintext === undefined) {
      this.#fragments.clear()
      return NOTHING
    }

    // The peer owns s from here on. Before its RouterInfo is good, nobody knows the key to hide an answer with.
    const payload = unlessMalformed(() => readSessionConfirmedPayload(plaintext))
    if (payload === undefined) return refused('malformed SessionConfirmed', TerminationReason.payloadFormat)
    const remote = readRemote(payload.routerInfo)
    if (remote === undefined) return refused('RouterInfo refused', TerminationReason.routerInfoSignature)
    const address = addressWith(remote, s)
    if (address === undefined) return refused('other static key', TerminationReason.staticKeyMismatch)
    const { introKey } = address
    const keys = dataPhaseKeys(noise, 'responder', this.#local.introKey, introKey)
    const { sendId, receiveId } = this
    const rttMs = this.#answers === 0 ? this.#created.rttMs(now) : undefined
    const clockOffset = this.#begun.clockOffset + Math.round((rttMs ?? 0) / 2)
    const objection = this.#objection(remote, clockOffset, now)
    if (objection !== undefined) {
      const { result } = refused(...objection)
      return { send: [], result: { ...result, clockOffset, tell: { keys, sendId, receiveId } } }
    }
    const { options, newToken, address: ourAddress } = payload
    return {
      send: [],
      result: {
        kind: 'established',
        keys,
        sendId,
        receiveId,
        remote,
        remoteIntroKey: introKey,
        remoteMtu: address.mtu,
        clockOffset,
        rttMs,
        confirmHeader2: this.#headerKey,
        leftover: leftover(payload),
        early: this.#early,
        ...(options === undefined ? {} : { options }),
        ...(ourAddress === undefined ? {} : { ourAddress }),
        ...(newToken === undefined ? {} : { newToken }),
        ...(grantedTag === undefined ? {} : { grantedTag }),
      },
    }
  }

  /** Why an authenticated peer is refused. */
  #objection(
    remote: RouterInfo,
    clockOffset: number,
    now: Millis,
  ): [why: string, reason: number] | undefined {
    const { netId, clock } = this.#local
    const standing = checkRouterInfo(remote, netId, clock.wall(now), MAX_ROUTER_INFO_AGE_MS)
    if (standing !== 'ok') return [`RouterInfo: ${standing}`, TerminationReason.sessionConfirmedError]
    if (Math.abs(clockOffset) > MAX_SKEW_MS) return ['clocks differ', TerminationReason.clockSkew]
    const reason = this.#checks.refuse(remote)
    return reason === undefined ? undefined : [`refused with reason ${reason}`, reason]
  }
}

/** A tag may be asked for here as well: the data phase answers. */
function leftover(payload: SessionConfirmedPayload): Uint8Array {
  if (!payload.relayTagRequested) return payload.rest
  return concat(payload.rest, writeBlock(Ssu2BlockType.relayTagRequest, new Uint8Array(0)))
}

/** Parsed and its signature verified, or undefined. */
function readRemote(bytes: Uint8Array): RouterInfo | undefined {
  return unlessMalformed(() => verifyRouterInfo(readRouterInfo(bytes)))
}

/** "Bob must verify that Alice's static key received in the first frame matches the static key in the Router Info." */
function addressWith(remote: RouterInfo, s: Uint8Array): Ssu2Address | undefined {
  for (const address of remote.addresses) {
    const ssu2 = ssu2Address(address)
    if (ssu2 !== undefined && constantTimeEqual(ssu2.staticKey, s)) return ssu2
  }
  return undefined
}

function dropped(why: string): Opened {
  return { send: [], why }
}

function refused(why: string, reason: number): { send: []; result: Refused } {
  return { send: [], result: { kind: 'refused', reason, why } }
}
