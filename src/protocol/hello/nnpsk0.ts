/**
 * Noise_NNpsk0_25519_ChaChaPoly_SHA256 (noise-protocol, 7.4 "NN", 9 "Pre-shared symmetric keys"): `-> psk, e` then `<- e, ee`.
 * Letters are the spec's: e our ephemeral key, ee its agreement with the peer's.
 */
import { concat } from '../../base/bytes.ts'
import { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'

// Specification constants
const PROTOCOL_NAME = 'Noise_NNpsk0_25519_ChaChaPoly_SHA256'
/** Bytes of a public key. */
const KEY = 32
/** Bytes a handshake message is longer than its payload: public key and tag. */
export const HANDSHAKE_OVERHEAD: number = KEY + 16

/** One side of a handshake. Reading gives the payload, or undefined when the message does not verify: the handshake is then over. */
export class NNpsk0 {
  readonly #state: SymmetricState
  readonly #e: X25519KeyPair
  #re = new Uint8Array(KEY)

  constructor(psk: Uint8Array, prologue: Uint8Array, e: X25519KeyPair) {
    this.#state = SymmetricState.start(PROTOCOL_NAME, prologue)
    this.#state.mixKeyAndHash(psk)
    this.#e = e
  }

  writeMessage1(payload: Uint8Array): Uint8Array {
    this.#mixPublic(this.#e.publicKey)
    return concat(this.#e.publicKey, this.#state.encryptAndHash(payload))
  }

  readMessage1(message: Uint8Array): Uint8Array | undefined {
    this.#takePublic(message)
    return this.#state.decryptAndHash(message.subarray(KEY))
  }

  /** Undefined when the peer's ephemeral key was one of small order. */
  writeMessage2(payload: Uint8Array): Uint8Array | undefined {
    this.#mixPublic(this.#e.publicKey)
    return this.#mixEe() ? concat(this.#e.publicKey, this.#state.encryptAndHash(payload)) : undefined
  }

  readMessage2(message: Uint8Array): Uint8Array | undefined {
    this.#takePublic(message)
    return this.#mixEe() ? this.#state.decryptAndHash(message.subarray(KEY)) : undefined
  }

  /** Keys of the transport messages: what the initiator sends, what the responder sends. */
  split(): readonly [Uint8Array, Uint8Array] {
    return this.#state.split()
  }

  #takePublic(message: Uint8Array): void {
    this.#re.set(message.subarray(0, KEY))
    this.#mixPublic(this.#re)
  }

  /** Where a pre-shared key is used, `e` also goes into the key: else two messages would share one. */
  #mixPublic(publicKey: Uint8Array): void {
    this.#state.mixHash(publicKey)
    this.#state.mixKey(publicKey)
  }

  #mixEe(): boolean {
    const ee = this.#e.agree(this.#re)
    if (ee !== undefined) this.#state.mixKey(ee)
    return ee !== undefined
  }
}
