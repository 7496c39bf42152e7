/** The initiator's (Alice's) half of the handshake: [TokenRequest, Retry,] SessionRequest, SessionCreated, SessionConfirmed. */
import { concat, copy, Reader, sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { unlessMalformed } from '../../base/errors.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import { generateX25519, type X25519KeyPair } from '../../crypto/x25519.ts'
import { BLOCK_HEADER, BlockType, writeBlock } from '../blocks/block.ts'
import { writeDateTime } from '../blocks/date-time.ts'
import { OUR_PADDING_OPTIONS, writePaddingOptions } from '../blocks/padding-options.ts'
import { TerminationReason } from '../blocks/termination.ts'
import { Ssu2BlockType } from './blocks.ts'
import {
  confirmedHeader,
  confirmedPackets,
  fragmentCount,
  MAX_FRAGMENTS_SENT,
} from './confirmed-fragments.ts'
import {
  confirmedHeaderKey,
  createdHeaderKey,
  dataPhaseKeys,
  type HandshakeStep,
  hasHighBit,
  type Local,
  MAC,
  MAX_HANDSHAKE_PADDING,
  MAX_SKEW_MS,
  maxPacket,
  NOTHING,
  PROTOCOL_NAME,
  type Refused,
  type Remote,
  Repeated,
  type Repeats,
} from './handshake.ts'
import {
  CONNECTION_ID,
  EPHEMERAL_END,
  LONG_HEADER,
  type LongHeader,
  MessageType,
  maskConnectionId,
  maskLongHeader,
  maskNumberAndType,
  maskThirdPart,
  messageType,
  readLongHeader,
  SHORT_HEADER,
  VERSION,
  writeLongHeader,
} from './header.ts'
import { NO_TOKEN, openOutOfSession, padding, writeTokenRequest } from './out-of-session.ts'
import { readPayload } from './payload.ts'
import { writeSsu2RouterInfoBlock } from './router-info-block.ts'

// Specification constants

/** "Handshake Retransmission", "Session Request". */
const SESSION_REQUEST: Repeats = { after: [1250, 3750, 8750], failed: 15_000 }
/** "Handshake Retransmission", "Token Request". */
const TOKEN_REQUEST: Repeats = { after: [3000, 9000], failed: 15_000 }
/** "Total Timeout" */
const TOTAL_MS = 20_000
/** A sealed static key. */
const PART1_LENGTH: number = 32 + MAC

export interface InitiatorOptions {
  /** For SessionRequest; without one a TokenRequest comes first. */
  readonly token?: Uint8Array
  /** Our RouterInfo, for SessionConfirmed. */
  readonly ours: Uint8Array
  /** Ask the responder to relay for us. */
  readonly wantRelayTag: boolean
  /** Of our interface; the peer's counts too. */
  readonly mtu: number
}

export class Initiator {
  /** In packets to us. */
  readonly sourceId: Uint8Array
  /** In packets to the responder. */
  readonly destinationId: Uint8Array
  readonly #local: Local
  readonly #remote: Remote
  readonly #options: InitiatorOptions
  /** The largest packet on this path. */
  readonly #maxPacket: number
  #startedAt: Millis = 0
  #sent: Repeated | undefined
  #token: Uint8Array | undefined
  #tokenRequests = 0
  #retries = 0
  #rejected = false
  /** Once SessionRequest is sent: its key and what it leaves behind. */
  #request: { e: X25519KeyPair; noise: SymmetricState; headerKey: Uint8Array } | undefined

  constructor(local: Local, remote: Remote, options: InitiatorOptions) {
    this.#local = local
    this.#remote = remote
    this.#options = options
    this.#token = options.token
    const v6 = remote.endpoint.address.includes(':')
    this.#maxPacket = maxPacket(Math.min(options.mtu, remote.mtu), v6)
    this.sourceId = local.random.bytes(CONNECTION_ID)
    do this.destinationId = local.random.bytes(CONNECTION_ID)
    while (sameBytes(this.sourceId, this.destinationId))
  }

  /** When `timeout` wants to be called. */
  get deadline(): Millis {
    return Math.min(this.#sent?.deadline ?? Infinity, this.#startedAt + TOTAL_MS)
  }

  start(now: Millis): HandshakeStep {
    this.#startedAt = now
    return this.#token === undefined ? this.#requestToken(now) : this.#requestSession(this.#token, now)
  }

  /** A packet from the responder's endpoint, as it came; its masks are taken off in place. */
  received(packet: Uint8Array, now: Millis): HandshakeStep {
    if (packet.length < LONG_HEADER + 8 + MAC) return NOTHING
    const { introKey } = this.#remote
    maskConnectionId(packet, introKey)
    if (!sameBytes(packet.subarray(0, CONNECTION_ID), this.sourceId)) return NOTHING
    const request = this.#request
    if (request !== undefined && packet.length >= EPHEMERAL_END + 8 + MAC) {
      maskNumberAndType(packet, request.headerKey)
      if (messageType(packet) === MessageType.sessionCreated) {
        maskThirdPart(packet, request.headerKey, EPHEMERAL_END)
        return this.#isForUs(packet) ? this.#sessionCreated(packet, request, now) : NOTHING
      }
      maskNumberAndType(packet, request.headerKey)
    }
    maskNumberAndType(packet, introKey)
    if (messageType(packet) !== MessageType.retry) return NOTHING
    maskThirdPart(packet, introKey, LONG_HEADER)
    return this.#isForUs(packet) ? this.#retry(packet, now) : NOTHING
  }

  timeout(now: Millis): HandshakeStep {
    const sent = this.#sent
    if (sent === undefined) return NOTHING
    if (sent.failed(now) || now >= this.#startedAt + TOTAL_MS)
      return refused('no answer', TerminationReason.frameTimeout)
    const send = sent.due(now)
    if (this.#request === undefined) this.#tokenRequests += send.length
    return { send }
  }

  /** All but the destination id, which was looked at. */
  #isForUs(packet: Uint8Array): boolean {
    const { version, netId, sourceId } = readLongHeader(new Reader(packet))
    return version === VERSION && netId === this.#local.netId && sameBytes(sourceId, this.destinationId)
  }

  #send(packet: Uint8Array, repeats: Repeats, now: Millis): HandshakeStep {
    this.#sent = new Repeated([packet], repeats, now)
    return { send: this.#sent.copies() }
  }

  #requestToken(now: Millis): HandshakeStep {
    const { netId, clock, random } = this.#local
    const { sourceId, destinationId } = this
    const request = { sourceId, destinationId, netId, wall: clock.wall(now) }
    this.#tokenRequests++
    return this.#send(writeTokenRequest(request, this.#remote.introKey, random), TOKEN_REQUEST, now)
  }

  #requestSession(token: Uint8Array, now: Millis): HandshakeStep {
    const { random, clock, netId } = this.#local
    const { staticKey, introKey } = this.#remote
    const header: LongHeader = {
      destinationId: this.destinationId,
      packetNumber: random.below(2 ** 32),
      type: MessageType.sessionRequest,
      version: VERSION,
      netId,
      sourceId: this.sourceId,
      token,
    }
    const clear = writeLongHeader(header)

    // SessionRequest: -> e, es
    const noise = SymmetricState.start(PROTOCOL_NAME, this.#local.prologue)
    noise.mixHash(staticKey)
    noise.mixHash(clear)
    const e = generateX25519(random)
    noise.mixHash(e.publicKey)
    const es = e.agree(staticKey)
    if (es === undefined) return refused('static key of low order')
    noise.mixKey(es)
    const headerKey = createdHeaderKey(noise)
    const sealed = noise.encryptAndHash(
      concat(
        writeBlock(BlockType.dateTime, writeDateTime(clock.wall(now))),
        this.#options.wantRelayTag
          ? writeBlock(Ssu2BlockType.relayTagRequest, new Uint8Array(0))
          : new Uint8Array(0),
        padding(random, MAX_HANDSHAKE_PADDING),
      ),
    )
    const packet = concat(clear, e.publicKey, sealed)
    maskLongHeader(packet, introKey, introKey, EPHEMERAL_END)
    this.#token = token
    this.#request = { e, noise, headerKey }
    return this.#send(packet, SESSION_REQUEST, now)
  }

  #retry(packet: Uint8Array, now: Millis): HandshakeStep {
    const plaintext = openOutOfSession(packet, this.#remote.introKey)
    const payload = plaintext && unlessMalformed(() => readPayload(plaintext))
    if (payload?.wall === undefined) return NOTHING
    const token = copy(readLongHeader(new Reader(packet)).token)
    if (sameBytes(token, NO_TOKEN)) {
      const halfTrip = Math.round((this.#sent?.rttMs(now) ?? 0) / 2)
      const claimedOffset = payload.wall - this.#local.clock.wall(now) + halfTrip
      const reason = payload.termination ?? TerminationReason.sessionRequestError
      const { result } = refused(`Retry with reason ${reason}`, reason)
      return { send: [], result: { ...result, claimedOffset } }
    }
    this.#retries++
    if (this.#request !== undefined) {
      // A repeated TokenRequest has an answer of its own, which says nothing about SessionRequest.
      if (this.#retries <= this.#tokenRequests || sameBytes(token, this.#token!)) return NOTHING
      // The responder has forgotten our token; a second time it would be leading us on.
      if (this.#rejected) return NOTHING
      this.#rejected = true
    }
    return this.#requestSession(token, now)
  }

  #sessionCreated(
    packet: Uint8Array,
    request: { e: X25519KeyPair; noise: SymmetricState },
    now: Millis,
  ): HandshakeStep {
    const { staticKeys, introKey, clock } = this.#local
    // A copy: a damaged packet must not spoil the state for the true one.
    const noise = request.noise.fork()

    // SessionCreated: <- e, ee
    const y = packet.subarray(LONG_HEADER, EPHEMERAL_END)
    if (hasHighBit(y)) return NOTHING
    noise.mixHash(packet.subarray(0, LONG_HEADER))
    noise.mixHash(y)
    const ee = request.e.agree(y)
    if (ee === undefined) return NOTHING
    noise.mixKey(ee)
    const headerKey = confirmedHeaderKey(noise)
    const plaintext = noise.decryptAndHash(packet.subarray(EPHEMERAL_END))
    if (plaintext === undefined) return NOTHING

    // Bob has proved his static key.
    const payload = unlessMalformed(() => readPayload(plaintext))
    if (payload?.wall === undefined)
      return refused('malformed SessionCreated', TerminationReason.payloadFormat)
    if (payload.termination !== undefined) {
      return refused(`SessionCreated with reason ${payload.termination}`, payload.termination)
    }
    const rttMs = this.#sent?.rttMs(now)
    const clockOffset = payload.wall - clock.wall(now) + Math.round((rttMs ?? 0) / 2)
    if (Math.abs(clockOffset) > MAX_SKEW_MS) {
      const { result } = refused(`clocks differ by ${clockOffset} ms`, TerminationReason.clockSkew)
      return { send: [], result: { ...result, clockOffset } }
    }

    // SessionConfirmed: -> s, se
    const room = this.#maxPacket - SHORT_HEADER
    const confirmed = this.#confirmedPayload(room)
    const total = fragmentCount(PART1_LENGTH + confirmed.length + MAC, room)
    if (total > MAX_FRAGMENTS_SENT) return refused('our RouterInfo is too long')
    noise.mixHash(confirmedHeader(this.destinationId, 0, total))
    // Sealed with the key from SessionCreated and n = 1.
    const part1 = noise.encryptAndHash(staticKeys.publicKey)
    const se = staticKeys.agree(y)
    if (se === undefined) return NOTHING
    noise.mixKey(se)
    const sealed = concat(part1, noise.encryptAndHash(confirmed))
    const remote = this.#remote
    const confirm = confirmedPackets(this.destinationId, sealed, room, remote.introKey, headerKey)
    const { options, address, relayTag, newToken } = payload
    return {
      send: confirm.map(copy),
      result: {
        kind: 'established',
        keys: dataPhaseKeys(noise, 'initiator', introKey, remote.introKey),
        sendId: this.destinationId,
        receiveId: this.sourceId,
        remote: remote.routerInfo,
        remoteIntroKey: remote.introKey,
        remoteMtu: remote.mtu,
        clockOffset,
        rttMs,
        confirm,
        ...(options === undefined ? {} : { options }),
        ...(address === undefined ? {} : { ourAddress: address }),
        ...(relayTag === undefined ? {} : { relayTag }),
        ...(newToken === undefined ? {} : { newToken }),
      },
    }
  }

  /** RouterInfo, Options, and padding that needs no packet more. `room` is what a packet holds of the sealed message. */
  #confirmedPayload(room: number): Uint8Array {
    const options = writeBlock(BlockType.options, writePaddingOptions(OUR_PADDING_OPTIONS))
    const inOnePacket = room - PART1_LENGTH - BLOCK_HEADER - options.length - MAC
    const block = { flood: false, routerInfo: this.#options.ours }
    const routerInfo = writeBlock(BlockType.routerInfo, writeSsu2RouterInfoBlock(block, inOnePacket))
    const sealedLength = PART1_LENGTH + routerInfo.length + options.length + MAC
    const left = fragmentCount(sealedLength, room) * room - sealedLength - BLOCK_HEADER
    if (left < 0) return concat(routerInfo, options)
    return concat(routerInfo, options, padding(this.#local.random, Math.min(left, MAX_HANDSHAKE_PADDING)))
  }
}

function refused(
  why: string,
  reason: number = TerminationReason.sessionCreatedError,
): { send: []; result: Refused } {
  return { send: [], result: { kind: 'refused', reason, why } }
}
