/**
 * The neighbourhood: finds other members of the mesh on every link, says hello to them over TCP and hands the link on to a router.
 * A core without I/O: mDNS packets arrive as records, packets to send leave as events.
 */
import { compareBytes, copy } from '../base/bytes.ts'
import type { Clock, Millis, WallMillis } from '../base/clock.ts'
import type { Endpoint, LinkId, Sink, TcpCore, TimedCore } from '../base/core.ts'
import { Deadlines, earliest } from '../base/deadlines.ts'
import { MalformedError } from '../base/errors.ts'
import { type Log, named } from '../base/log.ts'
import { jitter, type Random } from '../base/random.ts'
import { Throttle } from '../base/throttle.ts'
import type { ClockQuality, HelloPayload } from '../protocol/hello/payload.ts'
import { fromHashKey, type Hash, type HashKey, hashKey, shortHash } from '../protocol/structures/hash.ts'
import { type RouterInfo, readRouterInfo, verifyRouterInfo } from '../protocol/structures/router-info.ts'
import { type MdnsRecord, readRecords, TTL, verifyAnnouncement } from './announcement.ts'
import { ClockConsensus } from './clock-consensus.ts'
import type { NeighbourHello, NeighbourhoodEvent, OwnRouter } from './events.ts'
import { type Heard, HeardTable } from './heard.ts'
import { type HelloArrived, HelloLinks } from './hello-links.ts'
import { type AnnouncePolicy, type LinkInterface, linkLocalBytes, zoneOf } from './link.ts'
import { Links } from './links.ts'
import { type MeshStatus, meshStatus } from './mesh-status.ts'
import { type MeshPeer, Peers, wasSteady } from './peers.ts'
import type { MeshKeys } from './secret.ts'

// Implementation constants
/** The one with the higher epoch lets the other dial first, so that two do not meet in the middle. */
const SECOND_DIALS_AFTER: Millis = 2_000
const BACKOFF_MIN: Millis = 1_000
const BACKOFF_MAX: Millis = 10 * 60_000
const BACKOFF_JITTER = 0.25
/** When there is no room for another link just now, or the one that stood for a neighbour came to nothing. */
const DIAL_LATER: Millis = 1_000
/** From hello to an open session: NTCP2 takes three more flights. */
const ADOPT_TIMEOUT: Millis = 15_000
/** Per source address: mDNS packets (ours sends two or three a minute) and hellos. */
const PACKETS = { perSecond: 5, burst: 20 } as const
const HELLOS = { perSecond: 1, burst: 5 } as const
/** Sources whose rates are remembered. */
const MAX_SOURCES = 256

export interface NeighbourhoodOptions {
  readonly keys: MeshKeys
  readonly policy: AnnouncePolicy
  /** TCP port; 0: another one each epoch and link. */
  readonly port: number
  readonly own: OwnRouter
  /** The mesh face's. It is stepped by whoever gets 'clock-step'. */
  readonly clock: Clock
  /** What the machine's own date is worth. */
  readonly clockQuality: ClockQuality
  readonly random: Random
  readonly log: Log
}

type Out = Sink<NeighbourhoodEvent>
type TimerKey = `expire ${string}` | `dial ${string}` | `hello ${string}` | `adopt ${HashKey}`

export class Neighbourhood implements TcpCore<NeighbourhoodEvent>, TimedCore<NeighbourhoodEvent> {
  readonly #keys: MeshKeys
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: Log
  readonly #timers = new Deadlines<TimerKey>()
  readonly #links: Links
  readonly #heard = new HeardTable()
  readonly #hellos: HelloLinks
  readonly #peers = new Peers()
  readonly #consensus: ClockConsensus
  readonly #packetRates = new Throttle({ each: PACKETS }, MAX_SOURCES)
  readonly #helloRates = new Throttle({ each: HELLOS }, MAX_SOURCES)
  #own: OwnRouter

  constructor(options: NeighbourhoodOptions) {
    const { keys, port, random } = options
    this.#keys = keys
    this.#clock = options.clock
    this.#random = random
    this.#log = named(options.log, 'neighbours')
    this.#own = options.own
    this.#links = new Links({ kd: keys.discovery, port, random, log: this.#log }, options.policy)
    this.#hellos = new HelloLinks(keys.hello, random)
    this.#consensus = new ClockConsensus(options.clockQuality)
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#timers.next(), this.#links.nextTimeout())
  }

  get clockQuality(): ClockQuality {
    return this.#consensus.quality
  }

