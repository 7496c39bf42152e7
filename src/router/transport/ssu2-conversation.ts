/**
 * One SSU2 conversation from its first packet to its last: a handshake in either role, then a session. What the transport sees
 * of it is the same as of NTCP2's.
 */
import type { Millis } from '../../base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../base/core.ts'
import { writeBlock } from '../../protocol/blocks/block.ts'
import { OutputQueue } from '../../protocol/blocks/output-queue.ts'
import { writeTermination } from '../../protocol/blocks/termination.ts'
import { type NewToken, Ssu2BlockType, writeNewToken } from '../../protocol/ssu2/blocks.ts'
import { PacketSealer } from '../../protocol/ssu2/data-packet.ts'
import type { Established, HandshakeStep, Local, Refused } from '../../protocol/ssu2/handshake.ts'
import { Ssu2Session, type Ssu2SessionEvent } from '../../protocol/ssu2/session.ts'
import type { Session, SessionEvent } from './session.ts'

/** What a packet was: `another` is a first packet with the ids of a handshake under way, left as it came. */
export type Received = 'meant' | 'ignored' | 'another'

/** Either role of the handshake. */
export interface Handshake {
  readonly deadline: Millis
  received(packet: Uint8Array, now: Millis): HandshakeStep
  timeout(now: Millis): HandshakeStep
}

export interface ConversationOptions {
  readonly local: Local
  /** Of our interface. */
  readonly mtu: number
  readonly idleMs: Millis
  /** Our RouterInfo as of now. */
  readonly ours: () => Uint8Array
  /** A token for the peer's next SessionRequest from where it is now. */
  readonly newToken: (at: Endpoint, now: Millis) => NewToken | undefined
  readonly mayMove: (to: Endpoint) => boolean
}

type Phase =
  | { readonly kind: 'handshake'; readonly handshake: Handshake }
  | { readonly kind: 'data'; readonly session: Ssu2Session }
  /** `session` still answers strays. */
  | { readonly kind: 'ended'; readonly session: Ssu2Session | undefined }

export class Ssu2Conversation implements Session {
  readonly transport = 'ssu2'
  readonly output: OutputQueue = new OutputQueue()
  /** Where the peer was at first. */
  readonly dialled: Endpoint
  readonly #o: ConversationOptions
  readonly #inner: Inner
  #phase: Phase
  #handshakeIn = 0
  #handshakeOut = 0
  #lastActive: Millis

  constructor(options: ConversationOptions, handshake: Handshake, endpoint: Endpoint, now: Millis) {
    this.#o = options
    this.dialled = endpoint
    this.#phase = { kind: 'handshake', handshake }
    this.#lastActive = now
    this.#inner = new Inner((e, now, out) => this.#sessionEvent(e, now, out))
  }

  get state(): 'handshake' | 'data' | 'ended' {
    return this.#phase.kind
  }

  get session(): Ssu2Session | undefined {
    return this.#phase.kind === 'handshake' ? undefined : this.#phase.session
  }

  /** Nothing more is to be expected of it, not even an answer to a stray packet. */
  get gone(): boolean {
    return this.#phase.kind === 'ended' && (this.#phase.session?.state ?? 'ended') === 'ended'
  }

  get lastActive(): Millis {
    return this.session?.lastActive ?? this.#lastActive
  }

  get deadline(): Millis {
    const phase = this.#phase
    if (phase.kind === 'handshake') return phase.handshake.deadline
    return phase.session?.deadline ?? Number.POSITIVE_INFINITY
  }

  get bytesIn(): number {
    return this.#handshakeIn + (this.session?.bytesIn ?? 0)
  }

  get bytesOut(): number {
    return this.#handshakeOut + (this.session?.bytesOut ?? 0)
  }

  get rttMs(): Millis | undefined {
    return this.session?.rttMs
  }

  get packetsSent(): number {
    return this.session?.packetsSent ?? 0
  }

  get packetsLost(): number {
    return this.session?.packetsLost ?? 0
  }

