/** The public face: an ordinary router on the I2P network, or on a test network. Off unless the user turns it on. */
import { existsSync } from 'node:fs'
import type { Budget } from '../../base/budget.ts'
import { WallClock } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { ipBytes } from '../../base/ip.ts'
import { systemRandom } from '../../crypto/random.ts'
import { RouterHost } from '../../host/host.ts'
import { readProxy } from '../../host/proxy.ts'
import type { Driven } from '../../host/pump.ts'
import { OPEN } from '../../mesh/secret.ts'
import { type Hash, hashKey } from '../../protocol/structures/hash.ts'
import { ntcp2Address } from '../../protocol/structures/router-address.ts'
import { type RouterInfo, readRouterInfo, verifyRouterInfo } from '../../protocol/structures/router-info.ts'
import { isReserved } from '../../router/ip-ranges.ts'
import type { Ssu2Settings } from '../../router/options.ts'
import { Router } from '../../router/router.ts'
import type { SelfDescription } from '../../router/self.ts'
import { Skew } from '../../router/skew.ts'
import type { RouterEvent } from '../../router/switchboard.ts'
import type { Config } from '../config/schema.ts'
import { PortMapping, type PortMappingState } from '../drivers/port-mapping.ts'
import type { Face, FaceContext } from '../face.ts'
import { meshInvitation } from '../mesh-secret.ts'
import { readSeed } from '../seed/seed.ts'
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
import { destinationsOf, Services } from './services.ts'
import { transportKeys } from './transport-keys.ts'

// Specification constants
/** Where routers pick their port (RouterContext of i2pd, Java's install): fixed afterwards. */
const FIRST_PORT = 9111
const LAST_PORT = 30_777

/** What systemd-timesyncd leaves once the date came from a time server, and what a date is worth with it and without. */
const NTP_SYNCHRONISED = '/run/systemd/timesync/synchronized'
const QUALITY_NTP = 3
const QUALITY_UNKNOWN = 1

const NOTE = 'The public I2P network: tunnels of several routers each way hide who talks to whom.'

export async function startPublicFace(context: FaceContext): Promise<Face> {
  const face = new PublicFace(context)
  await face.start()
  return face
}

class PublicFace implements Face {
  readonly #context: FaceContext
  readonly #port: number
  readonly #udpPort: number
  readonly #hidden: boolean
  readonly #ssu2: boolean
  readonly #clock: WallClock
  readonly #skew: Skew
  readonly #router: Router
  readonly #driven: Driven<RouterEvent>
  readonly #host: RouterHost<RouterEvent>
  readonly #keeper: Keeper
  readonly #meter: Meter
  #config: Config
  #services: Services | undefined
  #mapping: PortMapping | undefined

