/**
 * Has the gateway pass a port on to us while we run: by PCP, NAT-PMP or UPnP, whichever it speaks. Renews in time, follows the machine to
 * another network, and takes everything back at the end. Own code, since no package for it keeps to the machine's own gateway.
 */
import type { Endpoint } from '../../base/core.ts'
import { ipBytes } from '../../base/ip.ts'
import type { Log } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import { isReserved } from '../../router/ip-ranges.ts'
import { defaultGateway, type Gateway, type Granted, type Mapper, type Wish } from './gateway.ts'
import { NONCE_SIZE } from './pcp.ts'
import { pcpMapper } from './pcp-mapper.ts'
import { SSDP, upnpMapper } from './upnp.ts'

// Specification constants
/** RFC 6887, "UDP port". */
const PCP_PORT = 5351

// Implementation constants
/** Seconds. Renewed at half of it: a gateway that was restarted has forgotten us for ten minutes at most. */
const LIFETIME = 1_200
/** Shorter lifetimes than this are not believed: each renewal wakes the machine. */
const MIN_LIFETIME = 120
/** How often a route to another network is looked for. */
const LOOK_MS = 60_000
/** To the next attempt where nothing was granted. */
const RETRY_MS = 15 * 60_000
/** Its own uplink is down. */
const NO_ADDRESS = 'the gateway has no address outside'
/** The gateway has that long to take mappings back; then it forgets them by itself. */
const CLOSE_MS = 2_000

export type PortMappingState =
  | { readonly kind: 'searching' }
  /** At least one port. */
  | { readonly kind: 'mapped'; readonly by: Mapper['name']; readonly granted: readonly Granted[] }
  /** `why` has no addresses. */
  | { readonly kind: 'none'; readonly why: string }

export interface PortMappingOptions {
  readonly wishes: readonly Wish[]
  /** Called when it is different from before; must not throw. */
  readonly onChange: (state: PortMappingState) => void
  readonly random: Random
  readonly log: Log
  /** Asked again and again. */
  readonly gateway?: () => Promise<Gateway | undefined>
  /** Where gateways listen, for tests. */
  readonly pcpPort?: number
  readonly ssdp?: Endpoint
}

export class PortMapping {
  readonly #options: PortMappingOptions
  readonly #ending = new AbortController()
  #state: PortMappingState = { kind: 'searching' }
  #gateway: Gateway | undefined
  #mapper: Mapper | undefined
  #granted: readonly Granted[] = []
  /** When to ask again although nothing has changed; performance.now(). */
  #due = 0
  #running: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor(options: PortMappingOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = this.#turn()
  }

  async close(): Promise<void> {
    this.#ending.abort()
    await this.#running
    clearTimeout(this.#timer)
    const within = AbortSignal.timeout(CLOSE_MS)
    for (const granted of this.#granted) await this.#mapper?.unmap(granted, within).catch(() => {})
    this.#forget()
  }

  async #turn(): Promise<void> {
    try {
      await this.#look()
    } catch (e) {
      // Of the system, whose messages name addresses; anything else is our bug.
      const { code, stack } = e as NodeJS.ErrnoException
      if (code === undefined) this.#options.log.write('error', `port mapping: ${stack}`)
      this.#failed(code ?? 'an error')
    }
    if (this.#ending.signal.aborted) return
    this.#timer = setTimeout(
      () => this.start(),
      Math.min(LOOK_MS, Math.max(0, this.#due - performance.now())),
    )
  }

  async #look(): Promise<void> {
    const gateway = await (this.#options.gateway ?? defaultGateway)()
    const moved = gateway?.address !== this.#gateway?.address || gateway?.local !== this.#gateway?.local
    if (moved) this.#leave(gateway)
    if (!moved && performance.now() < this.#due) return
    if (gateway === undefined) return this.#failed('no gateway')
    if (!isReserved(ipBytes(gateway.local)!)) return this.#failed('our address is not translated')
    if (this.#mapper !== undefined && (await this.#ask(this.#mapper)) === undefined) return
    if (this.#ending.signal.aborted) return
    this.#forget()
    await this.#search(gateway)
  }

  /** What was granted there ends there by itself. */
  #leave(gateway: Gateway | undefined): void {
    this.#forget()
    this.#gateway = gateway
    if (gateway !== undefined) this.#tell({ kind: 'searching' })
  }

  #forget(): void {
    this.#mapper?.close()
    this.#mapper = undefined
    this.#granted = []
  }

  async #search(gateway: Gateway): Promise<void> {
    const { random, pcpPort = PCP_PORT, ssdp = SSDP } = this.#options
    const { signal } = this.#ending
    const reasons: string[] = []
    for (const find of [
      () => pcpMapper(gateway, random.bytes(NONCE_SIZE), pcpPort),
      () => upnpMapper(gateway, (n) => random.below(n), ssdp, signal),
    ]) {
      if (signal.aborted) return
      const mapper = await find()
      const why = mapper === undefined ? 'no UPnP' : await this.#ask(mapper)
      if (why === undefined) return
      mapper?.close()
      reasons.push(why)
    }
    if (!signal.aborted) this.#failed(reasons.join('; '))
  }

  /** For all ports, again if need be, at the same place outside. Returns why none was granted. */
  async #ask(mapper: Mapper): Promise<string | undefined> {
    const granted: Granted[] = []
    let why = ''
    for (const wish of this.#options.wishes) {
      const before = this.#granted.find((g) => g.protocol === wish.protocol && g.port === wish.port)
      const { signal } = this.#ending
      const answer = await mapper.map(wish, before?.external ?? wish.port, LIFETIME, signal)
      // Not renewed any more, but to be taken back.
      if (signal.aborted && before !== undefined) granted.push(before)
      else if (typeof answer === 'string') why = answer
      else if (answer.address === '0.0.0.0') why = NO_ADDRESS
      else granted.push(answer)
    }
    if (granted.length === 0) return why
    this.#mapper = mapper
    this.#granted = granted
    const ends = granted.map((g) => (g.lifetime === 0 ? LIFETIME : Math.max(MIN_LIFETIME, g.lifetime)))
    this.#due = performance.now() + Math.min(...ends) * 500
    this.#tell({ kind: 'mapped', by: mapper.name, granted })
    return undefined
  }

  #failed(why: string): void {
    this.#due = performance.now() + RETRY_MS
    this.#tell({ kind: 'none', why })
  }

  #tell(state: PortMappingState): void {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return
    this.#state = state
    const { log, onChange } = this.#options
    if (log.enabled('debug')) log.write('debug', `port mapping: ${JSON.stringify(state)}`)
    onChange(state)
  }
}
