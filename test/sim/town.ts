/** Whole routers on a virtual network that all know each other's RouterInfo at first, and echo services on their destinations. */
import { createHash } from 'node:crypto'
import type { Millis } from '../../src/base/clock.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { generateX25519, type X25519KeyPair } from '../../src/crypto/x25519.ts'
import type { I2npMessage } from '../../src/protocol/i2np/message.ts'
import type { Hash } from '../../src/protocol/structures/hash.ts'
import {
  type LocalIdentity,
  newDestination,
  newRouterIdentity,
} from '../../src/protocol/structures/identity.ts'
import { Router } from '../../src/router/router.ts'
import type { RouterEvent } from '../../src/router/switchboard.ts'
import { type SimEvent, SimNetwork, type SimOptions } from './network.ts'

const NET_ID = 77
/** Numbers that a router gives its pools. */
const EXPLORATORY = 1
const FIRST_SERVICE = 2
const PORTS = { sourcePort: 0, destinationPort: 0 }
const TRANSIT = {
  maxTransit: 500,
  transitBytesPerSecond: 4_000_000,
  peerBuildsPerSecond: 5,
  peerBuildBurst: 30,
  buildsPerSecond: 100,
}

export interface TownOptions extends Partial<SimOptions> {
  readonly routers: number
  /** How many of them, the first ones, are floodfills. */
  readonly floodfills: number
  /** Hops of every tunnel. */
  readonly length: number
  /** Wall clocks are off by up to this, either way. */
  readonly clockError: Millis
  /** Clocks that are off by so much instead, by router. */
  readonly offsets?: Readonly<Record<string, Millis>>
}

/** What outlives a restart of a node. */
interface Resident {
  readonly name: string
  readonly address: string
  readonly local: LocalIdentity
  readonly ntcp2: { readonly staticKeys: X25519KeyPair; readonly iv: Uint8Array }
  readonly floodfill: boolean
  readonly services: Service[]
}

interface Service {
  readonly name: string
  readonly local: LocalIdentity
  readonly published: boolean
  /** Its number in the router's present life. */
  id: number
  ready: boolean
}

/** A request of `size` bytes to an echo service, and what came back. */
export interface Errand {
  readonly from: string
  readonly size: number
  readonly startedAt: Millis
  opened: boolean
  received: number
  readonly sentHash: string
  receivedHash: string
  result: string | undefined
  endedAt: Millis
}

interface ErrandState {
  readonly errand: Errand
  readonly data: Uint8Array
  readonly hash: ReturnType<typeof createHash>
  written: number
  /** May have been written by now. */
  allowed: number
}

/** One end of an echoing stream: what is still to be sent back. */
interface Echo {
  readonly queue: Uint8Array[]
  ended: boolean
}

export class Town {
  readonly net: SimNetwork<Router, RouterEvent>
  readonly errands: Errand[] = []
  readonly #options: TownOptions
  readonly #random: Random
  readonly #residents = new Map<string, Resident>()
  readonly #running = new Map<string, ErrandState>()
  readonly #echoes = new Map<string, Echo>()

