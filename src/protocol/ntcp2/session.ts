/**
 * One NTCP2 connection from its first byte to its last: runs a handshake (initiator.ts or responder.ts), then exchanges
 * frames. Sans-IO: bytes and time in, a Sink out. After `ended` it does nothing more.
 */

import { Reader, type Writer } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { LinkId, Sink } from '../../base/core.ts'
import { MalformedError } from '../../base/errors.ts'
import { jitter } from '../../base/random.ts'
import { BLOCK_HEADER, BlockCursor, BlockType, putBlockHeader } from '../blocks/block.ts'
import { DATE_TIME_LENGTH, readDateTime } from '../blocks/date-time.ts'
import { i2npBlockLength, putI2npBlock, readI2npBlock } from '../blocks/i2np-block.ts'
import type { OutputQueue } from '../blocks/output-queue.ts'
import { OPTIONS_MIN_LENGTH, OUR_PADDING_OPTIONS, readPaddingOptions } from '../blocks/padding-options.ts'
import type { PeerEvent } from '../blocks/peer-event.ts'
import { readRouterInfoBlock, writeRouterInfoBlock } from '../blocks/router-info-block.ts'
import { readTermination, TerminationReason, writeTermination } from '../blocks/termination.ts'
import { type I2npMessage, isExpired } from '../i2np/message.ts'
import type { Hash } from '../structures/hash.ts'
import { type DataPhaseKeys, FrameOpener, FrameSealer, MAX_PLAINTEXT } from './data-phase.ts'
import type { Established, Handshake, HandshakeResult, Local, Refused, Step } from './handshake.ts'
import { Intake } from './intake.ts'

// Specification constants

/** NTCP2's own; SSU2 has 6. */
const TERMINATION_BLOCK = 4

// Implementation constants

/** Messages of one turn share a frame up to this size: "limit frames to a few KB" (ntcp2, "Raw contents"), while one large AEAD call is cheaper than many. */
export const FRAME_TARGET: number = 16 * 1024
/** Bytes handed over that the operating system has not taken yet. More would only age in a buffer nobody can look into. */
const SEND_WINDOW: number = 64 * 1024
/** A frame must be whole by then: the largest one over 10 kbit/s (noticed at the next timeout, at most one idle period later). */
const FRAME_TIMEOUT_MS = 60_000
/** Between our RouterInfo and the next to the same peer: i2pd's 25 to 50 minutes. */
const ROUTER_INFO_INTERVAL_MS: number = 37.5 * 60_000
/** Bounds how often a peer can make us verify a signature. */
const ROUTER_INFO_MIN_INTERVAL_MS = 10_000
/** After a failure that must not tell when it was noticed: wait up to this long ... */
const PROBE_MAX_MS = 20_000
const PROBE_MIN_MS = 500
/** ... or read up to this much more, whichever is first. */
const PROBE_MAX_BYTES = 1500

export type SessionEvent =
  | PeerEvent
  | { readonly kind: 'established'; readonly session: Ntcp2Session; readonly result: Established }
  | {
      readonly kind: 'ended'
      readonly session: Ntcp2Session
      readonly reason: number
      readonly why: string
      /** Their clock minus ours, when an initiator learned it from a handshake that failed for it. */
      readonly clockOffset: number | undefined
    }

interface DataPhase {
  readonly kind: 'data'
  readonly peer: Hash
  readonly sealer: FrameSealer
  readonly opener: FrameOpener
}

type Phase =
  | { readonly kind: 'new' }
  | { readonly kind: 'handshake'; readonly steps: Handshake; readonly need: number }
  | DataPhase
  /** Reading on without answering; `sealer` when the peer will be told the reason at the end. */
  | {
      readonly kind: 'draining'
      left: number
      readonly reason: number
      readonly why: string
      readonly data?: DataPhase
    }
  | { readonly kind: 'ended' }

