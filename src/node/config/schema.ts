/**
 * Every configuration key. `Config` is what the program reads; SCHEMA gives each key its default, what is allowed, and its line
 * in `config example`; the compiler holds the two together.
 */
import { LOG_LEVELS, type LogLevel } from '../../base/log.ts'
import { readProxy } from '../../host/proxy.ts'
import { auto, bool, integer, type Key, list, oneOf, path, port, secret, text } from './key.ts'

export type Auto<T> = T | 'auto'

export interface PoolConfig {
  readonly length: number
  readonly quantity: number
}

export interface ExploratoryConfig {
  readonly inbound: PoolConfig
  readonly outbound: PoolConfig
}

export interface ListenConfig {
  readonly enabled: boolean
  readonly host: string
  readonly port: number
}

export interface Config {
  readonly node: { readonly data: string; readonly log: LogLevel }
  readonly mesh: {
    readonly enabled: boolean
    readonly name: string
    readonly secret: string
    readonly interfaces: readonly string[]
    readonly loopback: string
    readonly announce: Auto<'announce' | 'listen' | 'off'>
    readonly port: number
    readonly length: number
    readonly min_length: Auto<number>
    readonly exploratory: ExploratoryConfig
    readonly http_proxy: ListenConfig
  }
  readonly public: {
    readonly enabled: boolean
    readonly net_id: number
    readonly host: string
    readonly bind: string
    readonly port: number
    readonly ipv4: boolean
    readonly ipv6: Auto<boolean>
    readonly hidden: Auto<boolean>
    readonly upnp: Auto<boolean>
    readonly floodfill: Auto<boolean>
    readonly allow_reserved_ranges: boolean
    readonly bandwidth: Auto<string>
    readonly share: number
    readonly transit_tunnels: Auto<number>
    readonly length: number
    readonly ntcp2: { readonly published: boolean; readonly port: number; readonly proxy: string }
    readonly ssu2: {
      readonly enabled: boolean
      readonly published: boolean
      readonly port: number
      readonly mtu: number
    }
    readonly reseed: { readonly file: string; readonly verify: boolean; readonly certificates: string }
    readonly exploratory: ExploratoryConfig
    readonly http_proxy: ListenConfig
  }
  readonly site: {
    readonly enabled: Auto<boolean>
    readonly root: string
    readonly face: 'mesh' | 'public'
    readonly title: string
  }
  readonly power: {
    readonly source: Auto<'sysfs' | 'none'>
    readonly sysfs: string
    readonly profile: Auto<'mains' | 'high' | 'half' | 'low'>
    readonly pin: { readonly tunnels: Auto<number>; readonly transit: Auto<boolean> }
  }
  readonly limits: { readonly peers: number; readonly transit_bps: number }
}

type Leaf = string | number | boolean | readonly string[]
/** The dotted names of everything in T that is not a section. */
type Path<T, P extends string = ''> = {
  [K in keyof T & string]: T[K] extends Leaf ? `${P}${K}` : Path<T[K], `${P}${K}.`>
}[keyof T & string]
type At<T, P extends string> = P extends `${infer Head}.${infer Rest}`
  ? Head extends keyof T
    ? At<T[Head], Rest>
    : never
  : P extends keyof T
    ? T[P]
    : never
export type ConfigKey = Path<Config>

/** I2P tunnels have at most 8 hops; more than 6 of either kind gain nothing. */
const HOPS = [0, 8] as const
const MAX_TUNNELS = 6

