/** X25519 (RFC 7748): every Diffie-Hellman. Keys are raw, 32 bytes, as the wire and the key files have them. */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto'
import type { Random } from '../base/random.ts'
import { sodium } from './provider.ts'

const CURVE = { kty: 'OKP', crv: 'X25519' } as const

/** A private key and what follows from it. */
export class X25519KeyPair {
  /** As it was drawn; both libraries clamp when they use it. */
  readonly privateKey: Uint8Array
  readonly publicKey: Uint8Array
  #keyObject: KeyObject | undefined

  constructor(privateKey: Uint8Array) {
    if (privateKey.length !== 32) throw new RangeError(`X25519 private key of ${privateKey.length} bytes`)
    this.privateKey = privateKey
    const native = sodium()
    if (native !== undefined) {
      this.publicKey = new Uint8Array(32)
      native.crypto_scalarmult_base(this.publicKey, privateKey)
    } else {
      this.publicKey = rawPublicKey(this.#imported())
    }
  }

  /**
   * The shared secret, 32 bytes. Undefined when it would be all zero (a peer's key of small order) or when the peer's key
   * has not 32 bytes. The top bit of the peer's key is ignored.
   */
  agree(peerPublic: Uint8Array): Uint8Array | undefined {
    if (peerPublic.length !== 32) return undefined
    const native = sodium()
    try {
      if (native !== undefined) {
        const shared = new Uint8Array(32)
        native.crypto_scalarmult(shared, this.privateKey, peerPublic)
        return shared
      }
      const publicKey = createPublicKey({ key: { ...CURVE, x: base64url(peerPublic) }, format: 'jwk' })
      return diffieHellman({ privateKey: this.#imported(), publicKey })
    } catch {
      return undefined
    }
  }

  #imported(): KeyObject {
    // JWK wants an `x`, but OpenSSL derives the public key from `d` and never looks at it.
    this.#keyObject ??= createPrivateKey({
      key: { ...CURVE, x: '', d: base64url(this.privateKey) },
      format: 'jwk',
    })
    return this.#keyObject
  }
}

export function x25519KeyPair(privateKey: Uint8Array): X25519KeyPair {
  return new X25519KeyPair(privateKey)
}

/** Takes 32 bytes from `random`: the private key, unchanged, so a seeded handshake replays. */
export function generateX25519(random: Random): X25519KeyPair {
  return new X25519KeyPair(random.bytes(32))
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return Buffer.from(key.export({ format: 'jwk' }).x!, 'base64url')
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}
