/**
 * IP addresses as bytes, and which of a RouterInfo's addresses to dial. Host names are not resolved: a
 * RouterInfo that needs a lookup outside the network is not dialled.
 */

import { ipBytes } from '../../base/ip.ts'
import { ntcp2Address, type RouterAddress, ssu2Address } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { isReserved, sameHost } from '../ip-ranges.ts'

/** What counts as one source for rate limits: an IPv4 address, an IPv6 /64, or a link-local neighbour. */
export function sourceKey(text: string): string {
  const address = ipBytes(text)
  if (address === undefined || address.length === 4 || address[0] === 0xfe) return text
  let key = ''
  for (let i = 0; i < 8; i++) key += String.fromCharCode(address[i]!)
  return key
}

/** A published NTCP2 address in a form that can be dialled. */
export interface Ntcp2Choice {
  readonly transport: 'ntcp2'
  readonly address: string
  readonly port: number
  readonly staticKey: Uint8Array
  readonly iv: Uint8Array
  readonly cost: number
}

/** The same of SSU2. */
export interface Ssu2Choice {
  readonly transport: 'ssu2'
  readonly address: string
  readonly port: number
  readonly staticKey: Uint8Array
  readonly introKey: Uint8Array
  readonly mtu: number
  readonly cost: number
}

export type Choice = Ntcp2Choice | Ssu2Choice

export interface DialRules {
  readonly ntcp2: boolean
  readonly ssu2: boolean
  readonly ipv4: boolean
  readonly ipv6: boolean
  /** Test networks live in reserved ranges. */
  readonly allowReserved: boolean
}

/** The addresses of `ri` that the rules let us dial, cheapest first. */
export function dialable(ri: RouterInfo, rules: DialRules): Choice[] {
  const found: Choice[] = []
  for (const address of ri.addresses) {
    const choice =
      (rules.ntcp2 ? ntcp2Choice(address) : undefined) ?? (rules.ssu2 ? ssu2Choice(address) : undefined)
    const ip = choice && ipBytes(choice.address)
    if (choice === undefined || ip === undefined || choice.address.includes('%')) continue
    if (!(ip.length === 4 ? rules.ipv4 : rules.ipv6)) continue
    if (rules.allowReserved || !isReserved(ip)) found.push(choice)
  }
  return found.sort((a, b) => a.cost - b.cost)
}

function ntcp2Choice(address: RouterAddress): Ntcp2Choice | undefined {
  const ntcp2 = ntcp2Address(address)
  if (ntcp2?.host === undefined || ntcp2.port === undefined || ntcp2.iv === undefined) return undefined
  const { host, port, staticKey, iv } = ntcp2
  return { transport: 'ntcp2', address: host, port, staticKey, iv, cost: address.cost }
}

function ssu2Choice(address: RouterAddress): Ssu2Choice | undefined {
  const ssu2 = ssu2Address(address)
  if (ssu2?.host === undefined || ssu2.port === undefined) return undefined
  const { host, port, staticKey, introKey, mtu } = ssu2
  return { transport: 'ssu2', address: host, port, staticKey, introKey, mtu, cost: address.cost }
}

/** How to greet a router that can only be reached through introducers; where it is, they tell. */
export function introducible(
  ri: RouterInfo,
  rules: DialRules,
): Omit<Ssu2Choice, 'address' | 'port'> | undefined {
  if (!rules.ssu2) return undefined
  for (const address of ri.addresses) {
    const ssu2 = ssu2Address(address)
    if (ssu2 === undefined || ssu2.host !== undefined || ssu2.introducers.length === 0) continue
    const { staticKey, introKey, mtu } = ssu2
    return { transport: 'ssu2', staticKey, introKey, mtu, cost: address.cost }
  }
  return undefined
}

/** False when `ri` publishes hosts of `source`'s family and none of them is `source`. */
export function mayComeFrom(ri: RouterInfo, source: Uint8Array): boolean {
  let published = false
  for (const address of ri.addresses) {
    const host = ntcp2Address(address)?.host ?? ssu2Address(address)?.host
    const ip = host === undefined ? undefined : ipBytes(host)
    if (ip === undefined || ip.length !== source.length) continue
    if (sameHost(ip, source)) return true
    published = true
  }
  return !published
}
