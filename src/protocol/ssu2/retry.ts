/** The responder's answers before a handshake: no Diffie-Hellman, nothing kept (ssu2, "Token Request", "Retry", "Tokens"). */
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import { unlessMalformed } from '../../base/errors.ts'
import { ipBytes } from '../../base/ip.ts'
import { TerminationReason } from '../blocks/termination.ts'
import type { IpPort } from './blocks.ts'
import { type Local, MAX_SKEW_MS } from './handshake.ts'
import type { LongHeader } from './header.ts'
import { openOutOfSession, writeRetry } from './out-of-session.ts'
import { readPayload } from './payload.ts'
import { type GivenTokens, RETRY_TOKEN_MS } from './tokens.ts'

/** `header` and `packet` are from `readFirstPacket`; undefined when nothing is to be answered. */
export function answerTokenRequest(
  local: Local,
  tokens: GivenTokens,
  header: LongHeader,
  packet: Uint8Array,
  from: Endpoint,
  now: Millis,
): Uint8Array | undefined {
  const plaintext = openOutOfSession(packet, local.introKey)
  const wall = plaintext && unlessMalformed(() => readPayload(plaintext))?.wall
  if (wall === undefined) return undefined
  if (isSkewed(local, wall, now)) return rejection(local, TerminationReason.clockSkew, header, from, now)
  return retry(local, tokens, header, from, now)
}

/** In answer to a SessionRequest whose token is not good: it is not opened, which would take a Diffie-Hellman. */
export function retry(
  local: Local,
  tokens: GivenTokens,
  request: LongHeader,
  from: Endpoint,
  now: Millis,
): Uint8Array | undefined {
  return answer(local, request, from, now, (address) => tokens.give(address, RETRY_TOKEN_MS, now))
}

/** A Retry that says not to try again; `reason` is a TerminationReason. */
export function rejection(
  local: Local,
  reason: number,
  request: LongHeader,
  from: Endpoint,
  now: Millis,
): Uint8Array | undefined {
  return answer(local, request, from, now, () => reason)
}

/**
 * Whether a peer's date is too far from ours. The spec would have Bob silent ("Replay Prevention") and answer ("Token Request", Notes);
 * i2pd answers, and a router that has lost its clock finds the time by it.
 */
export function isSkewed({ clock }: Local, wall: WallMillis, now: Millis): boolean {
  return Math.abs(wall - clock.wall(now)) > MAX_SKEW_MS
}

function answer(
  local: Local,
  request: LongHeader,
  from: Endpoint,
  now: Millis,
  verdict: (address: IpPort) => Uint8Array | number,
): Uint8Array | undefined {
  const ip = ipBytes(from.address)
  if (ip === undefined) return undefined
  const address = { ip, port: from.port }
  const wall = local.clock.wall(now)
  return writeRetry({ request, verdict: verdict(address), from: address, wall }, local.introKey, local.random)
}
