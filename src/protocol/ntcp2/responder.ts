/** The responder's (Bob's) half of the handshake: SessionRequest, SessionCreated, SessionConfirmed. */
import { concat, Reader } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { SeenFilter } from '../../base/lru.ts'
import { constantTimeEqual } from '../../crypto/equal.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import { generateX25519 } from '../../crypto/x25519.ts'
import { roundedSeconds } from '../blocks/date-time.ts'
import { TerminationReason } from '../blocks/termination.ts'
import { type HashKey, hashKey } from '../structures/hash.ts'
import { ntcp2Address } from '../structures/router-address.ts'
import {
  checkRouterInfo,
  type RouterInfo,
  readRouterInfo,
  verifyRouterInfo,
} from '../structures/router-info.ts'
import { type DataPhaseKeys, dataPhaseKeys } from './data-phase.ts'
import {
  EphemeralObfuscation,
  type Handshake,
  hasHighBit,
  type Local,
  MAX_ROUTER_INFO_AGE_MS,
  type Refused,
} from './handshake.ts'
import {
  MAX_PADDING_ACCEPTED,
  MAX_PADDING_SENT,
  MAX_PART2_LENGTH,
  MAX_SKEW_MS,
  MIN_PART2_LENGTH,
  PART1_LENGTH,
  PROTOCOL_NAME,
  readSessionConfirmedPayload,
  readSessionRequestOptions,
  SESSION_REQUEST_LENGTH,
  type SessionConfirmedPayload,
  VERSION,
  writeSessionCreatedOptions,
} from './messages.ts'

export interface ResponderChecks {
  /** X values used lately; lifetime at least twice the allowed skew ("1) SessionRequest", Notes). */
  readonly replay: SeenFilter<HashKey>
  /** The transport's own objection to an authenticated peer: a TerminationReason, or undefined to accept. */
  readonly refuse: (remote: RouterInfo) => number | undefined
}