  constructor(seed: number, options: TownOptions) {
    this.#options = options
    this.#random = seededRandom(seed ^ 0x70776e)
    this.net = new SimNetwork(seed, options)
    this.net.on((e) => this.#event(e))
    for (let i = 0; i < options.routers; i++) {
      const resident: Resident = {
        name: `r${i}`,
        address: `${21 + i}.${101 + i}.0.1`,
        local: newRouterIdentity(this.#random),
        ntcp2: { staticKeys: generateX25519(this.#random), iv: this.#random.bytes(16) },
        floodfill: i < options.floodfills,
        services: [],
      }
      this.#residents.set(resident.name, resident)
      this.#settle(resident)
    }
    for (const name of this.#residents.keys()) this.#introduce(name)
  }

  get names(): string[] {
    return [...this.#residents.keys()]
  }

  /** A destination on router `name`; published ones echo. Returns its hash. */
  service(name: string, serviceName: string, published: boolean): Hash {
    const service: Service = {
      name: serviceName,
      local: newDestination(this.#random),
      published,
      id: 0,
      ready: false,
    }
    const resident = this.#residents.get(name)!
    resident.services.push(service)
    this.net.do(name, (router, now, out) => this.#addService(router, service, now, out))
    return service.local.identity.hash
  }

  /** Services that have a lease set. */
  get ready(): number {
    let n = 0
    for (const r of this.#residents.values()) n += r.services.filter((s) => s.ready).length
    return n
  }

  /**
   * Sends `size` bytes from the first service of `name` to `to`, and expects them back: all at once, or on one stream in
   * `pace.pieces` pieces, one every `pace.every` ms.
   */
  errand(name: string, to: Hash, size: number, pace = { pieces: 1, every: 0 }): Errand {
    const { id } = this.#residents.get(name)!.services[0]!
    const data = this.#random.bytes(size)
    const errand: Errand = {
      from: name,
      size,
      startedAt: this.net.now,
      opened: false,
      received: 0,
      sentHash: createHash('sha256').update(data).digest('hex'),
      receivedHash: '',
      result: undefined,
      endedAt: 0,
    }
    this.errands.push(errand)
    const state: ErrandState = { errand, data, hash: createHash('sha256'), written: 0, allowed: 0 }
    this.net.do(name, (router, now, out) => {
      const stream = router.connect(id, to, PORTS, now, out)
      this.#running.set(`${name}/${id}/${stream}`, state)
      this.#piece(state, router, id, stream, now, out, size / pace.pieces)
      for (let i = 1; i < pace.pieces; i++) {
        this.net.at(now + i * pace.every, () => {
          if (this.#running.get(`${name}/${id}/${stream}`) !== state) return
          this.net.do(name, (r, at, o) => this.#piece(state, r, id, stream, at, o, size / pace.pieces))
        })
      }
    })
    return errand
  }

  /** Messages out of an exploratory tunnel of `name` into the inbound tunnels of the first service on `victim`. */
  throwAt(name: string, victim: string, messages: readonly I2npMessage[]): void {
    const leases = this.net.core(victim).tunnels.inbound(FIRST_SERVICE)
    this.net.do(name, (router, now, out) => {
      const sink = { ...out, event: () => {} }
      for (const [i, message] of messages.entries()) {
        const { gateway, gatewayTunnelId: tunnelId } = leases[i % leases.length]!
        router.tunnels.send(EXPLORATORY, { kind: 'tunnel', gateway, tunnelId }, message, now, {
          event: (e) => {
            if (e.kind === 'send') router.transport.send(e.to, e.message, now, sink)
          },
        })
      }
      router.transport.flush(now, sink)
    })
  }

  /** The encryption key of the first service on `name`. */
  keyOf(name: string): Uint8Array {
    return this.#residents.get(name)!.services[0]!.local.encryption.publicKey
  }

  /** Its destinations start anew with the same keys; its netDb is empty but for the routers up now. */
  restart(name: string): void {
    const gone = `${name}/`
    for (const [key, { errand }] of [...this.#running]) {
      if (!key.startsWith(gone)) continue
      errand.result = 'restarted'
      this.#running.delete(key)
    }
    for (const key of [...this.#echoes.keys()]) if (key.startsWith(gone)) this.#echoes.delete(key)
    this.net.restart(name)
    this.#introduce(name)
  }

  #settle(resident: Resident): void {
    const { length, clockError, offsets } = this.#options
    const drawn = this.#random.below(2 * clockError + 1) - clockError
    const clockOffset = offsets?.[resident.name] ?? drawn
    this.net.add(
      resident.name,
      resident.address,
      ({ now, random, log, clock }) =>
        new Router(
          {
            local: resident.local,
            ntcp2: resident.ntcp2,
            self: {
              netId: NET_ID,
              bandwidth: 'X',
              floodfill: resident.floodfill,
              hidden: false,
              congestion: '',
              ntcp2: { host: resident.address, port: 4567 },
            },
            exploratory: { inbound: { length, quantity: 2 }, outbound: { length, quantity: 2 } },
            meshRule: false,
            allowReservedRanges: false,
            maxPeers: 200,
            transit: TRANSIT,
            random,
            clock,
            log,
          },
          now,
        ),
      {
        clockOffset,
        boot: (router, now, out) => {
          router.start(now, out)
          for (const service of resident.services) this.#addService(router, service, now, out)
        },
      },
    )
  }

  #addService(router: Router, service: Service, now: Millis, out: Parameters<Router['start']>[1]): void {
    const { length } = this.#options
    service.ready = false
    service.id = router.addDestination(
      {
        name: service.name,
        local: service.local,
        published: service.published,
        minLength: 0,
        inbound: { length, quantity: 3 },
        outbound: { length, quantity: 3 },
      },
      now,
      out,
    )
  }

  /** Tells `name` of all routers that are up, and them of it only through the network. */
  #introduce(name: string): void {
    const others = this.names.filter((n) => n !== name && this.net.isUp(n))
    const infos = others.map((n) => this.net.core(n).routerInfo)
    this.net.do(name, (router, now, out) => router.addRouters(infos, now, out))
  }

  #piece(
    state: ErrandState,
    router: Router,
    id: number,
    stream: number,
    now: Millis,
    out: Parameters<Router['start']>[1],
    bytes: number,
  ): void {
    state.allowed = Math.min(state.data.length, Math.ceil(state.allowed + bytes))
    this.#write(state, router, id, stream, now, out)
  }

  #write(
    state: ErrandState,
    router: Router,
    id: number,
    stream: number,
    now: Millis,
    out: Parameters<Router['start']>[1],
  ): void {
    const { data } = state
    if (state.written === state.allowed) return
    state.written += router.write(id, stream, data.subarray(state.written, state.allowed), now, out)
    if (state.written === data.length) router.end(id, stream, now, out)
  }

  #event({ node, event }: SimEvent<RouterEvent>): void {
    if (event.kind === 'leases') {
      const service = this.#residents.get(node)!.services.find((s) => s.id === event.destination)
      if (service !== undefined) service.ready = true
    }
    if (event.kind !== 'stream') return
    const key = `${node}/${event.destination}/${event.event.kind === 'pong' ? 0 : event.event.id}`
    const state = this.#running.get(key)
    if (state !== undefined) this.#errandEvent(key, state, node, event)
    else this.#echoEvent(key, node, event)
  }

  #errandEvent(key: string, state: ErrandState, node: string, e: RouterEvent & { kind: 'stream' }): void {
    const { errand } = state
    const { event } = e
    switch (event.kind) {
      case 'open':
        errand.opened = true
        return
      case 'drain':
        this.net.do(node, (r, now, out) => this.#write(state, r, e.destination, event.id, now, out))
        return
      case 'data':
        errand.received += event.bytes.length
        state.hash.update(event.bytes)
        this.net.do(node, (r, now, out) => r.consumed(e.destination, event.id, event.bytes.length, now, out))
        return
      case 'end':
        errand.receivedHash = state.hash.digest('hex')
        errand.endedAt = this.net.now
        return
      case 'closed':
        errand.result = event.reason
        this.#running.delete(key)
    }
  }

  #echoEvent(key: string, node: string, e: RouterEvent & { kind: 'stream' }): void {
    const { event } = e
    const echo = this.#echoes.get(key)
    switch (event.kind) {
      case 'incoming':
        this.#echoes.set(key, { queue: [], ended: false })
        this.net.do(node, (r, now, out) => r.accept(e.destination, event.id, now, out))
        return
      case 'data':
        echo?.queue.push(event.bytes)
        this.#echoOn(echo, node, e.destination, event.id)
        return
      case 'end':
        if (echo !== undefined) echo.ended = true
        this.#echoOn(echo, node, e.destination, event.id)
        return
      case 'drain':
        this.#echoOn(echo, node, e.destination, event.id)
        return
      case 'closed':
        this.#echoes.delete(key)
    }
  }

  #echoOn(echo: Echo | undefined, node: string, id: number, stream: number): void {
    if (echo === undefined) return
    this.net.do(node, (router, now, out) => {
      for (let bytes = echo.queue.shift(); bytes !== undefined; bytes = echo.queue.shift()) {
        const taken = router.write(id, stream, bytes, now, out)
        router.consumed(id, stream, taken, now, out)
        if (taken < bytes.length) {
          echo.queue.unshift(bytes.subarray(taken))
          return
        }
      }
      if (echo.ended) router.end(id, stream, now, out)
    })
  }
}
