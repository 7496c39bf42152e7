/** Ed25519 (RFC 8032): signatures of routers and destinations. Keys are raw: seed 32, public key 32, signature 64 bytes. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { concat, fromHex } from '../base/bytes.ts'
import type { Random } from '../base/random.ts'
import { sodium } from './provider.ts'

// Specification constants

const CURVE = { kty: 'OKP', crv: 'Ed25519' } as const

/** The y coordinates of the eight points whose order divides 8, without the sign bit: 0, 1, -1 and those of order 8. */
const SMALL_ORDER: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map(fromHex)

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

/**
 * RFC 8032, 5.1.7 without the cofactor, S < L. False on a bad signature, wrong lengths and a key that is no point. A key or
 * a nonce point of small order, which would let one signature fit many messages, is refused, as is a key in a second
 * encoding: libsodium refuses them, OpenSSL does not, and the answer must not depend on what is installed.
 */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  const native = sodium()
  if (native !== undefined) return native.crypto_sign_verify_detached(signature, message, publicKey)
  if (isWeak(publicKey) || isWeak(signature)) return false
  try {
    const key = createPublicKey({ key: { ...CURVE, x: base64url(publicKey) }, format: 'jwk' })
    return verify(null, message, key, signature)
  } catch {
    return false
  }
}

/** Whether the first 32 bytes are a y of 2^255 - 19 or more, or a point of small order. */
function isWeak(point: Uint8Array): boolean {
  return !isCanonical(point) || SMALL_ORDER.some((y) => sameY(point, y))
}

function isCanonical(point: Uint8Array): boolean {
  if ((point[31]! & 0x7f) !== 0x7f || point[0]! < 0xed) return true
  for (let i = 1; i < 31; i++) if (point[i] !== 0xff) return true
  return false
}

function sameY(point: Uint8Array, y: Uint8Array): boolean {
  for (let i = 0; i < 31; i++) if (point[i] !== y[i]) return false
  return (point[31]! & 0x7f) === y[31]
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}
