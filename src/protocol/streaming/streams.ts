/**
 * All streams of one local destination (streaming; docs/api/streaming): which stream a packet is for, who may open one, what
 * happens to packets of none, pings. Packets go out as 'send' events; the router wraps them and finds the way.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import { Deadlines, earliest } from '../../base/deadlines.ts'
import { MalformedError, RefusedError } from '../../base/errors.ts'
import { type Log, SILENT } from '../../base/log.ts'
import { Lru } from '../../base/lru.ts'
import { type Random, randomId } from '../../base/random.ts'
import { TokenBucket } from '../../base/token-bucket.ts'
import { type Hash, type HashKey, hashKey } from '../structures/hash.ts'
import type { Identity, LocalIdentity } from '../structures/identity.ts'
import { Admission } from './admission.ts'
import { StreamConnection, type StreamContext, type StreamState } from './connection.ts'
import type { Ports, StreamId, StreamSink } from './events.ts'
import { DEFAULT_LIMITS, type StreamLimits } from './limits.ts'
import { Orphans } from './orphans.ts'
import {
  ECHO,
  keepable,
  NO_ACK,
  nackSet,
  peekIds,
  RESET,
  readPacket,
  type StreamPacket,
  SYNCHRONIZE,
  writePacket,
} from './packet.ts'
import { ReceiveBudget } from './receiver.ts'
import { type PacketSigner, signedPacket, signerOf, verifyPacket } from './signing.ts'

// Specification constants

/** Of a ping's payload no more comes back (docs/api/streaming, "Ping / Pong"). */
const MAX_ECHO = 32

// Implementation constants

/** Answers to packets of no stream, and to pings: each costs a signature or a message that a stranger asked for. */
const RESETS_PER_SECOND = 10
const PONGS_PER_SECOND = 8
/** Finished streams that still answer late packets; the oldest goes first. */
const MAX_LINGERING = 512
/** Incoming streams remembered after their end, so that a late copy of the SYNCHRONIZE opens no second one. */
const MAX_ENDED = 1024
const ENDED_LIFE: Millis = 120_000
/** Destinations whose round trip and window the next stream begins with (RFC 2140), and for how long. */
const MAX_PATHS = 256
const PATH_LIFE: Millis = 300_000
/** A stream that is due again at once waits for the clock to move. */
const LEAST_WAIT: Millis = 1

export interface StreamSetOptions {
  readonly local: LocalIdentity
  readonly random: Random
  readonly clock: Clock
  readonly log?: Log
  readonly limits?: Partial<StreamLimits>
  /** When the destination's own key is kept offline. */
  readonly signer?: PacketSigner
}

/** A payload of protocol 6, out of its wrapper. Its data is handed over. */
export interface StreamPayload {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly data: Uint8Array
}

/** For status pages. */
export interface StreamInfo {
  readonly id: StreamId
  readonly remote: Hash
  readonly state: StreamState
  readonly initiator: boolean
  readonly ports: Ports
  readonly rtt: Millis
  readonly window: number
  readonly inFlight: number
  readonly lossRate: number
}

interface Path {
  readonly rtt: Millis
  readonly variation: Millis
  readonly window: number
  readonly at: Millis
}

export class StreamSet {
  /** Whether anybody may connect; without, a SYNCHRONIZE is refused. */
  listening = false
  readonly #context: StreamContext
  readonly #hash: Hash
  readonly #random: Random
  readonly #log: Log
  readonly #limits: StreamLimits
  readonly #streams = new Map<StreamId, StreamConnection>()
  /** Incoming ones by the far side's id, for its packets from before it knew ours. */
  readonly #byPeer = new Map<number, StreamConnection>()
  readonly #deadlines = new Deadlines<StreamId>()
  readonly #pending = new Set<StreamId>()
  readonly #lingering = new Set<StreamId>()
  readonly #orphans = new Orphans()
  #orphansAt: Millis | undefined
  readonly #ended = new Lru<string, Millis>(MAX_ENDED)
  readonly #paths = new Lru<HashKey, Path>(MAX_PATHS)
  readonly #admission: Admission
  readonly #resets = new TokenBucket(RESETS_PER_SECOND, RESETS_PER_SECOND)
  readonly #pongs = new TokenBucket(PONGS_PER_SECOND, PONGS_PER_SECOND)

  constructor(options: StreamSetOptions) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    const signer = options.signer ?? signerOf(options.local)
    const received = new ReceiveBudget(this.#limits.receiveTotal)
    this.#context = { signer, clock: options.clock, limits: this.#limits, received }
    this.#hash = options.local.identity.hash
    this.#random = options.random
    this.#log = options.log ?? SILENT
    this.#admission = new Admission(this.#limits)
  }

