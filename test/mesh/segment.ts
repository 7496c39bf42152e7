/** Neighbourhoods on toy links, in virtual time: multicast and TCP with a little latency, and a router that only counts sessions. */
import { WallClock } from '../../src/base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../src/base/core.ts'
import { named, SILENT } from '../../src/base/log.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { announcementText, type MdnsRecord, SERVICE_TYPE, TTL } from '../../src/mesh/announcement.ts'
import type { NeighbourhoodEvent } from '../../src/mesh/events.ts'
import type { AnnouncePolicy, LinkInterface } from '../../src/mesh/link.ts'
import { Neighbourhood } from '../../src/mesh/neighbourhood.ts'
import { type MeshKeys, meshKeys } from '../../src/mesh/secret.ts'
import type { ClockQuality } from '../../src/protocol/hello/payload.ts'
import { hashKey } from '../../src/protocol/structures/hash.ts'
import { type LocalIdentity, newRouterIdentity } from '../../src/protocol/structures/identity.ts'
import { type RouterInfo, signRouterInfo } from '../../src/protocol/structures/router-info.ts'

export const KEYS: MeshKeys = meshKeys({ name: 'test', secret: 'one two three four five six' })
export const PRIVATE: AnnouncePolicy = {
  announce: 'auto',
  interfaces: ['auto'],
  open: false,
  allowed: new Set(),
}
const LATENCY = 2
const MAX_SKEW = 60_000
const DATE = 1_760_000_000_000

/** A packet as the whole link sees it. */
export interface Packet {
  readonly at: number
  readonly from: string
  readonly kind: 'records' | 'query'
  readonly records: readonly MdnsRecord[]
}

interface Job {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class Air {
  now = 0
  readonly random: Random
  readonly nodes: ToyNode[] = []
  readonly packets: Packet[] = []
  /** Chance that one receiver misses a multicast packet. */
  multicastLoss = 0
  /** TCP connections that nobody answers. */
  tcpBlocked = false
  #jobs: Job[] = []
  #order = 0
  nextLink: LinkId = 1

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  node(options: Partial<ToyOptions> = {}): ToyNode {
    const node = new ToyNode(this, this.nodes.length + 1, options)
    this.nodes.push(node)
    return node
  }

  later(after: number, run: () => void): void {
    this.#jobs.push({ at: this.now + after, order: this.#order++, run })
  }

  /** Everything that happens in the next `ms`. */
  run(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const job = this.#jobs.reduce<Job | undefined>(
        (a, b) => (a === undefined || b.at < a.at || (b.at === a.at && b.order < a.order) ? b : a),
        undefined,
      )
      const waking = this.nodes.filter((n) => n.running && n.core.nextTimeout() !== undefined)
      const timer = waking.reduce((t, n) => Math.min(t, n.core.nextTimeout()!), Number.POSITIVE_INFINITY)
      const at = Math.min(job?.at ?? Number.POSITIVE_INFINITY, timer)
      if (at > end) break
      this.now = Math.max(this.now, at)
      if (job !== undefined && job.at <= timer) {
        this.#jobs.splice(this.#jobs.indexOf(job), 1)
        job.run()
      } else for (const n of waking) if (n.core.nextTimeout()! <= this.now) n.core.timeout(this.now, n)
    }
    this.now = end
  }

  /** Runs until `done`, at most `ms`; returns how long it took. */
  until(done: () => boolean, ms: number): number {
    const start = this.now
    while (!done() && this.now - start < ms) this.run(10)
    return this.now - start
  }

  multicast(from: ToyNode, linkName: string, kind: Packet['kind'], records: readonly MdnsRecord[]): void {
    const address = from.addressOn(linkName)
    if (address === undefined) return
    this.packets.push({ at: this.now, from: address, kind, records })
    this.inject(from.segment(linkName), address, kind, records)
  }

  /** Puts a packet on a segment as if `address` had sent it. */
  inject(segment: string, address: string, kind: Packet['kind'], records: readonly MdnsRecord[]): void {
    for (const n of this.nodes) {
      for (const name of n.joined) {
        if (!n.running || n.segment(name) !== segment) continue
        if (this.random.below(1000) < this.multicastLoss * 1000) continue
        this.later(LATENCY, () => {
          if (!n.joined.has(name)) return
          if (kind === 'query') n.core.heardQuery(name, `${address}%${name}`, this.now)
          else n.core.heardRecords(name, `${address}%${name}`, records, this.now)
        })
      }
    }
  }
}