export interface SessionTimes {
  /** From the first byte to an established session. */
  readonly handshakeMs: Millis
  /** Without traffic either way. */
  readonly idleMs: Millis
}

export class Ntcp2Session {
  readonly transport = 'ntcp2'
  readonly link: LinkId
  readonly output: OutputQueue
  /** TCP counts no packets for us. */
  readonly packetsSent = 0
  readonly packetsLost = 0
  readonly #local: Local
  readonly #times: SessionTimes
  /** Our RouterInfo as of now. */
  readonly #ours: () => Uint8Array
  readonly #intake = new Intake()
  readonly #blocks = new BlockCursor()
  readonly #batch: I2npMessage[] = []
  #phase: Phase = { kind: 'new' }
  #inFlight = 0
  /** Most padding per data, in sixteenths. */
  #paddingRatio: number = OUR_PADDING_OPTIONS.sendMax
  #frameSince: Millis | undefined
  #routerInfoDue: Millis = Number.POSITIVE_INFINITY
  #endAt: Millis = Number.POSITIVE_INFINITY
  #routerInfoSeen: Millis = Number.NEGATIVE_INFINITY
  #rttMs: Millis | undefined
  #lastActive: Millis
  /** When `timeout` wants to be called; looked at lazily, so that a packet does not move it. */
  deadline: Millis
  bytesIn = 0
  bytesOut = 0

  /** Nothing happens before `start`, but messages may already be queued. */
  constructor(
    link: LinkId,
    local: Local,
    ours: () => Uint8Array,
    output: OutputQueue,
    times: SessionTimes,
    now: Millis,
  ) {
    this.link = link
    this.output = output
    this.#local = local
    this.#ours = ours
    this.#times = times
    this.#lastActive = now
    this.deadline = now + times.handshakeMs
  }

  get state(): Phase['kind'] {
    return this.#phase.kind
  }

  get lastActive(): Millis {
    return this.#lastActive
  }

  /** Of the handshake. */
  get rttMs(): Millis | undefined {
    return this.#rttMs
  }

