/**
 * One stream: its opening, its two halves, its end (streaming, "Setup", "Close"; docs/api/streaming). Packets come in parsed,
 * go out as events; who may open a stream and which packets belong to it is the StreamSet's business.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import { earliest } from '../../base/deadlines.ts'
import type { Hash } from '../structures/hash.ts'
import type { Identity } from '../structures/identity.ts'
import type { SigningKey } from '../structures/offline-signature.ts'
import type { CloseReason, Ports, StreamId, StreamSink } from './events.ts'
import { MIN_MTU, MTU_DEFAULT, type StreamLimits } from './limits.ts'
import {
  CHOKE_DELAY,
  CLOSE,
  NO_ACK,
  nackSet,
  type PacketFields,
  RESET,
  type StreamPacket,
  SYNCHRONIZE,
  writePacket,
} from './packet.ts'
import { OUR_CHOKE_DELAY, type ReceiveBudget, Receiver } from './receiver.ts'
import type { SendBuffer } from './send-buffer.ts'
import { type Line, Sender } from './sender.ts'
import { type PacketSigner, signedFields, signedPacket, signPacket, verifyPacket } from './signing.ts'

// Implementation constants

/** A finished stream answers late packets for this long, then its id is forgotten. */
const LINGER: Millis = 10_000
/** A released stream whose far side does not end it by then is reset. */
const RELEASE_TIMEOUT: Millis = 60_000
/** Our CLOSE after the far side's: i2pd has forgotten the stream by then and never acknowledges, so we stop asking. */
const CLOSE_ATTEMPTS = 2
/** Our CLOSE before the far side's: i2pd answers it with its own, once, and has then forgotten the stream as well. */
const CLOSE_ATTEMPTS_FIRST = 6
/** A repeated SYNCHRONIZE is answered again, but not more often than this. */
const REPLY_INTERVAL: Millis = 1_000

/** What all streams of one destination share. */
export interface StreamContext {
  readonly signer: PacketSigner
  readonly clock: Clock
  readonly limits: StreamLimits
  readonly received: ReceiveBudget
}

/**
 * `connecting`: our SYNCHRONIZE waits for its answer. `pending`: theirs waits for `accept`. `lingering`: the application has
 * heard of the end. `gone`: to be forgotten.
 */
export type StreamState = 'connecting' | 'pending' | 'open' | 'lingering' | 'gone'

export class StreamConnection implements Line {
  readonly id: StreamId
  readonly remote: Hash
  readonly ports: Ports
  readonly initiator: boolean
  readonly sender: Sender
  readonly #context: StreamContext
  readonly #receiver: Receiver
  #identity: Identity | undefined
  /** A transient key of the far side, once proved. */
  #key: SigningKey | undefined
  #state: StreamState
  /** The far side's id. */
  #sendStreamId = 0
  #mtu: number
  #released = false
  #drainWanted = false
  #heardAt: Millis
  #idleAt: Millis | undefined
  #giveUpAt: Millis | undefined
  #repliedAt: Millis = Number.NEGATIVE_INFINITY

  constructor(
    context: StreamContext,
    id: StreamId,
    remote: Hash,
    identity: Identity | undefined,
    ports: Ports,
    initiator: boolean,
    now: Millis,
  ) {
    this.#context = context
    this.id = id
    this.remote = remote
    this.ports = ports
    this.initiator = initiator
    this.#identity = identity
    this.#state = initiator ? 'connecting' : 'pending'
    this.#mtu = context.limits.mtu
    this.#heardAt = now
    const { limits } = context
    this.sender = new Sender(this, limits)
    this.#receiver = new Receiver(limits, context.received, this.sender.rtt)
    this.#giveUpAt = now + (initiator ? limits.connectTimeout : limits.acceptTimeout)
    if (initiator) this.sender.start(now)
  }

  get state(): StreamState {
    return this.#state
  }

  get identity(): Identity | undefined {
    return this.#identity
  }

  get sendStreamId(): number {
    return this.#sendStreamId
  }

  get established(): boolean {
    return this.#sendStreamId !== 0 && this.#state !== 'connecting'
  }

  get mtu(): number {
    return this.#mtu
  }

