/**
 * A virtual internet for this room alone: routers behind NATs of all kinds, sessions that lose nothing, packets that may be lost.
 * Seeded, in virtual time.
 */
import { toBase64 } from '../../../src/base/base64.ts'
import { sameBytes } from '../../../src/base/bytes.ts'
import { type Millis, WallClock } from '../../../src/base/clock.ts'
import type { Endpoint } from '../../../src/base/core.ts'
import { ipBytes, ipText } from '../../../src/base/ip.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import type { IpPort } from '../../../src/protocol/ssu2/blocks.ts'
import { readFirstPacket } from '../../../src/protocol/ssu2/out-of-session.ts'
import { type Hash, type HashKey, hashKey } from '../../../src/protocol/structures/hash.ts'
import { type LocalIdentity, newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import type { Introducer } from '../../../src/protocol/structures/router-address.ts'
import { type RouterInfo, signRouterInfo } from '../../../src/protocol/structures/router-info.ts'
import type { Family, ReachEvent, ReachOptions, ReachSink } from '../../../src/router/reach/events.ts'
import { Reach } from '../../../src/router/reach/reach.ts'

export const NET_ID = 77
export const WALL: number = Date.UTC(2026, 10, 25)
const PORT = 9000
/** Linux': for UDP that has been answered. */
const NAT_LIFE: Millis = 120_000

/**
 * - `open`: no NAT at all
 * - `cone`: one port for everyone, and everyone may answer
 * - `restricted`: one port for everyone, but only whom we wrote to may answer
 * - `symmetric`: another port for each, and only they may answer
 */
export type NatKind = 'open' | 'cone' | 'restricted' | 'symmetric'

class Nat {
  readonly kind: NatKind
  readonly ip: string
  /** Outer port by whom it was made for (`symmetric`), and until when each endpoint may answer to it. */
  readonly #ports = new Map<string, number>()
  readonly #open = new Map<string, Millis>()
  #next = 20_000

  constructor(kind: NatKind, ip: string) {
    this.kind = kind
    this.ip = ip
  }

  /** The source that a packet to `to` gets. */
  out(to: Endpoint, now: Millis): Endpoint {
    if (this.kind === 'open') return { address: this.ip, port: PORT }
    const mapping = this.kind === 'symmetric' ? text(to) : 'all'
    let port = this.#ports.get(mapping)
    if (port === undefined) {
      port = this.#next++
      this.#ports.set(mapping, port)
    }
    this.#open.set(`${port} ${text(to)}`, now + NAT_LIFE)
    this.#open.set(`${port}`, now + NAT_LIFE)
    return { address: this.ip, port }
  }

  admits(port: number, from: Endpoint, now: Millis): boolean {
    if (this.kind === 'open') return port === PORT
    const until = this.#open.get(this.kind === 'cone' ? `${port}` : `${port} ${text(from)}`)
    return until !== undefined && until > now
  }
}

export interface HostOptions {
  readonly nat?: NatKind
  /** Ms that its clock is ahead. */
  readonly ahead?: number
  readonly caps?: string
  /** What its RouterInfo publishes when not its own address; `none` behind a NAT. */
  readonly publishes?: boolean
  readonly introducers?: readonly Introducer[]
  /** Serves others only. */
  readonly quiet?: boolean
  readonly reach?: Partial<ReachOptions>
}

export interface Session {
  /** Where the one sees the other. */
  readonly endpoint: Endpoint
  readonly initiator: boolean
}

export class Host {
  readonly wire: Wire
  readonly name: string
  readonly nat: Nat
  readonly identity: LocalIdentity
  readonly introKey: Uint8Array
  readonly reach: Reach
  routerInfo: RouterInfo
  readonly routers: Map<HashKey, RouterInfo> = new Map()
  readonly sessions: Map<HashKey, Session> = new Map()
  /** All that it said, but blocks and RouterInfos. */
  readonly events: ReachEvent[] = []
  readonly sent: { readonly to: Endpoint; readonly bytes: Uint8Array }[] = []
  readonly #caps: string

  constructor(wire: Wire, name: string, ip: string, seed: number, options: HostOptions) {
    this.wire = wire
    this.name = name
    this.nat = new Nat(options.nat ?? 'open', ip)
    const random = seededRandom(seed)
    this.identity = newRouterIdentity(random)
    this.introKey = random.bytes(32)
    this.#caps = options.caps ?? 'BC'
    this.routerInfo = this.describe(options.publishes ?? this.nat.kind === 'open', options.introducers ?? [])
    this.reach = new Reach(
      {
        local: this.identity,
        introKey: this.introKey,
        netId: NET_ID,
        random,
        clock: new WallClock(WALL + (options.ahead ?? 0), 0),
        routers: { get: (hash) => this.routers.get(hashKey(hash)) },
        mayReach: (address) => address[0] !== 10,
        giveToken: (to) => Uint8Array.of(...to.ip.subarray(-4), to.port >>> 8, to.port, 7, 7),
        families: options.quiet ? [] : [this.family],
        serve: true,
        ...options.reach,
      },
      wire.now,
    )
  }

  get hash(): Hash {
    return this.identity.identity.hash
  }

  get family(): Family {
    return this.nat.ip.includes(':') ? 6 : 4
  }

  get at(): IpPort {
    return { ip: ipBytes(this.nat.ip)!, port: PORT }
  }

  describe(publishes: boolean, introducers: readonly Introducer[]): RouterInfo {
    const options = new Map([
      ['i', toBase64(this.introKey)],
      ['s', toBase64(new Uint8Array(32).fill(9))],
      ['v', '2'],
      ['caps', publishes ? this.#caps : `${this.family}`],
    ])
    if (publishes) options.set('host', this.nat.ip).set('port', String(PORT))
    for (const [i, { hash, tag, expires }] of introducers.entries()) {
      options.set(`ih${i}`, toBase64(hash)).set(`itag${i}`, String(tag))
      if (expires !== undefined) options.set(`iexp${i}`, String(Math.floor(expires / 1000)))
    }
    const content = {
      published: WALL,
      addresses: [{ cost: 3, style: 'SSU2', options }],
      options: new Map([
        ['caps', 'LR'],
        ['netId', String(NET_ID)],
        ['router.version', '0.9.67'],
      ]),
    }
    return signRouterInfo(content, this.identity)
  }

  /** Knows all these from the netDb. */
  knows(...hosts: Host[]): void {
    for (const host of hosts) this.routers.set(hashKey(host.hash), host.routerInfo)
  }

  kinds(kind: ReachEvent['kind']): ReachEvent[] {
    return this.events.filter((event) => event.kind === kind)
  }

  verdicts(): string[] {
    return this.events.flatMap((event) => (event.kind === 'verdict' ? [event.verdict] : []))
  }

  turn(run: (out: ReachSink) => void): void {
    const none = (): never => {
      throw new Error('no TCP here')
    }
    run({
      udp: (to, bytes) => {
        this.sent.push({ to, bytes })
        this.wire.packet(this, to, bytes)
      },
      event: (event) => this.#event(event),
      tcpOpen: none,
      tcpData: none,
      tcpEnd: none,
    })
  }

  #event(event: ReachEvent): void {
    if (event.kind === 'block') this.wire.block(this, event.to, event.type, event.data)
    else if (event.kind === 'router-info') this.wire.routerInfo(this, event.to, event.routerInfo)
    else this.events.push(event)
  }
}

interface Due {
  readonly at: Millis
  readonly run: () => void
}

export interface Block {
  readonly from: Host
  readonly to: Host
  readonly type: number
  readonly data: Uint8Array
}

export class Wire {
  now: Millis = 0
  latency: Millis = 20
  readonly random: Random
  readonly hosts: Host[] = []
  /** All blocks there were, in order. */
  readonly blocks: Block[] = []
  /** False loses a packet; called for those that the sender's NAT has let out. */
  passes: (from: Host, bytes: Uint8Array, to: Host) => boolean = () => true
  /** What becomes of a block on its way; undefined loses it. */
  alter: (block: Block) => Uint8Array | undefined = (block) => block.data
  /** False loses a RouterInfo. */
  passesRouterInfo: (from: Host, to: Host) => boolean = () => true
  #due: Due[] = []
  #next = 1

  readonly #seed: number

  constructor(seed = 1) {
    this.#seed = seed
    this.random = seededRandom(seed)
  }

  host(name: string, options: HostOptions & { readonly ip?: string } = {}): Host {
    const n = this.#next++
    const host = new Host(this, name, options.ip ?? `${20 + n}.${n}.0.${n}`, 1000 * this.#seed + n, options)
    this.hosts.push(host)
    return host
  }

  /** A session that `a` dials; each hears from the other where it is seen. */
  connect(
    a: Host,
    b: Host,
    options: { readonly relayTag?: number; readonly grantedTag?: number } = {},
  ): void {
    const target =
      b.nat.kind === 'open'
        ? { address: b.nat.ip, port: PORT }
        : b.nat.out({ address: a.nat.ip, port: 1 }, this.now)
    const source = a.nat.out(target, this.now)
    a.sessions.set(hashKey(b.hash), { endpoint: target, initiator: true })
    b.sessions.set(hashKey(a.hash), { endpoint: source, initiator: false })
    const { relayTag, grantedTag } = options
    const peerOfA = { hash: b.hash, routerInfo: b.routerInfo, endpoint: target, initiator: true }
    const peerOfB = { hash: a.hash, routerInfo: a.routerInfo, endpoint: source, initiator: false }
    b.turn((out) =>
      b.reach.connected({ ...peerOfB, ...(grantedTag === undefined ? {} : { grantedTag }) }, this.now, out),
    )
    a.turn((out) =>
      a.reach.connected({ ...peerOfA, ...(relayTag === undefined ? {} : { relayTag }) }, this.now, out),
    )
    a.turn((out) =>
      a.reach.heardAddress(b.hash, { ip: ipBytes(source.address)!, port: source.port }, this.now, out),
    )
    b.turn((out) =>
      b.reach.heardAddress(a.hash, { ip: ipBytes(target.address)!, port: target.port }, this.now, out),
    )
  }

  disconnect(a: Host, b: Host): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      one.sessions.delete(hashKey(other.hash))
      one.turn((out) => one.reach.disconnected(other.hash, this.now, out))
    }
  }

  block(from: Host, to: Hash, type: number, data: Uint8Array): void {
    const host = this.hosts.find((h) => sameBytes(h.hash, to))
    if (host === undefined || !from.sessions.has(hashKey(to))) return
    const block = { from, to: host, type, data }
    this.blocks.push(block)
    const altered = this.alter(block)
    if (altered !== undefined) this.deliver({ ...block, data: altered })
  }

  deliver({ from, to, type, data }: Block): void {
    this.later(() => {
      if (to.sessions.has(hashKey(from.hash)))
        to.turn((out) => to.reach.block(from.hash, type, data, this.now, out))
    })
  }

  routerInfo(from: Host, to: Hash, ri: RouterInfo): void {
    const host = this.hosts.find((h) => sameBytes(h.hash, to))
    if (host === undefined || !from.sessions.has(hashKey(to)) || !this.passesRouterInfo(from, host)) return
    this.later(() => {
      host.routers.set(hashKey(ri.hash), ri)
      host.turn((out) => host.reach.routerFound(ri, this.now, out))
    })
  }

  packet(from: Host, to: Endpoint, bytes: Uint8Array): void {
    const source = from.nat.out(to, this.now)
    const host = this.hosts.find((h) => h.nat.ip === to.address)
    if (host === undefined || !this.passes(from, bytes, host)) return
    this.later(() => {
      if (!host.nat.admits(to.port, source, this.now)) return
      this.arrive(host, source, bytes)
    })
  }

  /** As its endpoint would: takes the masks off, and hands it over. */
  arrive(host: Host, from: Endpoint, bytes: Uint8Array): void {
    const packet = new Uint8Array(bytes)
    if (readFirstPacket(packet, host.introKey, NET_ID) === undefined) return
    host.turn((out) => host.reach.packet(from, packet, this.now, out))
  }

  later(run: () => void): void {
    this.#due.push({ at: this.now + this.latency, run })
  }

  /** Lets `ms` pass. */
  run(ms: Millis): void {
    const end = this.now + ms
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at)
      let at = Math.min(this.#due[0]?.at ?? Number.POSITIVE_INFINITY, end)
      let timer: Host | undefined
      for (const host of this.hosts) {
        const next = host.reach.nextTimeout()
        if (next === undefined || next >= at) continue
        at = next
        timer = host
      }
      this.now = Math.max(this.now, at)
      if (timer !== undefined) timer.turn((out) => timer.reach.timeout(this.now, out))
      else if (this.#due.length > 0 && this.#due[0]!.at <= end) this.#due.shift()!.run()
      else break
    }
    this.now = end
  }
}

function text({ address, port }: Endpoint): string {
  return `${address} ${port}`
}

export function shown({ ip, port }: IpPort): string {
  return `${ipText(ip)} ${port}`
}
