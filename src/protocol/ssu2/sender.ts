/**
 * The outgoing half of a session: makes packets of what waits, as far as window and pace allow, and sends again what was lost
 * (ssu2, "Congestion Control"; RFC 9002). Timers are few: one for lost or unanswered packets, one for the pace, none when all is
 * acknowledged.
 */
import type { Writer } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import type { Random } from '../../base/random.ts'
import { BLOCK_HEADER, BlockType, putBlockHeader } from '../blocks/block.ts'
import { DATE_TIME_LENGTH, roundedSeconds } from '../blocks/date-time.ts'
import type { OutputQueue } from '../blocks/output-queue.ts'
import { type Ack, ackLength, putAck } from './ack-block.ts'
import type { Acknowledger } from './acknowledger.ts'
import { Ssu2BlockType } from './blocks.ts'
import { Congestion } from './congestion.ts'
import { MIN_PAYLOAD, type PacketSealer } from './data-packet.ts'
import { MAC } from './handshake.ts'
import { InFlight, type SentPacket } from './in-flight.ts'
import { ACK_ROOM, Outbox } from './outbox.ts'
import type { Piece } from './piece.ts'
import { MAX_ACK_RANGES } from './received-numbers.ts'
import type { RttEstimator } from './rtt.ts'

// Implementation constants

/** Padding of packets that are not full, as i2pd has it. */
const MAX_PADDING = 31
/** Packets from one DateTime to the next; i2pd's. */
const DATE_TIME_EVERY = 256
/** So long without any acknowledgement: the other end is gone. A machine that loses its network for 20 s is not. */
const UNANSWERED_MAX: Millis = 40_000
/** Packets sent after a timeout, whatever the window says; two, because one may be lost too. */
const PROBES = 2
/** Unanswered timeouts after which the path counts as broken, and only probes go out. */
const OUTAGE = 2
/** Nothing under way for so long: the window means little now. */
const IDLE: Millis = 1_000

/** The part of a Sink that a packet needs. */
export type UdpSink = Pick<Sink<never>, 'udp'>

export interface SenderOptions {
  readonly sealer: PacketSealer
  readonly acks: Acknowledger
  readonly rtt: RttEstimator
  readonly output: OutputQueue
  readonly random: Random
  readonly maxPayload: number
  readonly maxWindow: number
  /** Number of the first packet: 1 for the initiator, whose SessionConfirmed was 0. */
  readonly first: number
}

export class Sender {
  readonly #sealer: PacketSealer
  readonly #acks: Acknowledger
  readonly #rtt: RttEstimator
  readonly #random: Random
  readonly #inFlight: InFlight
  readonly #outbox: Outbox
  readonly #congestion: Congestion
  /** Bytes of blocks in one packet. */
  maxPayload: number
  /** False when the peer wants no padding. */
  padded = true
  packets = 0
  bytes = 0
  packetsLost = 0
  #sinceDateTime = 0
  /** More waited than the window let out. */
  #limited = false
  #paceDeadline: Millis = Number.POSITIVE_INFINITY
  /** When to look for lost packets. */
  #lossDeadline: Millis = Number.POSITIVE_INFINITY
  /** The timeout runs from here. */
  #timerFrom: Millis = 0
  /** Since when something is under way and nothing was acknowledged. */
  #unansweredSince: Millis | undefined
  #timeouts = 0
  #probes = 0
  #emptySince: Millis

  constructor(options: SenderOptions, now: Millis) {
    this.#sealer = options.sealer
    this.#acks = options.acks
    this.#rtt = options.rtt
    this.#random = options.random
    this.maxPayload = options.maxPayload
    this.#inFlight = new InFlight(options.rtt, options.first, now)
    this.#outbox = new Outbox(options.output)
    this.#congestion = new Congestion(options.rtt, options.maxWindow)
    this.#emptySince = now
  }

  /** Bytes that may be under way. */
  get window(): number {
    return this.#congestion.window
  }

  get next(): number {
    return this.#inFlight.next
  }

  /** The largest data of a control block: one that a packet holds beside an Ack. */
  get blockRoom(): number {
    return this.maxPayload - BLOCK_HEADER - ACK_ROOM
  }

