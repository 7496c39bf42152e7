/**
 * What stands inside every AEAD frame of this folder (ecies, "Payload"): blocks of type 1, size 2, data. One reader for all
 * message kinds, which then say what they allow; one writer into a buffer that the caller keeps.
 */
import { Reader, type Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { type Clove, cloveLength, readClove, writeClove } from './clove.ts'

// Specification constants

const DATE_TIME = 0
const TERMINATION = 4
const NEXT_KEY = 7
const ACK = 8
const ACK_REQUEST = 9
const GARLIC_CLOVE = 11
const PADDING = 254
/** Type and size. */
export const BLOCK_HEADER_LENGTH = 3
const DATE_TIME_LENGTH = 4
const ACK_LENGTH = 4
/** NextKey flags (ecies, "Next DH Ratchet Public Key"). */
const KEY_PRESENT = 0x01
const REVERSE_KEY = 0x02
const REQUEST_REVERSE_KEY = 0x04
const MAX_KEY_ID = 32767
const KEY_LENGTH = 32
/** At most a forward and a reverse key in one frame. */
const MAX_NEXT_KEYS = 2
/** Largest plaintext of one frame: 65535 less the 16 bytes of the MAC. */
export const MAX_PAYLOAD = 65519

// Implementation constants

/** In one frame: other routers send three at most, and each may ask for an answer of its own or for inflating. */
const MAX_CLOVES = 32
/** Padding by default, bytes without the block header: zero up to this (the spec's recommendation). */
const MAX_PADDING = 15
/**
 * Payloads that fill one and two tunnel messages to the byte: 964 or 1956 of a message for a far gateway, less I2NP header
 * 16, garlic length 4, tag 8 and MAC 16. Padding does not push a message over either edge.
 */
const TUNNEL_MESSAGE_EDGES = [920, 1912]

/** One NextKey block. `key` is absent when only the id of an older key is named. */
export interface NextKey {
  readonly reverse: boolean
  readonly requestReverse: boolean
  readonly id: number
  readonly key: Uint8Array | undefined
}

/** A message named by tag set and number within it (ecies, "Ack"). */
export interface MessageNumber {
  readonly tagSet: number
  readonly n: number
}

export interface Payload {
  readonly cloves: Clove[]
  /** Seconds since 1970; set only when it was the first block. */
  dateTime: number | undefined
  nextKeys: NextKey[] | undefined
  acks: MessageNumber[] | undefined
  ackRequest: boolean
  /** The peer's reason. */
  termination: number | undefined
}

/**
 * Unknown blocks, Options and MessageNumbers are skipped. Cloves borrow from `bytes`.
 * @throws {MalformedError} also on what "Block Ordering Rules" forbid: anything after Padding, anything but Padding after
 * Termination, a second DateTime, a third NextKey; and on more cloves than anyone sends.
 */
export function readPayload(bytes: Uint8Array): Payload {
  const payload: Payload = {
    cloves: [],
    dateTime: undefined,
    nextKeys: undefined,
    acks: undefined,
    ackRequest: false,
    termination: undefined,
  }
  const r = new Reader(bytes)
  while (r.left > 0) {
    const first = r.pos === 0
    const type = r.u8()
    const block = r.sub(r.u16())
    if (payload.termination !== undefined && type !== PADDING)
      throw new MalformedError('block after Termination')
    switch (type) {
      case GARLIC_CLOVE:
        if (payload.cloves.length === MAX_CLOVES) throw new MalformedError('too many cloves')
        payload.cloves.push(readClove(block))
        break
      case DATE_TIME:
        if (payload.dateTime !== undefined) throw new MalformedError('second DateTime')
        if (first) payload.dateTime = block.u32()
        break
      case NEXT_KEY:
        payload.nextKeys ??= []
        if (payload.nextKeys.length === MAX_NEXT_KEYS) throw new MalformedError('too many NextKey blocks')
        payload.nextKeys.push(readNextKey(block))
        break
      case ACK:
        payload.acks ??= []
        if (block.left === 0) throw new MalformedError('empty Ack')
        while (block.left > 0) payload.acks.push({ tagSet: block.u16(), n: block.u16() })
        break
      case ACK_REQUEST:
        block.u8()
        payload.ackRequest = true
        break
      case TERMINATION:
        payload.termination = block.u8()
        break
      case PADDING:
        r.end('after Padding')
    }
  }
  return payload
}

function readNextKey(r: Reader): NextKey {
  const flags = r.u8()
  const id = r.u16()
  if (id > MAX_KEY_ID) throw new MalformedError('key id')
  const key = (flags & KEY_PRESENT) !== 0 ? r.take(KEY_LENGTH) : undefined
  r.end('NextKey')
  return {
    reverse: (flags & REVERSE_KEY) !== 0,
    requestReverse: (flags & REQUEST_REVERSE_KEY) !== 0,
    id,
    key,
  }
}

/** Bytes of the Garlic Clove blocks. */
export function clovesLength(cloves: readonly Clove[]): number {
  let length = 0
  for (let i = 0; i < cloves.length; i++) length += BLOCK_HEADER_LENGTH + cloveLength(cloves[i]!)
  return length
}

export function writeCloves(w: Writer, cloves: readonly Clove[]): void {
  for (let i = 0; i < cloves.length; i++) {
    const clove = cloves[i]!
    w.u8(GARLIC_CLOVE).u16(cloveLength(clove))
    writeClove(w, clove)
  }
}

export function writeDateTime(w: Writer, seconds: number): void {
  w.u8(DATE_TIME).u16(DATE_TIME_LENGTH).u32(seconds)
}

export function writeNextKey(w: Writer, next: NextKey): void {
  let flags = 0
  if (next.key !== undefined) flags |= KEY_PRESENT
  if (next.reverse) flags |= REVERSE_KEY
  if (next.requestReverse) flags |= REQUEST_REVERSE_KEY
  w.u8(NEXT_KEY)
    .u16(next.key === undefined ? 3 : 3 + KEY_LENGTH)
    .u8(flags)
    .u16(next.id)
  if (next.key !== undefined) w.put(next.key)
}

export function writeAcks(w: Writer, acks: readonly MessageNumber[]): void {
  w.u8(ACK).u16(acks.length * ACK_LENGTH)
  for (let i = 0; i < acks.length; i++) w.u16(acks[i]!.tagSet).u16(acks[i]!.n)
}

export function writeAckRequest(w: Writer): void {
  w.u8(ACK_REQUEST).u16(1).u8(0)
}

export function writeTermination(w: Writer, reason: number): void {
  w.u8(TERMINATION).u16(1).u8(reason)
}

/** Ends a payload with a Padding block of zeros, which the encryption hides; none where it would cost a tunnel message. */
export function writePadding(w: Writer, random: Random): void {
  let size = random.below(MAX_PADDING + 1)
  for (let i = 0; i < TUNNEL_MESSAGE_EDGES.length; i++) {
    const room = TUNNEL_MESSAGE_EDGES[i]! - w.pos
    if (room < 0) continue
    if (room < BLOCK_HEADER_LENGTH) return
    size = Math.min(size, room - BLOCK_HEADER_LENGTH)
    break
  }
  w.u8(PADDING).u16(size)
  // The buffer may hold an older payload.
  w.bytes.fill(0, w.pos, w.pos + size)
  w.pos += size
}

/** Room for everything but cloves: DateTime, two NextKeys with keys, 64 acks, AckRequest, Termination, Padding. */
export const MAX_OVERHEAD: number = 7 + 2 * 38 + (3 + 64 * 4) + 4 + 4 + 3 + MAX_PADDING
