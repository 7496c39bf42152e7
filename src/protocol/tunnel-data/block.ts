/**
 * The 1024 bytes of a tunnel message without its tunnel id, before encryption: IV 16, checksum 4, non-zero padding, a zero,
 * then delivery instructions and fragments up to the end (tunnel-message, "Tunnel Message (Decrypted)").
 */
import type { Random } from '../../base/random.ts'
import { sha256 } from '../../crypto/sha256.ts'

// Specification constants
export const BLOCK_LENGTH = 1024
const IV_LENGTH = 16
const CHECKSUM_LENGTH = 4
const PADDING_AT = IV_LENGTH + CHECKSUM_LENGTH
/** What is left for instructions and fragments when there is no padding. */
export const MAX_CONTENT: number = BLOCK_LENGTH - PADDING_AT - 1

/** Pads with bytes of one gateway: an endpoint that sees the same padding twice learns nothing, it is the same tunnel. */
export class Padding {
  readonly #random: Random
  #bytes: Uint8Array | undefined

  constructor(random: Random) {
    this.#random = random
  }

  /** Fills all of `target`; no byte is zero. */
  fill(target: Uint8Array): void {
    this.#bytes ??= nonZero(this.#random)
    const room = this.#bytes.length - target.length
    const from = room === 0 ? 0 : this.#random.below(room + 1)
    target.set(this.#bytes.subarray(from, from + target.length))
  }
}

function nonZero(random: Random): Uint8Array {
  const bytes = random.bytes(MAX_CONTENT)
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0) bytes[i] = 1 + random.below(255)
  return bytes
}

/** Writes a block over all of `block`. `content` is at most `MAX_CONTENT` bytes. */
export function writeBlock(block: Uint8Array, content: Uint8Array, padding: Padding, random: Random): void {
  const iv = random.bytes(IV_LENGTH)
  const contentAt = BLOCK_LENGTH - content.length
  block.set(iv)
  block.set(sha256(content, iv).subarray(0, CHECKSUM_LENGTH), IV_LENGTH)
  padding.fill(block.subarray(PADDING_AT, contentAt - 1))
  block[contentAt - 1] = 0
  block.set(content, contentAt)
}

/** Instructions and fragments, not copied. Undefined when there is no zero or the checksum is wrong. */
export function readBlock(block: Uint8Array): Uint8Array | undefined {
  const zero = block.indexOf(0, PADDING_AT)
  if (zero < 0) return undefined
  const content = block.subarray(zero + 1)
  const hash = sha256(content, block.subarray(0, IV_LENGTH))
  for (let i = 0; i < CHECKSUM_LENGTH; i++) if (hash[i] !== block[IV_LENGTH + i]) return undefined
  return content
}
