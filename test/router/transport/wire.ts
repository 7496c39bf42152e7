/**
 * A virtual TCP network for transports: seeded, in virtual time, splitting bytes at random places. Hosts are found by
 * address; a connection to nobody fails after the latency.
 */
import type { Millis } from '../../../src/base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../../src/base/core.ts'
import { SILENT } from '../../../src/base/log.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import type { TokenBucket } from '../../../src/base/token-bucket.ts'
import type { Traffic } from '../../../src/protocol/blocks/output-queue.ts'
import type { I2npMessage } from '../../../src/protocol/i2np/message.ts'
import { type HashKey, hashKey } from '../../../src/protocol/structures/hash.ts'
import type { RouterInfo } from '../../../src/protocol/structures/router-info.ts'
import type { TransportEvent } from '../../../src/router/transport/events.ts'
import type { TransportLimits } from '../../../src/router/transport/limits.ts'
import type { OutRates } from '../../../src/router/transport/shaper.ts'
import { Transport } from '../../../src/router/transport/transport.ts'
import { type Party, type PartyOptions, party } from '../../protocol/ntcp2/parties.ts'

interface Pipe {
  readonly at: Host
  readonly id: LinkId
  readonly dialled: boolean
  other: Pipe | undefined
  open: boolean
  pending: number
}

interface Due {
  readonly at: Millis
  readonly seq: number
  readonly run: () => void
}

interface Settings {
  readonly limits?: Partial<TransportLimits>
  readonly bandwidth?: { readonly out: OutRates; readonly inbound: TokenBucket }
}

export class Wire {
  now: Millis = 0
  latency: Millis = 5
  /** Extra delay, random up to this, for each new connection. */
  jitter: Millis = 0
  readonly random: Random
  readonly hosts: Map<string, Host> = new Map()
  /** Addresses that never answer. */
  readonly silent: Set<string> = new Set()
  /** Addresses dialled, in order. */
  readonly dialled: { readonly address: string; readonly at: Millis }[] = []
  #due: Due[] = []
  #seq = 0
  #nextLink = 1

  constructor(seed = 1) {
    this.random = seededRandom(seed)
  }

  host(seed: number, options: PartyOptions & Settings = {}): Host {
    const address = options.host ?? `21.0.${seed >> 8}.${seed & 255}`
    const host = new Host(this, party(seed, { host: address, ...options }), address, options)
    this.hosts.set(address, host)
    return host
  }

  link(): LinkId {
    return this.#nextLink++
  }

