/** Two or more StreamSets on a seeded virtual network: latency, jitter, loss, copies, a bottleneck with a queue. */
import { WallClock } from '../../../src/base/clock.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import type { StreamId, StreamSetEvent } from '../../../src/protocol/streaming/events.ts'
import type { StreamLimits } from '../../../src/protocol/streaming/limits.ts'
import { StreamSet } from '../../../src/protocol/streaming/streams.ts'
import { hashKey } from '../../../src/protocol/structures/hash.ts'
import { type LocalIdentity, newDestination } from '../../../src/protocol/structures/identity.ts'

export interface ChannelOptions {
  readonly seed?: number
  /** One way, ms. */
  readonly latency?: number
  /** Up to this much more, each packet for itself: reorders. */
  readonly jitter?: number
  readonly loss?: number
  readonly duplicates?: number
  /** Bytes per ms through the bottleneck, each way; 0 for no limit. */
  readonly rate?: number
  /** Bytes that the bottleneck holds. */
  readonly queue?: number
  /** Whether the session proves who sent a packet. */
  readonly bound?: boolean
}

export interface Flight {
  readonly from: Node
  readonly to: Node
  readonly packet: Uint8Array
}

interface Due {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class Node {
  readonly local: LocalIdentity
  readonly set: StreamSet
  readonly network: Network
  readonly events: StreamSetEvent[] = []
  /** What arrived, by stream. */
  readonly received: Map<StreamId, Uint8Array[]> = new Map()
  readonly sent: { packets: number; bytes: number } = { packets: 0, bytes: 0 }
  onEvent: (e: StreamSetEvent) => void = () => {}
  busyUntil = 0
  #timer: number | undefined

  constructor(network: Network, local: LocalIdentity, limits: Partial<StreamLimits>) {
    this.network = network
    this.local = local
    this.set = new StreamSet({
      local,
      random: network.random,
      clock: new WallClock(1_700_000_000_000, 0),
      limits,
    })
  }

  get hash(): Uint8Array {
    return this.local.identity.hash
  }

  event(e: StreamSetEvent): void {
    if (e.kind === 'send') {
      this.sent.packets++
      this.sent.bytes += e.packet.length
      this.network.carry(this, e)
      return
    }
    this.events.push(e)
    if (e.kind === 'data') {
      const chunks = this.received.get(e.id)
      if (chunks === undefined) this.received.set(e.id, [e.bytes])
      else chunks.push(e.bytes)
    }
    this.onEvent(e)
  }

  of(kind: StreamSetEvent['kind'], id?: StreamId): StreamSetEvent[] {
    return this.events.filter((e) => e.kind === kind && (id === undefined || ('id' in e && e.id === id)))
  }

  text(id: StreamId): string {
    return Buffer.concat(this.received.get(id) ?? []).toString()
  }

  /** To be called after every command. */
  arm(): void {
    const at = this.set.nextTimeout()
    if (at === undefined || (this.#timer !== undefined && this.#timer <= at)) return
    this.#timer = at
    this.network.at(at, () => {
      if (this.#timer !== at) return
      this.#timer = undefined
      this.set.timeout(this.network.now, this)
      this.arm()
    })
  }
}

export class Network {
  readonly random: Random
  readonly nodes: Node[] = []
  now = 1000
  /** Sees every packet before the network does; false swallows it. */
  filter: (flight: Flight) => boolean = () => true
  options: ChannelOptions
  dropped = 0
  readonly #due: Due[] = []
  #order = 0

  constructor(options: ChannelOptions = {}) {
    this.options = options
    this.random = seededRandom(options.seed ?? 1)
  }

  node(limits: Partial<StreamLimits> = {}): Node {
    const node = new Node(this, newDestination(this.random), limits)
    node.set.listening = true
    this.nodes.push(node)
    return node
  }

  at(at: number, run: () => void): void {
    const heap = this.#due
    const due = { at: Math.max(at, this.now), order: this.#order++, run }
    let i = heap.length
    heap.push(due)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!earlier(due, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = due
  }

  carry(from: Node, e: StreamSetEvent & { kind: 'send' }): void {
    const to = this.nodes.find((n) => hashKey(n.hash) === hashKey(e.to))
    if (to === undefined || !this.filter({ from, to, packet: e.packet })) return
    const {
      latency = 0,
      jitter = 0,
      loss = 0,
      duplicates = 0,
      rate = 0,
      queue = 1e9,
      bound = true,
    } = this.options
    const copies = this.random.below(1e6) < duplicates * 1e6 ? 2 : 1
    for (let i = 0; i < copies; i++) {
      let at = this.now + latency + (jitter > 0 ? this.random.below(jitter * 1000) / 1000 : 0)
      if (this.random.below(1e6) < loss * 1e6) {
        this.dropped++
        continue
      }
      if (rate > 0) {
        const start = Math.max(this.now, from.busyUntil)
        if ((start - this.now) * rate > queue) {
          this.dropped++
          continue
        }
        from.busyUntil = start + e.packet.length / rate
        at += from.busyUntil - this.now
      }
      // A view that is not at the start of its buffer, and bytes that the sender cannot change any more.
      const data = new Uint8Array(Buffer.concat([Buffer.alloc(3), e.packet])).subarray(3)
      const payload = { sourcePort: e.ports.sourcePort, destinationPort: e.ports.destinationPort, data }
      this.at(at, () => {
        to.set.receive(payload, bound ? from.hash : undefined, this.now, to)
        to.arm()
      })
    }
  }

  /** Until `done`, or until nothing happens, or `until`. */
  run(done: () => boolean = () => false, until: number = Number.POSITIVE_INFINITY): void {
    for (const node of this.nodes) node.arm()
    while (this.#due.length > 0 && !done()) {
      if (this.#due[0]!.at > until) {
        this.now = until
        return
      }
      const due = this.#pop()
      this.now = due.at
      due.run()
    }
  }

  runFor(ms: number): void {
    this.run(undefined, this.now + ms)
  }

  #pop(): Due {
    const heap = this.#due
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child++
      if (!earlier(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}

function earlier(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** `n` bytes that say where they stand. */
export function pattern(n: number, seed = 1): Uint8Array {
  const out = new Uint8Array(n)
  let x = seed
  for (let i = 0; i < n; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    out[i] = x >>> 24
  }
  return out
}

/** Writes all of `bytes` to a stream as room appears, then ends it. */
export function pump(node: Node, id: StreamId, bytes: Uint8Array, end = true): void {
  let at = 0
  const go = (): void => {
    while (at < bytes.length) {
      const n = node.set.write(id, bytes.subarray(at), node.network.now, node)
      at += n
      if (n === 0) break
    }
    if (at === bytes.length && end) {
      at++
      node.set.end(id, node.network.now, node)
    }
    node.arm()
  }
  const before = node.onEvent
  node.onEvent = (e) => {
    before(e)
    if (e.kind === 'drain' && e.id === id) go()
  }
  go()
}

/** Accepts everything and reads at once. */
export function sink(node: Node): void {
  const before = node.onEvent
  node.onEvent = (e) => {
    before(e)
    if (e.kind === 'incoming') node.set.accept(e.id, node.network.now, node)
    if (e.kind === 'data') node.set.consumed(e.id, e.bytes.length, node.network.now, node)
    if (e.kind === 'end') node.set.end(e.id, node.network.now, node)
    node.arm()
  }
}
