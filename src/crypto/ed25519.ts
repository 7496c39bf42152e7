/** Ed25519 (RFC 8032): signatures of routers and destinations. Keys are raw: seed 32, public key 32, signature 64 bytes. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { concat } from '../base/bytes.ts'
import type { Random } from '../base/random.ts'
import { sodium } from './provider.ts'

const CURVE = { kty: 'OKP', crv: 'Ed25519' } as const

/** A seed and what follows from it. */
export class Ed25519KeyPair {
  /** The seed, which is what I2P's key files call the private key. */
  readonly privateKey: Uint8Array
  readonly publicKey: Uint8Array
  #keyObject: KeyObject | undefined

  constructor(seed: Uint8Array) {
    if (seed.length !== 32) throw new RangeError(`Ed25519 seed of ${seed.length} bytes`)
    this.privateKey = seed
    const native = sodium()
    if (native !== undefined) {
      this.publicKey = new Uint8Array(32)
      native.crypto_sign_seed_keypair(this.publicKey, new Uint8Array(64), seed)
    } else {
      this.publicKey = Buffer.from(this.#imported().export({ format: 'jwk' }).x!, 'base64url')
    }
  }

  /** The 64-byte signature of the parts, one after another. */
  sign(...parts: readonly Uint8Array[]): Uint8Array {
    const message = parts.length === 1 ? parts[0]! : concat(...parts)
    const native = sodium()
    if (native === undefined) return sign(null, message, this.#imported())
    const signature = new Uint8Array(64)
    native.crypto_sign_detached(signature, message, concat(this.privateKey, this.publicKey))
    return signature
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

export function ed25519KeyPair(seed: Uint8Array): Ed25519KeyPair {
  return new Ed25519KeyPair(seed)
}

/** Takes 32 bytes from `random`: the seed. */
export function generateEd25519(random: Random): Ed25519KeyPair {
  return new Ed25519KeyPair(random.bytes(32))
}

/** False on a bad signature, a key that is no point, or wrong lengths. */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  const native = sodium()
  if (native !== undefined) return native.crypto_sign_verify_detached(signature, message, publicKey)
  try {
    const key = createPublicKey({ key: { ...CURVE, x: base64url(publicKey) }, format: 'jwk' })
    return verify(null, message, key, signature)
  } catch {
    return false
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}
