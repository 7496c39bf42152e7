/** Other routers' tunnels at this router, by role. */

import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { randomId } from '../../base/random.ts'
import type { OpenedRequest } from '../../protocol/build/responder.ts'
import type { I2npMessage } from '../../protocol/i2np/message.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import { LOCAL } from '../../protocol/tunnel-data/delivery.ts'
import { HopLayer } from '../../protocol/tunnel-data/layers.ts'
import type { FragmentBudget } from '../../protocol/tunnel-data/reassembler.ts'
import { Batch } from './batch.ts'
import { Endpoint } from './endpoint.ts'
import { Gateway } from './gateway.ts'
import type { Policer } from './policer.ts'
import { type Receiver, setTunnelId, type TunnelTable } from './table.ts'
import type { TunnelSink } from './tunnel-event.ts'

/** What transit tunnels share beside the table. */
export interface TransitResources {
  readonly table: TunnelTable
  readonly policer: Policer
  readonly fragments: FragmentBudget
}

export interface TransitTunnel extends Receiver {
  close(): void
}

/** `previous` is the router that sent the build request; a gateway has none. */
export function transitTunnel(
  opened: OpenedRequest,
  previous: Hash | undefined,
  resources: TransitResources,
): TransitTunnel | undefined {
  if (opened.request.role === 'inbound-gateway') return new TransitGateway(opened, resources)
  if (previous === undefined) return undefined
  if (opened.request.role === 'participant') return new Participant(opened, previous, resources)
  return new TransitEndpoint(opened, previous, resources)
}

/** Adds its layer and passes on: the hot path. The message's buffer travels through. */
class Participant implements TransitTunnel {
  readonly #table: TunnelTable
  readonly #policer: Policer
  readonly #previous: Hash
  readonly #batch: Batch<I2npMessage>

  constructor(opened: OpenedRequest, previous: Hash, resources: TransitResources) {
    this.#table = resources.table
    this.#policer = resources.policer
    this.#previous = previous
    const { table } = resources
    const { nextHop, nextTunnelId } = opened.request
    this.#batch = new Batch(table, new HopLayer(opened.keys), (message, _block, _now, out) => {
      const { payload, type, expiration } = message
      setTunnelId(payload, nextTunnelId)
      // The expiration stays: a new one would tell the next hop nothing, but let a message live on.
      const id = randomId(table.random)
      out.event({ kind: 'send', to: nextHop, message: { type, id, expiration, payload }, traffic: 'transit' })
    })
  }

  data(from: Hash, message: I2npMessage, now: Millis, out: TunnelSink): void {
    const payload = message.payload
    if (!sameBytes(from, this.#previous) || this.#table.duplicate(payload, now)) return
    if (this.#policer.passes(payload.length, now)) this.#batch.add(message, payload, now, out)
  }

  gateway(): void {}

  close(): void {}
}

/** Takes messages from anyone. */
class TransitGateway implements TransitTunnel {
  readonly #policer: Policer
  readonly #gateway: Gateway

  constructor(opened: OpenedRequest, resources: TransitResources) {
    const { nextHop, nextTunnelId } = opened.request
    this.#policer = resources.policer
    this.#gateway = new Gateway(resources.table, nextHop, nextTunnelId, new HopLayer(opened.keys), 'transit')
  }

  data(): void {}

  gateway(message: Uint8Array, now: Millis, out: TunnelSink): void {
    if (message.length === 0 || !this.#policer.passes(message.length, now)) return
    this.#gateway.send(LOCAL, message, now, out)
  }

  close(): void {
    this.#gateway.close()
  }
}

/** Sends to anyone. */
class TransitEndpoint implements TransitTunnel {
  readonly #table: TunnelTable
  readonly #policer: Policer
  readonly #previous: Hash
  readonly #batch: Batch<undefined>
  readonly #endpoint: Endpoint

  constructor(opened: OpenedRequest, previous: Hash, resources: TransitResources) {
    this.#table = resources.table
    this.#policer = resources.policer
    this.#previous = previous
    this.#endpoint = new Endpoint(resources.table, resources.fragments)
    this.#batch = new Batch(resources.table, new HopLayer(opened.keys), (_item, block, now, out) =>
      this.#open(block, now, out),
    )
  }

  data(from: Hash, message: I2npMessage, now: Millis, out: TunnelSink): void {
    const payload = message.payload
    if (!sameBytes(from, this.#previous) || this.#table.duplicate(payload, now)) return
    if (this.#policer.passes(payload.length, now)) this.#batch.add(undefined, payload, now, out)
  }

  gateway(): void {}

  close(): void {
    this.#endpoint.close()
  }

  #open(block: Uint8Array, now: Millis, out: TunnelSink): void {
    for (const { delivery, message: bytes } of this.#endpoint.receive(block, now)) {
      // An outbound tunnel has no local delivery (tunnel-message, "First Fragment Delivery Instructions").
      if (delivery.kind !== 'local') this.#table.deliver(delivery, bytes, now, out)
    }
  }
}
