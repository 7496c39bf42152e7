/**
 * Keys and frames of the data phase (ntcp2, "Key Derivation Function (KDF) (for data phase)", "SipHash obfuscated length").
 * A frame is a masked 2-byte length, then blocks sealed with a counter nonce and no associated data.
 */
import { concat, utf8, Writer } from '../../base/bytes.ts'
import { open, sealInto } from '../../crypto/aead.ts'
import { hkdf, hkdf2 } from '../../crypto/hkdf.ts'
import type { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import { SipHashChain } from '../../crypto/siphash.ts'
import { MAC } from './messages.ts'

// Specification constants

const FRAME_HEADER = 2
/** Largest plaintext of one frame: 65535 less the MAC. */
export const MAX_PLAINTEXT: number = 65535 - MAC

const EMPTY = new Uint8Array(0)
const SIPHASH = utf8('siphash')

export interface DirectionKeys {
  readonly key: Uint8Array
  /** k1, k2 and IV of the length masks. */
  readonly sip: Uint8Array
}

export interface DataPhaseKeys {
  readonly send: DirectionKeys
  readonly receive: DirectionKeys
}

/** After message 3: ck and h are then the handshake's last. */
export function dataPhaseKeys(noise: SymmetricState, role: 'initiator' | 'responder'): DataPhaseKeys {
  const [keyAb, keyBa] = noise.split()
  const askMaster = hkdf(noise.ck, EMPTY, 'ask', 32)
  const sipMaster = hkdf(askMaster, concat(noise.h, SIPHASH), '', 32)
  const [sipAb, sipBa] = hkdf2(sipMaster, EMPTY, '')
  const ab = { key: keyAb, sip: sipAb }
  const ba = { key: keyBa, sip: sipBa }
  return role === 'initiator' ? { send: ab, receive: ba } : { send: ba, receive: ab }
}

/** Makes the frames of one direction. */
export class FrameSealer {
  readonly #key: Uint8Array
  readonly #masks: SipHashChain
  #n = 0

  constructor(keys: DirectionKeys) {
    this.#key = keys.key
    this.#masks = new SipHashChain(keys.sip)
  }

  /** A buffer with room for the whole frame; the caller writes exactly `length` bytes of blocks, then calls `seal`. */
  begin(length: number): Writer {
    const w = new Writer(FRAME_HEADER + length + MAC)
    w.pos = FRAME_HEADER
    return w
  }

  /** Seals in place; the bytes are the frame as it goes on the wire. */
  seal(w: Writer): Uint8Array {
    const frame = w.bytes
    const length = frame.length - FRAME_HEADER
    sealInto(
      frame,
      FRAME_HEADER,
      this.#key,
      this.#n++,
      undefined,
      frame.subarray(FRAME_HEADER, frame.length - MAC),
    )
    const masked = length ^ this.#masks.nextMask()
    frame[0] = masked >>> 8
    frame[1] = masked
    return frame
  }
}

/** Opens the frames of the other direction: give it `need` bytes at a time. */
export class FrameOpener {
  readonly #key: Uint8Array
  readonly #masks: SipHashChain
  /** Frames opened so far: the receive nonce, and what a Termination block reports. */
  frames = 0
  /** Bytes wanted next: a header, or the frame it announced. */
  need: number = FRAME_HEADER
  /** A header was read and its frame is due. */
  inFrame = false

  constructor(keys: DirectionKeys) {
    this.#key = keys.key
    this.#masks = new SipHashChain(keys.sip)
  }

  /** False when the length cannot be a frame's: the stream is lost. */
  header(bytes: Uint8Array): boolean {
    const length = ((bytes[0]! << 8) | bytes[1]!) ^ this.#masks.nextMask()
    if (length < MAC) return false
    this.need = length
    this.inFrame = true
    return true
  }

  /** The blocks, or undefined when they do not verify. */
  open(frame: Uint8Array): Uint8Array | undefined {
    const plaintext = open(this.#key, this.frames, undefined, frame)
    if (plaintext === undefined) return undefined
    this.frames++
    this.need = FRAME_HEADER
    this.inFrame = false
    return plaintext
  }
}
