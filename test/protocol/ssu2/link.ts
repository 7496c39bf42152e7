/** Two SSU2 sessions over a seeded link in virtual time: delay, jitter, loss, copies, reordering, a bottleneck with a queue. */
import { concat, copy } from '../../../src/base/bytes.ts'
import type { Endpoint, LinkId, Sink } from '../../../src/base/core.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import { BlockCursor, writeBlock } from '../../../src/protocol/blocks/block.ts'
import { OutputQueue } from '../../../src/protocol/blocks/output-queue.ts'
import type { I2npMessage } from '../../../src/protocol/i2np/message.ts'
import { PacketOpener, PacketSealer } from '../../../src/protocol/ssu2/data-packet.ts'
import type { Established } from '../../../src/protocol/ssu2/handshake.ts'
import {
  Ssu2Session,
  type Ssu2SessionEvent,
  type Ssu2SessionOptions,
} from '../../../src/protocol/ssu2/session.ts'
import { ALICE, BOB, converse, Door, initiator, type Party, party, WALL } from './parties.ts'

export interface LinkOptions {
  readonly seed?: number
  /** One way, ms. */
  readonly delay?: number
  /** Up to this much more, each packet for itself. */
  readonly jitter?: number
  readonly loss?: number
  readonly duplicates?: number
  /** Share of packets that take `lateBy` ms longer. */
  readonly late?: number
  readonly lateBy?: number
  /** Bytes a ms through the bottleneck, each way; 0 for no limit. */
  readonly rate?: number
  /** Bytes that the bottleneck holds. */
  readonly queue?: number
}

/** IPv4 and UDP. */
const HEADERS = 28

interface Due {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export interface Sent {
  readonly by: Side
  readonly from: Endpoint
  readonly to: Endpoint
  readonly at: number
  readonly bytes: Uint8Array
}

export class Side implements Sink<Ssu2SessionEvent> {
  readonly name: string
  readonly session: Ssu2Session
  readonly net: Network
  /** Where its packets come from. */
  source: Endpoint
  readonly events: Ssu2SessionEvent[] = []
  onEvent: (e: Ssu2SessionEvent) => void = () => {}
  busyUntil = 0
  /** Times that it was woken by its own deadline. */
  wakes = 0
  sent = 0
  /** Packets that the link lost. */
  lost = 0
  #timer: number | undefined
  #turn = false

  constructor(name: string, net: Network, source: Endpoint, options: Ssu2SessionOptions) {
    this.name = name
    this.net = net
    this.source = source
    this.session = new Ssu2Session(options, net.now)
  }

  udp(to: Endpoint, bytes: Uint8Array): void {
    this.sent++
    this.net.carry({ by: this, from: this.source, to, at: this.net.now, bytes })
  }

  tcpOpen(): LinkId {
    throw new Error('no TCP here')
  }

  tcpData(): void {}

  tcpEnd(): void {}

  event(e: Ssu2SessionEvent): void {
    this.events.push(e)
    this.onEvent(e)
  }

  of<K extends Ssu2SessionEvent['kind']>(kind: K): Extract<Ssu2SessionEvent, { kind: K }>[] {
    return this.events.filter((e): e is Extract<Ssu2SessionEvent, { kind: K }> => e.kind === kind)
  }

  messages(): I2npMessage[] {
    return this.of('message').map((e) => e.message)
  }

  start(): void {
    this.session.start(this.net.now, this)
    this.arm()
  }

  received(bytes: Uint8Array, from: Endpoint): void {
    this.session.received(bytes, from, this.net.now, this)
    this.turn()
  }