  /** Streams that an application has to do with. */
  get size(): number {
    return this.#streams.size - this.#lingering.size
  }

  /** Everything that is remembered of streams, finished ones and early packets included. */
  get retained(): number {
    return this.#streams.size + this.#byPeer.size + this.#deadlines.size + this.#orphans.size
  }

  /** Bytes held for programs that have not read them, and behind gaps. */
  get held(): number {
    return this.#context.received.used
  }

  /**
   * A stream to `remote`; its first packet leaves with what is written in the same turn. `identity` from its lease set: without
   * it a refusal cannot be told from a forgery.
   * @throws {RefusedError} when there are too many streams.
   */
  connect(
    remote: Hash,
    identity: Identity | undefined,
    ports: Ports,
    now: Millis,
    _out: StreamSink,
  ): StreamId {
    if (this.size >= this.#limits.maxStreams) throw new RefusedError('limit', 'too many streams')
    const stream = new StreamConnection(this.#context, this.#newId(), remote, identity, ports, true, now)
    this.#inherit(stream, now)
    this.#streams.set(stream.id, stream)
    this.#settle(stream, now)
    this.#keepLingering(now)
    return stream.id
  }

  /** Answers an 'incoming'. */
  accept(id: StreamId, now: Millis, out: StreamSink): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#pending.delete(id)
    stream.accept(now, out)
    this.#settle(stream, now)
  }

  /** Returns how many of the bytes were taken (copied); 'drain' follows when not all. Of a stream that is gone: all. */
  write(id: StreamId, bytes: Uint8Array, now: Millis, out: StreamSink): number {
    const stream = this.#streams.get(id)
    if (stream === undefined) return bytes.length
    const accepted = stream.write(bytes, now, out)
    this.#settle(stream, now)
    return accepted
  }

  /** Nothing more will be written. */
  end(id: StreamId, now: Millis, out: StreamSink): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    stream.end(now, out)
    this.#settle(stream, now)
  }

