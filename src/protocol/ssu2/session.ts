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
import { ipBytes } from '../../base/ip.ts'
import { SeenFilter } from '../../base/lru.ts'
import { jitter, randomId } from '../../base/random.ts'
import { BlockCursor, BlockType, writeBlock } from '../blocks/block.ts'
import { DATE_TIME_LENGTH, readDateTime, writeDateTime } from '../blocks/date-time.ts'
import { readI2npBlock } from '../blocks/i2np-block.ts'
import type { OutputQueue } from '../blocks/output-queue.ts'
import { OPTIONS_MIN_LENGTH, readPaddingOptions } from '../blocks/padding-options.ts'
import { readTermination, TerminationReason, writeTermination } from '../blocks/termination.ts'
import { writeDatabaseStore } from '../i2np/database-store.ts'
import { type I2npMessage, MessageType as I2npType, isExpired } from '../i2np/message.ts'
import type { Hash } from '../structures/hash.ts'
import { StoreType } from '../structures/lease-set.ts'
import { readRouterInfo } from '../structures/router-info.ts'
import { readAck } from './ack-block.ts'
import { Acknowledger } from './acknowledger.ts'
import {
  type IpPort,
  readAddress,
  readCongestion,
  readFollowOnFragment,
  Ssu2BlockType,
  writeAddress,
} from './blocks.ts'
import { MAX_PACKETS } from './congestion.ts'
import { maxPayload, PacketOpener, PacketSealer } from './data-packet.ts'
import { type Established, type Local, Repeated, type Repeats } from './handshake.ts'
import { MessageType, MIN_PACKET, maskNumberAndType, messageType } from './header.ts'
import { Path, sameEndpoint } from './path.ts'
import { Reassembler } from './reassembler.ts'
import { readSsu2RouterInfoBlock, writeSsu2RouterInfoBlock } from './router-info-block.ts'
import { RttEstimator } from './rtt.ts'
import { Sender } from './sender.ts'

// Specification constants

/** "SSU2 Address": no path is narrower. */
const MIN_MTU = 1280
/** "Handshake Retransmission", "Session Confirmed". */
const CONFIRM_FIRST: Millis = 1250
const CONFIRM_FAILED: Millis = 15_000

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
/** Message ids that are remembered, at least for as long as a piece is sent again and at most twice so long and so many. */
const IDS_PERIOD: Millis = 30_000
const IDS_MAX = 4096
/** Of our RouterInfo as an I2NP message. */
const STORE_LIFETIME: Millis = 10_000
/** A SessionConfirmed that is repeated later than this is a replay. */
const CONFIRM_REPEATED: Millis = 20_000
/** How long strays are absorbed after the end, and how often we ask again whether the other end knows. */
const CLOSING: Millis = 15_000
const CLOSING_REPEATS = 2
/** "A session must be terminated well before the max number of packets is sent": looked at once an idle period. */
const LAST_PACKET_NUMBER: number = 2 ** 32 - 2 ** 26
/** Longer ones are not answered: "they could be a vector for packet amplification attacks". */
const MAX_CHALLENGE = 64

export type Ssu2SessionEvent =
  | { readonly kind: 'message'; readonly from: Hash; readonly message: I2npMessage }
  | {
      readonly kind: 'router-info'
      readonly from: Hash
      readonly routerInfo: Uint8Array
      readonly flood: boolean
    }
  | { readonly kind: 'clock'; readonly peer: Hash; readonly offset: number }
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

interface Closing {
  /** A TerminationReason: what strays are answered with. */
  readonly reason: number
  readonly until: Millis
  strays: number
  repeats: number
  repeatAt: Millis
}