export interface ToyOptions {
  readonly keys: MeshKeys
  readonly policy: AnnouncePolicy
  readonly wall: number
  readonly clockQuality: ClockQuality
  readonly port: number
  readonly segments: Readonly<Record<string, string>>
  readonly local: LocalIdentity
}

interface ToyLink {
  readonly peer: ToyNode
  readonly peerId: LinkId
}

export class ToyNode implements Sink<NeighbourhoodEvent> {
  readonly core: Neighbourhood
  readonly local: LocalIdentity
  readonly routerInfo: RouterInfo
  readonly clock: WallClock
  readonly joined: Set<string> = new Set()
  readonly listening: Set<string> = new Set()
  /** Sessions by the peer's hash. */
  readonly sessions: Map<string, { link: LinkId; linkName: string }> = new Map()
  readonly events: NeighbourhoodEvent[] = []
  running = true
  readonly #air: Air
  readonly #index: number
  readonly #segments: Readonly<Record<string, string>>
  #interfaces: LinkInterface[] = []
  readonly #links = new Map<LinkId, ToyLink>()
  readonly #adopted = new Map<LinkId, string>()

  constructor(air: Air, index: number, options: Partial<ToyOptions>) {
    this.#air = air
    this.#index = index
    this.#segments = options.segments ?? { wlan0: 'air' }
    const random = seededRandom(1000 + index + air.random.below(1 << 20))
    const keys = options.keys ?? KEYS
    this.clock = new WallClock((options.wall ?? DATE) + air.now, air.now)
    this.local = options.local ?? newRouterIdentity(random)
    const content = {
      addresses: [],
      published: DATE,
      options: new Map([
        ['caps', 'D'],
        ['netId', `${keys.netId}`],
      ]),
    }
    this.routerInfo = signRouterInfo(content, this.local)
    this.core = new Neighbourhood({
      keys,
      policy: options.policy ?? PRIVATE,
      port: options.port ?? 0,
      own: {
        routerInfo: this.routerInfo,
        ntcp2Iv: random.bytes(16),
        udpPort: 0,
        introKey: new Uint8Array(32),
      },
      clock: this.clock,
      clockQuality: options.clockQuality ?? 3,
      random,
      log: named(SILENT, `${index}`),
    })
  }

  get key(): string {
    return hashKey(this.routerInfo.hash)
  }

  segment(linkName: string): string {
    return this.#segments[linkName]!
  }

  addressOn(linkName: string): string | undefined {
    return this.#interfaces.find((i) => i.name === linkName)?.address
  }