  /** True while a TCP link is in its hello: afterwards it is the router's. */
  owns(link: LinkId): boolean {
    return this.#hellos.has(link)
  }

  peers(): IterableIterator<MeshPeer> {
    return this.#peers.values()
  }

  status(): MeshStatus {
    return meshStatus(this.#links, this.#heard.size, this.#peers.connectedCount())
  }

  setOwn(own: OwnRouter): void {
    this.#own = own
  }

  /** Mean time between announcements; `onBattery` shortens the burst of links that come up later. */
  setCadence(interval: Millis, onBattery: boolean): void {
    this.#links.setCadence(interval, onBattery)
  }

  /** The machine's own date got better (NTP) or worse. */
  setClockQuality(quality: ClockQuality): void {
    this.#consensus.own = quality
  }

  setPolicy(policy: AnnouncePolicy, now: Millis, out: Out): void {
    this.#left(this.#links.setPolicy(policy, now, out), out)
  }

  /** All interfaces there are. */
  interfacesChanged(interfaces: readonly LinkInterface[], now: Millis, out: Out): void {
    this.#left(this.#links.update(interfaces, now, out), out)
  }

  /** Says goodbye everywhere and ends what is in its hello. */
  shutdown(out: Out): void {
    this.#left(this.#links.shutdown(out), out)
  }

  /** mDNS does not work on this link. */
  linkFailed(linkName: string, problem: string, now: Millis): void {
    this.#links.failed(linkName, problem, now)
  }

  /** The port of a 'listen' event could not be had. */
  listenFailed(linkName: string, port: number, problem: string, now: Millis, out: Out): void {
    this.#links.listenFailed(linkName, port, problem, now, out)
  }

  /** An mDNS response; `from` is the scoped source address of its packet. */
  heardRecords(linkName: string, from: string, records: readonly MdnsRecord[], now: Millis): void {
    const link = this.#links.get(linkName)
    if (link === undefined || !isOn(linkName, from) || !this.#packetRates.take(from, now)) return
    const { announcements, goodbyes } = readRecords(records)
    // First, so that a neighbour in its next epoch is not taken for a second one.
    for (const instance of goodbyes) {
      const gone = this.#heard.byInstance(from, instance)
      if (gone !== undefined) this.#forget(gone)
    }
    for (const a of announcements) {
      if (this.#links.isOwn(a.epoch)) continue
      if (!verifyAnnouncement(this.#keys.discovery, from, a)) continue
      const { heard, isNew, removed } = this.#heard.hear(linkName, from, a, now + TTL * 1000)
      for (const r of removed) this.#clearTimers(r)
      this.#timers.set(`expire ${heard.key}`, heard.expires)
      if (!isNew) continue
      this.#links.answerSoon(link, now)
      this.#plan(heard, now)
    }
  }

  /** An mDNS query for our service. */
  heardQuery(linkName: string, from: string, now: Millis): void {
    const link = this.#links.get(linkName)
    if (link === undefined || !isOn(linkName, from) || from === link.address) return
    if (this.#packetRates.take(from, now)) this.#links.answerSoon(link, now)
  }

  /** The router's session with this neighbour is open. */
  peerConnected(hash: Hash, now: Millis): void {
    const peer = this.#peers.get(hashKey(hash))
    if (peer === undefined) return
    peer.connectedAt = now
    this.#timers.clear(`adopt ${hashKey(hash)}`)
    this.#consensus.settle()
  }

  /** It is closed, or did not come to be after a 'neighbour' event. Dialled again while it is heard. */
  peerDisconnected(hash: Hash, now: Millis): void {
    const key = hashKey(hash)
    const peer = this.#peers.get(key)
    this.#peers.delete(key)
    this.#timers.clear(`adopt ${key}`)
    for (const h of this.#heard.values()) {
      if (h.hash === undefined ? h.address !== peer?.endpoint.address : h.hash !== key) continue
      if (peer !== undefined && wasSteady(peer, now)) h.failures = 0
      this.#backOff(h, now)
    }
  }

  /** A neighbour's clock minus ours, from a later handshake. With an open session its clock is settled, whatever its hello said. */
  clockSample(hash: Hash, offset: number, now: Millis, out: Out): void {
    const key = hashKey(hash)
    const peer = this.#peers.get(key)
    const quality = peer?.connectedAt !== undefined && peer.quality === 0 ? 1 : (peer?.quality ?? 0)
    this.#sampleClock(key, offset, quality, now, out)
  }

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Out): void {
    const link = this.#links.get(zoneOf(from.address) ?? '')
    const welcome = this.#helloRates.take(from.address, now) && this.#hellos.mayAccept(from.address)
    if (link?.announcer === undefined || !welcome) {
      out.tcpEnd(id, true)
      return
    }
    this.#timers.set(`hello ${id}`, this.#hellos.accepted(id, from, link.announcer.epochs, now))
  }

  connected(id: LinkId, now: Millis, out: Out): void {
    this.#hellos.connected(id, now, out)
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Out): void {
    const step = this.#hellos.received(id, bytes, now, () => this.#payload(this.#clock.wall(now)), out)
    const endsAt = this.#hellos.endsAt(id)
    if (endsAt !== undefined) this.#timers.set(`hello ${id}`, endsAt)
    if (step === 'failed') this.#end(id, now, out)
    else if (step !== undefined) this.#arrived(step, now, out)
  }

  closed(id: LinkId, now: Millis, _out: Out): void {
    this.#lost(id, now)
  }

  writable(): void {
    // A hello is smaller than any socket's buffer.
  }

  timeout(now: Millis, out: Out): void {
    this.#left(this.#links.timeout(now, out), out)
    for (let key = this.#timers.due(now); key !== undefined; key = this.#timers.due(now)) {
      const rest = key.slice(key.indexOf(' ') + 1)
      if (key.startsWith('dial ')) this.#dial(rest, now, out)
      else if (key.startsWith('hello ')) this.#end(Number(rest), now, out)
      else if (key.startsWith('adopt ')) this.peerDisconnected(fromHashKey(rest), now)
      else this.#forget(this.#heard.get(rest))
    }
  }

  /** What was known on links that are no more. */
  #left(names: readonly string[], out: Out): void {
    for (const name of names) {
      for (const h of [...this.#heard.values()]) if (h.linkName === name) this.#forget(h)
      for (const peer of this.#peers.removeLink(name)) this.#timers.clear(`adopt ${hashKey(peer.hash)}`)
      for (const { id, from } of [...this.#hellos.values()]) {
        if (zoneOf(from.address) !== name) continue
        this.#hellos.remove(id)
        this.#timers.clear(`hello ${id}`)
        out.tcpEnd(id, true)
      }
    }
  }

  #forget(heard: Heard | undefined): void {
    if (heard === undefined) return
    this.#heard.delete(heard.key)
    this.#clearTimers(heard)
  }

  #clearTimers(heard: Heard): void {
    this.#timers.clear(`expire ${heard.key}`)
    this.#timers.clear(`dial ${heard.key}`)
  }

  /** Dials when it is our turn and the back-off is over. A link on which we only listen has no epoch: nobody else can begin. */
  #plan(heard: Heard, now: Millis): void {
    const own = this.#links.get(heard.linkName)?.announcer?.current.epoch
    const first = own === undefined || compareBytes(own, heard.epoch) < 0
    const at = Math.max(now, heard.notBefore) + (first ? 0 : SECOND_DIALS_AFTER)
    this.#timers.set(`dial ${heard.key}`, at)
  }

  #backOff(heard: Heard, now: Millis): void {
    const wait = Math.min(BACKOFF_MAX, BACKOFF_MIN * 2 ** Math.min(heard.failures, 20))
    heard.failures++
    heard.notBefore = now + jitter(this.#random, wait, BACKOFF_JITTER)
    this.#plan(heard, now)
  }

  #dial(key: string, now: Millis, out: Out): void {
    const heard = this.#heard.get(key)
    if (heard === undefined || (heard.hash !== undefined && this.#peers.get(heard.hash) !== undefined)) return
    // Links do not say which epoch they belong to, so it is counted: one link for each program that announces there.
    const { address, port } = heard
    if (this.#peers.countAt(address) + this.#hellos.countAt(address) >= this.#heard.countAt(address)) return
    if (this.#hellos.full) {
      this.#timers.set(`dial ${key}`, now + DIAL_LATER)
      return
    }
    if (this.#log.enabled('debug')) this.#log.write('debug', `dialling ${address} port ${port}`)
    const id = out.tcpOpen({ address, port })
    this.#timers.set(`hello ${id}`, this.#hellos.dialled(id, { address, port }, heard, now))
  }

  #arrived(step: HelloArrived, now: Millis, out: Out): void {
    const { id, from, heardKey } = step.link
    const role = heardKey === undefined ? 'responder' : 'initiator'
    const routerInfo = this.#checked(step.payload)
    if (routerInfo === undefined) {
      this.#end(id, now, out)
      return
    }
    const { hash } = routerInfo
    const key = hashKey(hash)
    const heard = heardKey === undefined ? undefined : this.#heard.get(heardKey)
    if (heard !== undefined) heard.hash = key
    const wall = this.#clock.wall(now)
    const { clock, quality, ntcp2Iv, udpPort, introKey } = step.payload
    const offset = Math.round(clock + step.rtt / 2 - wall)
    const stepped = this.#sampleClock(key, offset, quality, now, out)
    const wanted = this.#peers.wants(hash, this.#own.routerInfo.hash, role, from.address)
    this.#hellos.remove(id)
    this.#timers.clear(`hello ${id}`)
    if (!wanted) {
      out.tcpEnd(id)
      return
    }
    // The clock may not have been stepped yet, depending on when the sink's owner looks at its events.
    const confirm = step.confirm?.(this.#payload(wall + stepped))
    if (confirm !== undefined) out.tcpData(id, confirm)
    const linkName = zoneOf(from.address)!
    // A session that we still had goes on with this link: the router will not say that it opened.
    const connectedAt = this.#peers.get(key)?.connectedAt
    this.#peers.set({ hash, endpoint: from, linkName, role, quality, connectedAt })
    if (connectedAt === undefined) this.#timers.set(`adopt ${key}`, now + ADOPT_TIMEOUT)
    if (this.#log.enabled('debug')) this.#log.write('debug', `${from.address} is ${shortHash(hash)}`)
    const hello: NeighbourHello = {
      routerInfo,
      ntcp2Iv: copy(ntcp2Iv),
      udpPort,
      introKey: copy(introKey),
      quality,
      offset,
    }
    out.event({ kind: 'neighbour', link: id, role, hello, endpoint: from, linkName, rest: step.rest })
  }

  /** A RouterInfo that its router signed, for this mesh, and not ours. Its date is the router's business, once the clocks agree. */
  #checked(payload: HelloPayload): RouterInfo | undefined {
    try {
      const ri = verifyRouterInfo(readRouterInfo(payload.routerInfo))
      const ours = ri !== undefined && hashKey(ri.hash) === hashKey(this.#own.routerInfo.hash)
      return ri?.netId === this.#keys.netId && !ours ? ri : undefined
    } catch (e) {
      if (e instanceof MalformedError) return undefined
      throw e
    }
  }

  /** Returns the step, ms. */
  #sampleClock(peer: HashKey, offset: number, quality: ClockQuality, now: Millis, out: Out): number {
    const by = this.#consensus.sample(peer, offset, quality, now)
    if (by === 0) return 0
    this.#log.write('info', `clock stepped by ${Math.round(by / 1000)} s to meet the neighbours'`)
    out.event({ kind: 'clock-step', by })
    return by
  }

  #payload(clock: WallMillis): HelloPayload {
    const { routerInfo, ntcp2Iv, udpPort, introKey } = this.#own
    const quality = this.#consensus.quality
    return { routerInfo: routerInfo.bytes, ntcp2Iv, udpPort, introKey, clock, quality }
  }

  #end(id: LinkId, now: Millis, out: Out): void {
    if (!this.#hellos.has(id)) return
    this.#lost(id, now)
    out.tcpEnd(id, true)
  }

  /** A link that ended in its hello. */
  #lost(id: LinkId, now: Millis): void {
    const link = this.#hellos.remove(id)
    if (link === undefined) return
    this.#timers.clear(`hello ${id}`)
    const dialled = link.heardKey === undefined ? undefined : this.#heard.get(link.heardKey)
    if (dialled !== undefined) this.#backOff(dialled, now)
    else if (link.heardKey === undefined && !link.deaf) this.#planOthers(link.from.address, now)
  }

  /** An accepted link may have stood for a neighbour that we then did not dial. */
  #planOthers(address: string, now: Millis): void {
    for (const h of this.#heard.values()) {
      if (h.address !== address || this.#timers.get(`dial ${h.key}`) !== undefined) continue
      h.notBefore = Math.max(h.notBefore, now + DIAL_LATER)
      this.#plan(h, now)
    }
  }
}

/** Whether a scoped source address is a link-local one of this interface. */
function isOn(linkName: string, from: string): boolean {
  return zoneOf(from) === linkName && linkLocalBytes(from) !== undefined
}
