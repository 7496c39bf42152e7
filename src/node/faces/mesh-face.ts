/** The mesh face: always there, neighbours only (mesh design). */

import { toBase32 } from '../../base/base32.ts'
import type { Budget } from '../../base/budget.ts'
import { utf8 } from '../../base/bytes.ts'
import { WallClock } from '../../base/clock.ts'
import { hmacSha256 } from '../../crypto/hmac.ts'
import { systemRandom } from '../../crypto/random.ts'
import { RouterHost } from '../../host/host.ts'
import type { Driven, Runner } from '../../host/pump.ts'
import type { LinkEvent, OwnRouter } from '../../mesh/events.ts'
import { type AnnouncePolicy, LOOPBACK_LINK } from '../../mesh/link.ts'
import { Neighbourhood } from '../../mesh/neighbourhood.ts'
import { meshKeys, OPEN } from '../../mesh/secret.ts'
import { anonymity } from '../../mesh/small-mesh.ts'
import { Router } from '../../router/router.ts'
import type { RouterEvent } from '../../router/switchboard.ts'
import type { Config } from '../config/schema.ts'
import { Interfaces } from '../drivers/interfaces.ts'
import { Mdns } from '../drivers/mdns.ts'
import type { Face, FaceContext } from '../face.ts'
import { errorCode } from '../files.ts'
import { keptInvitation, MESH_SITE_KEYS, meshInvitation } from '../mesh-secret.ts'
import type { DestinationStatus, FaceStatus, PathStatus } from '../status.ts'
import {
  bandwidth,
  faceStatus,
  Keeper,
  Meter,
  pathStatus,
  transitLimits,
  transitWithin,
} from './face-router.ts'
import { endOldIdentity, noteRun } from './identity-age.ts'
import { MeshCore, type MeshCoreEvent } from './mesh-core.ts'
import { destinationsOf, Services } from './services.ts'
import { transportKeys } from './transport-keys.ts'

// Implementation constants
/** Identities are free: more sessions than a neighbourhood can hold are an attack. */
const MAX_PEERS = 256
/** Neighbours share a link, not an uplink: what it carries is theirs as much as ours. */
const LINK = bandwidth('X')

export async function startMeshFace(context: FaceContext): Promise<Face> {
  const face = new MeshFace(context)
  await face.start()
  return face
}

class MeshFace implements Face {
  readonly #context: FaceContext
  readonly #clock: WallClock
  readonly #wallAtStart: number
  readonly #netId: number
  /** A mesh without a secret. */
  readonly #open: boolean
  readonly #siteKeys: string
  readonly #core: MeshCore
  readonly #driven: Driven<MeshCoreEvent>
  readonly #host: RouterHost<RouterEvent>
  readonly #runner: Runner<RouterEvent>
  readonly #keeper: Keeper
  readonly #meter: Meter
  readonly #interfaces: Interfaces
  readonly #mdns: Mdns
  #config: Config
  #services: Services | undefined