  /** What the interface driver would report. */
  up(...changes: Partial<LinkInterface>[]): this {
    const names = Object.keys(this.#segments)
    this.#interfaces = names.map((name, i) => ({
      name,
      index: 2 + i,
      address: `fe80::${(this.#index * 16 + i).toString(16)}`,
      kind: 'wifi',
      defaultRoute: false,
      network: '',
      ...changes[i],
    }))
    this.core.interfacesChanged(this.#interfaces, this.#air.now, this)
    return this
  }

  down(): void {
    this.#interfaces = []
    this.core.interfacesChanged([], this.#air.now, this)
    for (const [id, { peer, peerId }] of this.#links) {
      this.#links.delete(id)
      this.#linkClosed(id)
      // The other side notices when its keep-alive fails.
      this.#air.later(20_000, () => peer.#closedByPeer(peerId))
    }
  }

  /** The process is gone; its kernel tells the others unless the power is gone too. */
  kill(powerCut = false): void {
    this.running = false
    if (!powerCut)
      for (const { peer, peerId } of this.#links.values())
        this.#air.later(LATENCY, () => peer.#closedByPeer(peerId))
    this.joined.clear()
    this.listening.clear()
  }

  knows(other: ToyNode): boolean {
    return this.sessions.has(other.key)
  }

  udp(): void {
    throw new Error('a neighbourhood sends no UDP')
  }

  tcpOpen(to: Endpoint): LinkId {
    const id = this.#air.nextLink++
    const [address, name] = to.address.split('%') as [string, string]
    this.#air.later(LATENCY, () => {
      if (this.#air.tcpBlocked) return
      for (const peer of this.#air.nodes) {
        const theirs = peer.#interfaces.find(
          (i) => i.address === address && peer.segment(i.name) === this.segment(name),
        )
        if (theirs === undefined || !peer.listening.has(`${address}%${theirs.name} ${to.port}`)) continue
        const peerId = this.#air.nextLink++
        this.#links.set(id, { peer, peerId })
        peer.#links.set(peerId, { peer: this, peerId: id })
        peer.core.accepted(
          peerId,
          { address: `${this.addressOn(name)}%${theirs.name}`, port: 40_000 + id },
          this.#air.now,
          peer,
        )
        this.#air.later(LATENCY, () => this.core.connected(id, this.#air.now, this))
        return
      }
      this.core.closed(id, this.#air.now, this)
    })
    return id
  }

  tcpData(id: LinkId, bytes: Uint8Array): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    this.#air.later(LATENCY, () => {
      if (link.peer.core.owns(link.peerId))
        link.peer.core.received(link.peerId, bytes, this.#air.now, link.peer)
    })
  }

  tcpEnd(id: LinkId): void {
    const link = this.#links.get(id)
    this.#links.delete(id)
    if (link !== undefined) this.#air.later(LATENCY, () => link.peer.#closedByPeer(link.peerId))
  }

  event(e: NeighbourhoodEvent): void {
    this.events.push(e)
    if (e.kind === 'join') this.joined.add(e.interface.name)
    else if (e.kind === 'leave') this.joined.delete(e.linkName)
    else if (e.kind === 'listen') this.listening.add(`${e.address} ${e.port}`)
    else if (e.kind === 'unlisten') this.listening.delete(`${e.address} ${e.port}`)
    else if (e.kind === 'query') this.#air.multicast(this, e.linkName, 'query', [])
    else if (e.kind === 'announce') this.#air.multicast(this, e.linkName, 'records', toRecords(e))
    else if (e.kind === 'clock-step') this.clock.step(e.by)
    else this.#adopt(e)
  }

  /** The toy's NTCP2: the session is open as soon as both ends have adopted the stream. */
  #adopt(e: NeighbourhoodEvent & { kind: 'neighbour' }): void {
    const key = hashKey(e.hello.routerInfo.hash)
    this.#adopted.set(e.link, key)
    const link = this.#links.get(e.link)!
    if (!link.peer.#adopted.has(link.peerId)) return
    this.#air.later(LATENCY, () => {
      if (!this.#links.has(e.link)) return
      // NTCP2 ends a session whose clocks are further apart.
      if (Math.abs(this.clock.wall(0) - link.peer.clock.wall(0)) > MAX_SKEW) {
        this.#closedByPeer(e.link)
        link.peer.#closedByPeer(link.peerId)
        return
      }
      this.#open(key, e.link, e.linkName)
      link.peer.#open(this.key, link.peerId, '')
    })
  }

  #open(key: string, link: LinkId, linkName: string): void {
    const had = this.sessions.has(key)
    this.sessions.set(key, { link, linkName })
    // As a router does it: a newer session takes over without a word.
    if (!had) this.core.peerConnected(Buffer.from(key, 'latin1'), this.#air.now)
  }

  #closedByPeer(id: LinkId): void {
    if (!this.#links.delete(id)) return
    this.#linkClosed(id)
  }

  #linkClosed(id: LinkId): void {
    if (this.core.owns(id)) this.core.closed(id, this.#air.now, this)
    const key = this.#adopted.get(id)
    this.#adopted.delete(id)
    const session = key === undefined ? undefined : this.sessions.get(key)
    if (key === undefined || (session !== undefined && session.link !== id)) return
    this.sessions.delete(key)
    this.core.peerDisconnected(Buffer.from(key, 'latin1'), this.#air.now)
  }
}

/** As the driver builds them. */
export function toRecords(e: NeighbourhoodEvent & { kind: 'announce' }): MdnsRecord[] {
  const records: MdnsRecord[] = e.goodbyes.map((g) => ({
    name: SERVICE_TYPE,
    type: 'PTR',
    ttl: 0,
    data: `${g}.${SERVICE_TYPE}`,
  }))
  if (e.announcement === undefined) return records
  const { instance, host, port } = e.announcement
  const name = `${instance}.${SERVICE_TYPE}`
  const text = Object.entries(announcementText(e.announcement)).map(([k, v]) => Buffer.from(`${k}=${v}`))
  records.push(
    { name: SERVICE_TYPE, type: 'PTR', ttl: TTL, data: name },
    { name, type: 'SRV', ttl: TTL, data: { port, target: host } },
    { name, type: 'TXT', ttl: TTL, data: text },
    { name: host, type: 'AAAA', ttl: TTL, data: e.address },
  )
  return records
}