  // Commands

  /** Begins to answer an incoming stream. */
  accept(now: Millis, out: StreamSink): void {
    if (this.#state !== 'pending') return
    this.#open(now)
    this.sender.start(now)
    this.#deliver(now, out)
  }

  /** How much of `bytes` was taken; an event 'drain' follows when it was not all. */
  write(bytes: Uint8Array, now: Millis, out: StreamSink): number {
    if (!this.#alive || this.sender.ending) return bytes.length
    const accepted = this.sender.write(bytes, now, out)
    this.#drainWanted = accepted < bytes.length
    return accepted
  }

  end(now: Millis, out: StreamSink): void {
    if (!this.#alive || this.sender.ending) return
    this.sender.end(now, out)
    this.#finish(now, out)
  }

  consumed(bytes: number, now: Millis): void {
    this.#receiver.consumed(bytes, now)
  }

  /** The application has gone: what it wrote is still delivered, what comes in is thrown away. */
  release(now: Millis, out: StreamSink): void {
    if (!this.#alive) return
    this.#released = true
    this.#giveUpAt = now + RELEASE_TIMEOUT
    this.end(now, out)
    this.#deliver(now, out)
  }

  abort(now: Millis, out: StreamSink): void {
    if (!this.#alive) return
    this.#sendReset(out)
    this.close('aborted', now, out)
  }

  /** Ends the stream on this side; packets that come late are still answered when it ended well. */
  close(reason: CloseReason, now: Millis, out: StreamSink): void {
    if (!this.#alive) return
    this.#state = reason === 'closed' ? 'lingering' : 'gone'
    this.#giveUpAt = now + LINGER
    this.#idleAt = undefined
    this.sender.stop()
    this.#receiver.stop()
    out.event({ kind: 'closed', id: this.id, reason })
  }

  // What happens

  /** The SYNCHRONIZE that made this an incoming stream; its signature is verified. */
  opened(packet: StreamPacket, key: SigningKey, now: Millis): void {
    this.#key = key
    this.#learn(packet)
    this.#receiver.insert(packet, now)
  }

  receive(packet: StreamPacket, now: Millis, out: StreamSink): void {
    if (this.#state === 'lingering') this.#late(packet, now)
    if (!this.#alive) return
    const { flags } = packet
    if ((flags & RESET) !== 0) {
      if (this.#verified(packet, now))
        this.close(this.#state === 'connecting' ? 'refused' : 'reset', now, out)
      return
    }
    const known = packet.sequence < this.#receiver.window.next
    if (!known && (flags & (SYNCHRONIZE | CLOSE)) !== 0 && !this.#verified(packet, now)) return
    if ((flags & SYNCHRONIZE) !== 0) {
      if (packet.sequence !== 0) return
      if (this.#state === 'connecting') this.#answered(packet, now, out)
    }
    this.#heardAt = now
    if ((flags & NO_ACK) === 0 && packet.sendStreamId !== 0) this.#acknowledgement(packet, now)
    if (packet.delay === 0) this.#receiver.ackNow(now)
    if (packet.sequence !== 0 || (flags & SYNCHRONIZE) !== 0) this.#data(packet, now, out)
    // Only now, so that what goes out acknowledges what has come in.
    this.sender.flush(now, out)
    this.#drained(out)
    this.#finish(now, out)
  }

  timeout(now: Millis, out: StreamSink): void {
    if (this.#giveUpAt !== undefined && this.#giveUpAt <= now) this.#giveUp(now, out)
    if (this.#state === 'gone') return
    if (this.#receiver.ackAt !== undefined && this.#receiver.ackAt <= now) this.#acknowledge(now, out)
    if (this.#state === 'lingering') return
    if (this.#idleAt !== undefined && this.#idleAt <= now) this.#idle(now, out)
    if (!this.sender.timeout(now, out)) this.close('timeout', now, out)
    else this.#finish(now, out)
    this.#drained(out)
  }

  nextTimeout(): Millis | undefined {
    if (this.#state === 'gone') return undefined
    const quiet = earliest(this.#giveUpAt, this.#idleAt)
    return earliest(quiet, earliest(this.#receiver.ackAt, this.sender.nextTimeout()))
  }

  // Line

  make(sequence: number, buffer: SendBuffer, length: number, close: boolean, ackNow: boolean): Uint8Array {
    const { signer, limits } = this.#context
    const fields = this.#fields(sequence, (sequence === 0 ? SYNCHRONIZE : 0) | (close ? CLOSE : 0), ackNow)
    if (sequence > 0 && !close) {
      const packet = writePacket(fields, length)
      buffer.take(packet.bytes, packet.payloadAt, length)
      return packet.bytes
    }
    const first = { ...fields, from: signer.identity, maxPacketSize: limits.mtu }
    // The recipient's hash keeps anyone from passing our SYNCHRONIZE on to another destination.
    const opening = this.initiator ? { ...first, recipient: this.remote } : first
    const packet = writePacket(signedFields(sequence === 0 ? opening : fields, signer), length)
    buffer.take(packet.bytes, packet.payloadAt, length)
    return signPacket(packet, signer)
  }

  transmit(packet: Uint8Array, lost: boolean, now: Millis, out: StreamSink): void {
    // Data says how far everything has arrived; with gaps behind that an acknowledgement proper is still due.
    if (!this.#receiver.window.hasGaps) this.#receiver.acked(now)
    out.event({ kind: 'send', to: this.remote, ports: this.ports, packet, lost })
  }

  // Inside

  get #alive(): boolean {
    return this.#state !== 'lingering' && this.#state !== 'gone'
  }

  #open(now: Millis): void {
    this.#state = 'open'
    this.#giveUpAt = this.#released ? this.#giveUpAt : undefined
    const { inactivityTimeout } = this.#context.limits
    if (inactivityTimeout > 0) this.#idleAt = now + inactivityTimeout
  }

  #learn(packet: StreamPacket): void {
    this.#sendStreamId = packet.receiveStreamId
    const theirs = Math.max(MIN_MTU, packet.maxPacketSize ?? MTU_DEFAULT)
    this.#mtu = Math.min(this.#context.limits.mtu, theirs)
  }

  #answered(packet: StreamPacket, now: Millis, out: StreamSink): void {
    this.#learn(packet)
    this.#open(now)
    out.event({ kind: 'open', id: this.id })
  }

  /** Whether the far side signed it; learns who that is from a packet that says so. */
  #verified(packet: StreamPacket, now: Millis): boolean {
    const { from } = packet
    if (from !== undefined && !sameBytes(from.hash, this.remote)) return false
    const signer = this.#identity ?? from
    if (signer === undefined) return false
    const key = verifyPacket(packet, signer, this.#key, this.#context.clock.wall(now))
    if (key === undefined) return false
    this.#identity = signer
    this.#key = key
    return true
  }

  #acknowledgement(packet: StreamPacket, now: Millis): void {
    this.sender.choke(packet.delay !== undefined && packet.delay >= CHOKE_DELAY)
    this.sender.acknowledged(packet.ackThrough, nackSet(packet.nacks), now)
  }

  #data(packet: StreamPacket, now: Millis, out: StreamSink): void {
    if (this.#receiver.ended) {
      this.#receiver.ackSoon(now)
      return
    }
    const inserted = this.#receiver.insert(packet, now)
    if (inserted === 'next') this.#deliver(now, out)
    else if (inserted === 'duplicate' && (packet.flags & SYNCHRONIZE) !== 0) this.#reply(now, out)
  }

  #drained(out: StreamSink): void {
    if (!this.#drainWanted || this.sender.buffer.size > this.#context.limits.sendBuffer / 2) return
    this.#drainWanted = false
    out.event({ kind: 'drain', id: this.id })
  }

  #deliver(now: Millis, out: StreamSink): void {
    if (this.#state !== 'open') return
    const receiver = this.#receiver
    while (!receiver.ended) {
      const packet = receiver.shift()
      if (packet === undefined) return
      const bytes = packet.payload
      if (bytes.length > 0 && !this.#released) {
        receiver.delivered(bytes.length)
        out.event({ kind: 'data', id: this.id, bytes })
      }
      if ((packet.flags & CLOSE) !== 0) {
        receiver.end()
        if (!this.#released) out.event({ kind: 'end', id: this.id })
      }
    }
    this.#finish(now, out)
  }

  /** Both halves done: the application hears of it, and late packets find us lingering. */
  #finish(now: Millis, out: StreamSink): void {
    const { sender } = this
    const { ended } = this.#receiver
    const silent = sender.onlyCloseLeft && sender.attempts >= (ended ? CLOSE_ATTEMPTS : CLOSE_ATTEMPTS_FIRST)
    if (ended && (sender.finished || silent)) this.close('closed', now, out)
    else if (silent) this.close('timeout', now, out)
  }

  #late(packet: StreamPacket, now: Millis): void {
    if (packet.sequence !== 0 || (packet.flags & SYNCHRONIZE) !== 0) this.#receiver.ackSoon(now)
  }

  /** The far side repeats its SYNCHRONIZE: our answer to it may be lost. */
  #reply(now: Millis, out: StreamSink): void {
    if (this.#state !== 'open' || this.sender.window.base > 0 || now < this.#repliedAt + REPLY_INTERVAL)
      return
    this.#repliedAt = now
    this.sender.resendOldest(now, out)
  }

  #acknowledge(now: Millis, out: StreamSink): void {
    const receiver = this.#receiver
    receiver.acked(now)
    // Our SYNCHRONIZE is about to say it, but has no room for NACKs.
    if (this.#state === 'open' && this.sender.window.next === 0) {
      receiver.ackNow(now)
      return
    }
    if (this.#sendStreamId === 0 || this.#state === 'connecting' || this.#state === 'pending') return
    // Until our SYNCHRONIZE is known to have arrived it says the same, and i2pd would take an acknowledgement that overtakes
    // it for its beginning. An initiator that sent more than one packet is not i2pd.
    const unanswered = !this.initiator && this.sender.window.base === 0 && this.#state === 'open'
    if (unanswered && receiver.window.next <= 1 && !receiver.window.hasGaps) return
    const { ackThrough, nacks } = receiver.ackState()
    const { bytes } = writePacket({ ...this.#fields(0, 0, false), ackThrough, nacks }, 0)
    out.event({
      kind: 'send',
      to: this.remote,
      ports: this.ports,
      packet: bytes,
      lost: receiver.takeLostAcks(),
    })
  }

  #fields(sequence: number, flags: number, ackNow: boolean): PacketFields {
    const { next } = this.#receiver.window
    const fields = {
      sendStreamId: this.#sendStreamId,
      receiveStreamId: this.id,
      sequence,
      ackThrough: Math.max(0, next - 1),
      resendDelay: Math.ceil(this.sender.rtt.timeout / 1000),
      flags: next === 0 ? flags | NO_ACK : flags,
    }
    if (this.#receiver.choking) return { ...fields, delay: OUR_CHOKE_DELAY }
    return ackNow ? { ...fields, delay: 0 } : fields
  }

  /** With the sequence number that the far side expects next, if it is where we think: i2pd heeds no other. */
  #sendReset(out: StreamSink): void {
    if (this.#sendStreamId === 0) return
    const { window } = this.sender
    const packet = signedPacket(
      {
        sendStreamId: this.#sendStreamId,
        receiveStreamId: this.id,
        sequence: window.base,
        ackThrough: Math.max(0, this.#receiver.window.next - 1),
        flags: RESET,
      },
      this.#context.signer,
    )
    out.event({ kind: 'send', to: this.remote, ports: this.ports, packet, lost: false })
  }

  #giveUp(now: Millis, out: StreamSink): void {
    this.#giveUpAt = undefined
    if (this.#state === 'lingering') this.#state = 'gone'
    else if (this.#state === 'connecting') this.close('timeout', now, out)
    else this.abort(now, out)
  }

  #idle(now: Millis, out: StreamSink): void {
    const { inactivityTimeout } = this.#context.limits
    const at = this.#heardAt + inactivityTimeout
    if (at > now) this.#idleAt = at
    else {
      this.#idleAt = now + inactivityTimeout
      this.sender.probe(now, out)
    }
  }
}