  /** A packet for it, as it came: of its connection id, or from the endpoint that is being dialled. */
  received(packet: Uint8Array, from: Endpoint, now: Millis, out: Sink<SessionEvent>): Received {
    const phase = this.#phase
    if (phase.kind !== 'handshake') {
      phase.session?.received(packet, from, now, this.#inner.with(now, out))
      return 'meant'
    }
    // "All handshake packets must be verified to be from the same IP and port" ("Connection Migration").
    if (from.port !== this.dialled.port || from.address !== this.dialled.address) return 'ignored'
    this.#handshakeIn += packet.length
    const step = phase.handshake.received(packet, now)
    this.step(step, now, out)
    if (step.another === true) return 'another'
    return step.send.length > 0 || step.result !== undefined ? 'meant' : 'ignored'
  }

  flush(now: Millis, out: Sink<SessionEvent>): void {
    if (this.#phase.kind === 'data') this.#phase.session.flush(now, this.#inner.with(now, out))
  }

  timeout(now: Millis, out: Sink<SessionEvent>): void {
    const phase = this.#phase
    if (phase.kind === 'handshake') this.step(phase.handshake.timeout(now), now, out)
    else phase.session?.timeout(now, this.#inner.with(now, out))
  }

  terminate(reason: number, why: string, now: Millis, out: Sink<SessionEvent>): void {
    const phase = this.#phase
    if (phase.kind === 'data') phase.session.terminate(reason, why, now, this.#inner.with(now, out))
    else if (phase.kind === 'handshake') this.#ended(undefined, reason, why, undefined, out)
  }

  endAt(at: Millis): void {
    this.session?.endAt(at)
  }

  /** A control block: relaying, peer tests, tags. */
  sendBlock(type: number, data: Uint8Array, now: Millis, out: Sink<SessionEvent>): void {
    if (this.#phase.kind === 'data')
      this.#phase.session.sendBlock(type, data, now, this.#inner.with(now, out))
  }

  /** Carries out a step of the handshake. */
  step(step: HandshakeStep, now: Millis, out: Sink<SessionEvent>): void {
    for (const packet of step.send) {
      this.#handshakeOut += packet.length
      out.udp(this.dialled, packet)
    }
    const { result } = step
    if (result === undefined) return
    if (result.kind === 'established') {
      this.#established(result, now, out)
      return
    }
    const { tell, reason, why, clockOffset } = result
    if (tell !== undefined) out.udp(this.dialled, refusal(tell, reason))
    this.#ended(undefined, reason, why, clockOffset, out)
  }

  #established(established: Established, now: Millis, out: Sink<SessionEvent>): void {
    const { local, mtu, idleMs, ours, mayMove } = this.#o
    const { dialled: endpoint, output } = this
    const session = new Ssu2Session(
      { established, endpoint, mtu, local, times: { idleMs }, ours, output, mayMove },
      now,
    )
    this.#phase = { kind: 'data', session }
    const { remote, clockOffset, rttMs, relayTag, grantedTag, ourAddress, newToken } = established
    const result = { remote, clockOffset, rttMs: rttMs ?? 0, relayTag, grantedTag }
    out.event({ kind: 'established', session: this, result })
    // The transport may have ended it at once, for another with the same router.
    if (session.state !== 'data') return
    if (ourAddress !== undefined) out.event({ kind: 'address', session: this, address: ourAddress })
    if (newToken !== undefined)
      out.event({ kind: 'block', session: this, type: Ssu2BlockType.newToken, data: writeNewToken(newToken) })
    session.start(now, this.#inner.with(now, out))
    this.#giveToken(session, now)
  }

  /** "Tokens": for the next time, from the address that the peer has proved. */
  #giveToken(session: Ssu2Session, now: Millis): void {
    const token = this.#o.newToken(session.endpoint, now)
    if (token !== undefined) session.sendBlock(Ssu2BlockType.newToken, writeNewToken(token), now, this.#inner)
  }

  #sessionEvent(e: Ssu2SessionEvent, now: Millis, out: Sink<SessionEvent>): void {
    switch (e.kind) {
      case 'ended':
        this.#ended(e.session, e.reason, e.why, e.clockOffset, out)
        return
      case 'block':
        out.event({ kind: 'block', session: this, type: e.type, data: e.data })
        return
      case 'address':
        out.event({ kind: 'address', session: this, address: e.address })
        return
      case 'moved':
        out.event({ kind: 'moved', session: this, to: e.to })
        this.#giveToken(e.session, now)
        return
      default:
        out.event(e)
    }
  }

  #ended(
    session: Ssu2Session | undefined,
    reason: number,
    why: string,
    clockOffset: number | undefined,
    out: Sink<SessionEvent>,
  ): void {
    if (this.#phase.kind === 'ended') return
    this.#phase = { kind: 'ended', session }
    out.event({ kind: 'ended', session: this, reason, why, clockOffset })
  }
}

/** The only Data packet to an authenticated peer that is not let in: why. */
function refusal({ keys, sendId }: NonNullable<Refused['tell']>, reason: number): Uint8Array {
  const sealer = new PacketSealer(keys.send, sendId)
  const block = writeBlock(Ssu2BlockType.termination, writeTermination({ framesReceived: 0, reason }))
  return sealer.seal(sealer.begin(block.length).put(block), 0, false)
}

/** What the session writes to: packets pass through, its events come to the conversation first. */
class Inner implements Sink<Ssu2SessionEvent> {
  readonly #handle: (e: Ssu2SessionEvent, now: Millis, out: Sink<SessionEvent>) => void
  #now: Millis = 0
  #out!: Sink<SessionEvent>

  constructor(handle: (e: Ssu2SessionEvent, now: Millis, out: Sink<SessionEvent>) => void) {
    this.#handle = handle
  }

  with(now: Millis, out: Sink<SessionEvent>): this {
    this.#now = now
    this.#out = out
    return this
  }

  udp(to: Endpoint, bytes: Uint8Array): void {
    this.#out.udp(to, bytes)
  }

  tcpOpen(to: Endpoint): LinkId {
    return this.#out.tcpOpen(to)
  }

  tcpData(id: LinkId, bytes: Uint8Array): void {
    this.#out.tcpData(id, bytes)
  }

  tcpEnd(id: LinkId, reset?: boolean): void {
    this.#out.tcpEnd(id, reset)
  }

  event(e: Ssu2SessionEvent): void {
    this.#handle(e, this.#now, this.#out)
  }
}
