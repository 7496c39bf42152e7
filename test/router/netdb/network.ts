/** NetDbs of many routers joined by a virtual network: virtual time, latency, losses on demand. Tunnels are names only. */
import { Reader } from '../../../src/base/bytes.ts'
import { type Millis, WallClock } from '../../../src/base/clock.ts'
import { type Log, SILENT } from '../../../src/base/log.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import { readGarlic } from '../../../src/protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../../src/protocol/i2np/message.ts'
import { unwrapWithKey } from '../../../src/protocol/ratchet/symmetric-garlic.ts'
import { type HashKey, hashKey } from '../../../src/protocol/structures/hash.ts'
import {
  type LocalIdentity,
  newDestination,
  newRouterIdentity,
} from '../../../src/protocol/structures/identity.ts'
import type { LeaseSet } from '../../../src/protocol/structures/lease-set.ts'
import { signLeaseSet2 } from '../../../src/protocol/structures/lease-set2.ts'
import { type RouterInfo, signRouterInfo } from '../../../src/protocol/structures/router-info.ts'
import type { NetDbEvent } from '../../../src/router/netdb/events.ts'
import { NetDb } from '../../../src/router/netdb/netdb.ts'

export const NET_ID = 99
/** Noon UTC: far from the change of days unless a test wants it. */
const NOON: number = Date.UTC(2026, 10, 22, 12)

/** The tunnel id of the exploratory tunnel; a client's number is added for its own. */
const EXPLORATORY = 1000

export interface Node {
  readonly identity: LocalIdentity
  readonly key: HashKey
  readonly db: NetDb
  readonly events: NetDbEvent[]
  readonly replyKeys: Map<string, { client: number | undefined; key: Uint8Array; tag: Uint8Array }>
  readonly clock: WallClock
  up: boolean
  connected: boolean
  /** Whether clients have tunnels. */
  paths: boolean
}

export class Network {
  readonly nodes: Node[] = []
  readonly random: Random
  now: Millis = 0
  latency: Millis = 20
  /** Every delivery, for assertions. `how` is the event that caused it. */
  readonly traffic: { how: string; from: Node; to: Node; message: I2npMessage }[] = []
  /** Return false to lose a message. */
  filter: (how: string, from: Node, to: Node, message: I2npMessage) => boolean = () => true
  readonly #byKey = new Map<HashKey, Node>()
  readonly #queue: { at: Millis; run: () => void }[] = []
  readonly #wall: number

  constructor(seed: number, wall: number = NOON) {
    this.random = seededRandom(seed)
    this.#wall = wall
  }

