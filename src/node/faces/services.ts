/** The services of one face: the HTTP proxy for this machine's browser, and the user's site. */

import { type Site, startSite } from '../../apps/site/site.ts'
import { type FolderWatch, hasFiles, watchFiles } from '../../apps/site/watch.ts'
import type { Log } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { DestinationId, RouterHost } from '../../host/host.ts'
import type { Runner } from '../../host/pump.ts'
import { type LocalIdentity, newDestination, toB32 } from '../../protocol/structures/identity.ts'
import type { DestinationRequest } from '../../router/options.ts'
import type { Router } from '../../router/router.ts'
import type { RouterEvent } from '../../router/switchboard.ts'
import { type HttpProxy, startHttpProxy } from '../../services/http-proxy/http-proxy.ts'
import type { Config } from '../config/schema.ts'
import type { DataFolder, FaceName } from '../data-folder.ts'
import type { DestinationStatus } from '../status.ts'

/** The name of the site's destination. */
const SITE = 'site'

/** The router's part in having a destination. */
export interface Destinations {
  add(request: DestinationRequest): DestinationId
  remove(id: DestinationId): void
  setQuantity(id: DestinationId, tunnels: number): void
}

export interface ServicesOptions {
  readonly face: FaceName
  readonly config: Config
  readonly given: ReadonlySet<string>
  readonly folder: DataFolder
  readonly host: RouterHost<RouterEvent>
  readonly destinations: Destinations
  /** Names the site's key file: a site of another network has other keys, so that the two are not linked. */
  readonly siteKeys: string
  readonly random: Random
  readonly log: Log
  /** Hops of each tunnel; quantities follow the budget. */
  readonly length: number
  readonly minLength: number
}

/** Tunnels each way of a published destination, and of others until the first budget. */
const QUANTITY = 2

interface Running {
  readonly id: DestinationId
  readonly status: DestinationStatus
}

export class Services {
  readonly #o: ServicesOptions
  readonly #running = new Map<string, Running>()
  #proxy: HttpProxy | undefined
  #site: Site | undefined
  #watch: FolderWatch | undefined

  private constructor(options: ServicesOptions) {
    this.#o = options
  }

  static async start(options: ServicesOptions): Promise<Services> {
    const services = new Services(options)
    try {
      await services.#startProxy()
      services.#startSite(options.config.site.enabled)
    } catch (e) {
      await services.close()
      throw e
    }
    return services
  }

  destinations(): readonly DestinationStatus[] {
    return [...this.#running.values()].map((r) => r.status)
  }

  /** Where they listen. */
  listening(): Readonly<Record<string, string>> {
    const { face, config } = this.#o
    return this.#proxy === undefined
      ? {}
      : { [`${face}.http_proxy`]: `${config[face].http_proxy.host}:${this.#proxy.port}` }
  }

  /** Tunnels each way for the destinations that nobody outside can count: a published one keeps its leases. */
  setClientTunnels(quantity: number): void {
    for (const { id, status } of this.#running.values())
      if (status.kind === 'client') this.#o.destinations.setQuantity(id, quantity)
  }

  /** The site goes up or down; the rest waits for the next start. */
  reload(config: Config): void {
    this.#startSite(config.site.enabled)
  }

  async close(): Promise<void> {
    this.#watch?.close()
    this.#site?.close()
    await this.#proxy?.close()
    for (const name of [...this.#running.keys()]) this.#remove(name)
  }

  async #startProxy(): Promise<void> {
    const { face, config, given, host, random, log } = this.#o
    const { enabled, port, host: address } = config[face].http_proxy
    if (!enabled) return
    this.#add('http proxy', 'client', newDestination(random))
    const key = given.has(`${face}.http_proxy.port`) ? `${face}.http_proxy.port` : undefined
    this.#proxy = await startHttpProxy({ listen: { host: address, port, key }, host, log })
    log.write('info', `HTTP proxy on port ${this.#proxy.port}`)
  }

  /** Also when `enabled` has changed. */
  #startSite(enabled: Config['site']['enabled']): void {
    const { face, config, folder, log } = this.#o
    if (config.site.face !== face) return
    const root = folder.path(config.site.root)
    const set = (up: boolean): void => (up ? this.#openSite(root) : this.#closeSite())
    this.#watch?.close()
    this.#watch = enabled === 'auto' ? watchFiles(root, set, log) : undefined
    set(enabled === 'auto' ? hasFiles(root) : enabled)
  }

  #openSite(root: string): void {
    const { config, folder, host, siteKeys, random, log } = this.#o
    if (this.#site !== undefined) return
    const keys = folder.destination(siteKeys, random)
    const id = this.#add(SITE, 'server', keys)
    this.#site = startSite({ server: host.createServer(id), root, title: config.site.title, log })
    log.write('info', 'site is up; its address: ramsons status')
    log.write('debug', `site at http://${toB32(keys.identity.hash)}/`)
  }

  #closeSite(): void {
    this.#site?.close()
    this.#site = undefined
    this.#remove(SITE)
  }

  #add(name: string, kind: 'server' | 'client', local: LocalIdentity): DestinationId {
    const { face, host, destinations, length, minLength } = this.#o
    const side = { length, quantity: QUANTITY }
    const published = kind === 'server'
    const id = destinations.add({ name, local, published, minLength, inbound: side, outbound: side })
    host.addDestination(id, local.identity.hash, { client: kind === 'client' })
    this.#running.set(name, { id, status: { name, b32: toB32(local.identity.hash), face, kind } })
    return id
  }

  #remove(name: string): void {
    const running = this.#running.get(name)
    if (running === undefined) return
    this.#running.delete(name)
    this.#o.host.removeDestination(running.id)
    this.#o.destinations.remove(running.id)
  }
}

/** The destinations of `router`, whose commands run through `runner`. */
export function destinationsOf(router: Router, runner: Runner<RouterEvent>): Destinations {
  return {
    add: (request) => runner.run((now, out) => router.addDestination(request, now, out)),
    remove: (id) => runner.run((now, out) => router.removeDestination(id, now, out)),
    setQuantity: (id, tunnels) =>
      runner.run((now, out) => router.setQuantity(id, tunnels, tunnels, now, out)),
  }
}
