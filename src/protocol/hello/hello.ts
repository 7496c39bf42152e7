/**
 * The hello: the first words on every link between neighbours, before NTCP2 on the same stream (mesh design, "Hello and
 * dialling"). Message 1 (dialler) holds padding only, message 2 (announcer) and message 3 (dialler, the first transport message)
 * a payload each. All sizes are fixed, so nothing stands in clear but two ephemeral keys.
 *
 * Knowing the mesh's key is all it proves. Who the other one is, NTCP2 finds out.
 *
 * The prologue names the announcer's epoch. Else a message 1 that was recorded once would be answered by every member, anywhere and
 * for ever: a stranger who replays it would learn which machines are of the same mesh.
 */
import { concat, utf8 } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { open, seal } from '../../crypto/aead.ts'
import { generateX25519, type X25519KeyPair } from '../../crypto/x25519.ts'
import { HANDSHAKE_OVERHEAD, NNpsk0 } from './nnpsk0.ts'
import { type HelloPayload, PAYLOAD_SIZE, readHelloPayload, writeHelloPayload } from './payload.ts'

// Specification constants
const PROLOGUE = utf8('ramsons hello 1')
const MESSAGE_1_PADDING = 208
export const MESSAGE_1: number = HANDSHAKE_OVERHEAD + MESSAGE_1_PADDING
export const MESSAGE_2: number = HANDSHAKE_OVERHEAD + PAYLOAD_SIZE
export const MESSAGE_3: number = PAYLOAD_SIZE + 16

/** What the peer said, and the bytes that followed: NTCP2's already. */
export interface HelloPeer {
  readonly payload: HelloPayload
  readonly rest: Uint8Array
}

/** The dialler's side: `request`, `receive` until it answers, `confirm`. */
export class HelloInitiator {
  readonly #noise: NNpsk0
  readonly #message2 = new Gathered(MESSAGE_2)

  /** `psk` is the mesh's Kh, `epoch` the announcer's as announced. */
  constructor(psk: Uint8Array, epoch: Uint8Array, random: Random) {
    this.#noise = new NNpsk0(psk, concat(PROLOGUE, epoch), generateX25519(random))
  }

  /** Message 1. */
  request(): Uint8Array {
    return this.#noise.writeMessage1(new Uint8Array(MESSAGE_1_PADDING))
  }

  /** Undefined while message 2 is incomplete. */
  receive(bytes: Uint8Array): HelloPeer | 'failed' | undefined {
    const rest = this.#message2.add(bytes)
    return rest && opened(this.#noise.readMessage2(this.#message2.bytes), rest)
  }

  /** Message 3. */
  confirm(own: HelloPayload): Uint8Array {
    const [k] = this.#noise.split()
    return seal(k, 0, undefined, writeHelloPayload(own))
  }
}

/** The announcer's side: `receive` until 'request', `reply`, `receive` until it answers. */
export class HelloResponder {
  readonly #psk: Uint8Array
  readonly #epochs: readonly Uint8Array[]
  readonly #e: X25519KeyPair
  readonly #message1 = new Gathered(MESSAGE_1)
  readonly #message3 = new Gathered(MESSAGE_3)
  #noise: NNpsk0 | undefined
  #replied = false

  /** `epochs` are those of ours that the dialler may have heard of. */
  constructor(psk: Uint8Array, epochs: readonly Uint8Array[], random: Random) {
    this.#psk = psk
    this.#epochs = epochs
    this.#e = generateX25519(random)
  }

  /** Undefined while a message is incomplete. */
  receive(bytes: Uint8Array): HelloPeer | 'request' | 'failed' | undefined {
    if (this.#replied) {
      const rest = this.#message3.add(bytes)
      return rest && opened(open(this.#noise!.split()[0], 0, undefined, this.#message3.bytes), rest)
    }
    const rest = this.#message1.add(bytes)
    if (rest === undefined) return undefined
    // A dialler has nothing more to say before it hears message 2.
    if (rest.length > 0) return 'failed'
    this.#noise = this.#epochs
      .map((epoch) => new NNpsk0(this.#psk, concat(PROLOGUE, epoch), this.#e))
      .find((noise) => noise.readMessage1(this.#message1.bytes) !== undefined)
    return this.#noise === undefined ? 'failed' : 'request'
  }

  /** Message 2; undefined when the dialler's key was no good. */
  reply(own: HelloPayload): Uint8Array | undefined {
    this.#replied = true
    return this.#noise?.writeMessage2(writeHelloPayload(own))
  }
}

/** A message of known size that arrives in pieces. */
class Gathered {
  readonly bytes: Uint8Array
  #have = 0

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
  }

  /** What came after the message once it is whole; bytes are copied. */
  add(piece: Uint8Array): Uint8Array | undefined {
    const n = Math.min(piece.length, this.bytes.length - this.#have)
    this.bytes.set(piece.subarray(0, n), this.#have)
    this.#have += n
    return this.#have === this.bytes.length ? piece.subarray(n) : undefined
  }
}

function opened(plaintext: Uint8Array | undefined, rest: Uint8Array): HelloPeer | 'failed' {
  if (plaintext === undefined) return 'failed'
  try {
    return { payload: readHelloPayload(plaintext), rest }
  } catch (e) {
    if (e instanceof MalformedError) return 'failed'
    throw e
  }
}
