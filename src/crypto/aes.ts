/** AES-256 (FIPS 197) in CBC without padding, and the layer cipher of tunnels. Keys have 32 bytes, IVs 16. */
import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto'

// Specification constants

const BLOCK = 16
/** tunnel-message, "Tunnel Message Encrypted": IV, then encrypted data. */
const TUNNEL_BLOCK = 1024

/** @throws {RangeError} unless `data` is whole blocks; callers have checked what a peer sent. */
export function aesCbcEncrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  wholeBlocks(data)
  return createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false).update(data)
}

/** @throws {RangeError} unless `data` is whole blocks. */
export function aesCbcDecrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  wholeBlocks(data)
  return createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false).update(data)
}

function wholeBlocks(data: Uint8Array): void {
  if (data.length % BLOCK !== 0) throw new RangeError(`AES-CBC of ${data.length} bytes`)
}

/**
 * One hop's layer (tunnel-implementation, "Participant Processing"): the IV is encrypted, the data with that IV, and the IV
 * again. The cipher objects live as long as the hop, because making one costs more than using it. A CBC object has no way to
 * take a new IV, but its chaining value is known: the last ciphertext block it saw. XORing that and the wanted IV into the
 * first block amounts to a fresh object.
 */
export class TunnelLayerCipher {
  readonly #layerKey: Uint8Array
  readonly #ivKey: Uint8Array
  // A participant only encrypts, a creator only decrypts: each pair is made when first used.
  #encryption: Layer<Cipher> | undefined
  #decryption: Layer<Decipher> | undefined

  constructor(layerKey: Uint8Array, ivKey: Uint8Array) {
    this.#layerKey = layerKey
    this.#ivKey = ivKey
  }

  /** In place; `block` is IV (16) and data (1008). What a participant does. */
  encrypt(block: Uint8Array): void {
    checkLength(block)
    this.#encryption ??= {
      iv: createCipheriv('aes-256-ecb', this.#ivKey, null).setAutoPadding(false),
      data: createCipheriv('aes-256-cbc', this.#layerKey, new Uint8Array(BLOCK)).setAutoPadding(false),
      chain: new Uint8Array(BLOCK),
    }
    const { iv, data, chain } = this.#encryption
    const once = iv.update(block.subarray(0, BLOCK))
    for (let i = 0; i < BLOCK; i++) block[BLOCK + i] = block[BLOCK + i]! ^ once[i]! ^ chain[i]!
    const encrypted = data.update(block.subarray(BLOCK))
    block.set(encrypted, BLOCK)
    for (let i = 0; i < BLOCK; i++) chain[i] = block[TUNNEL_BLOCK - BLOCK + i]!
    block.set(iv.update(once))
  }

  /** In place, the inverse of `encrypt`. What the creator does once for each hop. */
  decrypt(block: Uint8Array): void {
    checkLength(block)
    this.#decryption ??= {
      iv: createDecipheriv('aes-256-ecb', this.#ivKey, null).setAutoPadding(false),
      data: createDecipheriv('aes-256-cbc', this.#layerKey, new Uint8Array(BLOCK)).setAutoPadding(false),
      chain: new Uint8Array(BLOCK),
    }
    const { iv, data, chain } = this.#decryption
    const once = iv.update(block.subarray(0, BLOCK))
    const decrypted = data.update(block.subarray(BLOCK))
    for (let i = 0; i < BLOCK; i++) {
      decrypted[i] = decrypted[i]! ^ once[i]! ^ chain[i]!
      chain[i] = block[TUNNEL_BLOCK - BLOCK + i]!
    }
    block.set(decrypted, BLOCK)
    block.set(iv.update(once))
  }
}

/** `chain` is the CBC object's chaining value: the last ciphertext block that went through it. */
interface Layer<C> {
  readonly iv: C
  readonly data: C
  readonly chain: Uint8Array
}

function checkLength(block: Uint8Array): void {
  if (block.length !== TUNNEL_BLOCK) throw new RangeError(`tunnel block of ${block.length} bytes`)
}