export function* respond(local: Local, checks: ResponderChecks): Handshake {
  const { random, clock } = local
  const obfuscation = new EphemeralObfuscation(local.hash, local.iv)
  const noise = SymmetricState.start(PROTOCOL_NAME, local.prologue)
  noise.mixHash(local.staticKeys.publicKey)

  // SessionRequest: -> e, es
  const { bytes: request, now: requestAt } = yield { read: SESSION_REQUEST_LENGTH }
  const x = obfuscation.reveal(request.subarray(0, 32))
  if (hasHighBit(x)) return probe('X out of range')
  noise.mixHash(x)
  const es = local.staticKeys.agree(x)
  if (es === undefined) return probe('X of low order')
  noise.mixKey(es)
  const plainOptions = noise.decryptAndHash(request.subarray(32))
  if (plainOptions === undefined) return probe('SessionRequest does not verify')
  // After the AEAD, so that junk cannot push honest values out of the filter.
  if (checks.replay.seen(hashKey(x), requestAt)) return probe('replayed SessionRequest')
  const options = readSessionRequestOptions(new Reader(plainOptions))
  if (options.version !== VERSION) return probe(`version ${options.version}`)
  if (options.netId !== local.netId) return probe(`network ${options.netId}`)
  if (options.paddingLength > MAX_PADDING_ACCEPTED) return probe(`padding of ${options.paddingLength}`)
  const { part2Length } = options
  if (part2Length < MIN_PART2_LENGTH || part2Length > MAX_PART2_LENGTH)
    return probe(`part 2 of ${part2Length}`)
  let answerAt = requestAt
  if (options.paddingLength > 0) {
    const { bytes: padding, now } = yield { read: options.paddingLength }
    noise.mixHash(padding)
    answerAt = now
  }

  // SessionCreated: <- e, ee
  const e = generateX25519(random)
  noise.mixHash(e.publicKey)
  const ee = e.agree(x)
  if (ee === undefined) return probe('X of low order')
  noise.mixKey(ee)
  const padding = random.bytes(random.below(MAX_PADDING_SENT + 1))
  const timestamp = roundedSeconds(clock.wall(answerAt))
  const sealed = noise.encryptAndHash(
    writeSessionCreatedOptions({ paddingLength: padding.length, timestamp }),
  )
  if (padding.length > 0) noise.mixHash(padding)
  const sessionCreated = concat(obfuscation.hide(e.publicKey), sealed, padding)
  const rawOffset = options.timestamp * 1000 - clock.wall(requestAt)
  if (Math.abs(rawOffset) > MAX_SKEW_MS) {
    // "Bob should reply with a Session Created even if the maximum skew is exceeded." The initiator is nobody to us yet,
    // so its idea of the time is not reported.
    const why = `clocks differ by ${rawOffset} ms`
    return { kind: 'refused', send: sessionCreated, reason: TerminationReason.clockSkew, manner: 'end', why }
  }

  // SessionConfirmed: -> s, se
  const { bytes: confirmed, now } = yield { send: sessionCreated, read: PART1_LENGTH + part2Length }
  const s = noise.decryptAndHash(confirmed.subarray(0, PART1_LENGTH))
  if (s === undefined) return reset('SessionConfirmed part 1 does not verify')
  const se = e.agree(s)
  if (se === undefined) return reset('static key of low order')
  noise.mixKey(se)
  const plaintext = noise.decryptAndHash(confirmed.subarray(PART1_LENGTH))
  if (plaintext === undefined) return reset('SessionConfirmed part 2 does not verify')

  // The peer owns s from here on and may be told why it is refused.
  const keys = dataPhaseKeys(noise, 'responder')
  const payload = readPayload(plaintext)
  if (payload === undefined) return terminate(keys, TerminationReason.payloadFormat, 'malformed payload')
  const remote = readRemote(payload.routerInfo)
  if (remote === undefined)
    return terminate(keys, TerminationReason.routerInfoSignature, 'RouterInfo refused')
  if (!hasStaticKey(remote, s))
    return terminate(keys, TerminationReason.staticKeyMismatch, 'other static key')
  const standing = checkRouterInfo(remote, local.netId, clock.wall(now), MAX_ROUTER_INFO_AGE_MS)
  if (standing !== 'ok') {
    return terminate(keys, TerminationReason.sessionConfirmedError, `RouterInfo: ${standing}`)
  }
  const rttMs = now - answerAt
  const clockOffset = rawOffset + Math.round(rttMs / 2)
  if (Math.abs(clockOffset) > MAX_SKEW_MS)
    return terminate(keys, TerminationReason.clockSkew, 'clocks differ')
  const objection = checks.refuse(remote)
  if (objection !== undefined) return terminate(keys, objection, `refused with reason ${objection}`)
  return { kind: 'established', keys, remote, options: payload.options, clockOffset, rttMs }
}

function readPayload(plaintext: Uint8Array): SessionConfirmedPayload | undefined {
  try {
    return readSessionConfirmedPayload(plaintext)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** Parsed and its signature verified, or undefined. */
function readRemote(bytes: Uint8Array): RouterInfo | undefined {
  try {
    return verifyRouterInfo(readRouterInfo(bytes))
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** "Bob must verify that Alice's static key received in the first frame matches the static key in the Router Info." */
function hasStaticKey(remote: RouterInfo, s: Uint8Array): boolean {
  for (const address of remote.addresses) {
    const ntcp2 = ntcp2Address(address)
    if (ntcp2 !== undefined && constantTimeEqual(ntcp2.staticKey, s)) return true
  }
  return false
}

function probe(why: string): Refused {
  return { kind: 'refused', reason: TerminationReason.sessionRequestError, manner: 'probe', why }
}

function reset(why: string): Refused {
  return { kind: 'refused', reason: TerminationReason.sessionConfirmedError, manner: 'reset', why }
}

function terminate(keys: DataPhaseKeys, reason: number, why: string): Refused {
  return { kind: 'refused', reason, manner: 'terminate', keys, why }
}
