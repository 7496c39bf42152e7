/** Takes part in other routers' tunnels (tunnel-creation-ecies; tunnel-implementation, "Participant Processing"). */
import { copy, Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import type { TokenBucket } from '../../base/token-bucket.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import { ACCEPTED, buildMinutes, LAYER_AES, REFUSED } from '../../protocol/build/record.ts'
import {
  answerShortRecords,
  ephemeralKey,
  findRecord,
  type OpenedRequest,
  openShortRecord,
} from '../../protocol/build/responder.ts'
import { writeGarlic } from '../../protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType, writeMessage } from '../../protocol/i2np/message.ts'
import { readTunnelBuild, SHORT_RECORD_LENGTH } from '../../protocol/i2np/tunnel-build.ts'
import { LOCAL_DELIVERY } from '../../protocol/ratchet/clove.ts'
import { wrapWithKey } from '../../protocol/ratchet/symmetric-garlic.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import { FragmentBudget } from '../../protocol/tunnel-data/reassembler.ts'
import { Admission } from './admission.ts'
import { DuplicateFilter } from './duplicate-filter.ts'
import { Policer } from './policer.ts'
import { LIFETIME_GRACE, TUNNEL_LIFETIME, type TunnelTable } from './table.ts'
import { type TransitResources, type TransitTunnel, transitTunnel } from './transit-tunnel.ts'
import type { Due, TransitLimits, TunnelSink } from './tunnel-event.ts'

// Specification constants
/** A request's time may be this far off, in minutes: an hour and what the rounding hides in the past, five in the future. */
const MAX_REQUEST_AGE = 65
const MAX_REQUEST_AHEAD = 5
/** As long as a request's time would let it pass again. */
const REPLAY_PERIOD: Millis = 70 * 60_000

// Implementation constants
/** Build requests remembered in that time: 15 a second, in 2 MB. */
const MAX_REPLAY_MARKS = 1 << 16
/** Bytes of unfinished messages at all transit endpoints together: a hundred of the longest. */
const TRANSIT_FRAGMENT_BYTES = 6 << 20

/** A granted tunnel, until its time is over. */
interface Grant extends Due {
  readonly tunnel: TransitTunnel
}

export class Transit {
  readonly #table: TunnelTable
  readonly #keys: X25519KeyPair
  readonly #policer: Policer
  readonly #admission: Admission
  readonly #resources: TransitResources
  readonly #replays: DuplicateFilter
  #count = 0

  constructor(table: TunnelTable, keys: X25519KeyPair, limits: TransitLimits, inbound: TokenBucket) {
    this.#table = table
    this.#keys = keys
    this.#policer = new Policer(limits.transitBytesPerSecond, inbound)
    this.#admission = new Admission(limits, this.#policer, table.random)
    const fragments = new FragmentBudget(TRANSIT_FRAGMENT_BYTES)
    this.#resources = { table, policer: this.#policer, fragments }
    this.#replays = new DuplicateFilter(REPLAY_PERIOD, MAX_REPLAY_MARKS, table.random)
  }

  /** Other routers' tunnels that stand here. */
  get count(): number {
    return this.#count
  }

  /** Bytes of tunnel messages carried for others. */
  get bytes(): number {
    return this.#policer.bytes
  }

  get limits(): TransitLimits {
    return this.#admission.limits
  }

  /** Tunnels that stand stay. */
  set limits(limits: TransitLimits) {
    this.#policer.rate = limits.transitBytesPerSecond
    this.#admission.limits = limits
  }

  /** A ShortTunnelBuild; `from` is undefined when it came in garlic. The payload is overwritten and passed on. */
  build(from: Hash | undefined, message: I2npMessage, now: Millis, out: TunnelSink): void {
    const records = shortRecords(message.payload)
    if (records === undefined) return
    const index = findRecord(records, this.#table.self)
    if (index < 0 || !this.#admission.mayAsk(from, now)) return
    const [high, low] = replayMark(records[index]!)
    if (this.#replays.has(high, low)) return
    const opened = openShortRecord(records, index, this.#keys)
    if (opened === undefined || this.#replays.seen(high, low, now)) return
    if (!this.#valid(from, opened, now)) return
    const granted = this.#grant(from, opened, now)
    answerShortRecords(records, opened, granted ? ACCEPTED : REFUSED, this.#table.random)
    this.#passOn(opened, message.payload, now, out)
  }

  /** What is not valid is dropped without an answer. */
  #valid(from: Hash | undefined, { request }: OpenedRequest, now: Millis): boolean {
    const age = buildMinutes(this.#table.clock.wall(now)) - request.requestTime
    if (age > MAX_REQUEST_AGE || age < -MAX_REQUEST_AHEAD) return this.#ignored('its time is off')
    if (request.layerEncryption !== LAYER_AES) return this.#ignored('unknown layer encryption')
    if (request.role !== 'outbound-endpoint' && this.#table.isSelf(request.nextHop)) {
      return this.#ignored('the next hop would be us')
    }
    // Only a gateway's request may come in garlic: the others are bound to the neighbour that sent it.
    if (from === undefined && request.role !== 'inbound-gateway') return this.#ignored('no previous hop')
    return true
  }

  #ignored(why: string): false {
    this.#table.log.write('debug', `build request ignored: ${why}`)
    return false
  }

  #grant(from: Hash | undefined, opened: OpenedRequest, now: Millis): boolean {
    const { receiveTunnelId, role } = opened.request
    const nextHop = copy(opened.request.nextHop)
    const previous = role === 'inbound-gateway' ? undefined : from
    if (!this.#admission.grants(this.#count, previous, nextHop, now)) return false
    const tunnel = transitTunnel(opened, previous, this.#resources)
    if (tunnel === undefined || !this.#table.add(receiveTunnelId, tunnel)) return false
    this.#count++
    this.#admission.hold(previous, nextHop, 1)
    const grant: Grant = {
      tunnel,
      due: () => {
        this.#table.remove(receiveTunnelId)
        tunnel.close()
        this.#count--
        this.#admission.hold(previous, nextHop, -1)
      },
    }
    this.#table.deadlines.set(grant, now + TUNNEL_LIFETIME + LIFETIME_GRACE)
    return true
  }

  /** Granted or refused, the message goes the whole way. */
  #passOn({ request, keys }: OpenedRequest, payload: Uint8Array, now: Millis, out: TunnelSink): void {
    const table = this.#table
    if (request.role !== 'outbound-endpoint') {
      const next = {
        ...table.envelope(MessageType.ShortTunnelBuild, payload, now),
        id: request.nextMessageId,
      }
      out.event({ kind: 'send', to: request.nextHop, message: next, traffic: 'transit' })
      return
    }
    let reply = table.envelope(MessageType.OutboundTunnelBuildReply, payload, now)
    reply = { ...reply, id: request.nextMessageId }
    // Garlic hides the reply from its gateway; when that is us, there is nothing to hide.
    if (!table.isSelf(request.nextHop) && keys.garlicReply !== undefined) {
      const { key, tag } = keys.garlicReply
      const garlic = wrapWithKey(key, tag, { delivery: LOCAL_DELIVERY, message: reply })
      reply = table.envelope(MessageType.Garlic, writeGarlic(garlic), now)
    }
    table.toTunnel(request.nextHop, request.nextTunnelId, writeMessage(reply), 'transit', now, out)
  }
}

/** Undefined when there are none, too many, or bytes are left. */
function shortRecords(payload: Uint8Array): Uint8Array[] | undefined {
  try {
    return readTunnelBuild(new Reader(payload), SHORT_RECORD_LENGTH)
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

/** 64 bits of the ephemeral key. */
function replayMark(record: Uint8Array): readonly [number, number] {
  const r = new Reader(ephemeralKey(record))
  return [r.u32(), r.u32()]
}
