/**
 * Tests pairs of our tunnels (tunnel-implementation, "Tunnel Testing"): a DeliveryStatus goes out through one and comes back
 * through the other, in garlic, so that the routers between see a message like any other.
 */
import { Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { jitter, shuffle } from '../../base/random.ts'
import { readDeliveryStatus, writeDeliveryStatus } from '../../protocol/i2np/delivery-status.ts'
import { writeGarlic } from '../../protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../protocol/i2np/message.ts'
import { LOCAL_DELIVERY } from '../../protocol/ratchet/clove.ts'
import { wrapWithKey } from '../../protocol/ratchet/symmetric-garlic.ts'
import type { InboundTunnel, OutboundTunnel, OwnTunnel } from './own-tunnel.ts'
import type { Pool } from './pool.ts'
import type { TunnelTable } from './table.ts'
import type { Due, PeerResult, PoolId, TunnelSink } from './tunnel-event.ts'

// Implementation constants
/** Between tests of a pool: 30 to 60 s. */
const TEST_INTERVAL: Millis = 45_000
const TEST_JITTER = 1 / 3
/** After a failure, so that a dead tunnel is known as such in half a minute. */
const RETEST_AFTER: Millis = 5_000
const TEST_TIMEOUT: Millis = 10_000
/** Failures in a row after which a tunnel is given up: one may be the fault of the tunnel it was paired with. */
const MAX_TEST_FAILURES = 2
const KEY_LENGTH = 32
const TAG_LENGTH = 8

export interface TestOwner {
  /** `tunnel` failed `MAX_TEST_FAILURES` tests in a row. */
  testFailed(pool: Pool, tunnel: OwnTunnel, now: Millis, out: TunnelSink): void
}

interface Pair extends Due {
  readonly pool: Pool
  readonly outbound: OutboundTunnel
  readonly inbound: InboundTunnel
}

export class TunnelTests {
  readonly #table: TunnelTable
  readonly #owner: TestOwner
  readonly #pairs = new Map<number, Pair>()
  readonly #pools = new Map<Pool, Due>()

  constructor(table: TunnelTable, owner: TestOwner) {
    this.#table = table
    this.#owner = owner
  }

  /** Tests the pool's tunnels from now on, unless it does already. */
  add(pool: Pool, now: Millis): void {
    if (this.#pools.has(pool)) return
    const due: Due = { due: (at, out) => this.#round(pool, at, out) }
    this.#pools.set(pool, due)
    this.#schedule(pool, now)
  }

  remove(pool: Pool): void {
    const due = this.#pools.get(pool)
    if (due !== undefined) this.#table.deadlines.clear(due)
    this.#pools.delete(pool)
    for (const [id, pair] of this.#pairs) if (pair.pool === pool) this.#forget(id, pair)
  }

  /** True when the message, out of a tunnel of `pool`, answers a test of that pool. */
  answered(message: I2npMessage, pool: PoolId, out: TunnelSink): boolean {
    const id = statusId(message)
    const pair = id === undefined ? undefined : this.#pairs.get(id)
    if (id === undefined || pair === undefined || pair.pool.id !== pool) return false
    this.#forget(id, pair)
    pair.outbound.failures = 0
    pair.inbound.failures = 0
    this.#results(pair, 'test-ok', out)
    return true
  }

  /** Each tunnel at least once, in pairs by chance; but who failed last time is paired with one who did not, to tell which is dead. */
  #round(pool: Pool, now: Millis, out: TunnelSink): void {
    const outbound = shuffle(this.#table.random, pool.outbound.fresh()).sort(
      (a, b) => a.failures - b.failures,
    )
    const inbound = shuffle(this.#table.random, pool.inbound.fresh()).sort((a, b) => b.failures - a.failures)
    const tests =
      outbound.length === 0 || inbound.length === 0 ? 0 : Math.max(outbound.length, inbound.length)
    for (let i = 0; i < tests; i++) {
      this.#test(pool, outbound[i % outbound.length]!, inbound[i % inbound.length]!, now, out)
    }
    this.#schedule(pool, now)
  }

  #test(pool: Pool, outbound: OutboundTunnel, inbound: InboundTunnel, now: Millis, out: TunnelSink): void {
    if (outbound.hops.length + inbound.hops.length === 0) return
    const { random } = this.#table
    const key = random.bytes(KEY_LENGTH)
    const tag = random.bytes(TAG_LENGTH)
    const status = this.#table.envelope(MessageType.DeliveryStatus, new Uint8Array(0), now)
    const payload = writeDeliveryStatus({ messageId: status.id, timestamp: random.bytes(8) })
    const clove = { delivery: LOCAL_DELIVERY, message: { ...status, payload } }
    const garlic = this.#table.envelope(MessageType.Garlic, writeGarlic(wrapWithKey(key, tag, clove)), now)
    const pair: Pair = { pool, outbound, inbound, due: (at, sink) => this.#failed(status.id, pair, at, sink) }
    this.#pairs.set(status.id, pair)
    this.#table.deadlines.set(pair, now + TEST_TIMEOUT)
    out.event({ kind: 'reply-key', pool: pool.id, key, tag })
    const to = { kind: 'tunnel', gateway: inbound.gatewayHash, tunnelId: inbound.gatewayTunnelId } as const
    outbound.send(to, garlic, now, out)
  }

  #failed(id: number, pair: Pair, now: Millis, out: TunnelSink): void {
    this.#forget(id, pair)
    this.#results(pair, 'test-failed', out)
    const due = this.#pools.get(pair.pool)
    if (due !== undefined) this.#table.deadlines.set(due, now + RETEST_AFTER)
    for (const tunnel of [pair.outbound, pair.inbound]) {
      tunnel.failures++
      if (tunnel.failures >= MAX_TEST_FAILURES) this.#owner.testFailed(pair.pool, tunnel, now, out)
    }
  }

  #results(pair: Pair, what: PeerResult, out: TunnelSink): void {
    for (const tunnel of [pair.outbound, pair.inbound]) {
      for (const hop of tunnel.hops) out.event({ kind: 'peer-result', peer: hop.hash, what })
    }
  }

  #forget(id: number, pair: Pair): void {
    this.#pairs.delete(id)
    this.#table.deadlines.clear(pair)
  }

  #schedule(pool: Pool, now: Millis): void {
    const due = this.#pools.get(pool)
    if (due === undefined) return
    this.#table.deadlines.set(due, now + jitter(this.#table.random, TEST_INTERVAL, TEST_JITTER))
  }
}

function statusId(message: I2npMessage): number | undefined {
  try {
    return readDeliveryStatus(new Reader(message.payload)).messageId
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
