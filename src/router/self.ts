/** What a router says of itself: its RouterInfo (common-structures, "RouterInfo"; routers publish ECIES and Ed25519 only). */
import { toBase64 } from '../base/base64.ts'
import { seconds, type WallMillis } from '../base/clock.ts'
import type { LocalIdentity } from '../protocol/structures/identity.ts'
import type { RouterAddress } from '../protocol/structures/router-address.ts'
import { type RouterInfo, signRouterInfo } from '../protocol/structures/router-info.ts'

// Specification constants

/** The API version whose behaviour is implemented; publishing more would promise features that are missing. */
const API_VERSION = '0.9.67'
/** Costs as i2pd writes them, so that ours do not stand out. */
const COST_PUBLISHED = 3
const COST_UNPUBLISHED = 14

export interface SelfDescription {
  readonly netId: number
  /** Bandwidth class letter, K to X. */
  readonly bandwidth: string
  readonly floodfill: boolean
  readonly hidden: boolean
  /** Congestion letter D, E or G (proposal 162), or empty. */
  readonly congestion: string
  /** Where others reach our NTCP2 listener; undefined publishes only the static key (firewalled, hidden, mesh). */
  readonly ntcp2: { readonly host: string; readonly port: number } | undefined
}

/** Our RouterInfo as of `wall`, rounded down to the second so that it leaks no finer clock. */
export function describeSelf(
  local: LocalIdentity,
  ntcp2: { readonly staticKey: Uint8Array; readonly iv: Uint8Array },
  self: SelfDescription,
  wall: WallMillis,
): RouterInfo {
  const options = new Map([
    ['s', toBase64(ntcp2.staticKey)],
    ['v', '2'],
  ])
  if (self.ntcp2 !== undefined) {
    options.set('host', self.ntcp2.host)
    options.set('port', String(self.ntcp2.port))
    options.set('i', toBase64(ntcp2.iv))
  } else options.set('caps', '4')
  const address: RouterAddress = {
    cost: self.ntcp2 === undefined ? COST_UNPUBLISHED : COST_PUBLISHED,
    style: 'NTCP2',
    options,
  }
  return signRouterInfo(
    {
      addresses: [address],
      options: new Map([
        ['caps', capabilities(self)],
        ['netId', String(self.netId)],
        ['router.version', API_VERSION],
      ]),
      published: seconds(wall) * 1000,
    },
    local,
  )
}

/** In i2pd's order: bandwidth, floodfill, hidden, reachability, congestion. */
function capabilities(self: SelfDescription): string {
  const reach = self.hidden ? 'H' : self.ntcp2 === undefined ? 'U' : 'R'
  return `${self.bandwidth}${self.floodfill ? 'f' : ''}${reach}${self.congestion}`
}