export class Ssu2Session {
  readonly transport = 'ssu2'
  readonly peer: Hash
  readonly output: OutputQueue
  readonly #local: Pick<Local, 'random' | 'clock'>
  readonly #ours: () => Uint8Array
  readonly #times: SessionTimes
  readonly #mayMove: (to: Endpoint) => boolean
  readonly #established: Pick<Established, 'leftover' | 'early' | 'confirmHeader2'>
  readonly #rtt: RttEstimator
  readonly #opener: PacketOpener
  readonly #acks: Acknowledger
  readonly #sender: Sender
  readonly #path: Path
  readonly #reassembler = new Reassembler()
  readonly #messageIds: SeenFilter<number>
  readonly #blocks = new BlockCursor()
  readonly #since: Millis
  #state: 'data' | 'closing' | 'ended' = 'data'
  #closing: Closing | undefined
  /** Initiator: SessionConfirmed, until the peer shows that it has it. */
  #confirm: Repeated | undefined
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
    this.#mayMove = options.mayMove ?? (() => true)
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
    this.#path = new Path(endpoint, random)
    this.#messageIds = new SeenFilter(IDS_PERIOD, IDS_MAX, now)
    this.#since = now
    this.#lastActive = now
    this.#routerInfoDue = now + jitter(random, ROUTER_INFO_INTERVAL, 1 / 3)
    this.#checkAt = Math.min(now + this.#times.idleMs, this.#routerInfoDue)
    if (established.confirm !== undefined) {
      this.#confirm = new Repeated(established.confirm, confirmRepeats(this.#rtt.patience), now)
    }
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

  /** Bytes that may be under way. */
  get window(): number {
    return this.#sender.window
  }

