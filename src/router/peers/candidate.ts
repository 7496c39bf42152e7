/** What a RouterInfo says of a router's fitness as a hop (peer-selection; proposal 162, congestion caps). */
import type { Millis, WallMillis } from '../../base/clock.ts'
import { EncryptionType } from '../../protocol/structures/certificate.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'

// Specification constants
/** The first version that understands short build records. */
const MIN_VERSION = 951
/** A router that said E is asked again when it said so this long ago. */
const CONGESTION_STALE: Millis = 15 * 60_000
const DERATED = 0.3
/** Relative speed of the bandwidth classes; a router without one may have any. */
const BANDWIDTH: ReadonlyMap<string, number> = new Map([
  ['K', 0.1],
  ['L', 0.3],
  ['M', 0.5],
  ['N', 0.7],
  ['O', 1],
  ['P', 1.2],
  ['X', 1.4],
])
const UNKNOWN_BANDWIDTH = 0.5

/** Whether it can be a hop at all. */
export function eligible(ri: RouterInfo, wall: WallMillis): boolean {
  if (ri.identity.encryptionType !== EncryptionType.X25519 || ri.version < MIN_VERSION) return false
  if (ri.caps.includes('G') || ri.caps.includes('H')) return false
  return !ri.caps.includes('E') || ri.published < wall - CONGESTION_STALE
}

/** Others can dial it: it has published where. */
export function published(ri: RouterInfo): boolean {
  return ri.addresses.some((a) => a.options.has('host') && a.options.has('port'))
}

/** How much of it there is to use, by what it says itself. */
export function capacity(ri: RouterInfo): number {
  let bandwidth = 0
  for (const letter of ri.caps) bandwidth = Math.max(bandwidth, BANDWIDTH.get(letter) ?? 0)
  if (bandwidth === 0) bandwidth = UNKNOWN_BANDWIDTH
  return ri.caps.includes('D') ? bandwidth * DERATED : bandwidth
}

/** Networks its addresses lie in, as likely one owner's: IPv4 /16, IPv6 /32. */
export function networks(ri: RouterInfo): readonly string[] {
  const found: string[] = []
  for (const { options } of ri.addresses) {
    const host = options.get('host')
    if (host === undefined) continue
    const parts = host.includes(':') ? host.split(':') : host.split('.')
    const network = `${parts[0]}.${parts[1]}`
    if (!found.includes(network)) found.push(network)
  }
  return found
}

/** Routers that say they are one owner's. */
export function family(ri: RouterInfo): string | undefined {
  return ri.options.get('family')
}
