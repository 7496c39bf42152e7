/**
 * IP addresses as bytes, and which of a RouterInfo's addresses to dial. Host names are not resolved: a
 * RouterInfo that needs a lookup outside the network is not dialled.
 */

import { ntcp2Address } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { isReserved, sameHost } from '../ip-ranges.ts'

/** 4 or 16 bytes; undefined when `text` is not an IP address. A zone (`%wlan0`) is ignored. */
export function parseAddress(text: string): Uint8Array | undefined {
  const zone = text.indexOf('%')
  const bare = zone < 0 ? text : text.slice(0, zone)
  return bare.includes(':') ? parseV6(bare) : parseV4(bare)
}

/** What counts as one source for rate limits: an IPv4 address, an IPv6 /64, or a link-local neighbour. */
export function sourceKey(text: string): string {
  const address = parseAddress(text)
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

export type Choice = Ntcp2Choice

export interface DialRules {
  readonly ipv4: boolean
  readonly ipv6: boolean
  /** Test networks live in reserved ranges. */
  readonly allowReserved: boolean
}

/** The addresses of `ri` that the rules let us dial, cheapest first. */
export function dialable(ri: RouterInfo, rules: DialRules): Ntcp2Choice[] {
  const found: Ntcp2Choice[] = []
  for (const address of ri.addresses) {
    const ntcp2 = ntcp2Address(address)
    if (ntcp2?.host === undefined || ntcp2.port === undefined || ntcp2.iv === undefined) continue
    const ip = parseAddress(ntcp2.host)
    if (ip === undefined || ntcp2.host.includes('%')) continue
    if (!(ip.length === 4 ? rules.ipv4 : rules.ipv6)) continue
    if (!rules.allowReserved && isReserved(ip)) continue
    const { port, staticKey, iv } = ntcp2
    found.push({ transport: 'ntcp2', address: ntcp2.host, port, staticKey, iv, cost: address.cost })
  }
  return found.sort((a, b) => a.cost - b.cost)
}

/** False when `ri` publishes NTCP2 hosts of `source`'s family and none of them is `source`. */
export function mayComeFrom(ri: RouterInfo, source: Uint8Array): boolean {
  let published = false
  for (const address of ri.addresses) {
    const host = ntcp2Address(address)?.host
    const ip = host === undefined ? undefined : parseAddress(host)
    if (ip === undefined || ip.length !== source.length) continue
    if (sameHost(ip, source)) return true
    published = true
  }
  return !published
}

function word(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const bytes = new Uint8Array(4)
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    bytes[i] = Number(part)
  }
  return bytes
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groups(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? groups(halves[1]!, true) : []
  if (head === undefined || tail === undefined) return undefined
  const count = head.length + tail.length
  if (halves.length === 2 ? count > 7 : count !== 8) return undefined
  const bytes = new Uint8Array(16)
  const put = (group: number, index: number): void => {
    bytes[2 * index] = group >>> 8
    bytes[2 * index + 1] = group
  }
  head.forEach(put)
  tail.forEach((group, i) => {
    put(group, 8 - tail.length + i)
  })
  const mapped = word(bytes, 0) === 0 && word(bytes, 4) === 0 && word(bytes, 8) === 0xffff
  return mapped ? bytes.subarray(12) : bytes
}

/** 16-bit groups; at the end of an address the last may be a dotted IPv4 address. */
function groups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return []
  const found: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      found.push(Number.parseInt(part, 16))
      continue
    }
    const v4 = atEnd && i === parts.length - 1 ? parseV4(part) : undefined
    if (v4 === undefined) return undefined
    found.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!)
  }
  return found
}
