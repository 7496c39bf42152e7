/** The initiator's (Alice's) half of the handshake: SessionRequest, SessionCreated, SessionConfirmed. */
import { concat, Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import { generateX25519 } from '../../crypto/x25519.ts'
import { roundedSeconds } from '../blocks/date-time.ts'
import { OUR_PADDING_OPTIONS } from '../blocks/padding-options.ts'
import { TerminationReason } from '../blocks/termination.ts'
import { dataPhaseKeys } from './data-phase.ts'
import {
  EphemeralObfuscation,
  type Handshake,
  hasHighBit,
  type Local,
  type Refused,
  type Remote,
} from './handshake.ts'
import {
  MAX_PADDING_ACCEPTED,
  MAX_PADDING_SENT,
  MAX_PART2_PADDING,
  MAX_SKEW_MS,
  PROTOCOL_NAME,
  readSessionCreatedOptions,
  SESSION_REQUEST_LENGTH,
  type SessionCreatedOptions,
  sessionConfirmedPart2Length,
  VERSION,
  writeSessionConfirmedPayload,
  writeSessionRequestOptions,
} from './messages.ts'

/**
 * `routerInfo` is our own, as it goes into SessionConfirmed: it is fixed here, because its length stands in SessionRequest.
 * Without padding in SessionRequest every i2pd's answer to a skewed clock can be read; with it only a newer one's.
 */
export function* initiate(
  local: Local,
  remote: Remote,
  routerInfo: Uint8Array,
  start: Millis,
  padded = true,
): Handshake {
  const { random, clock } = local
  const bobHash = remote.routerInfo.hash
  const obfuscation = new EphemeralObfuscation(bobHash, remote.iv)
  const noise = SymmetricState.start(PROTOCOL_NAME, local.prologue)
  noise.mixHash(remote.staticKey)

  // SessionRequest: -> e, es
  const e = generateX25519(random)
  noise.mixHash(e.publicKey)
  const es = e.agree(remote.staticKey)
  if (es === undefined) return refused('static key of low order')
  noise.mixKey(es)
  const confirmedPadding = random.below(MAX_PART2_PADDING + 1)
  const requestPadding = random.bytes(padded ? random.below(MAX_PADDING_SENT + 1) : 0)
  const sealed = noise.encryptAndHash(
    writeSessionRequestOptions({
      netId: local.netId,
      version: VERSION,
      paddingLength: requestPadding.length,
      part2Length: sessionConfirmedPart2Length(routerInfo.length, confirmedPadding),
      timestamp: roundedSeconds(clock.wall(start)),
    }),
  )
  const unpadded = noise.fork()
  if (requestPadding.length > 0) noise.mixHash(requestPadding)
  const sessionRequest = concat(obfuscation.hide(e.publicKey), sealed, requestPadding)

  // SessionCreated: <- e, ee
  const { bytes: created, now } = yield { send: sessionRequest, read: SESSION_REQUEST_LENGTH }
  const y = obfuscation.reveal(created.subarray(0, 32))
  if (hasHighBit(y)) return refused('Y out of range')
  const ee = e.agree(y)
  if (ee === undefined) return refused('Y of low order')
  const sealedOptions = created.subarray(32)
  const opened = openOptions(noise, y, ee, sealedOptions)
  // i2pd answers a skewed clock before it has read our padding: its transcript lacks it (older ones have stale memory there),
  // and only its time is of use.
  const options = opened ?? openOptions(unpadded, y, ee, sealedOptions)
  // The responder has another static key, hash or IV than its RouterInfo says, or it is not an I2P router.
  if (options === undefined) return refused('SessionCreated does not verify')
  const { paddingLength, timestamp } = options

  // Bob wrote his time half a round trip ago ("Clock Skew Guidelines"). He has proved his static key by now.
  const rttMs = now - start
  const clockOffset = timestamp * 1000 - clock.wall(now) + Math.round(rttMs / 2)
  if (Math.abs(clockOffset) > MAX_SKEW_MS) {
    return { ...refused(`clocks differ by ${clockOffset} ms`, TerminationReason.clockSkew), clockOffset }
  }
  if (opened === undefined) return refused('SessionCreated ignores our padding')
  if (paddingLength > MAX_PADDING_ACCEPTED) {
    return refused('padding too long', TerminationReason.paddingViolation)
  }
  if (paddingLength > 0) {
    const { bytes: padding } = yield { read: paddingLength }
    noise.mixHash(padding)
  }

  // SessionConfirmed: -> s, se. Part 1 is sealed with the key from SessionCreated and n = 1, which the spec once calls
  // "from handshake message 1".
  const part1 = noise.encryptAndHash(local.staticKeys.publicKey)
  const se = local.staticKeys.agree(y)
  if (se === undefined) return refused('Y of low order')
  noise.mixKey(se)
  const part2 = noise.encryptAndHash(
    writeSessionConfirmedPayload(routerInfo, OUR_PADDING_OPTIONS, confirmedPadding),
  )
  return {
    kind: 'established',
    send: concat(part1, part2),
    keys: dataPhaseKeys(noise, 'initiator'),
    remote: remote.routerInfo,
    options: undefined,
    clockOffset,
    rttMs,
  }
}

/** <- e, ee, and the options under the key that follows. */
function openOptions(
  noise: SymmetricState,
  y: Uint8Array,
  ee: Uint8Array,
  sealed: Uint8Array,
): SessionCreatedOptions | undefined {
  noise.mixHash(y)
  noise.mixKey(ee)
  const options = noise.decryptAndHash(sealed)
  return options && readSessionCreatedOptions(new Reader(options))
}

/** "Alice must halt further message processing and close the connection without responding." */
function refused(why: string, reason: number = TerminationReason.sessionCreatedError): Refused {
  return { kind: 'refused', reason, manner: 'reset', why }
}