  later(delay: Millis, run: () => void): void {
    const due = { at: this.now + delay, seq: this.#seq++, run }
    const before = this.#due.findIndex((d) => d.at > due.at)
    this.#due.splice(before < 0 ? this.#due.length : before, 0, due)
  }

  /** Lets `ms` pass. */
  run(ms: Millis): void {
    const end = this.now + ms
    for (;;) {
      let next = Math.min(this.#due[0]?.at ?? Number.POSITIVE_INFINITY, end)
      let timer: Host | undefined
      for (const host of this.hosts.values()) {
        const at = host.transport.nextTimeout()
        if (at === undefined || at >= next) continue
        next = at
        timer = host
      }
      this.now = Math.max(this.now, next)
      if (timer !== undefined) timer.turn((out) => timer.transport.timeout(this.now, out))
      else if (this.#due.length > 0 && this.#due[0]!.at <= end) this.#due.shift()!.run()
      else break
    }
    this.now = end
  }
}

export class Host implements Sink<TransportEvent> {
  readonly wire: Wire
  readonly party: Party
  readonly address: string
  readonly transport: Transport
  events: TransportEvent[] = []
  readonly known: Map<HashKey, RouterInfo> = new Map()
  readonly pipes: Map<LinkId, Pipe> = new Map()
  /** Bytes of every tcpData call. */
  writes: number[] = []
  resets = 0
  /** Neither reads nor lets anyone notice. */
  stalled = false
  #held: (() => void)[] = []

  constructor(wire: Wire, p: Party, address: string, settings: Settings) {
    this.wire = wire
    this.party = p
    this.address = address
    const { staticKeys, iv, netId, random, clock, prologue } = p.local
    this.transport = new Transport({
      local: p.identity,
      ntcp2: { staticKeys, iv },
      netId,
      prologue,
      random,
      clock,
      log: SILENT,
      limits: { sourceBurst: 1000, ...settings.limits },
      ...(settings.bandwidth === undefined ? {} : { bandwidth: settings.bandwidth }),
      routers: { get: (hash) => this.known.get(hashKey(hash)) },
    })
    this.transport.setRouterInfo(p.routerInfo)
  }

  get hash(): Uint8Array {
    return this.party.local.hash
  }

  knows(...others: Host[]): this {
    for (const { party } of others) this.known.set(hashKey(party.local.hash), party.routerInfo)
    return this
  }

  turn(work: (out: this) => void): void {
    work(this)
    this.transport.flush(this.wire.now, this)
  }

  send(to: Host, id: number, size = 100, traffic: Traffic = 'own'): boolean {
    const message: I2npMessage = {
      type: 18,
      id,
      expiration: this.party.local.clock.wall(this.wire.now) + 8000,
      payload: new Uint8Array(size).fill(id),
    }
    let taken = false
    this.turn(() => {
      taken = this.transport.send(to.hash, message, this.wire.now, this, traffic)
    })
    return taken
  }

  /** Ids of the messages received. */
  get ids(): number[] {
    return this.events.flatMap((e) => (e.kind === 'message' ? [e.message.id] : []))
  }

  seen<K extends TransportEvent['kind']>(kind: K): Extract<TransportEvent, { kind: K }>[] {
    return this.events.filter((e): e is Extract<TransportEvent, { kind: K }> => e.kind === kind)
  }

  /** A bare connection to this host, as a stranger would make it. */
  dialledBy(stranger: Host): LinkId {
    return stranger.tcpOpen({ address: this.address, port: 1234 })
  }

  /** A greeted stream between two mesh neighbours, handed to both transports. */
  adopt(other: Host, options: { expect?: RouterInfo; linkName?: string } = {}): void {
    const [mine, theirs] = this.#pair(other)
    const { wire } = this
    const name = options.linkName ?? 'wlan0'
    const from = { address: 'fe80::1%wlan0', port: 5000 }
    const none = new Uint8Array(0)
    other.turn((out) => {
      other.transport.adopt(theirs.id, 'responder', options.expect, name, from, none, wire.now, out)
    })
    this.turn((out) => {
      const { iv } = other.party.local
      this.transport.adopt(mine.id, 'initiator', other.party.routerInfo, name, from, none, wire.now, out, iv)
    })
  }

  udp(): void {
    throw new Error('no UDP here')
  }

  tcpOpen(to: Endpoint): LinkId {
    const { wire } = this
    wire.dialled.push({ address: to.address, at: wire.now })
    const target = wire.hosts.get(to.address)
    if (wire.silent.has(to.address)) return wire.link()
    const delay = wire.latency + (wire.jitter > 0 ? wire.random.below(wire.jitter) : 0)
    if (target === undefined) {
      const id = wire.link()
      wire.later(delay, () => this.turn(() => this.transport.closed(id, wire.now, this)))
      return id
    }
    const [mine, theirs] = this.#pair(target)
    mine.open = false
    wire.later(delay, () => {
      if (!theirs.open) return
      const from = { address: this.address, port: 40_000 + mine.id }
      target.turn(() => target.transport.accepted(theirs.id, from, wire.now, target))
      wire.later(delay, () => {
        if (!theirs.open) return
        mine.open = true
        this.turn(() => this.transport.connected(mine.id, wire.now, this))
      })
    })
    return mine.id
  }

  tcpData(id: LinkId, bytes: Uint8Array): void {
    const pipe = this.pipes.get(id)
    if (pipe === undefined || !pipe.open) return
    this.writes.push(bytes.length)
    const { wire } = this
    const to = pipe.other!
    pipe.pending++
    wire.later(wire.latency, () => {
      to.at.#receive(() => {
        let at = 0
        while (at < bytes.length && to.open) {
          const n = Math.min(1 + wire.random.below(wire.random.below(2) === 0 ? 40 : 4000), bytes.length - at)
          const piece = bytes.subarray(at, at + n)
          to.at.turn((out) => to.at.transport.received(to.id, piece, wire.now, out))
          at += n
        }
        pipe.pending--
        if (pipe.pending === 0 && pipe.open) this.turn(() => this.transport.writable(id, wire.now, this))
      })
    })
  }

  tcpEnd(id: LinkId, reset?: boolean): void {
    if (reset === true) this.resets++
    const pipe = this.pipes.get(id)
    if (pipe === undefined) return
    pipe.open = false
    const { other } = pipe
    const { wire } = this
    wire.later(wire.latency, () => {
      for (const end of [pipe, other!]) {
        end.open = false
        if (!end.at.pipes.delete(end.id)) continue
        end.at.turn((out) => end.at.transport.closed(end.id, wire.now, out))
      }
    })
  }

  event(e: TransportEvent): void {
    this.events.push(e)
  }

  /** After `stalled` went back to false: everything that waited arrives. */
  resume(): void {
    this.stalled = false
    for (const work of this.#held.splice(0)) work()
  }

  #receive(work: () => void): void {
    if (this.stalled) this.#held.push(work)
    else work()
  }

  #pair(other: Host): [Pipe, Pipe] {
    const mine: Pipe = {
      at: this,
      id: this.wire.link(),
      dialled: true,
      other: undefined,
      open: true,
      pending: 0,
    }
    const theirs: Pipe = {
      at: other,
      id: this.wire.link(),
      dialled: false,
      other: mine,
      open: true,
      pending: 0,
    }
    mine.other = theirs
    this.pipes.set(mine.id, mine)
    other.pipes.set(theirs.id, theirs)
    return [mine, theirs]
  }
}
