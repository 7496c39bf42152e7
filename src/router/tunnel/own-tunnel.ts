/** Our own tunnels, built and working. */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { jitter } from '../../base/random.ts'
import type { TunnelHop } from '../../protocol/build/creator.ts'
import {
  type I2npMessage,
  isExpired,
  MAX_MESSAGE,
  STANDARD_HEADER,
  writeMessage,
} from '../../protocol/i2np/message.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import { CreatorLayers } from '../../protocol/tunnel-data/layers.ts'
import type { FragmentBudget } from '../../protocol/tunnel-data/reassembler.ts'
import { Batch } from './batch.ts'
import { Endpoint } from './endpoint.ts'
import { Gateway } from './gateway.ts'
import { LIFETIME_GRACE, type Receiver, TUNNEL_LIFETIME, type TunnelTable } from './table.ts'
import type { InboundView, OutboundDelivery, PoolId, TunnelSink } from './tunnel-event.ts'

// Implementation constants
/** How long before its end a tunnel gets a successor: 90 to 120 s, time for a dozen attempts. */
const REPLACE_BEFORE: Millis = 105_000
const REPLACE_JITTER = 1 / 7

/** What inbound and outbound tunnels have in common. */
export abstract class OwnTunnel {
  /** In path order; none for a tunnel that begins and ends here. */
  readonly hops: readonly TunnelHop[]
  readonly expiresAt: Millis
  readonly replaceAt: Millis
  /** Tests that failed in a row. */
  failures = 0
  /** A successor is due: it works on, and is no longer counted. */
  retiring = false

  /** `startedAt` is when its build request left, for then its hops begin to count. */
  constructor(table: TunnelTable, hops: readonly TunnelHop[], startedAt: Millis) {
    this.hops = hops
    this.expiresAt = startedAt + TUNNEL_LIFETIME
    this.replaceAt = this.expiresAt - jitter(table.random, REPLACE_BEFORE, REPLACE_JITTER)
  }

  /** Forgets what is under way in it. */
  abstract close(): void
}

export class OutboundTunnel extends OwnTunnel {
  readonly #table: TunnelTable
  readonly #gateway: Gateway | undefined

  constructor(table: TunnelTable, hops: readonly TunnelHop[], startedAt: Millis) {
    super(table, hops, startedAt)
    this.#table = table
    const first = hops[0]
    if (first !== undefined) {
      this.#gateway = new Gateway(table, first.hash, first.receiveTunnelId, new CreatorLayers(hops), 'own')
    }
  }

  /** The router whose address others see. */
  get endpoint(): Hash {
    return this.hops.at(-1)?.hash ?? this.#table.self
  }

  /** False when the message is too long for any tunnel. */
  send(to: OutboundDelivery, message: I2npMessage, now: Millis, out: TunnelSink): boolean {
    if (message.payload.length > MAX_MESSAGE - STANDARD_HEADER) return false
    if (this.#gateway !== undefined) this.#gateway.send(to, writeMessage(message), now, out)
    else if (to.kind === 'router') this.#table.toRouter(to.hash, message, 'own', out)
    else this.#table.toTunnel(to.gateway, to.tunnelId, writeMessage(message), 'own', now, out)
    return true
  }

  override close(): void {
    this.#gateway?.close()
  }
}

export class InboundTunnel extends OwnTunnel implements Receiver {
  /** Where we receive. */
  readonly tunnelId: number
  readonly closeAt: Millis
  readonly pool: PoolId
  readonly #table: TunnelTable
  readonly #batch: Batch<undefined>
  readonly #endpoint: Endpoint

  constructor(
    table: TunnelTable,
    pool: PoolId,
    tunnelId: number,
    hops: readonly TunnelHop[],
    startedAt: Millis,
    fragments: FragmentBudget,
  ) {
    super(table, hops, startedAt)
    this.tunnelId = tunnelId
    this.closeAt = this.expiresAt + LIFETIME_GRACE
    this.#table = table
    this.pool = pool
    this.#endpoint = new Endpoint(table, fragments)
    this.#batch = new Batch(table, new CreatorLayers(hops), (_item, block, now, out) =>
      this.#open(block, now, out),
    )
  }

  get gatewayHash(): Hash {
    return this.hops[0]?.hash ?? this.#table.self
  }

  get gatewayTunnelId(): number {
    return this.hops[0]?.receiveTunnelId ?? this.tunnelId
  }

  view(): InboundView {
    return {
      gateway: this.gatewayHash,
      gatewayTunnelId: this.gatewayTunnelId,
      expires: this.#table.clock.wall(this.expiresAt),
      zeroHop: this.hops.length === 0,
    }
  }

  data(from: Hash, message: I2npMessage, now: Millis, out: TunnelSink): void {
    const last = this.hops.at(-1)
    const payload = message.payload
    if (last === undefined || !sameBytes(from, last.hash) || this.#table.duplicate(payload, now)) return
    this.#batch.add(undefined, payload, now, out)
  }

  gateway(message: Uint8Array, now: Millis, out: TunnelSink): void {
    if (this.hops.length === 0) this.#received(message, now, out)
  }

  override close(): void {
    this.#table.remove(this.tunnelId)
    this.#endpoint.close()
  }

  #open(block: Uint8Array, now: Millis, out: TunnelSink): void {
    for (const { delivery, message: bytes } of this.#endpoint.receive(block, now)) {
      // Anything else would make us forward for whoever knows the gateway, and show it who we are.
      if (delivery.kind === 'local') this.#received(bytes, now, out)
    }
  }

  #received(bytes: Uint8Array, now: Millis, out: TunnelSink): void {
    const message = this.#table.read(bytes)
    if (message === undefined || isExpired(message, this.#table.clock.wall(now))) return
    out.event({ kind: 'received', pool: this.pool, tunnelId: this.gatewayTunnelId, message })
  }
}