/** In the order of `config example`. */
export const SCHEMA: { readonly [P in ConfigKey]: Key<At<Config, P>> } = {
  'node.data': path('~/.local/share/ramsons', 'keys, what is known of the network, your site'),
  'node.log': oneOf<LogLevel>('info', LOG_LEVELS, 'least level written to standard error'),

  'mesh.enabled': bool(true, 'find neighbours without a network'),
  'mesh.name': text(
    '',
    'letters, digits and hyphens',
    /^[A-Za-z0-9-]{0,32}$/,
    'empty: as joined (ramsons mesh)',
  ),
  'mesh.secret': secret('empty: as joined, or made at first start; "open" for a mesh without a secret'),
  'mesh.interfaces': list(
    ['auto'],
    /^[^\s/%]{1,15}$/,
    'interface names, or ["auto"]',
    'where to look for neighbours',
  ),
  'mesh.loopback': text(
    '',
    'an address that begins with 127.',
    /^(127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3})?$/,
    'for demonstrations: neighbours are other nodes on this machine only, and this is our address among them',
  ),
  'mesh.announce': oneOf(
    'auto',
    ['auto', 'announce', 'listen', 'off'],
    'who may notice that this machine takes part',
  ),
  'mesh.port': port(0, 'fixed for firewalls; 0: another one at random now and then'),
  'mesh.length': integer(2, ...HOPS, 'hops of a tunnel, when there are enough neighbours'),
  'mesh.min_length': auto('auto', integer(0, ...HOPS, 'wait rather than use shorter tunnels')),
  ...exploratory('mesh', 2),
  'mesh.http_proxy.enabled': bool(true, 'for the browser: the mesh'),
  'mesh.http_proxy.port': port(5444, '0: any free one'),
  'mesh.http_proxy.host': address('127.0.0.1', 'listen address'),

  'public.enabled': bool(false, 'take part in the public I2P network'),
  'public.net_id': netId('2 for I2P itself; 16 to 254 for test networks'),
  'public.host': text('', 'an IP address', /^[0-9A-Fa-f.:]*$/, 'address to publish; empty: none'),
  'public.bind': text(
    '',
    'an IP address',
    /^[0-9A-Fa-f.:]*$/,
    'address to listen on and dial from; empty: any',
  ),
  'public.port': port(0, '0: picked once and kept'),
  'public.ipv4': bool(true, 'use IPv4'),
  'public.ipv6': auto('auto', bool(true, 'use IPv6')),
  'public.hidden': auto('auto', bool(false, 'publish no address and carry nothing for others')),
  'public.upnp': auto(
    'auto',
    bool(true, 'have the gateway pass on our port (PCP, NAT-PMP, UPnP); auto: unless host or bind is given'),
  ),
  'public.floodfill': auto('auto', bool(false, "keep part of the network's directory")),
  'public.allow_reserved_ranges': bool(false, 'dial private addresses: for test networks'),
  'public.bandwidth': bandwidth('how much may leave, and come in for others; what to offer'),
  'public.share': integer(80, 0, 100, 'percent of the bandwidth for others'),
  'public.transit_tunnels': auto('auto', integer(0, 0, 100_000, 'tunnels carried for others')),
  'public.length': integer(3, ...HOPS, 'hops of the tunnels of the proxy and the site'),
  'public.ntcp2.published': bool(true, 'let others dial us, when host is known'),
  'public.ntcp2.port': port(0, '0: as public.port'),
  'public.ntcp2.proxy': proxy(
    'go out through a SOCKS5 or HTTP proxy only; nobody can dial us then, unless host is given',
  ),
  'public.ssu2.enabled': bool(true, 'the UDP transport'),
  'public.ssu2.published': bool(true, 'let others reach us over it'),
  'public.ssu2.port': port(0, '0: as public.port'),
  'public.ssu2.mtu': integer(1500, 1280, 1500, 'bytes of an IP packet on the uplink'),
  'public.reseed.file': path('', 'first routers to know: a folder, zip or su3'),
  'public.reseed.verify': bool(true, 'an su3 must be signed by a known signer'),
  'public.reseed.certificates': path(
    '',
    'folder of signers (user_at_mail.i2p.crt); empty: certificates in the data folder',
  ),
  ...exploratory('public', 2),
  'public.http_proxy.enabled': bool(true, 'for the browser: the public network'),
  'public.http_proxy.port': port(4444, '0: any free one'),
  'public.http_proxy.host': address('127.0.0.1', 'listen address'),

  'site.enabled': auto('auto', bool(true, 'publish the files of site.root; auto: once there are some')),
  'site.root': path('site', 'relative to the data folder'),
  'site.face': oneOf('mesh', ['mesh', 'public'], 'where it can be read'),
  'site.title': text(
    '',
    'up to 100 characters',
    /^[^\p{Cc}]{0,100}$/u,
    'of the page shown while there is no index.html',
  ),

  'power.source': oneOf('auto', ['auto', 'sysfs', 'none'], 'where the battery level comes from'),
  'power.sysfs': path('/sys/class/power_supply', "the kernel's folder of batteries and chargers"),
  'power.profile': oneOf('auto', ['auto', 'mains', 'high', 'half', 'low'], 'auto: follows the battery'),
  'power.pin.tunnels': auto('auto', integer(2, 1, MAX_TUNNELS, 'tunnels a pool, whatever the battery')),
  'power.pin.transit': auto('auto', bool(true, 'carry for others, whatever the battery')),

  'limits.peers': integer(300, 1, 10_000, 'sessions with other routers on each face'),
  'limits.transit_bps': integer(
    0,
    0,
    10_000_000_000,
    'bits a second carried for others; 0: as the network allows',
  ),
}

