/**
 * The two ends of a session. At the beginning SessionConfirmed goes again until the responder shows that it has it, and is
 * acknowledged again when it comes again ("Session Confirmed" under "Handshake Retransmission"). At the end Termination goes both ways,
 * and strays are answered for a while ("Session Termination").
 */
import { Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { unlessMalformed } from '../../base/errors.ts'
import { BlockCursor } from '../blocks/block.ts'
import { readTermination, TerminationReason } from '../blocks/termination.ts'
import { Ssu2BlockType } from './blocks.ts'
import { type Established, Repeated, type Repeats } from './handshake.ts'
import { MessageType, MIN_PACKET, maskNumberAndType, messageType } from './header.ts'

// Specification constants

/** First repetition of SessionConfirmed, and the end of patience. */
const CONFIRM_FIRST: Millis = 1250
const CONFIRM_FAILED: Millis = 15_000

// Implementation constants

/** A SessionConfirmed that comes again later than this is a replay. */
const CONFIRM_REPEATED: Millis = 20_000
/** Strays are absorbed for so long: several of the longest timeouts of whoever sends them. */
const CLOSING: Millis = 15_000
/** Terminations beyond the first, while no answer comes. */
const CLOSING_REPEATS = 2

/** SessionConfirmed once more, in either role. */
export class Opening {
  #confirm: Repeated | undefined
  /** k_header_2 of SessionConfirmed, as the responder. */
  readonly #key2: Uint8Array | undefined
  readonly #since: Millis

  /** `patience`: an answer should be there by then. */
  constructor(established: Pick<Established, 'confirm' | 'confirmHeader2'>, patience: Millis, now: Millis) {
    const { confirm, confirmHeader2 } = established
    if (confirm !== undefined) this.#confirm = new Repeated(confirm, confirmRepeats(patience), now)
    this.#key2 = confirmHeader2
    this.#since = now
  }

  get deadline(): Millis {
    return this.#confirm?.deadline ?? Number.POSITIVE_INFINITY
  }

  /** A packet verified: only whoever has SessionConfirmed has the key for it. */
  confirmed(): void {
    this.#confirm = undefined
  }

  failed(now: Millis): boolean {
    return this.#confirm?.failed(now) === true
  }

  /** What to send at `now`. */
  due(now: Millis): Uint8Array[] {
    return this.#confirm?.due(now) ?? []
  }

  /** Whether a packet that is no Data is SessionConfirmed again: our Ack of packet 0 was lost. Its second mask is then off. */
  repeated(packet: Uint8Array, now: Millis): boolean {
    if (this.#key2 === undefined || packet.length < MIN_PACKET || now > this.#since + CONFIRM_REPEATED) {
      return false
    }
    maskNumberAndType(packet, this.#key2)
    return messageType(packet) === MessageType.sessionConfirmed
  }
}

/** What an ended session does until it is forgotten. */
export class Closing {
  /** A TerminationReason: what strays are told. */
  readonly reason: number
  readonly #patience: Millis
  readonly #until: Millis
  #repeats = 0
  #repeatAt: Millis = Number.POSITIVE_INFINITY
  #strays = 0

  /** `patience`: an answer should be there by then. */
  constructor(reason: number, patience: Millis, now: Millis) {
    this.reason = reason
    this.#patience = patience
    this.#until = now + CLOSING
    if (reason !== TerminationReason.terminationReceived) this.#repeatAt = now + patience
  }

  get deadline(): Millis {
    return Math.min(this.#until, this.#repeatAt)
  }

  /** 'answer': tell the peer (again). */
  timeout(now: Millis): 'over' | 'answer' | 'nothing' {
    if (now >= this.#until) return 'over'
    if (now < this.#repeatAt) return 'nothing'
    this.#repeats++
    const last = this.#repeats === CLOSING_REPEATS
    this.#repeatAt = last ? Number.POSITIVE_INFINITY : now + 2 * this.#patience
    return 'answer'
  }

  /** A packet that verified, with these blocks: answered ever more seldom, after 1, 2, 4, 8 ... of them. */
  stray(plaintext: Uint8Array): 'over' | 'answer' | 'nothing' {
    if (terminationReason(plaintext) === TerminationReason.terminationReceived) return 'over'
    this.#strays++
    return (this.#strays & (this.#strays - 1)) === 0 ? 'answer' : 'nothing'
  }
}

/** The reason in a Termination block, if there is one. */
function terminationReason(plaintext: Uint8Array): number | undefined {
  const blocks = new BlockCursor()
  blocks.open(plaintext)
  return unlessMalformed(() => {
    while (blocks.next()) {
      if (blocks.type === Ssu2BlockType.termination) return readTermination(new Reader(blocks.data())).reason
    }
    return undefined
  })
}

/** At the spec's times or, where round trips are known to be short, sooner; each interval is twice the one before. */
function confirmRepeats(patience: Millis): Repeats {
  const after: Millis[] = []
  let interval = Math.min(CONFIRM_FIRST, 2 * patience)
  for (let at = interval; at < CONFIRM_FAILED; at += interval) {
    after.push(at)
    interval *= 2
  }
  return { after, failed: CONFIRM_FAILED }
}