  /** When `timeout` wants to be called. */
  get deadline(): Millis {
    if (this.#state === 'ended') return Number.POSITIVE_INFINITY
    if (this.#closing !== undefined) return Math.min(this.#closing.until, this.#closing.repeatAt)
    return Math.min(
      this.#sender.deadline,
      this.#acks.deadline,
      this.#path.deadline,
      this.#reassembler.deadline,
      this.#confirm?.deadline ?? Number.POSITIVE_INFINITY,
      this.#checkAt,
    )
  }

  /** Reads what came before the session was there, and acknowledges SessionConfirmed as the responder. */
  start(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const { leftover, early } = this.#established
    if (this.#confirm === undefined) this.#acks.received(0, true, true, now)
    if (leftover !== undefined) this.#readBlocks(leftover, this.endpoint, now, out)
    for (const packet of early ?? []) this.received(packet, this.endpoint, now, out)
    this.flush(now, out)
  }

  /** A whole packet whose connection id is ours. It is changed in place. */
  received(packet: Uint8Array, from: Endpoint, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state === 'ended') return
    this.bytesIn += packet.length
    if (!this.#opener.header(packet)) {
      this.#otherPacket(packet, now)
      return
    }
    const { packetNumber, immediateAck } = this.#opener
    if (this.#acks.seen(packetNumber)) return
    const plaintext = this.#opener.open(packet)
    if (plaintext === undefined) return
    // Only whoever has SessionConfirmed has the key of this packet.
    this.#confirm = undefined
    if (packetNumber > this.#acks.highest && (sameEndpoint(from, this.endpoint) || this.#mayMove(from))) {
      this.#path.heard(from, packetNumber, packet.length, this.#rtt.patience, now)
    }
    if (this.#state === 'closing') {
      this.#acks.received(packetNumber, false, false, now)
      this.#stray(plaintext, now, out)
      return
    }
    const eliciting = this.#readBlocks(plaintext, from, now, out)
    this.#acks.received(packetNumber, eliciting, immediateAck, now)
    if (eliciting) this.#lastActive = now
  }

  /** Sends what is queued as far as the window allows, and what is due. */
  flush(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (this.#state !== 'data') return
    this.#challenge(now, out)
    const before = this.#sender.packets
    const waiting = this.output.size > 0
    this.#sender.flush(now, this.#local.clock.wall(now), this.endpoint, out)
    if (waiting && this.#sender.packets > before) this.#lastActive = now
  }

  timeout(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (now < this.deadline) return
    if (this.#closing !== undefined) {
      this.#closingTimeout(this.#closing, now, out)
      return
    }
    this.#reassembler.expire(now)
    if (now >= this.#checkAt) this.#check(now, out)
    if (this.#state === 'data' && this.#confirm !== undefined) this.#repeatConfirm(this.#confirm, now, out)
    if (this.#state !== 'data') return
    if (!this.#sender.timeout(now, this.#local.clock.wall(now))) {
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
    this.#close(reason, now, out)
    this.#ended(reason, why, out)
  }

  /** Our RouterInfo as of now; `flood` asks a floodfill to pass it on. Goes out with the next flush. */
  sendRouterInfo(flood: boolean, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const routerInfo = this.#ours()
    const block = writeSsu2RouterInfoBlock({ flood, routerInfo }, this.#sender.blockRoom)
    if (block.length <= this.#sender.blockRoom) this.sendBlock(BlockType.routerInfo, block, now, out)
    else {
      // Too long for a packet even so: "use an I2NP DatabaseStore Message instead".
      const { hash } = readRouterInfo(routerInfo).claimed
      const payload = writeDatabaseStore({ key: hash, type: StoreType.RouterInfo, data: routerInfo })
      const expiration = this.#local.clock.wall(now) + STORE_LIFETIME
      const id = randomId(this.#local.random)
      this.output.push({ type: I2npType.DatabaseStore, id, expiration, payload }, 'own', now)
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
    this.#sender.hurry(now)
    this.flush(now, out)
  }

  /** What does not open with our keys. As the responder it may be SessionConfirmed again: our Ack of packet 0 was lost. */
  #otherPacket(packet: Uint8Array, now: Millis): void {
    const key = this.#established.confirmHeader2
    if (key === undefined || packet.length < MIN_PACKET || now > this.#since + CONFIRM_REPEATED) return
    maskNumberAndType(packet, key)
    if (messageType(packet) === MessageType.sessionConfirmed) this.#acks.urge(now)
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
          this.#message(readI2npBlock(blocks), now, out)
          break
        case Ssu2BlockType.firstFragment: {
          const first = readI2npBlock(blocks)
          if (first !== undefined) this.#message(this.#reassembler.first(first, now), now, out)
          break
        }
        case Ssu2BlockType.followOnFragment: {
          const fragment = read(blocks, readFollowOnFragment)
          if (fragment !== undefined) this.#message(this.#reassembler.followOn(fragment, now), now, out)
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
          this.#pathChallenge(blocks.data(), from, now, out)
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

  /** A whole one. It may have come before: its pieces are sent again when an Ack was lost ("I2NP Message Duplication"). */
  #message(message: I2npMessage | undefined, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (message === undefined || isExpired(message, this.#local.clock.wall(now))) return
    if (this.#messageIds.seen(message.id, now)) return
    out.event({ kind: 'message', from: this.peer, message })
  }

  #routerInfo(blocks: BlockCursor, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (now < this.#routerInfoSeen + ROUTER_INFO_MIN_INTERVAL) return
    this.#routerInfoSeen = now
    const block = read(blocks, readSsu2RouterInfoBlock)
    if (block !== undefined) out.event({ kind: 'router-info', from: this.peer, ...block })
  }

  /** "The Path Response must be sent to the IP/port from which the Path Challenge was received." */
  #pathChallenge(data: Uint8Array, from: Endpoint, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const isPath = sameEndpoint(from, this.endpoint)
    if (data.length > MAX_CHALLENGE || (!isPath && !this.#mayMove(from))) return
    const response = writeBlock(Ssu2BlockType.pathResponse, data)
    this.#sendPathBlock(response, isPath, from, now, out)
  }

  #pathResponse(data: Uint8Array, from: Endpoint, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const before = this.endpoint
    const validated = this.#path.answered(data, from, now)
    if (validated === undefined) return
    const to = validated.endpoint
    // Another port is mostly a NAT that forgot; the path behind it is the old one.
    if (to.address === before.address && to !== before) this.#sender.hurry(now)
    else this.#sender.reset(validated.rtt, now)
    if (to.address !== before.address) this.#sender.maxPayload = maxPayload(MIN_MTU, isIpv6(to))
    if (!sameEndpoint(to, before)) out.event({ kind: 'moved', session: this, from: before, to })
  }

  #challenge(now: Millis, out: Sink<Ssu2SessionEvent>): void {
    for (let due = this.#path.due(now); due !== undefined; due = this.#path.due(now)) {
      const challenge = writeBlock(Ssu2BlockType.pathChallenge, due.data)
      this.#sendPathBlock(challenge, sameEndpoint(due.to, this.endpoint), due.to, now, out)
    }
  }

  /** With DateTime and the recipient's address ("Message Contents"). An Ack goes only where the peer is known to be. */
  #sendPathBlock(
    block: Uint8Array,
    isPath: boolean,
    to: Endpoint,
    now: Millis,
    out: Sink<Ssu2SessionEvent>,
  ): void {
    const wall = this.#local.clock.wall(now)
    const blocks = [writeBlock(BlockType.dateTime, writeDateTime(wall)), block]
    const ip = ipBytes(to.address)
    if (ip !== undefined) blocks.push(writeBlock(Ssu2BlockType.address, writeAddress({ ip, port: to.port })))
    this.#sender.sendBlocks(blocks, isPath, wall, to, out)
  }

  #repeatConfirm(confirm: Repeated, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (confirm.failed(now)) {
      this.terminate(TerminationReason.frameTimeout, 'SessionConfirmed not acknowledged', now, out)
    }
    for (const packet of confirm.due(now)) out.udp(this.endpoint, packet)
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
    else this.#close(TerminationReason.terminationReceived, now, out)
    this.#ended(reason, 'peer ended the session', out)
  }

  #close(reason: number, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    this.#forget()
    this.#state = 'closing'
    const asked = reason !== TerminationReason.terminationReceived
    const repeats = asked ? CLOSING_REPEATS : 0
    const repeatAt = asked ? now + this.#rtt.patience : Number.POSITIVE_INFINITY
    this.#closing = { reason, until: now + CLOSING, strays: 0, repeats, repeatAt }
    this.#sendTermination(reason, now, out)
  }

  #ended(reason: number, why: string, out: Sink<Ssu2SessionEvent>): void {
    out.event({ kind: 'ended', session: this, reason, why, clockOffset: undefined })
  }

  /** Whatever a session holds. */
  #forget(): void {
    this.#state = 'ended'
    this.#closing = undefined
    this.#confirm = undefined
    this.#sender.clear()
    this.#reassembler.clear()
  }

  #sendTermination(reason: number, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const framesReceived = this.#acks.highest + 1
    const block = writeBlock(Ssu2BlockType.termination, writeTermination({ framesReceived, reason }))
    this.#sender.sendBlocks([block], true, this.#local.clock.wall(now), this.endpoint, out)
  }

  /** A packet after the end. Answered ever more seldom: after 1, 2, 4, 8 ... of them. */
  #stray(plaintext: Uint8Array, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    const closing = this.#closing!
    const blocks = this.#blocks
    blocks.open(plaintext)
    while (unlessMalformed(() => blocks.next()) === true) {
      if (blocks.type !== Ssu2BlockType.termination) continue
      if (read(blocks, readTermination)?.reason === TerminationReason.terminationReceived) {
        this.#forget()
        return
      }
    }
    closing.strays++
    if ((closing.strays & (closing.strays - 1)) === 0) this.#sendTermination(closing.reason, now, out)
  }

  #closingTimeout(closing: Closing, now: Millis, out: Sink<Ssu2SessionEvent>): void {
    if (now >= closing.until) this.#forget()
    else if (closing.repeats-- > 0) {
      closing.repeatAt = now + 2 * this.#rtt.patience
      this.#sendTermination(closing.reason, now, out)
    } else closing.repeatAt = Number.POSITIVE_INFINITY
  }
}

/** The current block's content, or undefined when it is malformed: one bad block spoils neither packet nor session. */
function read<T>(blocks: BlockCursor, reader: (r: Reader) => T): T | undefined {
  return unlessMalformed(() => reader(new Reader(blocks.data())))
}

function isIpv6(endpoint: Endpoint): boolean {
  return ipBytes(endpoint.address)?.length === 16
}

/** The spec's times or, where round trips are known to be short, sooner; each interval twice the one before. */
function confirmRepeats(patience: Millis): Repeats {
  const after: Millis[] = []
  let interval = Math.min(CONFIRM_FIRST, 2 * patience)
  for (let at = interval; at < CONFIRM_FAILED; at += interval) {
    after.push(at)
    interval *= 2
  }
  return { after, failed: CONFIRM_FAILED }
}