  /** The application is done with it: what was written still goes out, what comes in is thrown away. 'closed' follows. */
  release(id: StreamId, now: Millis, out: StreamSink): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    stream.release(now, out)
    this.#settle(stream, now)
  }

  /** Breaks it off; 'closed' follows at once. */
  reset(id: StreamId, now: Millis, out: StreamSink): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    stream.abort(now, out)
    this.#settle(stream, now)
  }

  /** `bytes` of what 'data' gave are out of the way; without this the far side is asked to stop. */
  consumed(id: StreamId, bytes: number, now: Millis, _out: StreamSink): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    stream.consumed(bytes, now)
    this.#settle(stream, now)
  }

  /** `from` when the session that the payload came in proves who sent it. Never throws. */
  receive(payload: StreamPayload, from: Hash | undefined, now: Millis, out: StreamSink): void {
    try {
      this.#receive(payload, from, now, out)
    } catch (e) {
      if (!(e instanceof MalformedError)) throw e
      this.#log.write('debug', `stream packet dropped: ${e.message}`)
    }
  }

  /** There is no way to `remote`: streams that are still waiting for their first answer fail. */
  unreachable(remote: Hash, now: Millis, out: StreamSink): void {
    for (const stream of this.#streams.values()) {
      if (stream.state !== 'connecting' || !sameBytes(stream.remote, remote)) continue
      stream.close('unreachable', now, out)
      this.#settle(stream, now)
    }
  }

  /** Returns the id that 'pong' will have, if it comes. At most 32 bytes of payload come back. */
  ping(remote: Hash, ports: Ports, payload: Uint8Array, out: StreamSink): number {
    const id = this.#newId()
    const { signer } = this.#context
    const fields = { sendStreamId: id, receiveStreamId: 0, sequence: 0, ackThrough: 0, flags: ECHO }
    const packet = signedPacket({ ...fields, from: signer.identity }, signer, payload.subarray(0, MAX_ECHO))
    out.event({ kind: 'send', to: remote, ports, packet, lost: false })
    return id
  }

  timeout(now: Millis, out: StreamSink): void {
    if (this.#orphansAt !== undefined && this.#orphansAt <= now) this.#orphansAt = this.#orphans.expire(now)
    for (;;) {
      const id = this.#deadlines.due(now)
      if (id === undefined) break
      const stream = this.#streams.get(id)
      if (stream === undefined) continue
      stream.timeout(now, out)
      this.#settle(stream, now)
    }
    this.#keepLingering(now)
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#deadlines.next(), this.#orphansAt)
  }

  info(id: StreamId): StreamInfo | undefined {
    const stream = this.#streams.get(id)
    return stream === undefined ? undefined : describe(stream)
  }

  *infos(): Generator<StreamInfo> {
    for (const stream of this.#streams.values()) yield describe(stream)
  }

  #receive(payload: StreamPayload, from: Hash | undefined, now: Millis, out: StreamSink): void {
    const data = keepable(payload.data)
    const { sendStreamId, receiveStreamId } = peekIds(data)
    const stream = sendStreamId !== 0 ? this.#streams.get(sendStreamId) : this.#byPeer.get(receiveStreamId)
    // Our ids are known to one destination each; anybody else's use of them is none of that stream's business.
    if (stream !== undefined && from !== undefined && !sameBytes(from, stream.remote)) return
    const packet = readPacket(data, stream?.identity)
    if ((packet.flags & ECHO) !== 0) this.#echo(packet, payload, from, now, out)
    else if (stream !== undefined) {
      stream.receive(packet, now, out)
      this.#settle(stream, now)
    } else if (sendStreamId !== 0) this.#unknown(packet, payload, from, now, out)
    else if ((packet.flags & SYNCHRONIZE) !== 0 && packet.sequence === 0)
      this.#incoming(packet, payload, from, now, out)
    else {
      this.#orphans.add(receiveStreamId, { bytes: data, from }, now)
      this.#orphansAt = this.#orphans.expire(now)
    }
  }

  #incoming(
    packet: StreamPacket,
    payload: StreamPayload,
    from: Hash | undefined,
    now: Millis,
    out: StreamSink,
  ): void {
    const identity = packet.from
    if (identity === undefined || (from !== undefined && !sameBytes(from, identity.hash))) return
    // Routers before 0.9.58 send no hash, i2pd 2.45.1 among them.
    if (packet.nacks.length === this.#hash.length && !sameBytes(packet.nacks, this.#hash)) {
      this.#log.write('debug', 'SYNCHRONIZE for another destination dropped')
      return
    }
    const endedAt = this.#ended.get(endedKey(packet.receiveStreamId, identity.hash))
    if (packet.receiveStreamId === 0 || (endedAt !== undefined && now < endedAt + ENDED_LIFE)) return
    const key = verifyPacket(packet, identity, undefined, this.#context.clock.wall(now))
    if (key === undefined) return
    const ports = answerPorts(payload)
    if (!this.#admits(identity.hash, now)) {
      this.#log.write('debug', 'incoming stream refused')
      if (this.#limits.refuse === 'reset') this.#sendReset(packet, identity.hash, ports, now, out)
      return
    }
    const stream = new StreamConnection(
      this.#context,
      this.#newId(),
      identity.hash,
      identity,
      ports,
      false,
      now,
    )
    this.#inherit(stream, now)
    this.#streams.set(stream.id, stream)
    this.#byPeer.set(packet.receiveStreamId, stream)
    this.#pending.add(stream.id)
    stream.opened(packet, key, now)
    this.#adopt(stream, packet.receiveStreamId, now, out)
    this.#settle(stream, now)
    out.event({ kind: 'incoming', id: stream.id, from: identity, ports })
  }

  /** Packets that overtook the SYNCHRONIZE. */
  #adopt(stream: StreamConnection, peerId: number, now: Millis, out: StreamSink): void {
    for (const { bytes, from } of this.#orphans.take(peerId)) {
      if (from !== undefined && !sameBytes(from, stream.remote)) continue
      stream.receive(readPacket(bytes, stream.identity), now, out)
    }
  }

  #admits(remote: Hash, now: Millis): boolean {
    if (!this.listening || this.size >= this.#limits.maxStreams) return false
    return this.#pending.size < this.#limits.backlog && this.#admission.admits(remote, now)
  }

  /** A packet of a stream that we do not have: its sender is told, if it can be known who that is. */
  #unknown(
    packet: StreamPacket,
    payload: StreamPayload,
    from: Hash | undefined,
    now: Millis,
    out: StreamSink,
  ): void {
    if ((packet.flags & RESET) !== 0) return
    const to = from ?? this.#proved(packet, now)
    if (to !== undefined) this.#sendReset(packet, to, answerPorts(payload), now, out)
  }

  /** Who signed a packet that names its sender. */
  #proved(packet: StreamPacket, now: Millis): Hash | undefined {
    if (packet.from === undefined) return undefined
    const wall = this.#context.clock.wall(now)
    return verifyPacket(packet, packet.from, undefined, wall) === undefined ? undefined : packet.from.hash
  }

  /** With the sequence number that the far side expects next: i2pd heeds no other. */
  #sendReset(packet: StreamPacket, to: Hash, ports: Ports, now: Millis, out: StreamSink): void {
    if (!this.#resets.take(1, now)) return
    const { signer } = this.#context
    const nacks = nackSet(packet.nacks)
    const answered = (packet.flags & (NO_ACK | SYNCHRONIZE)) === 0
    const sequence = answered ? Math.min(packet.ackThrough + 1, ...(nacks ?? [])) : 0
    const bytes = signedPacket(
      {
        sendStreamId: packet.receiveStreamId,
        receiveStreamId: packet.sendStreamId,
        sequence: sequence >>> 0,
        ackThrough: packet.sequence,
        flags: RESET,
        from: signer.identity,
      },
      signer,
    )
    out.event({ kind: 'send', to, ports, packet: bytes, lost: false })
  }

  #echo(
    packet: StreamPacket,
    payload: StreamPayload,
    from: Hash | undefined,
    now: Millis,
    out: StreamSink,
  ): void {
    if (packet.sendStreamId === 0) {
      out.event({ kind: 'pong', id: packet.receiveStreamId, payload: packet.payload })
      return
    }
    if (!this.#limits.answerPings || !this.#pongs.take(1, now)) return
    const to = this.#proved(packet, now)
    if (to === undefined || (from !== undefined && !sameBytes(from, to))) return
    const echo = packet.payload.subarray(0, MAX_ECHO)
    const fields = { sendStreamId: 0, receiveStreamId: packet.sendStreamId, sequence: 0, ackThrough: 0 }
    const { bytes, payloadAt } = writePacket({ ...fields, flags: ECHO }, echo.length)
    bytes.set(echo, payloadAt)
    out.event({ kind: 'send', to, ports: answerPorts(payload), packet: bytes, lost: false })
  }

  /** Brings the books up to date after anything was done to `stream`. */
  #settle(stream: StreamConnection, now: Millis): void {
    const { id, state } = stream
    if (state === 'gone') {
      this.#forget(stream, now)
      return
    }
    if (state === 'lingering' && !this.#lingering.has(id)) {
      this.#lingering.add(id)
      this.#pending.delete(id)
    }
    const at = stream.nextTimeout()
    if (at === undefined) this.#deadlines.clear(id)
    else this.#deadlines.set(id, Math.max(at, now + LEAST_WAIT))
  }

  #forget(stream: StreamConnection, now: Millis): void {
    const { id, remote, sendStreamId, sender } = stream
    if (!this.#streams.delete(id)) return
    this.#deadlines.clear(id)
    this.#pending.delete(id)
    this.#lingering.delete(id)
    if (!stream.initiator && this.#byPeer.get(sendStreamId) === stream) {
      this.#byPeer.delete(sendStreamId)
      this.#ended.set(endedKey(sendStreamId, remote), now)
    }
    const { rtt, congestion } = sender
    if (rtt.sampled) {
      const path = { rtt: rtt.smoothed, variation: rtt.variation, window: congestion.window, at: now }
      this.#paths.set(hashKey(remote), path)
    }
  }

  #inherit(stream: StreamConnection, now: Millis): void {
    const path = this.#paths.get(hashKey(stream.remote))
    if (path === undefined || now > path.at + PATH_LIFE) return
    stream.sender.rtt.inherit(path.rtt, path.variation)
    stream.sender.congestion.inherit(path.window)
  }

  #keepLingering(now: Millis): void {
    while (this.#lingering.size > MAX_LINGERING) {
      const oldest: StreamId = this.#lingering.values().next().value!
      const stream = this.#streams.get(oldest)
      if (stream === undefined) this.#lingering.delete(oldest)
      else this.#forget(stream, now)
    }
  }

  #newId(): StreamId {
    for (;;) {
      const id = randomId(this.#random)
      if (!this.#streams.has(id)) return id
    }
  }
}

function describe(stream: StreamConnection): StreamInfo {
  const { id, remote, state, initiator, ports, sender } = stream
  return {
    id,
    remote,
    state,
    initiator,
    ports,
    rtt: sender.rtt.smoothed,
    window: sender.congestion.window,
    inFlight: sender.window.inFlight,
    lossRate: sender.congestion.lossRate,
  }
}

function answerPorts(payload: StreamPayload): Ports {
  return { sourcePort: payload.destinationPort, destinationPort: payload.sourcePort }
}

function endedKey(peerId: number, remote: Hash): string {
  return `${peerId}/${hashKey(remote)}`
}
