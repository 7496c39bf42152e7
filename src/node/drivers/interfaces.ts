/**
 * Which links this machine has, kept up to date without polling: the kernel's changes arrive through `ip monitor`, the facts come
 * from /proc, which shows this process's own network namespace; /sys may show another's.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { fromHex } from '../../base/bytes.ts'
import { ipText } from '../../base/ip.ts'
import type { Log } from '../../base/log.ts'
import { type LinkInterface, type LinkKind, LOOPBACK_LINK } from '../../mesh/link.ts'

// Specification constants
/** /proc/net/if_inet6: scope "link", and flags of addresses that cannot be used (linux/if_addr.h). */
const SCOPE_LINK = 0x20
const DAD_FAILED = 0x08
const TENTATIVE = 0x40
/** linux/if_arp.h */
const ARPHRD_ETHER = 1
const ARPHRD_PPP = 512
const ARPHRD_RAWIP = 519
/** linux/if.h */
const IFF_NOARP = 0x80
/** linux/route.h */
const RTF_UP = 1

// Implementation constants
/** Changes come in bursts: one look after the last line of a burst is enough. */
const SETTLE_MS = 50
/** Without `ip`, or should it miss something. */
const POLL_MS = 60_000

export interface InterfacesOptions {
  /** Called with all interfaces, at once and whenever any of them is different. */
  readonly onChange: (interfaces: readonly LinkInterface[]) => void
  /** An address of this machine's IPv4 loopback, which is then the only link. */
  readonly loopback?: string | undefined
  readonly log: Log
}

export class Interfaces {
  readonly #onChange: InterfacesOptions['onChange']
  readonly #loopback: string | undefined
  readonly #log: Log
  #last = ''
  #monitor: ChildProcess | undefined
  #settle: NodeJS.Timeout | undefined
  #poll: NodeJS.Timeout | undefined

  constructor(options: InterfacesOptions) {
    this.#onChange = options.onChange
    this.#loopback = options.loopback
    this.#log = options.log
  }

  start(): void {
    if (this.#loopback !== undefined) {
      this.#onChange([loopbackLink(this.#loopback)])
      return
    }
    this.#watch()
    this.#look()
  }