  constructor(context: FaceContext) {
    this.#context = context
    this.#config = context.config
    const { config, folder, log, pump } = context
    const { public: pub } = config
    const random = systemRandom
    const now = pump.now()
    const faceFolder = folder.face('public')
    this.#port = keptPort(context)
    this.#udpPort = pub.ssu2.port === 0 ? this.#port : pub.ssu2.port
    this.#clock = new WallClock(Date.now(), now)
    this.#skew = new Skew(existsSync(NTP_SYNCHRONISED) ? QUALITY_NTP : QUALITY_UNKNOWN)
    const share = bandwidth(pub.bandwidth)
    this.#hidden = pub.hidden === true || (pub.hidden === 'auto' && tellsStrangers(context))
    const keys = transportKeys(faceFolder, random)
    // What goes past a proxy would tell everyone what the proxy hides.
    this.#ssu2 = pub.ssu2.enabled && pub.ntcp2.proxy === ''
    this.#router = new Router(
      {
        local: faceFolder.routerKeys(random),
        ntcp2: keys,
        ssu2: this.#ssu2 ? { introKey: keys.introKey, mtu: pub.ssu2.mtu, ...this.#reach() } : undefined,
        self: {
          netId: pub.net_id,
          bandwidth: share.letter,
          floodfill: pub.floodfill === true,
          hidden: this.#hidden,
          congestion: '',
          ...this.#addresses(),
        },
        exploratory: pub.exploratory,
        meshRule: false,
        allowReservedRanges: pub.allow_reserved_ranges,
        maxPeers: config.limits.peers,
        transit: transitLimits(config, share, !this.#hidden),
        bytesPerSecond: share.bytesPerSecond,
        random,
        clock: this.#clock,
        log,
      },
      now,
    )
    const source = pub.bind
    this.#driven = pump.drive({
      core: this.#router,
      onEvent: (e) => this.#event(e),
      localAddress: (to) =>
        source !== '' && to.address.includes(':') === source.includes(':') ? source : undefined,
      proxy: readProxy(pub.ntcp2.proxy),
    })
    this.#host = new RouterHost({ router: this.#router, runner: this.#driven })
    const { journal, records } = faceFolder.openNetDb()
    for (const record of records) this.#router.netdb.restore(record, now)
    this.#keeper = new Keeper(this.#router, journal, faceFolder)
    this.#meter = new Meter(now)
  }

  async start(): Promise<void> {
    const { config, given, folder, log } = this.#context
    await this.#listen()
    const seeds = this.#seeds()
    this.#driven.run((at, out) => {
      this.#router.addRouters(seeds, at, out)
      this.#router.start(at, out)
    })
    const { length } = config.public
    this.#services = await Services.start({
      face: 'public',
      config,
      given,
      folder,
      host: this.#host,
      destinations: destinationsOf(this.#router, this.#driven),
      siteKeys: 'site-public',
      random: systemRandom,
      log,
      length,
      minLength: length,
    })
    this.#mapPort()
  }

  status(): FaceStatus {
    const { config, pump } = this.#context
    return faceStatus(
      {
        netId: config.public.net_id,
        router: this.#router,
        clock: { offset_ms: Math.round(this.#skew.stepped), quality: this.#skew.quality },
        anonymity: 'moderate',
        note: NOTE,
        hops: config.public.length,
        reachability: { ipv4: this.#router.verdict(4), ipv6: this.#router.verdict(6) },
        limit: bandwidth(config.public.bandwidth).bytesPerSecond,
        waitingFor:
          this.#router.netdb.size === 0 ? 'routers: no seed (public.reseed.file)' : this.#router.waitingFor(),
      },
      this.#meter,
      pump.now(),
    )
  }

  destinations(): readonly DestinationStatus[] {
    return this.#services?.destinations() ?? []
  }

  paths(): PathStatus {
    return pathStatus(this.#router)
  }

  services(): Readonly<Record<string, string>> {
    return this.#services?.listening() ?? {}
  }

  follow(budget: Budget): void {
    this.#services?.setClientTunnels(budget.clientTunnels)
    const offered = bandwidth(this.#config.public.bandwidth)
    const limits = transitLimits(this.#config, offered, !this.#hidden)
    this.#router.setLimits(transitWithin(budget, limits), offered.bytesPerSecond)
  }

  reload(config: Config): void {
    this.#config = config
    this.#services?.reload(config)
  }

  async close(): Promise<void> {
    await this.#services?.close()
    await this.#mapping?.close()
    this.#driven.run((at, out) => this.#router.stop(at, out))
    await this.#keeper.close()
    await this.#driven.close()
  }

  #event(e: RouterEvent): void {
    if (e.kind === 'stream') this.#host.handle(e.destination, e.event)
    else if (e.kind === 'router-info') this.#keeper.routerInfoChanged(e.routerInfo)
    else if (e.kind === 'clock') this.#clockHeard(e.peer, e.offset)
  }

  #clockHeard(peer: Hash, offset: number): void {
    const { log, pump } = this.#context
    const address = this.#dialled(peer)
    const step = address === undefined ? 0 : this.#skew.heard(peer, address, offset, pump.now())
    if (step === 0) return
    log.write('info', `public: the clock is off by ${Math.round(step / 1000)} s, by what other routers say`)
    this.#clock.step(step)
    this.#driven.run((at, out) => this.#router.clockStepped(at, out))
  }

  /** Where we reached `peer`; undefined when it came to us: then it chose us, and not we it. */
  #dialled(peer: Hash): string | undefined {
    const key = hashKey(peer)
    for (const { hash, endpoint, initiator } of this.#router.transport.peers())
      if (hashKey(hash) === key) return initiator ? endpoint.address : undefined
    // A handshake that failed for the clock: we tell of those that we began only.
    const ri = this.#router.netdb.get(peer)
    return ri?.addresses.map((a) => ntcp2Address(a)?.host).find((host) => host !== undefined)
  }

  /** What may be found out of where we are: nothing, for a router that hides. */
  #reach(): Pick<Ssu2Settings, 'reach'> {
    const { ipv4, ipv6, ntcp2, ssu2 } = this.#context.config.public
    if (this.#hidden) return {}
    const families = [...(ipv4 ? [4 as const] : []), ...(ipv6 === true ? [6 as const] : [])]
    const publish = { ntcp2: ntcp2.published, ssu2: ssu2.published }
    return { reach: { families, port: this.#udpPort, publish } }
  }

  /** What we tell of where we are. */
  #addresses(): Pick<SelfDescription, 'ntcp2' | 'ssu2'> {
    const { host, ntcp2, ssu2 } = this.#context.config.public
    const open = host !== '' && !this.#hidden
    return {
      ntcp2: open && ntcp2.published ? { host, port: this.#port } : undefined,
      ssu2: this.#ssu2
        ? {
            published: open && ssu2.published ? { host, port: this.#udpPort } : undefined,
            families: this.#hidden ? '' : '4',
            mtu: ssu2.mtu,
            introducers: [],
          }
        : undefined,
    }
  }

  /** Who goes out through a proxy would not be seen here: only a user who says where to find us wants both. */
  #listens(): boolean {
    const { host, ntcp2 } = this.#context.config.public
    return !this.#hidden && (ntcp2.proxy === '' || host !== '')
  }

  #mapPort(): void {
    const { upnp, host, bind, ipv4 } = this.#context.config.public
    const wanted = upnp === 'auto' ? host === '' && bind === '' : upnp
    if (!wanted || !ipv4 || !this.#listens()) return
    const { log } = this.#context
    this.#mapping = new PortMapping({
      wishes: [
        { protocol: 'tcp', port: this.#port },
        ...(this.#ssu2 ? [{ protocol: 'udp', port: this.#udpPort } as const] : []),
      ],
      onChange: (state) => {
        if (state.kind === 'mapped')
          log.write('info', `the gateway passes on what comes for us (${state.by})`)
        this.#mapped(state)
      },
      random: systemRandom,
      log,
    })
    this.#mapping.start()
  }

  /** An address that is not on the internet either has another NAT behind it. */
  #mapped(state: PortMappingState): void {
    const udp = state.kind === 'mapped' ? state.granted.find((g) => g.protocol === 'udp') : undefined
    const ip = udp && ipBytes(udp.address)
    const open = udp !== undefined && ip !== undefined && !isReserved(ip)
    const at = open ? { host: udp.address, port: udp.external } : undefined
    this.#driven.run((now, out) => this.#router.mapped(at, now, out))
  }

  async #listen(): Promise<void> {
    const { bind, ipv4, ipv6 } = this.#context.config.public
    const addresses = bind !== '' ? [bind] : [...(ipv4 ? ['0.0.0.0'] : []), ...(ipv6 === true ? ['::'] : [])]
    for (const address of addresses) {
      // Datagrams go out by the socket they come in by; a hidden router's has no port that anyone is told.
      if (this.#ssu2)
        await listening(
          'public.ssu2.port',
          this.#driven,
          'bindUdp',
          address,
          this.#hidden ? 0 : this.#udpPort,
        )
      if (this.#listens()) await listening('public.port', this.#driven, 'listen', address, this.#port)
    }
  }

  /** RouterInfos of the seed that are good; none when it is not configured. */
  #seeds(): RouterInfo[] {
    const { config, folder, log } = this.#context
    const { file, verify, certificates } = config.public.reseed
    if (file === '') return []
    const all = readSeed(folder.path(file), {
      verify,
      certificates: folder.path(certificates === '' ? 'certificates' : certificates),
      wall: Date.now(),
    })
    const good = all.map(verifiedOrNot).filter((ri) => ri !== undefined)
    log.write('info', `${good.length} routers from ${file}`)
    return good
  }
}

/** @throws {Error} that names the key. */
async function listening(
  key: string,
  driven: Driven<RouterEvent>,
  how: 'listen' | 'bindUdp',
  address: string,
  port: number,
): Promise<void> {
  try {
    await driven[how](address, port)
  } catch (e) {
    throw new Error(`${key} = ${port}: cannot listen on ${address}: ${(e as Error).message}`)
  }
}

function verifiedOrNot(bytes: Uint8Array): RouterInfo | undefined {
  try {
    return verifyRouterInfo(readRouterInfo(bytes))
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

/**
 * An open mesh that is announced wherever there is a link tells everyone on the uplink's too that this machine takes part: the public network
 * must not be told the same machine's address (mesh design, "The two faces").
 */
function tellsStrangers({ config, folder }: FaceContext): boolean {
  const { enabled, announce } = config.mesh
  return (
    enabled && announce === 'announce' && meshInvitation(config.mesh, folder, systemRandom).secret === OPEN
  )
}

/** The configured port, or one that was picked once and kept. */
function keptPort({ config, folder }: FaceContext): number {
  const { port, ntcp2 } = config.public
  if (ntcp2.port !== 0) return ntcp2.port
  if (port !== 0) return port
  const face = folder.face('public')
  const state = face.readState()
  const kept = state['port']
  if (typeof kept === 'number' && kept >= FIRST_PORT && kept <= LAST_PORT) return kept
  const picked = FIRST_PORT + systemRandom.below(LAST_PORT - FIRST_PORT + 1)
  face.writeState({ ...state, port: picked })
  return picked
}
