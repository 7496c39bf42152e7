/** The links a neighbourhood can be found on, and what it may do on each (mesh design, "Discovery": announce / listen / off). */
import { concat } from '../base/bytes.ts'
import { ipBytes } from '../base/ip.ts'

/**
 * `mesh`: a back-end made for meshing (batman-adv, IBSS, 802.11s). `other`: nothing that leads to a machine beside us.
 * `port`: part of a bridge or bond, which is the link.
 */
export type LinkKind = 'wifi' | 'wired' | 'mesh' | 'veth' | 'bridge' | 'vpn' | 'cellular' | 'port' | 'other'

export interface LinkInterface {
  readonly name: string
  /** The kernel's number: a recreated interface has a new one. */
  readonly index: number
  /** Its link-local IPv6 address without zone; undefined without one or while duplicate address detection runs. */
  readonly address: string | undefined
  readonly kind: LinkKind
  readonly defaultRoute: boolean
  /** What tells this network from others (its gateways); empty when there is nothing to tell it by. */
  readonly network: string
}

export type AnnounceMode = 'announce' | 'listen' | 'off'

export interface AnnouncePolicy {
  readonly announce: 'auto' | AnnounceMode
  /** Names, or `auto` among them for all that suit. */
  readonly interfaces: readonly string[]
  /** A mesh without a secret: whoever announces tells everyone in range. */
  readonly open: boolean
  /** Networks (`LinkInterface.network`) on which the user once allowed an open mesh to be announced. */
  readonly allowed: ReadonlySet<string>
}

/** What to do on a link, and why: the reason is shown to the user. */
export interface AnnounceDecision {
  readonly mode: AnnounceMode
  readonly why: string
}

export function announceDecision(link: LinkInterface, policy: AnnouncePolicy): AnnounceDecision {
  const named = policy.interfaces.includes(link.name)
  if (!named && !policy.interfaces.includes('auto')) return { mode: 'off', why: 'not in mesh.interfaces' }
  const unsuited = UNSUITED[link.kind]
  if (!named && unsuited !== undefined) return { mode: 'off', why: unsuited }
  if (policy.announce !== 'auto')
    return { mode: policy.announce, why: `mesh.announce = "${policy.announce}"` }
  if (!policy.open) return { mode: 'announce', why: 'private mesh' }
  if (link.kind === 'mesh' || link.kind === 'veth')
    return { mode: 'announce', why: 'open mesh on a mesh link' }
  if (!link.defaultRoute) return { mode: 'announce', why: 'open mesh on a link without a way out' }
  if (policy.allowed.has(link.network)) return { mode: 'announce', why: 'open mesh, allowed on this network' }
  return {
    mode: 'listen',
    why: 'an open mesh is not announced on a network with a way out unless you allow it',
  }
}

/** Why a kind is left alone unless it is named in mesh.interfaces. */
const UNSUITED: Partial<Record<LinkKind, string>> = {
  vpn: 'a VPN',
  cellular: 'a cellular link',
  port: 'part of a bridge or bond',
  other: 'no link to other machines',
}

/**
 * The link of nodes that share one machine (`mesh.loopback`, for demonstrations). Its addresses are IPv4 and need no zone; no other
 * link has any of IPv4.
 */
export const LOOPBACK_LINK = 'lo'

export function isLoopback(address: string): boolean {
  return address.startsWith('127.')
}

/** `fe80::1%wlan0`: the only form in which a link-local address can be dialled. */
export function scoped(address: string, name: string): string {
  return isLoopback(address) ? address : `${address}%${name}`
}

/** The interface name of a scoped address. */
export function zoneOf(address: string): string | undefined {
  if (isLoopback(address)) return LOOPBACK_LINK
  const at = address.indexOf('%')
  return at < 0 ? undefined : address.slice(at + 1)
}

/** Before the 4 bytes of IPv4 in an IPv6 address. */
const MAPPED_PREFIX = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

/**
 * The 16 bytes of an address that leads no further than its link: link-local IPv6, with or without zone, or loopback in its mapped form
 * (`::ffff:127.0.0.1`); undefined for any other text.
 */
export function linkLocalBytes(address: string): Uint8Array | undefined {
  const bytes = ipBytes(address)
  if (bytes === undefined) return undefined
  if (bytes.length === 4) return isLoopback(address) ? concat(MAPPED_PREFIX, bytes) : undefined
  return bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80 ? bytes : undefined
}