  stop(): void {
    clearTimeout(this.#settle)
    clearInterval(this.#poll)
    this.#monitor?.kill()
    this.#monitor = undefined
  }

  #watch(): void {
    const child = spawn('ip', ['-o', 'monitor', 'link', 'address', 'route'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    this.#monitor = child
    child.stdout.on('data', () => {
      clearTimeout(this.#settle)
      this.#settle = setTimeout(() => this.#look(), SETTLE_MS)
    })
    const ended = (): void => {
      if (this.#monitor !== child) return
      this.#monitor = undefined
      this.#log.write('debug', 'no "ip monitor": looking at the interfaces once a minute')
      this.#poll = setInterval(() => this.#look(), POLL_MS)
    }
    child.on('error', ended)
    child.on('exit', ended)
  }

  #look(): void {
    const interfaces = readInterfaces()
    const text = JSON.stringify(interfaces)
    if (text === this.#last) return
    this.#last = text
    this.#onChange(interfaces)
  }
}

/** It never changes, and is in no list of `readInterfaces`. */
function loopbackLink(address: string): LinkInterface {
  return { name: LOOPBACK_LINK, index: 1, address, kind: 'other', defaultRoute: false, network: '' }
}

/**
 * All interfaces but loopback, by name. `proc` and `sys` are the kernel's folders, `running` the interfaces that have a carrier: without
 * one an address is of no use, and what comes back with the carrier may be another network.
 */
export function readInterfaces(
  proc = '/proc',
  sys = '/sys/class/net',
  running: ReadonlySet<string> = new Set(Object.keys(networkInterfaces())),
): LinkInterface[] {
  const text = readOr(join(proc, 'net/if_inet6'))
  if (text === undefined) return withoutProc()
  const addresses = linkLocals(text)
  const { routes, gateways } = defaultRoutes(proc)
  return deviceNames(proc, addresses)
    .filter((name) => name !== 'lo')
    .map((name) => {
      const found = addresses.get(name)
      const index = found?.index ?? Number(readOr(join(sys, name, 'ifindex')) ?? 0)
      return {
        name,
        index,
        address: running.has(name) ? found?.address : undefined,
        kind: linkKind(join(sys, name), name, index),
        defaultRoute: routes.has(name),
        network: gateways.get(name) ?? '',
      }
    })
}

function deviceNames(proc: string, addresses: ReadonlyMap<string, unknown>): string[] {
  // Two lines of heading, then `name: counters`.
  const lines = (readOr(join(proc, 'net/dev')) ?? '').split('\n').slice(2)
  const names = lines
    .map((line) => line.slice(0, Math.max(0, line.indexOf(':'))).trim())
    .filter((name) => name !== '')
  return [...new Set([...names, ...addresses.keys()])].sort()
}

interface LinkLocal {
  readonly index: number
  /** Undefined while none is usable. */
  readonly address: string | undefined
}

/** Address, index, prefix length, scope, flags, name: all but the name in hex. */
function linkLocals(text: string): Map<string, LinkLocal> {
  const found = new Map<string, LinkLocal>()
  for (const line of text.split('\n')) {
    const [hex, index, , scope, flags, name] = line.trim().split(/\s+/)
    if (name === undefined || Number.parseInt(scope!, 16) !== SCOPE_LINK) continue
    const usable = (Number.parseInt(flags!, 16) & (TENTATIVE | DAD_FAILED)) === 0
    // Several are possible: the first that can be used stays, since the kernel sends from it.
    if (found.get(name)?.address !== undefined) continue
    found.set(name, {
      index: Number.parseInt(index!, 16),
      address: usable ? ipText(fromHex(hex!)) : undefined,
    })
  }
  return found
}

/** Interfaces with a way out, and by which gateways: what tells one network from another. */
function defaultRoutes(proc: string): { routes: Set<string>; gateways: Map<string, string> } {
  const routes = new Set<string>()
  const gateways = new Map<string, string>()
  const add = (name: string, gateway: string): void => {
    routes.add(name)
    const known = gateways.get(name)
    gateways.set(name, known === undefined ? gateway : `${known} ${gateway}`)
  }
  // Iface Destination Gateway Flags RefCnt Use Metric Mask
  for (const line of (readOr(join(proc, 'net/route')) ?? '').split('\n').slice(1)) {
    const [name, destination, gateway, flags, , , , mask] = line.trim().split(/\s+/)
    if (destination !== '00000000' || mask !== '00000000') continue
    if ((Number.parseInt(flags!, 16) & RTF_UP) !== 0) add(name!, gateway!)
  }
  // Destination, its prefix length, source, its prefix length, next hop, metric, two counters, flags, name
  for (const line of (readOr(join(proc, 'net/ipv6_route')) ?? '').split('\n')) {
    const fields = line.trim().split(/\s+/)
    const [destination, length, , , gateway] = fields
    const [flags, name] = [fields[8], fields[9]]
    if (name === undefined || name === 'lo' || length !== '00' || !/^0+$/.test(destination!)) continue
    if ((Number.parseInt(flags!, 16) & RTF_UP) !== 0) add(name, gateway!)
  }
  return { routes, gateways }
}

/** By what the kernel says of the device; by its name where /sys shows another namespace's devices. */
export function linkKind(path: string, name: string, index: number): LinkKind {
  if (Number(readOr(join(path, 'ifindex'))) !== index || index === 0) return kindByName(name)
  const has = (file: string): boolean => existsSync(join(path, file))
  const devtype = /^DEVTYPE=(.*)$/m.exec(readOr(join(path, 'uevent')) ?? '')?.[1]
  const type = Number(readOr(join(path, 'type')))
  if (has('brport') || has('bonding_slave')) return 'port'
  if (devtype === 'wlan' || has('wireless') || has('phy80211')) return 'wifi'
  if (devtype === 'wwan' || type === ARPHRD_RAWIP) return 'cellular'
  if (devtype === 'wireguard' || has('tun_flags') || type === ARPHRD_PPP) return 'vpn'
  if (devtype === 'bridge' || has('bridge')) return 'bridge'
  if (has('mesh') || devtype === 'batadv' || /^bat\d/.test(name)) return 'mesh'
  if (type !== ARPHRD_ETHER) return 'other'
  if (has('device') || devtype === 'bond' || devtype === 'vlan') return 'wired'
  // The other end's number is in iflink, but counted in another namespace it may be the same. What leads nowhere knows no ARP.
  const noArp = (Number(readOr(join(path, 'flags'))) & IFF_NOARP) !== 0
  if (Number(readOr(join(path, 'iflink'))) !== index || (isVirtual(path) && !noArp)) return 'veth'
  return noArp ? 'other' : 'wired'
}

function isVirtual(path: string): boolean {
  try {
    return readlinkSync(path).includes('/virtual/')
  } catch {
    return false
  }
}

const NAMES: readonly (readonly [RegExp, LinkKind])[] = [
  [/^wl|^wifi|^ath\d|^mesh/, 'wifi'],
  [/^(tun|tap|wg|ppp|tailscale|zt|nordlynx|ipsec|gre|sit|ip6tnl)/, 'vpn'],
  [/^(wwan|wwp|rmnet|ccmni)/, 'cellular'],
  [/^bat\d/, 'mesh'],
  [/^(br\d|br-|docker|virbr|lxcbr)/, 'bridge'],
  [/^(dummy|ifb|lo|nlmon|teql)/, 'other'],
]

function kindByName(name: string): LinkKind {
  return NAMES.find(([pattern]) => pattern.test(name))?.[1] ?? 'wired'
}

/** Elsewhere than on Linux: what Node can tell. */
function withoutProc(): LinkInterface[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses]) => {
    const address = addresses?.find(
      (a) => a.family === 'IPv6' && a.address.startsWith('fe80:') && !a.internal,
    )
    if (address === undefined) return []
    const index = 'scopeid' in address ? (address.scopeid ?? 0) : 0
    return [
      { name, index, address: address.address, kind: kindByName(name), defaultRoute: false, network: '' },
    ]
  })
}

function readOr(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trimEnd()
  } catch {
    return undefined
  }
}