  /** When `timeout` wants to be called; acknowledgements that are due are not in it. */
  get deadline(): Millis {
    const { packets } = this.#inFlight
    const timer = packets > 0 ? this.#timerFrom + this.#rtt.timeout : Number.POSITIVE_INFINITY
    return Math.min(timer, this.#lossDeadline, this.#paceDeadline)
  }

  /** Sent again, until acknowledged. False when too many wait. */
  control(type: number, data: Uint8Array): boolean {
    return this.#outbox.control(type, data)
  }

  /** Sends what waits as far as it may, then an acknowledgement that is due and found no packet to ride in. */
  flush(now: Millis, wall: WallMillis, to: Endpoint, out: UdpSink): void {
    this.#limited = false
    this.#paceDeadline = Number.POSITIVE_INFINITY
    while (this.#outbox.waiting && this.#mayGo(now)) if (!this.#sendPieces(now, wall, to, out)) break
    if (this.#acks.deadline <= now) this.sendBlocks([], true, wall, to, out)
  }

  /** A packet of other blocks, which nobody waits for; with an Ack if `ack` and there is room. It is sent whatever the window says. */
  sendBlocks(
    blocks: readonly Uint8Array[],
    ack: boolean,
    wall: WallMillis,
    to: Endpoint,
    out: UdpSink,
  ): void {
    let length = 0
    for (const block of blocks) length += block.length
    const w = this.#begin(length, ack, wall)
    for (const block of blocks) w.put(block)
    this.#finish(w, this.#inFlight.skip(), blocks.length > 0, to, out)
  }

  /** What the peer has received. */
  acknowledged(ack: Ack, now: Millis, wall: WallMillis): void {
    const inFlight = this.#inFlight
    const result = inFlight.acknowledge(ack, now)
    if (result.newest !== undefined) {
      if (result.rtt !== undefined) this.#rtt.sample(result.rtt, now)
      this.#progress(now)
      if (result.spurious > 0) this.#congestion.spurious(result.spurious)
      const { delivered, next } = inFlight
      this.#congestion.acknowledged(result, delivered, next, this.#limited, now)
    }
    this.#detect(now, wall)
    if (inFlight.packets === 0) this.#emptySince = now
  }

  /** False when the peer must be taken for gone. `flush` is to follow. */
  timeout(now: Millis, wall: WallMillis): boolean {
    const inFlight = this.#inFlight
    if (now >= this.#lossDeadline) this.#detect(now, wall)
    if (inFlight.packets === 0 || now < this.#timerFrom + this.#rtt.timeout) return true
    if (now >= this.#unansweredSince! + UNANSWERED_MAX) return false
    this.#timeouts++
    this.#timerFrom = now
    this.#rtt.backOff()
    this.#probes = PROBES
    if (this.#timeouts === OUTAGE) this.#congestion.timedOut()
    const most = this.#timeouts < OUTAGE ? PROBES : inFlight.packets
    inFlight.giveUp(most, (packet) => this.#lost(packet, wall))
    return true
  }

  /** The network marked packets of ours (ECN). */
  marked(): void {
    this.#congestion.marked()
  }

  /** We send from another address: whatever made us wait belongs to the old one. */
  hurry(now: Millis): void {
    this.#rtt.progress()
    this.#timerFrom = now
  }

  /** The path is another one, with this round trip. */
  reset(rtt: Millis, now: Millis): void {
    this.#rtt.reset(rtt)
    this.#inFlight.reset()
    this.#congestion.reset()
    this.#progress(now)
  }

  clear(): void {
    this.#outbox.clear()
    this.#inFlight.clear()
    this.#lossDeadline = Number.POSITIVE_INFINITY
    this.#paceDeadline = Number.POSITIVE_INFINITY
  }

  #mayGo(now: Millis): boolean {
    if (!this.#inFlight.open) return false
    if (this.#probes > 0) return true
    if (this.#timeouts >= OUTAGE) return false
    if (this.#inFlight.bytes >= this.#congestion.window) {
      this.#limited = true
      return false
    }
    if (this.#congestion.mayGo(now)) return true
    this.#paceDeadline = this.#congestion.paceDeadline(now)
    return false
  }

  /** One packet of what waits. False when nothing did. */
  #sendPieces(now: Millis, wall: WallMillis, to: Endpoint, out: UdpSink): boolean {
    const full = this.maxPayload
    const ackRoom = this.#acks.hasNews ? BLOCK_HEADER + ackLength(0) : 0
    const pieces: Piece[] = []
    let length = 0
    let urgent = this.#probes > 0
    for (;;) {
      const piece = this.#outbox.take(length === 0 ? full : full - length - ackRoom, full, now, wall)
      if (piece === undefined) break
      pieces.push(piece)
      length += piece.length
      if (piece.sends++ > 0 || piece.message === undefined) urgent = true
    }
    if (length === 0) return false
    const inFlight = this.#inFlight
    if (inFlight.packets === 0) this.#begins(now)
    if (this.#probes > 0) this.#probes--
    const w = this.#begin(length, true, wall)
    for (const piece of pieces) piece.put(w)
    const bytes = w.bytes.length
    // "Set whenever the send window is almost full": on the packet that fills it, so that every second one is acknowledged.
    if (inFlight.bytes + bytes >= this.#congestion.window) urgent = true
    const { next } = inFlight
    inFlight.add(pieces, bytes, now)
    this.#congestion.sent(bytes, now)
    this.#finish(w, next, urgent, to, out)
    return true
  }

  /** The first packet after a pause. */
  #begins(now: Millis): void {
    if (now - this.#emptySince > Math.max(IDLE, this.#rtt.timeout)) this.#congestion.idle()
    this.#timerFrom = now
    this.#unansweredSince ??= now
  }

  /** A packet with room for `length` bytes of blocks: Ack and DateTime are in it, and padding is counted. */
  #begin(length: number, ack: boolean, wall: WallMillis): Writer {
    let left = this.maxPayload - length
    const ackHeader = BLOCK_HEADER + ackLength(0)
    let sent: Ack | undefined
    if (ack && left >= ackHeader) {
      const ranges = Math.min(MAX_ACK_RANGES, (left - ackHeader) >> 1)
      if (this.#acks.hasNews) sent = this.#acks.take(ranges)
    }
    const ackBytes = sent === undefined ? 0 : BLOCK_HEADER + ackLength(sent.ranges.length)
    left -= ackBytes
    const dated = this.#sinceDateTime++ >= DATE_TIME_EVERY && left >= BLOCK_HEADER + DATE_TIME_LENGTH
    const dateBytes = dated ? BLOCK_HEADER + DATE_TIME_LENGTH : 0
    const used = length + ackBytes + dateBytes
    const w = this.#sealer.begin(used + this.#paddingFor(used))
    if (dated) {
      this.#sinceDateTime = 0
      putBlockHeader(w, BlockType.dateTime, DATE_TIME_LENGTH)
      w.u32(roundedSeconds(wall))
    }
    if (sent !== undefined) {
      putBlockHeader(w, Ssu2BlockType.ack, ackLength(sent.ranges.length))
      putAck(w, sent)
    }
    return w
  }

  /** Bytes of a padding block with its header, or 0. Its content is zeros: it is encrypted, only its length shows. */
  #paddingFor(used: number): number {
    const room = this.maxPayload - used
    const least = used < MIN_PAYLOAD ? Math.max(BLOCK_HEADER, MIN_PAYLOAD - used) : 0
    if (room < BLOCK_HEADER || (!this.padded && least === 0)) return 0
    const wanted = BLOCK_HEADER + (this.padded ? this.#random.below(MAX_PADDING + 1) : 0)
    return Math.max(least, Math.min(room, wanted))
  }

  #finish(w: Writer, packetNumber: number, urgent: boolean, to: Endpoint, out: UdpSink): void {
    const padding = w.bytes.length - w.pos - MAC
    if (padding > 0) putBlockHeader(w, BlockType.padding, padding - BLOCK_HEADER)
    const packet = this.#sealer.seal(w, packetNumber, urgent)
    this.packets++
    this.bytes += packet.length
    out.udp(to, packet)
  }

  #progress(now: Millis): void {
    this.#rtt.progress()
    this.#timeouts = 0
    this.#probes = 0
    this.#timerFrom = now
    this.#unansweredSince = this.#inFlight.packets > 0 ? now : undefined
  }

  #detect(now: Millis, wall: WallMillis): void {
    let count = 0
    const again = this.#inFlight.detect(now, (packet) => {
      count++
      this.#lost(packet, wall)
    })
    if (count > 0) this.#congestion.lost(count)
    this.#lossDeadline = again ?? Number.POSITIVE_INFINITY
  }

  #lost(packet: SentPacket, wall: WallMillis): void {
    this.packetsLost++
    this.#outbox.lost(packet.pieces, wall)
  }
}
