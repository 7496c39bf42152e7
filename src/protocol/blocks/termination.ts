/** Termination block: why a session ends (ntcp2, "Termination"). Its block type differs between NTCP2 and SSU2. */
import { type Reader, Writer } from '../../base/bytes.ts'

// Specification constants

/** Valid frames received (8) and the reason (1); what follows is free text. */
const TERMINATION_MIN_LENGTH = 9

export const TerminationReason = {
  normal: 0,
  terminationReceived: 1,
  idle: 2,
  shutdown: 3,
  aeadFailure: 4,
  incompatibleOptions: 5,
  incompatibleSignatureType: 6,
  clockSkew: 7,
  paddingViolation: 8,
  framingError: 9,
  payloadFormat: 10,
  sessionRequestError: 11,
  sessionCreatedError: 12,
  sessionConfirmedError: 13,
  frameTimeout: 14,
  routerInfoSignature: 15,
  staticKeyMismatch: 16,
  banned: 17,
  // SSU2 only
  badToken: 18,
  connectionLimits: 19,
  incompatibleVersion: 20,
  wrongNetId: 21,
  replaced: 22,
} as const

export interface Termination {
  /** The sender's receive counter; 0 when the handshake failed. Counters above 2^53 are not met in practice and malformed. */
  readonly framesReceived: number
  readonly reason: number
}

export function readTermination(r: Reader): Termination {
  const termination = { framesReceived: r.u64(), reason: r.u8() }
  r.rest()
  return termination
}

export function writeTermination(t: Termination): Uint8Array {
  return new Writer(TERMINATION_MIN_LENGTH).u64(t.framesReceived).u8(t.reason).bytes
}
