/** HKDF-SHA256 (RFC 5869). The specs write HKDF(salt, ikm, info, length); their ZEROLEN is an empty `ikm`. */
import { createHmac } from 'node:crypto'
import { SHA256_START, schedule, sha256Block } from './sha256-block.ts'

// Specification constants

/** RFC 5869, 2.3: at most 255 blocks of 32 bytes. */
const MAX_LENGTH = 255 * 32
const HASH = 32
const BLOCK = 64
/** RFC 2104: XORed with every byte of the key. */
const INNER_PAD = 0x36363636
const OUTER_PAD = 0x5c5c5c5c

/** A message's last block also holds a bit and the message's length in 8 bytes. */
const ONE_BLOCK = BLOCK - 9

/** `length` bytes of output key material; `info` is ASCII. */
export function hkdf(salt: Uint8Array, ikm: Uint8Array, info: string, length: number): Uint8Array {
  if (length > MAX_LENGTH) throw new RangeError(`HKDF output of ${length} bytes`)
  const prk = createHmac('sha256', salt).update(ikm).digest()
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let i = 1, at = 0; at < length; i++, at += HASH) {
    block = createHmac('sha256', prk).update(block).update(info, 'latin1').update(Uint8Array.of(i)).digest()
    out.set(at + HASH <= length ? block : block.subarray(0, length - at), at)
  }
  return out
}

/**
 * The usual 64 bytes in two halves: in Noise the new chaining key and the cipher key. A ratchet does this twice for each message
 * it sends or receives; `hkdf` says the same in 8 to 13 us, of which most is making three HMAC objects. Here, where everything
 * fits one block, it is ten blocks in 5 us.
 */
export function hkdf2(salt: Uint8Array, ikm: Uint8Array, info: string): readonly [Uint8Array, Uint8Array] {
  if (salt.length > BLOCK || ikm.length > ONE_BLOCK || HASH + info.length + 1 > ONE_BLOCK) {
    const both = hkdf(salt, ikm, info, 2 * HASH)
    return [both.subarray(0, HASH), both.subarray(HASH)]
  }
  message.fill(0)
  message.set(salt)
  for (let i = 0; i < 16; i++) key[i] = word(i)
  setKey()
  message.set(ikm)
  mac(ikm.length)
  key.fill(0)
  key.set(state)
  setKey()
  for (let i = 0; i < info.length; i++) message[i] = info.charCodeAt(i)
  message[info.length] = 1
  mac(info.length + 1)
  const one = digest()
  message.set(one)
  for (let i = 0; i < info.length; i++) message[HASH + i] = info.charCodeAt(i)
  message[HASH + info.length] = 2
  mac(HASH + info.length + 1)
  return [one, digest()]
}

// What `hkdf2` works in, the same memory for every call.
const key = new Int32Array(16)
const message = new Uint8Array(BLOCK)
const inner = new Int32Array(8)
const outer = new Int32Array(8)
const state = new Int32Array(8)

/** The states after the padded `key`. */
function setKey(): void {
  for (let i = 0; i < 16; i++) schedule[i] = key[i]! ^ INNER_PAD
  sha256Block(SHA256_START, inner)
  for (let i = 0; i < 16; i++) schedule[i] = key[i]! ^ OUTER_PAD
  sha256Block(SHA256_START, outer)
}

/** To `state`: the HMAC of the first `length` bytes of `message`, at most `ONE_BLOCK`. */
function mac(length: number): void {
  message[length] = 0x80
  message.fill(0, length + 1)
  for (let i = 0; i < 15; i++) schedule[i] = word(i)
  schedule[15] = (BLOCK + length) * 8
  sha256Block(inner, state)
  for (let i = 0; i < 8; i++) schedule[i] = state[i]!
  schedule[8] = 0x80 << 24
  for (let i = 9; i < 15; i++) schedule[i] = 0
  schedule[15] = (BLOCK + HASH) * 8
  sha256Block(outer, state)
}

function digest(): Uint8Array {
  const out = new Uint8Array(HASH)
  for (let i = 0; i < 8; i++) {
    const v = state[i]!
    out[4 * i] = v >>> 24
    out[4 * i + 1] = v >>> 16
    out[4 * i + 2] = v >>> 8
    out[4 * i + 3] = v
  }
  return out
}

/** The word `i` of `message`. */
function word(i: number): number {
  const at = 4 * i
  return (message[at]! << 24) | (message[at + 1]! << 16) | (message[at + 2]! << 8) | message[at + 3]!
}