  /** Runs the handshake up to its first read. */
  start(steps: Handshake, now: Millis, out: Sink<SessionEvent>): void {
    if (this.#phase.kind !== 'new') return
    this.deadline = now + this.#times.handshakeMs
    this.#step(steps, steps.next(), now, out)
  }

  received(bytes: Uint8Array, now: Millis, out: Sink<SessionEvent>): void {
    this.bytesIn += bytes.length
    this.#intake.feed(bytes)
    for (;;) {
      const phase = this.#phase
      if (phase.kind === 'data') {
        const piece = this.#intake.take(phase.opener.need)
        if (piece === undefined) break
        if (phase.opener.inFrame) this.#frame(phase, piece, now, out)
        else if (!phase.opener.header(piece)) this.#lost(phase, 'frame length below a MAC', now)
      } else if (phase.kind === 'handshake') {
        const piece = this.#intake.take(phase.need)
        if (piece === undefined) return
        this.#step(phase.steps, phase.steps.next({ bytes: piece, now }), now, out)
      } else {
        const count = this.#intake.discard()
        if (phase.kind === 'draining') {
          phase.left -= count
          if (phase.left <= 0) this.#drained(phase, now, out)
        }
        return
      }
    }
    this.#lastActive = now
    if (this.#intake.waiting || (this.#phase.kind === 'data' && this.#phase.opener.inFrame)) {
      this.#frameSince ??= now
    } else {
      this.#frameSince = undefined
    }
  }

  /** Everything handed over has been taken by the operating system. */
  writable(now: Millis, out: Sink<SessionEvent>): void {
    this.#inFlight = 0
    this.flush(now, out)
  }

  /** Sends what is queued, as far as the window allows. */
  flush(now: Millis, out: Sink<SessionEvent>): void {
    const phase = this.#phase
    if (phase.kind !== 'data' || this.output.size === 0) return
    const wall = this.#local.clock.wall(now)
    while (this.#inFlight < SEND_WINDOW) {
      let length = 0
      for (let m = this.output.peek(now, wall); m !== undefined; m = this.output.peek(now, wall)) {
        const block = i2npBlockLength(m)
        if (length > 0 && length + block > FRAME_TARGET) break
        this.output.shift()
        this.#batch.push(m)
        length += block
      }
      if (length === 0) return
      const padding = this.#paddingFor(length)
      const w = phase.sealer.begin(length + padding)
      for (const m of this.#batch) putI2npBlock(w, m)
      this.#batch.length = 0
      this.#lastActive = now
      this.#send(phase, w, padding, out)
    }
  }

  /** Ends it at `at` if it lives so long; a later call replaces an earlier one. */
  endAt(at: Millis): void {
    this.#endAt = at
    this.deadline = Math.min(this.deadline, at)
  }

  /** Ends it from our side: with a Termination block when there are keys for one, else with a reset. */
  terminate(reason: number, why: string, now: Millis, out: Sink<SessionEvent>): void {
    const phase = this.#phase
    if (phase.kind === 'ended') return
    this.flush(now, out)
    // A peer that does not read would not read this either, and an orderly end would wait for it.
    const orderly = phase.kind === 'data' && this.#inFlight < SEND_WINDOW
    if (orderly) this.#sendTermination(phase, reason, out)
    this.#end(!orderly, reason, why, undefined, out)
  }

  /** The connection is gone. */
  closed(out: Sink<SessionEvent>): void {
    if (this.#phase.kind === 'ended') return
    this.#phase = { kind: 'ended' }
    const reason = TerminationReason.normal
    out.event({ kind: 'ended', session: this, reason, why: 'connection closed', clockOffset: undefined })
  }

  timeout(now: Millis, out: Sink<SessionEvent>): void {
    if (now < this.deadline) return
    const phase = this.#phase
    if (phase.kind === 'draining') this.#drained(phase, now, out)
    else if (phase.kind === 'data') this.#dataTimeout(phase, now, out)
    else if (phase.kind !== 'ended') {
      this.#end(true, TerminationReason.frameTimeout, 'handshake timed out', undefined, out)
    }
  }

  #dataTimeout(phase: DataPhase, now: Millis, out: Sink<SessionEvent>): void {
    if (this.#frameSince !== undefined && now >= this.#frameSince + FRAME_TIMEOUT_MS) {
      this.terminate(TerminationReason.frameTimeout, 'frame not finished', now, out)
      return
    }
    if (now >= this.#lastActive + this.#times.idleMs) {
      this.terminate(TerminationReason.idle, 'idle', now, out)
      return
    }
    if (now >= this.#endAt) {
      this.terminate(TerminationReason.normal, 'no longer needed', now, out)
      return
    }
    if (now >= this.#routerInfoDue) {
      this.#routerInfoDue = now + jitter(this.#local.random, ROUTER_INFO_INTERVAL_MS, 1 / 3)
      this.sendRouterInfo(false, out)
    }
    const frameDue = (this.#frameSince ?? Number.POSITIVE_INFINITY) + FRAME_TIMEOUT_MS
    const idleDue = this.#lastActive + this.#times.idleMs
    this.deadline = Math.min(idleDue, this.#routerInfoDue, frameDue, this.#endAt)
    if (phase !== this.#phase) this.deadline = Number.POSITIVE_INFINITY
  }

  /** Our RouterInfo as of now; `flood` asks a floodfill to pass it on. */
  sendRouterInfo(flood: boolean, out: Sink<SessionEvent>): void {
    const phase = this.#phase
    if (phase.kind !== 'data') return
    const block = writeRouterInfoBlock({ flood, routerInfo: this.#ours() })
    this.#sendBlock(phase, BlockType.routerInfo, block, out)
  }

  #step(
    steps: Handshake,
    step: IteratorResult<Step, HandshakeResult>,
    now: Millis,
    out: Sink<SessionEvent>,
  ): void {
    // "Bob must fail the connection if any incoming data remains after validating message 1"; so must Alice after
    // message 2. Only what follows the last message may have come together with it.
    const answers = step.value.send !== undefined
    if (answers && this.#intake.left > 0 && (!step.done || step.value.kind === 'established')) {
      this.#end(true, TerminationReason.framingError, 'data before our answer', undefined, out)
      return
    }
    if (step.value.send !== undefined) this.#write(step.value.send, out)
    if (!step.done) this.#phase = { kind: 'handshake', steps, need: step.value.read }
    else if (step.value.kind === 'established') this.#established(step.value, now, out)
    else this.#refused(step.value, now, out)
  }

  #established(result: Established, now: Millis, out: Sink<SessionEvent>): void {
    this.#phase = dataPhase(result.remote.hash, result.keys)
    if (result.options !== undefined) this.#limitPadding(result.options.receiveMax)
    this.#rttMs = result.rttMs
    this.#lastActive = now
    this.#routerInfoDue = now + jitter(this.#local.random, ROUTER_INFO_INTERVAL_MS, 1 / 3)
    this.deadline = Math.min(now + this.#times.idleMs, this.#routerInfoDue)
    out.event({ kind: 'established', session: this, result })
  }

  #refused(result: Refused, now: Millis, out: Sink<SessionEvent>): void {
    const { manner, reason, why } = result
    if (manner === 'probe') {
      this.#drain(reason, why, undefined, now)
      return
    }
    if (manner === 'terminate' && result.keys !== undefined) {
      this.#sendTermination(dataPhase(new Uint8Array(0), result.keys), reason, out)
    }
    this.#end(manner === 'reset', reason, why, result.clockOffset, out)
  }

  /** Sealed bytes that do not open, or a length that cannot be: tell the peer, but not at once ("AEAD error handling"). */
  #lost(phase: DataPhase, why: string, now: Millis): void {
    this.#drain(TerminationReason.aeadFailure, why, phase, now)
  }

  #drain(reason: number, why: string, data: DataPhase | undefined, now: Millis): void {
    const { random } = this.#local
    this.deadline = now + PROBE_MIN_MS + random.below(PROBE_MAX_MS - PROBE_MIN_MS)
    const left = 1 + random.below(PROBE_MAX_BYTES)
    this.#phase = { kind: 'draining', left, reason, why, ...(data !== undefined ? { data } : {}) }
  }

  #drained(phase: Phase & { kind: 'draining' }, _now: Millis, out: Sink<SessionEvent>): void {
    if (phase.data !== undefined) this.#sendTermination(phase.data, phase.reason, out)
    this.#end(phase.data === undefined, phase.reason, phase.why, undefined, out)
  }

  #end(
    reset: boolean,
    reason: number,
    why: string,
    clockOffset: number | undefined,
    out: Sink<SessionEvent>,
  ): void {
    this.#phase = { kind: 'ended' }
    this.deadline = Number.POSITIVE_INFINITY
    this.#intake.discard()
    out.tcpEnd(this.link, reset)
    out.event({ kind: 'ended', session: this, reason, why, clockOffset })
  }

  #frame(phase: DataPhase, sealed: Uint8Array, now: Millis, out: Sink<SessionEvent>): void {
    const plaintext = phase.opener.open(sealed)
    if (plaintext === undefined) {
      this.#lost(phase, 'frame does not verify', now)
      return
    }
    const blocks = this.#blocks
    const wall = this.#local.clock.wall(now)
    let dated = false
    blocks.open(plaintext)
    while (this.#phase === phase) {
      if (!this.#nextBlock(blocks, now, out)) return
      switch (blocks.type) {
        case BlockType.i2np: {
          const message = readI2npBlock(blocks)
          if (message !== undefined && !isExpired(message, wall)) {
            out.event({ kind: 'message', from: phase.peer, message })
          }
          break
        }
        case BlockType.routerInfo:
          this.#routerInfoBlock(phase, blocks, now, out)
          break
        case BlockType.dateTime:
          if (!dated && blocks.length === DATE_TIME_LENGTH) {
            this.#dateTime(phase, readDateTime(new Reader(blocks.data())) - wall, out)
          }
          dated = true
          break
        case BlockType.options:
          if (blocks.length >= OPTIONS_MIN_LENGTH)
            this.#limitPadding(readPaddingOptions(new Reader(blocks.data())).receiveMax)
          break
        case TERMINATION_BLOCK:
          this.#terminated(blocks, out)
          return
        default: // padding, and what later versions may add
      }
    }
  }

  /** False at the end of the frame, or when its framing is broken, which ends the session. */
  #nextBlock(blocks: BlockCursor, now: Millis, out: Sink<SessionEvent>): boolean {
    try {
      return blocks.next()
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      this.terminate(TerminationReason.payloadFormat, error.message, now, out)
      return false
    }
  }

