/**
 * The mesh face's two cores as one: a neighbourhood that finds members and says hello, and a router that takes over each
 * connection after its hello. Pure, like its parts; what one tells the other is handed over once the first has finished.
 */
import type { Millis, WallClock } from '../../base/clock.ts'
import type { Endpoint, LinkId, Sink, TcpCore, TimedCore } from '../../base/core.ts'
import { earliest } from '../../base/deadlines.ts'
import type { LinkEvent, NeighbourhoodEvent, OwnRouter } from '../../mesh/events.ts'
import type { Neighbourhood } from '../../mesh/neighbourhood.ts'
import type { Router } from '../../router/router.ts'
import type { RouterEvent } from '../../router/switchboard.ts'

export type MeshCoreEvent = LinkEvent | RouterEvent

export class MeshCore implements TcpCore<MeshCoreEvent>, TimedCore<MeshCoreEvent> {
  readonly router: Router
  readonly neighbourhood: Neighbourhood
  readonly #own: (routerInfo: OwnRouter['routerInfo']) => OwnRouter
  /** What one part told; the other hears of it when the first has returned. */
  readonly #told: (
    | Extract<NeighbourhoodEvent, { kind: 'neighbour' | 'clock-step' | 'leave' }>
    | RouterEvent
  )[] = []

  readonly #neighbourhoodSink: Sink<NeighbourhoodEvent>
  readonly #routerSink: Sink<RouterEvent>
  /** Where the call under way sends its output. */
  #out: Sink<MeshCoreEvent> | undefined

  constructor(
    router: Router,
    neighbourhood: Neighbourhood,
    clock: WallClock,
    own: (routerInfo: OwnRouter['routerInfo']) => OwnRouter,
  ) {
    this.router = router
    this.neighbourhood = neighbourhood
    this.#own = own
    const io = {
      udp: (to: Endpoint, bytes: Uint8Array): void => this.#out!.udp(to, bytes),
      tcpOpen: (to: Endpoint): LinkId => this.#out!.tcpOpen(to),
      tcpData: (id: LinkId, bytes: Uint8Array): void => this.#out!.tcpData(id, bytes),
      tcpEnd: (id: LinkId, reset?: boolean): void => this.#out!.tcpEnd(id, reset),
    }
    this.#neighbourhoodSink = {
      ...io,
      event: (e) => {
        // Dates in what comes next are already by the stepped clock.
        if (e.kind === 'clock-step') clock.step(e.by)
        if (e.kind === 'neighbour' || e.kind === 'clock-step' || e.kind === 'leave') this.#told.push(e)
        if (e.kind !== 'neighbour' && e.kind !== 'clock-step') this.#out!.event(e)
      },
    }
    this.#routerSink = {
      ...io,
      event: (e) => {
        if (e.kind !== 'stream' && e.kind !== 'leases') this.#told.push(e)
        this.#out!.event(e)
      },
    }
  }

  /** Runs a command on the neighbourhood. */
  tellNeighbourhood(
    now: Millis,
    out: Sink<MeshCoreEvent>,
    work: (sink: Sink<NeighbourhoodEvent>) => void,
  ): void {
    this.#out = out
    work(this.#neighbourhoodSink)
    this.#settle(now)
  }

  /** Runs a command on the router. */
  tellRouter<T>(now: Millis, out: Sink<MeshCoreEvent>, work: (sink: Sink<RouterEvent>) => T): T {
    this.#out = out
    const result = work(this.#routerSink)
    this.#settle(now)
    return result
  }

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<MeshCoreEvent>): void {
    this.tellNeighbourhood(now, out, (sink) => this.neighbourhood.accepted(id, from, now, sink))
  }

  connected(id: LinkId, now: Millis, out: Sink<MeshCoreEvent>): void {
    this.tellNeighbourhood(now, out, (sink) => this.neighbourhood.connected(id, now, sink))
  }

  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<MeshCoreEvent>): void {
    if (this.neighbourhood.owns(id)) {
      this.tellNeighbourhood(now, out, (sink) => this.neighbourhood.received(id, bytes, now, sink))
    } else this.tellRouter(now, out, (sink) => this.router.received(id, bytes, now, sink))
  }

  closed(id: LinkId, now: Millis, out: Sink<MeshCoreEvent>): void {
    if (this.neighbourhood.owns(id)) {
      this.tellNeighbourhood(now, out, (sink) => this.neighbourhood.closed(id, now, sink))
    } else this.tellRouter(now, out, (sink) => this.router.closed(id, now, sink))
  }

  writable(id: LinkId, now: Millis, out: Sink<MeshCoreEvent>): void {
    if (!this.neighbourhood.owns(id)) this.tellRouter(now, out, (sink) => this.router.writable(id, now, sink))
  }

  timeout(now: Millis, out: Sink<MeshCoreEvent>): void {
    if ((this.neighbourhood.nextTimeout() ?? Infinity) <= now) {
      this.tellNeighbourhood(now, out, (sink) => this.neighbourhood.timeout(now, sink))
    }
    if ((this.router.nextTimeout() ?? Infinity) <= now) {
      this.tellRouter(now, out, (sink) => this.router.timeout(now, sink))
    }
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.neighbourhood.nextTimeout(), this.router.nextTimeout())
  }

  #settle(now: Millis): void {
    for (let e = this.#told.shift(); e !== undefined; e = this.#told.shift()) {
      switch (e.kind) {
        case 'neighbour': {
          const { link, role, hello, linkName, endpoint, rest } = e
          const sink = this.#routerSink
          this.router.adopt(link, role, hello.routerInfo, linkName, endpoint, rest, now, sink, hello.ntcp2Iv)
          break
        }
        case 'leave':
          this.router.linkLost(e.linkName, now, this.#routerSink)
          break
        case 'clock-step':
          this.router.clockStepped(now, this.#routerSink)
          break
        case 'peer-open':
          this.neighbourhood.peerConnected(e.routerInfo.hash, now)
          break
        case 'peer-closed':
          this.neighbourhood.peerDisconnected(e.peer, now)
          break
        case 'clock':
          this.neighbourhood.clockSample(e.peer, e.offset, now, this.#neighbourhoodSink)
          break
        case 'router-info':
          this.neighbourhood.setOwn(this.#own(e.routerInfo))
          break
        default:
          break
      }
    }
  }
}
