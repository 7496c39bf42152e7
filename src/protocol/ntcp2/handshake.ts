/**
 * What both roles of the handshake share. Each role is a generator (initiator.ts, responder.ts) that reads like the spec:
 * it yields what to send and how many bytes it needs next, and is resumed with exactly those bytes and the time. It does no
 * I/O, so a transcript is a function of keys, randomness and time.
 *
 * Letters as in the spec: X, Y ephemeral public keys of initiator and responder; h, ck inside `SymmetricState`.
 */

import type { Clock, Millis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { aesCbcDecrypt, aesCbcEncrypt } from '../../crypto/aes.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import type { PaddingOptions } from '../blocks/padding-options.ts'
import type { Hash } from '../structures/hash.ts'
import type { RouterInfo } from '../structures/router-info.ts'
import type { DataPhaseKeys } from './data-phase.ts'

// Specification constants

const AES_BLOCK = 16

// Implementation constants

/** i2pd's and ours: 90 minutes (ntcp2 leaves the age of a RouterInfo in SessionConfirmed to "the usual validation"). */
export const MAX_ROUTER_INFO_AGE_MS: number = 90 * 60_000

export interface Step {
  readonly send?: Uint8Array
  /** Bytes needed to go on; at least 1. */
  readonly read: number
}

interface Received {
  readonly bytes: Uint8Array
  readonly now: Millis
}

export type Handshake = Generator<Step, HandshakeResult, Received>

export type HandshakeResult = Established | Refused

export interface Established {
  readonly kind: 'established'
  /** SessionConfirmed, when we are the initiator. */
  readonly send?: Uint8Array
  readonly keys: DataPhaseKeys
  readonly remote: RouterInfo
  readonly options: PaddingOptions | undefined
  /** Their clock minus ours in ms, half the round trip taken into account. */
  readonly clockOffset: number
  readonly rttMs: number
}

export interface Refused {
  readonly kind: 'refused'
  /** SessionCreated, when only the clocks differ: the initiator learns our time from it. */
  readonly send?: Uint8Array
  /** A TerminationReason; it is sent only when `keys` is there. */
  readonly reason: number
  /**
   * - `probe`: answer nothing, read a random amount for a random time, reset ("probing resistance")
   * - `reset`: at once
   * - `end`: after what was written
   * - `terminate`: the peer is authenticated; tell it the reason under `keys`, then end
   */
  readonly manner: 'probe' | 'reset' | 'end' | 'terminate'
  readonly keys?: DataPhaseKeys
  /** Their clock minus ours in ms; only from a responder that has proved its static key. */
  readonly clockOffset?: number
  /** Log line at debug level. */
  readonly why: string
}

/** What a router brings to every one of its handshakes. */
export interface Local {
  readonly hash: Hash
  readonly staticKeys: X25519KeyPair
  /** `i` of our published address. */
  readonly iv: Uint8Array
  readonly netId: number
  /** Noise prologue: undefined on the public network, a secret of the mesh otherwise. */
  readonly prologue: Uint8Array | undefined
  readonly random: Random
  readonly clock: Clock
}

/** Whom an initiator dials. */
export interface Remote {
  readonly routerInfo: RouterInfo
  /** `s` and `i` of the address being dialled. */
  readonly staticKey: Uint8Array
  readonly iv: Uint8Array
}

/**
 * AES-256-CBC over the two ephemeral keys: X with the responder's published IV, Y with the state that X left behind
 * ("2) SessionCreated": "the AES state from message 1").
 */
export class EphemeralObfuscation {
  readonly #key: Hash
  #iv: Uint8Array

  constructor(responderHash: Hash, iv: Uint8Array) {
    this.#key = responderHash
    this.#iv = iv
  }

  hide(ephemeral: Uint8Array): Uint8Array {
    const hidden = aesCbcEncrypt(this.#key, this.#iv, ephemeral)
    this.#iv = hidden.subarray(hidden.length - AES_BLOCK)
    return hidden
  }

  reveal(hidden: Uint8Array): Uint8Array {
    const ephemeral = aesCbcDecrypt(this.#key, this.#iv, hidden)
    this.#iv = hidden.subarray(hidden.length - AES_BLOCK)
    return ephemeral
  }
}

/** Bit 255 is never set in an honest X25519 key; the hybrid handshakes, which we do not offer, use it as a flag. */
export function hasHighBit(publicKey: Uint8Array): boolean {
  return (publicKey[31]! & 0x80) !== 0
}