/**
 * Keys that have a meaning in later versions. A file that has them works, with a warning; `*` stands for what follows.
 */
export const LATER: readonly string[] = [
  'mesh.gateway',
  'mesh.use_gateway',
  'mesh.http_proxy.outproxy',
  'mesh.socks_proxy.*',
  'mesh.sam.*',
  'mesh.i2cp.*',
  'mesh.tunnels.*',
  'mesh.addressbook.*',
  'public.pq',
  'public.family',
  'public.ntcp2.enabled',
  'public.reseed.urls',
  'public.reseed.threshold',
  'public.reseed.proxy',
  'public.http_proxy.outproxy',
  'public.socks_proxy.*',
  'public.sam.*',
  'public.i2cp.*',
  'public.tunnels.*',
  'public.addressbook.*',
  'console.*',
  'i2pcontrol.*',
  'wifi.*',
  'power.command',
  'power.file',
  'power.pin.exploratory',
  'limits.memory',
  'limits.open_files',
  'limits.disk_per_day',
]

type Face = 'mesh' | 'public'
type ExploratoryKeys<F extends Face> = {
  readonly [P in `${F}.exploratory.${'inbound' | 'outbound'}.${'length' | 'quantity'}`]: Key<number>
}

function exploratory<F extends Face>(face: F, length: number): ExploratoryKeys<F> {
  const keys = {
    [`${face}.exploratory.inbound.length`]: integer(
      length,
      ...HOPS,
      'hops of the tunnels for our own questions',
    ),
    [`${face}.exploratory.inbound.quantity`]: integer(2, 1, MAX_TUNNELS, 'how many of them'),
    [`${face}.exploratory.outbound.length`]: integer(length, ...HOPS, 'as inbound'),
    [`${face}.exploratory.outbound.quantity`]: integer(2, 1, MAX_TUNNELS, 'as inbound'),
  }
  return keys as unknown as ExploratoryKeys<F>
}

function address(value: string, doc: string): Key<string> {
  return text(value, 'an IP address', /^(\d{1,3}(\.\d{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/, doc)
}

/** Secret, since a password may stand in it. */
function proxy(doc: string): Key<string> {
  const read = (v: unknown): string | undefined =>
    typeof v === 'string' && (v === '' || readProxy(v) !== undefined) ? v : undefined
  return {
    ...secret(doc),
    allowed: 'http://USER:PASSWORD@ADDRESS:PORT or socks://..., the address an IP address',
    read,
  }
}

/** Proposal 147: 2 is the network, 3-15 are its tests and forks. */
function netId(doc: string): Key<number> {
  const of = integer(2, 2, 254, doc)
  const read = (v: unknown): number | undefined => {
    const id = of.read(v)
    return id !== undefined && (id === 2 || id >= 16) ? id : undefined
  }
  return { ...of, allowed: '2, or a whole number from 16 to 254', read }
}

function bandwidth(doc: string): Key<Auto<string>> {
  const of = auto('auto', text('auto', 'a class from "K" to "X", KB/s', /^([K-PX]|[1-9]\d{0,6})$/, doc))
  return { ...of, read: (v) => of.read(typeof v === 'number' ? `${v}` : v) }
}
