/**
 * One SSU2 session from the end of its handshake on: opens packets and tells what is in them, sends what is queued, and ends.
 * Sans-IO: packets and time in, a Sink out. `ended` is told at once; the session then absorbs strays for a while, until its
 * state is 'ended' (ssu2, "Session Termination").
 *
 * Its owner calls `start` once, `flush` at the end of a turn in which it received or queued something, and `timeout` at
 * `deadline`, which may change with every call.
 */

import { Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import { MalformedError, unlessMalformed } from '../../base/errors.ts'
import { jitter } from '../../base/random.ts'
import { BlockCursor, BlockType, writeBlock } from '../blocks/block.ts'
import { DATE_TIME_LENGTH, readDateTime } from '../blocks/date-time.ts'
import type { OutputQueue } from '../blocks/output-queue.ts'
import { OPTIONS_MIN_LENGTH, readPaddingOptions } from '../blocks/padding-options.ts'
import type { PeerEvent } from '../blocks/peer-event.ts'
import { readTermination, TerminationReason, writeTermination } from '../blocks/termination.ts'
import type { Hash } from '../structures/hash.ts'
import { readAck } from './ack-block.ts'
import { Acknowledger } from './acknowledger.ts'
import { type IpPort, readAddress, readCongestion, Ssu2BlockType } from './blocks.ts'
import { MAX_PACKETS } from './congestion.ts'
import { maxPayload, PacketOpener, PacketSealer } from './data-packet.ts'
import { Closing, Opening } from './ends.ts'
import type { Established, Local } from './handshake.ts'
import { Inbox } from './inbox.ts'
import { isIpv6, Path } from './path.ts'
import { readSsu2RouterInfoBlock, routerInfoMessage, writeSsu2RouterInfoBlock } from './router-info-block.ts'
import { RttEstimator } from './rtt.ts'
import { Sender } from './sender.ts'

// Specification constants

/** All other types, unknown ones too, want to be acknowledged ("Generating ACKs"). */
const PASSIVE: ReadonlySet<number> = new Set([
  BlockType.dateTime,
  Ssu2BlockType.termination,
  Ssu2BlockType.ack,
  Ssu2BlockType.address,
  Ssu2BlockType.congestion,
  BlockType.padding,
])

// Implementation constants

/** Between our RouterInfo and the next to the same peer: i2pd's 25 to 50 minutes. */
const ROUTER_INFO_INTERVAL: Millis = 37.5 * 60_000
/** Bounds how often a peer can make us verify a signature. */
const ROUTER_INFO_MIN_INTERVAL: Millis = 10_000
/** "A session must be terminated well before the max number of packets is sent": looked at once an idle period. */
const LAST_PACKET_NUMBER: number = 2 ** 32 - 2 ** 26

export type Ssu2SessionEvent =
  | PeerEvent
  /** A block that is the router's business: of relays, peer tests and tokens. It may come twice. */
  | { readonly kind: 'block'; readonly from: Hash; readonly type: number; readonly data: Uint8Array }
  /** Where the peer sees us. */
  | { readonly kind: 'address'; readonly from: Hash; readonly address: IpPort }
  /** The peer is at another endpoint now, and has proved it. */
  | { readonly kind: 'moved'; readonly session: Ssu2Session; readonly from: Endpoint; readonly to: Endpoint }
  | {
      readonly kind: 'ended'
      readonly session: Ssu2Session
      readonly reason: number
      readonly why: string
      readonly clockOffset: undefined
    }

export interface Ssu2SessionOptions {
  readonly established: Established
  readonly local: Pick<Local, 'random' | 'clock'>
  /** The peer's. */
  readonly endpoint: Endpoint
  /** Of our side; the peer's is in `established`. */
  readonly mtu: number
  /** Our RouterInfo as of now. */
  readonly ours: () => Uint8Array
  readonly output: OutputQueue
  readonly times: SessionTimes
  /** Whether a peer may move to an endpoint: not a blocked one, and for a start not of the other family. */
  readonly mayMove?: (to: Endpoint) => boolean
  /** Packets under way. */
  readonly maxWindow?: number
}

export interface SessionTimes {
  /** Without traffic either way. */
  readonly idleMs: Millis
}

export class Ssu2Session {
  readonly transport = 'ssu2'
  readonly peer: Hash
  readonly output: OutputQueue
  readonly #local: Pick<Local, 'random' | 'clock'>
  readonly #ours: () => Uint8Array
  readonly #times: SessionTimes
  /** Until `start`. */
  #established: Pick<Established, 'confirm' | 'leftover' | 'early'> | undefined
  readonly #rtt: RttEstimator
  readonly #opener: PacketOpener
  readonly #acks: Acknowledger
  readonly #sender: Sender
  readonly #path: Path
  readonly #inbox: Inbox
  readonly #opening: Opening
  readonly #blocks = new BlockCursor()
  #state: 'data' | 'closing' | 'ended' = 'data'
  #closing: Closing | undefined
  #lastActive: Millis
  #endAt: Millis = Number.POSITIVE_INFINITY
  #routerInfoDue: Millis
  #routerInfoSeen: Millis = Number.NEGATIVE_INFINITY
  /** When to look whether the session is idle or something slow is due; looked at lazily, so that a packet does not move it. */
  #checkAt: Millis
  bytesIn = 0

  constructor(options: Ssu2SessionOptions, now: Millis) {
    const { established, local, endpoint, output } = options
    const { random } = local
    const isInitiator = established.confirm !== undefined
    this.peer = established.remote.hash
    this.output = output
    this.#local = local
    this.#ours = options.ours
    this.#times = options.times
    this.#established = established
    this.#rtt = new RttEstimator(established.rttMs ?? 0)
    this.#opener = new PacketOpener(established.keys.receive, established.receiveId)
    this.#acks = new Acknowledger(this.#rtt)
    this.#sender = new Sender(
      {
        sealer: new PacketSealer(established.keys.send, established.sendId),
        acks: this.#acks,
        rtt: this.#rtt,
        output,
        random,
        maxPayload: maxPayload(Math.min(options.mtu, established.remoteMtu), isIpv6(endpoint)),
        maxWindow: options.maxWindow ?? MAX_PACKETS,
        first: isInitiator ? 1 : 0,
      },
      now,
    )
    this.#sender.padded = established.options?.receiveMax !== 0
    this.#path = new Path(endpoint, this.#sender, options.mayMove ?? (() => true), random)
    this.#inbox = new Inbox(now)
    this.#lastActive = now
    this.#routerInfoDue = now + jitter(random, ROUTER_INFO_INTERVAL, 1 / 3)
    this.#checkAt = Math.min(now + this.#times.idleMs, this.#routerInfoDue)
    this.#opening = new Opening(established, this.#rtt.patience, now)
  }

  get state(): 'data' | 'closing' | 'ended' {
    return this.#state
  }

  /** Where the peer is. */
  get endpoint(): Endpoint {
    return this.#path.endpoint
  }

  get lastActive(): Millis {
    return this.#lastActive
  }

  get rttMs(): Millis {
    return this.#rtt.smoothed
  }

  get bytesOut(): number {
    return this.#sender.bytes
  }

  get packetsSent(): number {
    return this.#sender.packets
  }

  /** Ours that were taken for lost. */
  get packetsLost(): number {
    return this.#sender.packetsLost
  }

  /** When `timeout` wants to be called. */
  get deadline(): Millis {
    if (this.#state === 'ended') return Number.POSITIVE_INFINITY
    if (this.#closing !== undefined) return this.#closing.deadline
    return Math.min(
      this.#sender.deadline,
      this.#acks.deadline,
      this.#path.deadline,
      this.#inbox.deadline,
      this.#opening.deadline,
      this.#checkAt,
    )
  }

  /** Reads what came before the session was there, and acknowledges SessionConfirmed as the responder. */
  start(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#established === undefined) return
    const { confirm, leftover, early } = this.#established
    this.#established = undefined
    if (confirm === undefined) this.#acks.received(0, true, true, now)
    if (leftover !== undefined) this.#readBlocks(leftover, this.endpoint, now, out)
    for (const packet of early ?? []) this.received(packet, this.endpoint, now, out)
    this.flush(now, out)
  }

  /** A whole packet whose connection id is ours. It is changed in place. */
  received(packet: Uint8Array, from: Endpoint, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state === 'ended') return
    this.bytesIn += packet.length
    if (!this.#opener.header(packet)) {
      if (this.#opening.repeated(packet, now)) this.#acks.urge(now)
      return
    }
    const { packetNumber, immediateAck } = this.#opener
    if (this.#acks.seen(packetNumber)) return
    const plaintext = this.#opener.open(packet)
    if (plaintext === undefined) return
    this.#opening.confirmed()
    if (packetNumber > this.#acks.highest) {
      this.#path.heard(from, packetNumber, packet.length, this.#rtt.patience, now)
    }
    if (this.#closing !== undefined) {
      this.#acks.received(packetNumber, false, false, now)
      this.#close(this.#closing, this.#closing.stray(plaintext), now, out)
      return
    }
    const eliciting = this.#readBlocks(plaintext, from, now, out)
    this.#acks.received(packetNumber, eliciting, immediateAck, now)
    if (eliciting) this.#lastActive = now
  }

  /** Sends what is queued as far as the window allows, and what is due. */
  flush(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state !== 'data') return
    const wall = this.#local.clock.wall(now)
    this.#path.challenge(now, wall, out)
    const before = this.#sender.packets
    const waiting = this.output.size > 0
    this.#sender.flush(now, wall, this.endpoint, out)
    if (waiting && this.#sender.packets > before) this.#lastActive = now
  }

  timeout(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (now < this.deadline) return
    if (this.#closing !== undefined) {
      this.#close(this.#closing, this.#closing.timeout(now), now, out)
      return
    }
    this.#inbox.expire(now)
    if (now >= this.#checkAt) this.#check(now, out)
    for (const packet of this.#opening.due(now)) out.udp(this.endpoint, packet)
    if (this.#state !== 'data') return
    if (this.#opening.failed(now) || !this.#sender.timeout(now, this.#local.clock.wall(now))) {
      this.terminate(TerminationReason.frameTimeout, 'nothing acknowledged', now, out)
      return
    }
    this.flush(now, out)
  }

  /** Ends it at `at` if it lives so long; a later call replaces an earlier one. */
  endAt(at: Millis): void {
    this.#endAt = at
    this.#checkAt = Math.min(this.#checkAt, at)
  }

  /** Tells the peer, and our owner at once. What is queued and still fits into the window goes out before. */
  terminate(reason: number, why: string, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state !== 'data') return
    this.flush(now, out)
    this.#beginClosing(reason, now, out)
    this.#ended(reason, why, out)
  }

  /** Our RouterInfo as of now; `flood` asks a floodfill to pass it on. Goes out with the next flush. */
  sendRouterInfo(flood: boolean, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const routerInfo = this.#ours()
    const room = this.#sender.blockRoom
    const block = writeSsu2RouterInfoBlock({ flood, routerInfo }, room)
    if (block.length <= room) this.sendBlock(BlockType.routerInfo, block, now, out)
    else {
      const { random, clock } = this.#local
      this.output.push(routerInfoMessage(routerInfo, random, clock.wall(now)), 'own', now)
      this.flush(now, out)
    }
  }

  /** A control block of the router's: sent again until acknowledged. */
  sendBlock(type: number, data: Uint8Array, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state !== 'data' || !this.#sender.control(type, data)) return
    this.flush(now, out)
  }

  /** Our own address has changed, or may have: shows the peer where we are now, and finds out whether it hears us. */
  probe(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state !== 'data') return
    this.#path.probe(this.#rtt.patience, now)
    this.flush(now, out)
  }

  /** True when the sender wants them acknowledged ("Generating ACKs"). */
  #readBlocks(plaintext: Uint8Array, from: Endpoint, now: Millis, out: Sink<Ssu2SessionEvent>): boolean {
    const blocks = this.#blocks
    const wall = this.#local.clock.wall(now)
    let eliciting = false
    let dated = false
    blocks.open(plaintext)
    while (this.#state === 'data' && this.#nextBlock(blocks, now, out)) {
      if (!PASSIVE.has(blocks.type)) eliciting = true
      switch (blocks.type) {
        case BlockType.i2np:
        case Ssu2BlockType.firstFragment:
        case Ssu2BlockType.followOnFragment: {
          const message = this.#inbox.read(blocks, now, wall)
          if (message !== undefined) out.event({ kind: 'message', from: this.peer, message })
          break
        }
        case Ssu2BlockType.ack: {
          const ack = read(blocks, readAck)
          if (ack !== undefined) this.#sender.acknowledged(ack, now, wall)
          break
        }
        case BlockType.dateTime:
          if (!dated && blocks.length === DATE_TIME_LENGTH) {
            const offset = readDateTime(new Reader(blocks.data())) - wall + Math.round(this.rttMs / 2)
            out.event({ kind: 'clock', peer: this.peer, offset })
          }
          dated = true
          break
        case BlockType.options:
          if (blocks.length >= OPTIONS_MIN_LENGTH) {
            this.#sender.padded = readPaddingOptions(new Reader(blocks.data())).receiveMax > 0
          }
          break
        case BlockType.routerInfo:
          this.#routerInfo(blocks, now, out)
          break
        case Ssu2BlockType.termination:
          this.#terminated(blocks, now, out)
          break
        case Ssu2BlockType.address: {
          const address = read(blocks, readAddress)
          if (address !== undefined) out.event({ kind: 'address', from: this.peer, address })
          break
        }
        case Ssu2BlockType.pathChallenge:
          this.#path.challenged(blocks.data(), from, wall, out)
          break
        case Ssu2BlockType.pathResponse:
          this.#pathResponse(blocks.data(), from, now, out)
          break
        case Ssu2BlockType.congestion: {
          const congestion = read(blocks, readCongestion)
          if (congestion?.immediateAck) this.#acks.urge(now)
          if (congestion?.experienced) this.#sender.marked()
          break
        }
        case Ssu2BlockType.relayRequest:
        case Ssu2BlockType.relayResponse:
        case Ssu2BlockType.relayIntro:
        case Ssu2BlockType.peerTest:
        case Ssu2BlockType.relayTagRequest:
        case Ssu2BlockType.relayTag:
        case Ssu2BlockType.newToken:
          out.event({ kind: 'block', from: this.peer, type: blocks.type, data: blocks.data() })
          break
        default: // padding, and what later versions may add
      }
    }
    return eliciting
  }

  /** False at the end of the packet, or when its framing is broken, which ends the session. */
  #nextBlock(blocks: BlockCursor, now: Millis, out: Sink<Ssu2SessionEvent>): boolean {
    try {
      return blocks.next()
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      this.terminate(TerminationReason.payloadFormat, error.message, now, out)
      return false
    }
  }

  #routerInfo(blocks: BlockCursor, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (now < this.#routerInfoSeen + ROUTER_INFO_MIN_INTERVAL) return
    this.#routerInfoSeen = now
    const block = read(blocks, readSsu2RouterInfoBlock)
    if (block !== undefined) out.event({ kind: 'router-info', from: this.peer, ...block })
  }

  #pathResponse(data: Uint8Array, at: Endpoint, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const from = this.#path.answered(data, at, now, this.#local.clock.wall(now))
    if (from !== undefined) out.event({ kind: 'moved', session: this, from, to: this.endpoint })
  }

  /** Idle, no longer needed, or time to tell who we are. */
  #check(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (now >= this.#lastActive + this.#times.idleMs) {
      this.terminate(TerminationReason.idle, 'idle', now, out)
    } else if (now >= this.#endAt || this.#sender.next > LAST_PACKET_NUMBER) {
      this.terminate(TerminationReason.normal, 'no longer needed', now, out)
    } else {
      if (now >= this.#routerInfoDue) {
        this.#routerInfoDue = now + jitter(this.#local.random, ROUTER_INFO_INTERVAL, 1 / 3)
        this.sendRouterInfo(false, now, out)
      }
      this.#checkAt = Math.min(this.#lastActive + this.#times.idleMs, this.#routerInfoDue, this.#endAt)
    }
  }

  #terminated(blocks: BlockCursor, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const reason = read(blocks, readTermination)?.reason ?? TerminationReason.normal
    if (reason === TerminationReason.terminationReceived) this.#forget()
    else this.#beginClosing(TerminationReason.terminationReceived, now, out)
    this.#ended(reason, 'peer ended the session', out)
  }

  #beginClosing(reason: number, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    this.#forget()
    this.#state = 'closing'
    this.#closing = new Closing(reason, this.#rtt.patience, now)
    this.#sendTermination(reason, now, out)
  }

  #close(
    closing: Closing,
    what: 'over' | 'answer' | 'nothing',
    now: Millis,
    out: Sink<Ssu2SessionEvent>,
  ): void {
    if (what === 'over') this.#forget()
    else if (what === 'answer') this.#sendTermination(closing.reason, now, out)
  }

  #ended(reason: number, why: string, out: Sink<Ssu2SessionEvent>): void {
    out.event({ kind: 'ended', session: this, reason, why, clockOffset: undefined })
  }

  /** Whatever a session holds. */
  #forget(): void {
    this.#state = 'ended'
    this.#closing = undefined
    this.#opening.confirmed()
    this.#sender.clear()
    this.#inbox.clear()
  }

  #sendTermination(reason: number, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const framesReceived = this.#acks.highest + 1
    const block = writeBlock(Ssu2BlockType.termination, writeTermination({ framesReceived, reason }))
    this.#sender.sendBlocks([block], true, this.#local.clock.wall(now), this.endpoint, out)
  }
}

/** The current block's content, or undefined when it is malformed: one bad block spoils neither packet nor session. */
function read<T>(blocks: BlockCursor, reader: (r: Reader) => T): T | undefined {
  return unlessMalformed(() => reader(new Reader(blocks.data())))
}
