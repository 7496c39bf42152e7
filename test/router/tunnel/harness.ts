/** Routers that have tunnels and nothing else, wired by hash, in virtual time. */
import { copy, Reader } from '../../../src/base/bytes.ts'
import { WallClock } from '../../../src/base/clock.ts'
import { SILENT } from '../../../src/base/log.ts'
import { type Random, seededRandom, shuffle } from '../../../src/base/random.ts'
import { TokenBucket } from '../../../src/base/token-bucket.ts'
import type { Hop } from '../../../src/protocol/build/creator.ts'
import { readGarlic } from '../../../src/protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import type { Clove } from '../../../src/protocol/ratchet/clove.ts'
import { unwrapForRouter } from '../../../src/protocol/ratchet/router-garlic.ts'
import { unwrapWithKey } from '../../../src/protocol/ratchet/symmetric-garlic.ts'
import { type Hash, hashKey } from '../../../src/protocol/structures/hash.ts'
import { type LocalIdentity, newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import type {
  PoolId,
  PoolOptions,
  TransitLimits,
  TunnelEvent,
} from '../../../src/router/tunnel/tunnel-event.ts'
import { Tunnels } from '../../../src/router/tunnel/tunnels.ts'

export const START = 1_700_000_000_000
export const LATENCY = 10

export const LIMITS: TransitLimits = {
  maxTransit: 1000,
  transitBytesPerSecond: 10_000_000,
  peerBuildsPerSecond: 5,
  peerBuildBurst: 30,
  buildsPerSecond: 100,
}

export function pool(length: number, quantity = 2, over: Partial<PoolOptions> = {}): PoolOptions {
  const side = { length, quantity }
  return { name: 'test', kind: 'exploratory', inbound: side, outbound: side, disjoint: false, ...over }
}

export interface Wire {
  readonly from: Node
  readonly to: Hash
  readonly message: I2npMessage
}

export class Node {
  readonly local: LocalIdentity
  readonly tunnels: Tunnels
  readonly events: TunnelEvent[] = []
  readonly received: { pool: PoolId; message: I2npMessage; at: number }[] = []
  readonly locals: I2npMessage[] = []
  /** Chosen hops, when a test wants to say them. */
  path: ((direction: string, length: number) => readonly Node[] | undefined) | undefined
  readonly #keys: { pool: PoolId; key: Uint8Array; tag: Uint8Array }[] = []
  readonly #net: Net

  constructor(net: Net, limits: TransitLimits) {
    this.#net = net
    this.local = newRouterIdentity(net.random)
    this.tunnels = new Tunnels({
      local: this.local,
      random: net.random,
      clock: net.clock,
      log: SILENT,
      limits,
      inbound: net.inbound,
      selectHops: (_pool, direction, length) =>
        (this.path ?? ((_d, n) => net.others(this, n)))(direction, length)?.map(hopOf),
    })
  }

  get hash(): Hash {
    return this.local.identity.hash
  }

  event(e: TunnelEvent): void {
    switch (e.kind) {
      case 'send':
        this.#net.send(this, e.to, e.message)
        return
      case 'received':
        this.fromTunnel(e.pool, e.message)
        return
      case 'local':
        this.locals.push(e.message)
        this.fromPeer(this.hash, e.message)
        return
      case 'reply-key':
        this.#keys.push(e)
        return
      default:
        this.events.push(e)
    }
  }

  fromPeer(from: Hash, message: I2npMessage): void {
    const { now, clock } = this.#net
    if (message.type !== MessageType.Garlic) {
      this.tunnels.handle(from, message, now, this)
      return
    }
    const garlic = readGarlic(new Reader(message.payload))
    for (const clove of unwrapForRouter(this.local.encryption, garlic, clock.wall(now)) ?? [])
      this.clove(clove, undefined)
  }

  fromTunnel(from: PoolId, message: I2npMessage): void {
    if (message.type === MessageType.Garlic) {
      const garlic = readGarlic(new Reader(message.payload))
      for (const { pool, key, tag } of this.#keys) {
        const clove =
          pool === from && hashKey(tag) === hashKey(garlic.subarray(0, 8))
            ? unwrapWithKey(key, tag, garlic)
            : undefined
        if (clove !== undefined) {
          this.clove(clove, from)
          return
        }
      }
    }
    if (message.type === MessageType.OutboundTunnelBuildReply) {
      this.tunnels.handleUnwrapped(message, from, this.#net.now, this)
      return
    }
    this.received.push({ pool: from, message, at: this.#net.now })
  }

  clove({ message }: Clove, pool: PoolId | undefined): void {
    const { now } = this.#net
    if (message.type !== MessageType.DeliveryStatus) this.tunnels.handleUnwrapped(message, pool, now, this)
    else if (pool !== undefined) this.tunnels.deliveryStatus(message, pool, this)
  }

  count(kind: TunnelEvent['kind'], what?: string): number {
    return this.events.filter(
      (e) => e.kind === kind && (what === undefined || ('what' in e && e.what === what)),
    ).length
  }
}

export class Net {
  /** What comes in, at all nodes: no limit unless a test sets one. */
  readonly inbound: TokenBucket = new TokenBucket(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  readonly random: Random
  readonly clock: WallClock = new WallClock(START, 0)
  readonly nodes: Node[] = []
  now = 0
  /** What passes a wire; return false to lose it. */
  tap: (w: Wire) => boolean = () => true
  #queue: { at: number; wire: Wire }[] = []
  readonly #byHash = new Map<string, Node>()

  constructor(n: number, seed = 1, limits: TransitLimits = LIMITS) {
    this.random = seededRandom(seed)
    for (let i = 0; i < n; i++) this.add(limits)
  }

  add(limits: TransitLimits = LIMITS): Node {
    const node = new Node(this, limits)
    this.nodes.push(node)
    this.#byHash.set(hashKey(node.hash), node)
    return node
  }

  others(node: Node, n: number): readonly Node[] | undefined {
    const others = shuffle(
      this.random,
      this.nodes.filter((o) => o !== node),
    )
    return others.length < n ? undefined : others.slice(0, n)
  }

  nameOf(hash: Hash): Node | undefined {
    return this.#byHash.get(hashKey(hash))
  }

  send(from: Node, to: Hash, message: I2npMessage): void {
    const wire = { from, to: copy(to), message: { ...message, payload: copy(message.payload) } }
    if (this.tap(wire)) this.#queue.push({ at: this.now + LATENCY, wire })
  }

  /** Runs for `ms`, event by event. */
  run(ms: number): void {
    const end = this.now + ms
    for (;;) {
      let next = this.#queue[0]?.at ?? Number.POSITIVE_INFINITY
      for (const node of this.nodes)
        next = Math.min(next, node.tunnels.nextTimeout() ?? Number.POSITIVE_INFINITY)
      if (next > end) break
      this.now = Math.max(this.now, next)
      while (this.#queue.length > 0 && this.#queue[0]!.at <= this.now) {
        const { wire } = this.#queue.shift()!
        this.nameOf(wire.to)?.fromPeer(wire.from.hash, wire.message)
      }
      for (const node of this.nodes) node.tunnels.timeout(this.now, node)
    }
    this.now = end
  }
}

function hopOf(node: Node): Hop {
  return { hash: node.hash, encryptionKey: node.local.encryption.publicKey }
}