  constructor(context: FaceContext) {
    this.#context = context
    this.#config = context.config
    const { config, folder, log, pump } = context
    const random = systemRandom
    const now = pump.now()
    this.#wallAtStart = Date.now() - now
    this.#clock = new WallClock(Date.now(), now)
    const faceFolder = folder.face('mesh')
    if (endOldIdentity(faceFolder, Date.now()))
      log.write('info', 'a new identity: the last one was off for long, or old')
    if (config.mesh.secret === '' && keptInvitation(folder) === undefined)
      log.write(
        'info',
        'a new mesh: "ramsons mesh show" tells its words, "ramsons mesh join" takes those of another',
      )
    const invitation = meshInvitation(config.mesh, folder, random)
    const keys = meshKeys(invitation)
    this.#netId = keys.netId
    this.#open = invitation.secret === OPEN
    // Not by the mesh's name: two meshes may share it.
    this.#siteKeys = `${MESH_SITE_KEYS}${toBase32(hmacSha256(keys.hello, utf8('site keys')).subarray(0, 5))}`
    const ntcp2 = transportKeys(faceFolder, random)
    const router = new Router(
      {
        local: faceFolder.routerKeys(random),
        ntcp2,
        self: {
          netId: keys.netId,
          bandwidth: LINK.letter,
          floodfill: true,
          hidden: false,
          congestion: '',
          ntcp2: undefined,
        },
        prologue: keys.hello,
        exploratory: config.mesh.exploratory,
        meshRule: true,
        allowReservedRanges: false,
        maxPeers: Math.min(MAX_PEERS, config.limits.peers),
        transit: transitLimits(config, LINK, true),
        random,
        clock: this.#clock,
        log,
      },
      now,
    )
    const loopback = config.mesh.loopback === '' ? undefined : config.mesh.loopback
    const own = (routerInfo: OwnRouter['routerInfo']): OwnRouter => ({
      routerInfo,
      ntcp2Iv: ntcp2.iv,
      udpPort: 0,
      introKey: new Uint8Array(32),
    })
    const neighbourhood = new Neighbourhood({
      keys,
      policy: this.#policy(config),
      port: config.mesh.port,
      own: own(router.routerInfo),
      clock: this.#clock,
      clockQuality: 0,
      random,
      log,
    })
    this.#core = new MeshCore(router, neighbourhood, this.#clock, own)
    this.#driven = pump.drive({
      core: this.#core,
      onEvent: (e) => this.#event(e),
      ...(loopback === undefined ? {} : { localAddress: () => loopback }),
    })
    this.#runner = {
      run: (work) => this.#driven.run((at, out) => this.#core.tellRouter(at, out, (sink) => work(at, sink))),
    }
    this.#host = new RouterHost({ router, runner: this.#runner })
    const { journal, records } = faceFolder.openNetDb()
    for (const record of records) router.netdb.restore(record, now)
    this.#keeper = new Keeper(router, journal, faceFolder, () => noteRun(faceFolder, Date.now()))
    this.#meter = new Meter(now)
    this.#mdns = new Mdns({
      onRecords: (link, from, heard) => this.#tell((nb, at) => nb.heardRecords(link, from, heard, at)),
      onQuery: (link, from) => this.#tell((nb, at) => nb.heardQuery(link, from, at)),
      onProblem: (link, problem) => this.#tell((nb, at) => nb.linkFailed(link, problem, at)),
      log,
    })
    this.#interfaces = new Interfaces({
      onChange: (all) =>
        this.#driven.run((at, out) =>
          this.#core.tellNeighbourhood(at, out, (sink) => neighbourhood.interfacesChanged(all, at, sink)),
        ),
      loopback,
      log,
    })
  }

  async start(): Promise<void> {
    const { config, given, folder, log } = this.#context
    const { length, min_length } = config.mesh
    this.#runner.run((at, out) => this.#core.router.start(at, out))
    this.#services = await Services.start({
      face: 'mesh',
      config,
      given,
      folder,
      host: this.#host,
      destinations: destinationsOf(this.#core.router, this.#runner),
      siteKeys: this.#siteKeys,
      random: systemRandom,
      log,
      length,
      minLength: min_length === 'auto' ? 0 : min_length,
    })
    this.#interfaces.start()
  }

  status(): FaceStatus {
    const { router, neighbourhood } = this.#core
    const now = this.#context.pump.now()
    const { level, sentence } = anonymity(router.reachable)
    return faceStatus(
      {
        netId: this.#netId,
        router,
        clock: {
          offset_ms: this.#clock.wall(now) - Math.round(now + this.#wallAtStart),
          quality: neighbourhood.clockQuality,
        },
        anonymity: level,
        note: sentence,
        hops: router.hops,
        reachability: { ipv4: 'ok', ipv6: 'ok' },
        limit: LINK.bytesPerSecond,
        waitingFor: neighbourhood.status().waitingFor ?? router.waitingFor(),
      },
      this.#meter,
      now,
    )
  }

  destinations(): readonly DestinationStatus[] {
    return this.#services?.destinations() ?? []
  }

  paths(): PathStatus {
    return pathStatus(this.#core.router)
  }

  services(): Readonly<Record<string, string>> {
    return this.#services?.listening() ?? {}
  }

  follow(budget: Budget): void {
    this.#services?.setClientTunnels(budget.clientTunnels)
    this.#core.neighbourhood.setCadence(budget.announceInterval, budget.onBattery)
    this.#core.router.setLimits(transitWithin(budget, transitLimits(this.#config, LINK, true)))
  }

  reload(config: Config): void {
    this.#config = config
    const policy = this.#policy(config)
    this.#driven.run((at, out) =>
      this.#core.tellNeighbourhood(at, out, (sink) => this.#core.neighbourhood.setPolicy(policy, at, sink)),
    )
    this.#services?.reload(config)
  }

  #policy({ mesh }: Config): AnnouncePolicy {
    const { announce, interfaces, loopback } = mesh
    const where = loopback === '' ? interfaces : [LOOPBACK_LINK]
    return { announce, interfaces: where, open: this.#open, allowed: new Set() }
  }

  async close(): Promise<void> {
    this.#interfaces.stop()
    await this.#services?.close()
    this.#driven.run((at, out) => {
      this.#core.tellNeighbourhood(at, out, (sink) => this.#core.neighbourhood.shutdown(sink))
      this.#core.tellRouter(at, out, (sink) => this.#core.router.stop(at, sink))
    })
    await this.#keeper.close()
    await this.#mdns.close()
    await this.#driven.close()
  }

  #tell(work: (neighbourhood: Neighbourhood, now: number) => void): void {
    this.#driven.run((at, out) =>
      this.#core.tellNeighbourhood(at, out, () => work(this.#core.neighbourhood, at)),
    )
  }

  #event(e: MeshCoreEvent): void {
    switch (e.kind) {
      case 'stream':
        this.#host.handle(e.destination, e.event)
        return
      case 'router-info':
        this.#keeper.routerInfoChanged(e.routerInfo)
        return
      case 'listen':
        this.#listen(e)
        return
      case 'unlisten':
        this.#driven.unlisten(e.address, e.port)
        return
      case 'join':
      case 'leave':
      case 'announce':
      case 'query':
        this.#mdns.handle(e)
        return
      default:
        return
    }
  }

  #listen({ linkName, address, port }: Extract<LinkEvent, { kind: 'listen' }>): void {
    this.#driven.listen(address, port).catch((e: unknown) => {
      // The code alone: the message names the address.
      const problem = `port ${port}: ${errorCode(e) ?? 'cannot listen'}`
      this.#driven.run((at, out) =>
        this.#core.tellNeighbourhood(at, out, (sink) =>
          this.#core.neighbourhood.listenFailed(linkName, port, problem, at, sink),
        ),
      )
    })
  }
}