  add(options: { floodfill?: boolean; caps?: string; log?: Log } = {}): Node {
    const identity = newRouterIdentity(this.random)
    const clock = new WallClock(this.#wall, 0)
    const floodfill = options.floodfill ?? true
    const key = hashKey(identity.identity.hash)
    const node: Node = {
      identity,
      key,
      events: [],
      replyKeys: new Map(),
      clock,
      up: true,
      connected: true,
      paths: true,
      db: new NetDb({
        local: identity.identity.hash,
        netId: NET_ID,
        random: this.random,
        clock,
        log: options.log ?? SILENT,
        floodfill,
        maxRouters: 500,
        paths: {
          reply: (client) =>
            node.paths
              ? { gateway: identity.identity.hash, tunnelId: EXPLORATORY + (client ?? 0) }
              : undefined,
        },
        connected: (hash) => node.connected && (this.#byKey.get(hashKey(hash))?.up ?? false),
      }),
    }
    this.nodes.push(node)
    this.#byKey.set(key, node)
    return node
  }

  many(count: number, floodfill: boolean = true): Node[] {
    return Array.from({ length: count }, () => this.add({ floodfill }))
  }

  wall(): number {
    return this.nodes[0]!.clock.wall(this.now)
  }

  routerInfo(
    node: Node,
    caps: string = 'XfR',
    published: number = this.wall(),
    netId: number = NET_ID,
  ): RouterInfo {
    const options = new Map([
      ['caps', caps],
      ['netId', `${netId}`],
      ['router.version', '0.9.67'],
    ])
    return signRouterInfo({ addresses: [], options, published }, node.identity)
  }

  leaseSet(
    local: LocalIdentity = newDestination(this.random),
    published: number = this.wall(),
    flags: number = 0,
  ): LeaseSet {
    const expires = published + 600_000
    const leases = [{ gateway: this.random.bytes(32), tunnelId: 5, end: expires }]
    const encryptionKeys = [{ type: 4, key: local.encryption.publicKey }]
    return signLeaseSet2({ published, expires, leases, encryptionKeys, flags, options: new Map() }, local)
  }

  /** Lets every node know the RouterInfos of `known`, as sessions would. */
  introduce(nodes: readonly Node[], known: readonly Node[] = nodes): void {
    for (const node of nodes) {
      for (const other of known) {
        if (other !== node)
          this.do(node, (out) => node.db.addRouterInfo(this.routerInfo(other), this.now, out))
      }
    }
  }

  /** A command to a node, and what comes of it. */
  do(node: Node, command: (out: { event(e: NetDbEvent): void }) => void): void {
    const events: NetDbEvent[] = []
    command({ event: (e) => void events.push(e) })
    for (const e of events) this.#event(node, e)
  }

  /** Virtual time passes. */
  run(duration: Millis): void {
    const end = this.now + duration
    for (;;) {
      let at = end
      let due: Node | undefined
      for (const node of this.nodes) {
        const next = node.db.nextTimeout()
        if (node.up && next !== undefined && next < at) {
          at = Math.max(next, this.now)
          due = node
        }
      }
      const message = this.#queue[0]
      if (message !== undefined && message.at <= at) {
        this.#queue.shift()
        this.now = Math.max(this.now, message.at)
        message.run()
        continue
      }
      this.now = at
      if (due === undefined) return
      const node = due
      this.do(node, (out) => node.db.timeout(this.now, out))
    }
  }

  /** Events of one kind that a node emitted. */
  seen<K extends NetDbEvent['kind']>(node: Node, kind: K): Extract<NetDbEvent, { kind: K }>[] {
    return node.events.filter((e): e is Extract<NetDbEvent, { kind: K }> => e.kind === kind)
  }

  #event(node: Node, e: NetDbEvent): void {
    node.events.push(e)
    if (e.kind === 'send') {
      this.#deliver(e.kind, node, hashKey(e.to), e.message, (to) => {
        this.do(to, (out) => to.db.handle(node.identity.identity.hash, e.message, 'session', this.now, out))
      })
    } else if (e.kind === 'send-garlic') {
      this.#deliver(e.kind, node, hashKey(e.to), e.message, (to) => {
        this.do(to, (out) => to.db.handle(undefined, e.message, 'session', this.now, out))
      })
    } else if (e.kind === 'send-tunnel') {
      this.#deliver(e.kind, node, hashKey(e.gateway), e.message, (to) =>
        this.#fromTunnel(to, e.tunnelId, e.message),
      )
    } else if (e.kind === 'reply-key') {
      node.replyKeys.set(hashKey(e.tag), e)
    }
  }

  #fromTunnel(to: Node, tunnelId: number, message: I2npMessage): void {
    const client = tunnelId === EXPLORATORY ? undefined : tunnelId - EXPLORATORY
    let inner: I2npMessage | undefined = message
    if (message.type === MessageType.Garlic) {
      const data = readGarlic(new Reader(message.payload))
      const known = to.replyKeys.get(hashKey(data.subarray(0, 8)))
      inner =
        known === undefined || known.client !== client
          ? undefined
          : unwrapWithKey(known.key, known.tag, data)?.message
    }
    if (inner === undefined) return
    const opened = inner
    this.do(to, (out) => to.db.handle(undefined, opened, { client }, this.now, out))
  }

  #deliver(how: string, from: Node, toKey: HashKey, message: I2npMessage, run: (to: Node) => void): void {
    const to = this.#byKey.get(toKey)
    if (to === undefined || !to.up || !from.up) return
    if (!this.filter(how, from, to, message)) return
    this.traffic.push({ how, from, to, message })
    this.#queue.push({ at: this.now + this.latency, run: () => to.up && run(to) })
    this.#queue.sort((a, b) => a.at - b.at)
  }
}