  /** One flush and one look at the deadline for all that happens at one time. */
  turn(): void {
    if (this.#turn) return
    this.#turn = true
    this.net.at(this.net.now, () => {
      this.#turn = false
      this.session.flush(this.net.now, this)
      this.arm()
    })
  }

  arm(): void {
    const at = this.session.deadline
    if (at === Number.POSITIVE_INFINITY || (this.#timer !== undefined && this.#timer <= at)) return
    this.#timer = at
    this.net.at(at, () => {
      if (this.#timer !== at) return
      this.#timer = undefined
      if (this.session.deadline <= this.net.now) {
        this.wakes++
        this.session.timeout(this.net.now, this)
      }
      this.arm()
    })
  }
}

export class Network {
  readonly random: Random
  options: LinkOptions
  now = 1000
  /** Who listens where. */
  readonly listeners: Map<string, Side> = new Map()
  /** Sees every packet; false swallows it. */
  filter: (packet: Sent) => boolean = () => true
  readonly #due: Due[] = []
  #order = 0

  constructor(options: LinkOptions = {}) {
    this.options = options
    this.random = seededRandom(options.seed ?? 1)
  }

  listen(side: Side, at: Endpoint): void {
    this.listeners.set(key(at), side)
  }

  carry(packet: Sent): void {
    const o = this.options
    if (!this.filter(packet)) return
    const copies = this.random.below(1e6) < (o.duplicates ?? 0) * 1e6 ? 2 : 1
    for (let i = 0; i < copies; i++) {
      let at = this.now + (o.delay ?? 0)
      if (o.jitter !== undefined) at += this.random.below(o.jitter * 1000) / 1000
      if (o.late !== undefined && this.random.below(1e6) < o.late * 1e6) at += o.lateBy ?? 0
      if (this.random.below(1e6) < (o.loss ?? 0) * 1e6) {
        packet.by.lost++
        continue
      }
      if (o.rate !== undefined && o.rate > 0) {
        const { by } = packet
        const start = Math.max(this.now, by.busyUntil)
        if ((start - this.now) * o.rate > (o.queue ?? 1e9)) {
          by.lost++
          continue
        }
        by.busyUntil = start + (packet.bytes.length + HEADERS) / o.rate
        at += by.busyUntil - this.now
      }
      // The receiver changes it in place.
      const bytes = copy(packet.bytes)
      this.at(at, () => this.listeners.get(key(packet.to))?.received(bytes, packet.from))
    }
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

  /** Until `done`, until nothing happens any more, or until a time. */
  run(done: () => boolean = () => false, until: number = Number.POSITIVE_INFINITY): void {
    while (this.#due.length > 0 && !done()) {
      if (this.#due[0]!.at > until) break
      const due = this.#pop()
      this.now = due.at
      due.run()
    }
    if (until !== Number.POSITIVE_INFINITY && !done()) this.now = Math.max(this.now, until)
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

function key(endpoint: Endpoint): string {
  return `${endpoint.address} ${endpoint.port}`
}

interface Handshake {
  readonly alice: Party
  readonly bob: Party
  readonly established: readonly [Established, Established]
}

let handshake: Handshake | undefined

/** One true handshake serves all tests: sessions do not change its results. */
export function established(): Handshake {
  if (handshake !== undefined) return handshake
  const [alice, bob] = [party(1), party(2)]
  const { initiator: ours, responder: theirs } = converse(initiator(alice, bob), new Door(bob))
  if (ours?.kind !== 'established' || theirs?.kind !== 'established') throw new Error('no session')
  handshake = { alice, bob, established: [ours, theirs] }
  return handshake
}

export interface Block {
  readonly type: number
  readonly data: Uint8Array
}

export interface Opened {
  readonly packetNumber: number
  readonly immediateAck: boolean
  readonly blocks: readonly Block[]
}

export interface Pair {
  readonly net: Network
  readonly alice: Side
  readonly bob: Side
  /** Alice's. */
  readonly routerInfo: Uint8Array
  /** All packets so far, lost ones too. */
  readonly wire: Sent[]
  /** What is in a packet; undefined when it is not of the data phase. */
  open(packet: Sent): Opened | undefined
  /** A packet as `by` would make it. */
  seal(by: Side, packetNumber: number, blocks: readonly Block[], immediateAck?: boolean): Uint8Array
}

/** A session of Alice, who dialled, and Bob, who has just got SessionConfirmed. */
export function pair(
  options: LinkOptions = {},
  over: Partial<Pick<Ssu2SessionOptions, 'mtu' | 'maxWindow' | 'times' | 'mayMove'>> = {},
  start = true,
): Pair {
  const { alice, bob, established: results } = established()
  const net = new Network(options)
  const rttMs = 2 * (options.delay ?? 0) + (options.jitter ?? 0) || undefined
  const side = (name: string, who: Party, result: Established, at: Endpoint, to: Endpoint): Side => {
    const made = new Side(name, net, at, {
      established: { ...result, rttMs },
      local: { random: net.random, clock: who.local.clock },
      endpoint: to,
      mtu: 1500,
      ours: () => who.routerInfo.bytes,
      output: new OutputQueue(),
      times: { idleMs: 125_000 },
      ...over,
    })
    net.listen(made, at)
    return made
  }
  const wire: Sent[] = []
  const carry = net.carry.bind(net)
  net.carry = (packet) => {
    wire.push({ ...packet, bytes: copy(packet.bytes) })
    carry(packet)
  }
  const a = side('alice', alice, results[0], ALICE, BOB)
  const b = side('bob', bob, results[1], BOB, ALICE)
  if (start) {
    a.start()
    b.start()
  }
  const byAlice = results[0].keys.send
  const byBob = results[1].keys.send
  return {
    net,
    alice: a,
    bob: b,
    wire,
    routerInfo: alice.routerInfo.bytes,
    open: ({ by, bytes }) => {
      const [keys, id] = by === a ? [byAlice, results[1].receiveId] : [byBob, results[0].receiveId]
      const opener = new PacketOpener(keys, id)
      const packet = copy(bytes)
      if (!opener.header(packet)) return undefined
      const { packetNumber, immediateAck } = opener
      const cursor = new BlockCursor()
      cursor.open(opener.open(packet)!)
      const blocks: Block[] = []
      while (cursor.next()) blocks.push({ type: cursor.type, data: cursor.data() })
      return { packetNumber, immediateAck, blocks }
    },
    seal: (by, packetNumber, blocks, immediateAck = false) => {
      const [keys, id] = by === a ? [byAlice, results[0].sendId] : [byBob, results[1].sendId]
      const sealer = new PacketSealer(keys, id)
      const payload = concat(...blocks.map(({ type, data }) => writeBlock(type, data)))
      return sealer.seal(sealer.begin(payload.length).put(payload), packetNumber, immediateAck)
    },
  }
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

export function message(id: number, size: number, now: number, life = 60_000): I2npMessage {
  return {
    type: 18,
    id,
    expiration: WALL + Math.floor((now + life) / 1000) * 1000,
    payload: pattern(size, id),
  }
}

export function send(side: Side, ...messages: I2npMessage[]): void {
  for (const m of messages) side.session.output.push(m, 'own', side.net.now)
  side.turn()
}
