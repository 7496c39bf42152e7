/** AES-256 (FIPS 197) in CBC without padding, and the layer cipher of tunnels. Keys have 32 bytes, IVs 16. */
import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto'

// Specification constants

const BLOCK = 16
/** tunnel-message, "Tunnel Message Encrypted": IV, then encrypted data. */
const TUNNEL_BLOCK = 1024
const DATA = TUNNEL_BLOCK - BLOCK

// Implementation constants

/** Blocks in one call of a `TunnelLayerCipher`: what one NTCP2 frame of 16 KB brings. */
export const MAX_LAYER_BLOCKS = 16

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
 *
 * Several blocks at a time, since a call costs as much as the AES in it: 16 blocks take 2.2 us each to encrypt and 0.7 to
 * decrypt, where a call for each took 3.4 and 2.5.
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

  /** In place; each of the `MAX_LAYER_BLOCKS` blocks at most is IV (16) and data (1008). What a participant does. */
  encrypt(blocks: readonly Uint8Array[]): void {
    checkLengths(blocks)
    this.#encryption ??= {
      iv: createCipheriv('aes-256-ecb', this.#ivKey, null).setAutoPadding(false),
      data: createCipheriv('aes-256-cbc', this.#layerKey, new Uint8Array(BLOCK)).setAutoPadding(false),
      chain: new Uint8Array(BLOCK),
    }
    const { iv, data, chain } = this.#encryption
    const once = iv.update(gatherIvs(blocks))
    for (let n = 0; n < blocks.length; n++) {
      const block = blocks[n]!
      for (let i = 0; i < BLOCK; i++) block[BLOCK + i] = block[BLOCK + i]! ^ once[n * BLOCK + i]! ^ chain[i]!
      // One call each: the chaining value is known only when the block before is done.
      block.set(data.update(block.subarray(BLOCK)), BLOCK)
      for (let i = 0; i < BLOCK; i++) chain[i] = block[DATA + i]!
    }
    scatterIvs(iv.update(once), blocks)
  }

  /** In place, the inverse of `encrypt`. What the creator does once for each hop. */
  decrypt(blocks: readonly Uint8Array[]): void {
    checkLengths(blocks)
    this.#decryption ??= {
      iv: createDecipheriv('aes-256-ecb', this.#ivKey, null).setAutoPadding(false),
      data: createDecipheriv('aes-256-cbc', this.#layerKey, new Uint8Array(BLOCK)).setAutoPadding(false),
      chain: new Uint8Array(BLOCK),
    }
    const { iv, data, chain } = this.#decryption
    const once = iv.update(gatherIvs(blocks))
    for (let n = 0; n < blocks.length; n++) gathered.set(blocks[n]!.subarray(BLOCK), n * DATA)
    const decrypted = data.update(gathered.subarray(0, blocks.length * DATA))
    for (let n = 0; n < blocks.length; n++) {
      const block = blocks[n]!
      const at = n * DATA
      for (let i = 0; i < BLOCK; i++) {
        decrypted[at + i] = decrypted[at + i]! ^ once[n * BLOCK + i]! ^ chain[i]!
        chain[i] = block[DATA + i]!
      }
      block.set(decrypted.subarray(at, at + DATA), BLOCK)
    }
    scatterIvs(iv.update(once), blocks)
  }
}

/** `chain` is the CBC object's chaining value: the last ciphertext block that went through it. */
interface Layer<C> {
  readonly iv: C
  readonly data: C
  readonly chain: Uint8Array
}

// Blocks side by side for one call; nothing keeps them.
const gathered = new Uint8Array(MAX_LAYER_BLOCKS * DATA)
const ivs = new Uint8Array(MAX_LAYER_BLOCKS * BLOCK)

function gatherIvs(blocks: readonly Uint8Array[]): Uint8Array {
  for (let n = 0; n < blocks.length; n++) {
    const block = blocks[n]!
    for (let i = 0; i < BLOCK; i++) ivs[n * BLOCK + i] = block[i]!
  }
  return ivs.subarray(0, blocks.length * BLOCK)
}

function scatterIvs(from: Uint8Array, blocks: readonly Uint8Array[]): void {
  for (let n = 0; n < blocks.length; n++) {
    const block = blocks[n]!
    for (let i = 0; i < BLOCK; i++) block[i] = from[n * BLOCK + i]!
  }
}

function checkLengths(blocks: readonly Uint8Array[]): void {
  if (blocks.length > MAX_LAYER_BLOCKS) throw new RangeError(`${blocks.length} tunnel blocks`)
  for (const block of blocks)
    if (block.length !== TUNNEL_BLOCK) throw new RangeError(`tunnel block of ${block.length} bytes`)
}