  #routerInfoBlock(phase: DataPhase, blocks: BlockCursor, now: Millis, out: Sink<SessionEvent>): void {
    if (blocks.length < 2 || now < this.#routerInfoSeen + ROUTER_INFO_MIN_INTERVAL_MS) return
    this.#routerInfoSeen = now
    const { flood, routerInfo } = readRouterInfoBlock(new Reader(blocks.data()))
    out.event({ kind: 'router-info', from: phase.peer, routerInfo, flood })
  }

  #terminated(blocks: BlockCursor, out: Sink<SessionEvent>): void {
    let reason: number = TerminationReason.normal
    try {
      reason = readTermination(new Reader(blocks.data())).reason
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
    }
    this.#end(false, reason, 'peer ended the session', undefined, out)
  }

  #dateTime(phase: DataPhase, ahead: Millis, out: Sink<SessionEvent>): void {
    out.event({ kind: 'clock', peer: phase.peer, offset: ahead + Math.round((this.#rttMs ?? 0) / 2) })
  }

  #limitPadding(theirMax: number): void {
    this.#paddingRatio = Math.min(OUR_PADDING_OPTIONS.sendMax, theirMax)
  }

  /** Bytes of a padding block with its header, or 0. Its content is zeros: it is encrypted, only its length shows. */
  #paddingFor(length: number): number {
    const most = (length * this.#paddingRatio) >> 4
    const padding = most === 0 ? 0 : this.#local.random.below(most + 1)
    return padding === 0 || length + BLOCK_HEADER + padding > MAX_PLAINTEXT ? 0 : BLOCK_HEADER + padding
  }

  #sendTermination(phase: DataPhase, reason: number, out: Sink<SessionEvent>): void {
    const framesReceived = phase.opener.frames
    this.#sendBlock(phase, TERMINATION_BLOCK, writeTermination({ framesReceived, reason }), out)
  }

  #sendBlock(phase: DataPhase, type: number, data: Uint8Array, out: Sink<SessionEvent>): void {
    // Blocks of fixed size get at least a little padding, so that their frame's length says nothing.
    const padding = BLOCK_HEADER + this.#local.random.below(32)
    const w = phase.sealer.begin(BLOCK_HEADER + data.length + padding)
    putBlockHeader(w, type, data.length)
    this.#send(phase, w.put(data), padding, out)
  }

  #send(phase: DataPhase, w: Writer, padding: number, out: Sink<SessionEvent>): void {
    if (padding > 0) putBlockHeader(w, BlockType.padding, padding - BLOCK_HEADER)
    this.#write(phase.sealer.seal(w), out)
  }

  #write(bytes: Uint8Array, out: Sink<SessionEvent>): void {
    this.#inFlight += bytes.length
    this.bytesOut += bytes.length
    out.tcpData(this.link, bytes)
  }
}

function dataPhase(peer: Hash, keys: DataPhaseKeys): DataPhase {
  return { kind: 'data', peer, sealer: new FrameSealer(keys.send), opener: new FrameOpener(keys.receive) }
}
