/**
 * What all tunnels of a router share: the table of tunnel ids at which this router receives, their deadlines, the filter for
 * duplicates, and the way out for messages that have left a tunnel.
 */
import { Reader, sameBytes } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { type Random, randomId } from '../../base/random.ts'
import type { Traffic } from '../../protocol/blocks/output-queue.ts'
import { type I2npMessage, isExpired, MessageType, readMessage } from '../../protocol/i2np/message.ts'
import { writeTunnelGateway } from '../../protocol/i2np/tunnel-gateway.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import { DuplicateFilter } from './duplicate-filter.ts'
import type { Due, OutboundDelivery, TunnelSink } from './tunnel-event.ts'

// Specification constants
/** A tunnel lives this long, counted from its build request. */
export const TUNNEL_LIFETIME: Millis = 600_000
/** Tunnel id, then a block. */
export const TUNNEL_DATA_PAYLOAD = 1028
export const TUNNEL_ID_LENGTH = 4

// Implementation constants
/** How long a hop still takes what was under way when the tunnel ended; i2pd's figure. */
export const LIFETIME_GRACE: Millis = 60_000
/** Date of the messages that carry tunnels: what i2pd gives them, and as long as a message can be under way. */
const MESSAGE_LIFETIME: Millis = 10_000
/** Messages remembered in a tunnel's lifetime: 430 a second, in 8 MB at most. A router that carries more forgets sooner. */
const MAX_DUPLICATE_MARKS = 1 << 18

/** What a tunnel id at this router stands for. Both verbs own the bytes they are given. */
export interface Receiver {
  /** The payload of a TunnelData, 1028 bytes. `message` has the header's fields. */
  data(from: Hash, message: I2npMessage, now: Millis, out: TunnelSink): void
  /** A message with its standard header, out of a TunnelGateway. */
  gateway(message: Uint8Array, now: Millis, out: TunnelSink): void
}

/** Something that a turn has begun and its end completes. */
export interface Waiting {
  flush(now: Millis, out: TunnelSink): void
}

export interface TableParameters {
  readonly self: Hash
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
}

export class TunnelTable {
  readonly self: Hash
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  readonly deadlines: Deadlines<Due> = new Deadlines<Due>()
  readonly #receivers = new Map<number, Receiver>()
  readonly #duplicates: DuplicateFilter
  readonly #waiting: Waiting[] = []
  /** When the first of what waits for a flush came. */
  waitingSince: Millis | undefined

  constructor(p: TableParameters) {
    this.self = p.self
    this.random = p.random
    this.clock = p.clock
    this.log = p.log
    this.#duplicates = new DuplicateFilter(TUNNEL_LIFETIME, MAX_DUPLICATE_MARKS, p.random)
  }

  /** It will be flushed before the turn is over. */
  wait(what: Waiting, now: Millis): void {
    this.#waiting.push(what)
    this.waitingSince ??= now
  }

  /** Also what the flushing adds. */
  flush(now: Millis, out: TunnelSink): void {
    if (this.waitingSince === undefined) return
    const waiting = this.#waiting
    for (let i = 0; i < waiting.length; i++) waiting[i]!.flush(now, out)
    waiting.length = 0
    this.waitingSince = undefined
  }

  get(tunnelId: number): Receiver | undefined {
    return this.#receivers.get(tunnelId)
  }

  /** False when the id is taken. */
  add(tunnelId: number, receiver: Receiver): boolean {
    if (this.#receivers.has(tunnelId)) return false
    this.#receivers.set(tunnelId, receiver)
    return true
  }

  remove(tunnelId: number): void {
    this.#receivers.delete(tunnelId)
  }

  /** An id that is free here. */
  freeId(): number {
    for (;;) {
      const id = randomId(this.random)
      if (!this.#receivers.has(id)) return id
    }
  }

  isSelf(hash: Hash): boolean {
    return sameBytes(hash, this.self)
  }

  /** True for a block whose IV and first block came before (tunnel-implementation, "Participant Processing"). */
  duplicate(payload: Uint8Array, now: Millis): boolean {
    return this.#duplicates.seen(ivXorBlock(payload, 0), ivXorBlock(payload, 4), now)
  }

  /** To a router, perhaps this one. */
  toRouter(to: Hash, message: I2npMessage, traffic: Traffic, out: TunnelSink): void {
    if (this.isSelf(to)) out.event({ kind: 'local', message })
    else out.event({ kind: 'send', to, message, traffic })
  }

  /** To the gateway of an inbound tunnel, perhaps one of ours. `message` has its standard header. */
  toTunnel(
    gateway: Hash,
    tunnelId: number,
    message: Uint8Array,
    traffic: Traffic,
    now: Millis,
    out: TunnelSink,
  ): void {
    if (this.isSelf(gateway)) {
      this.#receivers.get(tunnelId)?.gateway(message, now, out)
      return
    }
    const payload = writeTunnelGateway({ tunnelId, message })
    this.toRouter(gateway, this.envelope(MessageType.TunnelGateway, payload, now), traffic, out)
  }

  /** A message as it left somebody's tunnel that ends here. Refused when it is malformed or expired. */
  deliver(to: OutboundDelivery, bytes: Uint8Array, now: Millis, out: TunnelSink): void {
    const message = this.read(bytes)
    if (message === undefined || isExpired(message, this.clock.wall(now))) return
    if (to.kind === 'router') this.toRouter(to.hash, message, 'transit', out)
    else this.toTunnel(to.gateway, to.tunnelId, bytes, 'transit', now, out)
  }

  /** Undefined when malformed. */
  read(bytes: Uint8Array): I2npMessage | undefined {
    try {
      return readMessage(new Reader(bytes))
    } catch (e) {
      if (e instanceof MalformedError) return undefined
      throw e
    }
  }

  /** A message of ours to a neighbour. */
  envelope(type: number, payload: Uint8Array, now: Millis): I2npMessage {
    return { type, id: randomId(this.random), expiration: this.clock.wall(now) + MESSAGE_LIFETIME, payload }
  }
}

/** Four of the 16 bytes of IV XOR first block, from byte `at` on, as an unsigned number. 8 of the 16 tell messages apart. */
function ivXorBlock(p: Uint8Array, at: number): number {
  const i = TUNNEL_ID_LENGTH + at
  const b = i + 16
  return (
    (((p[i]! ^ p[b]!) << 24) |
      ((p[i + 1]! ^ p[b + 1]!) << 16) |
      ((p[i + 2]! ^ p[b + 2]!) << 8) |
      (p[i + 3]! ^ p[b + 3]!)) >>>
    0
  )
}

/** Writes the id over the first four bytes of a TunnelData payload. */
export function setTunnelId(payload: Uint8Array, id: number): void {
  payload[0] = id >>> 24
  payload[1] = id >>> 16
  payload[2] = id >>> 8
  payload[3] = id
}

/** Undefined unless a payload has four bytes. */
export function tunnelIdOf(p: Uint8Array): number | undefined {
  return p.length < 4 ? undefined : ((p[0]! << 24) | (p[1]! << 16) | (p[2]! << 8) | p[3]!) >>> 0
}
