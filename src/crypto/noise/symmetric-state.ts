/**
 * Noise's SymmetricState (noise-protocol, 5.2) with ChaChaPoly and SHA256, the only ones I2P uses. Letters are the specs':
 * ck chaining key, h transcript hash, k cipher key, n nonce.
 */
import { concat, utf8 } from '../../base/bytes.ts'
import { open, seal } from '../aead.ts'
import { hkdf, hkdf2 } from '../hkdf.ts'
import { sha256 } from '../sha256.ts'

const EMPTY = new Uint8Array(0)

export class SymmetricState {
  ck: Uint8Array
  h: Uint8Array
  #k: Uint8Array | undefined
  #n = 0

  private constructor(ck: Uint8Array, h: Uint8Array) {
    this.ck = ck
    this.h = h
  }

  /** The name is hashed when longer than 32 bytes, else padded with zeros; then the prologue is mixed in, empty or not. */
  static start(protocolName: string, prologue: Uint8Array = EMPTY): SymmetricState {
    const name = utf8(protocolName)
    const ck = name.length > 32 ? sha256(name) : concat(name, new Uint8Array(32 - name.length))
    return new SymmetricState(ck, sha256(ck, prologue))
  }

  /** An independent state that goes on from here: several replies to one message, or a guess that may fail. */
  fork(): SymmetricState {
    const twin = new SymmetricState(this.ck, this.h)
    twin.#k = this.#k
    twin.#n = this.#n
    return twin
  }

  /** The cipher key, for what the specs derive or encrypt beside the handshake. Throws before the first `mixKey`. */
  get k(): Uint8Array {
    if (this.#k === undefined) throw new Error('no cipher key before MixKey')
    return this.#k
  }

  mixHash(data: Uint8Array): void {
    this.h = sha256(this.h, data)
  }

  /** For pre-shared keys (noise-protocol, 9.1). */
  mixKeyAndHash(psk: Uint8Array): void {
    const out = hkdf(this.ck, psk, '', 96)
    this.ck = out.subarray(0, 32)
    this.mixHash(out.subarray(32, 64))
    this.#k = out.subarray(64)
    this.#n = 0
  }

  /** n starts again at 0. */
  mixKey(ikm: Uint8Array): void {
    const [ck, k] = hkdf2(this.ck, ikm, '')
    this.ck = ck
    this.#k = k
    this.#n = 0
  }

  /** Ciphertext and tag, with h as the associated data. `n` overrides the counter, which then goes on from it. */
  encryptAndHash(plaintext: Uint8Array, n: number = this.#n): Uint8Array {
    const ciphertext = seal(this.k, n, this.h, plaintext)
    this.#n = n + 1
    this.mixHash(ciphertext)
    return ciphertext
  }

  /** Undefined when it does not verify; the state is then as before. */
  decryptAndHash(ciphertext: Uint8Array, n: number = this.#n): Uint8Array | undefined {
    const plaintext = open(this.k, n, this.h, ciphertext)
    if (plaintext === undefined) return undefined
    this.#n = n + 1
    this.mixHash(ciphertext)
    return plaintext
  }

  /** The two keys of the transport phase: initiator's first. */
  split(): readonly [Uint8Array, Uint8Array] {
    return hkdf2(this.ck, EMPTY, '')
  }
}
