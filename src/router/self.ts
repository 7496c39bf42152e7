/** What a router says of itself: its RouterInfo (common-structures, "RouterInfo"; routers publish ECIES and Ed25519 only). */
import { toBase64 } from '../base/base64.ts'
import { seconds, type WallMillis } from '../base/clock.ts'
import type { Hash } from '../protocol/structures/hash.ts'
import type { LocalIdentity } from '../protocol/structures/identity.ts'
import type { RouterAddress } from '../protocol/structures/router-address.ts'
import { type RouterInfo, signRouterInfo } from '../protocol/structures/router-info.ts'

// Specification constants

/** The API version whose behaviour is implemented; publishing more would promise features that are missing. */
const API_VERSION = '0.9.67'
/** Costs as i2pd writes them, so that ours do not stand out. */
const COST_NTCP2 = 3
const COST_SSU2 = 8
const COST_NTCP2_UNPUBLISHED = 14
const COST_SSU2_UNPUBLISHED = 15
/** Published when it is another (ssu2, "MTU"). */
const DEFAULT_MTU = 1500

/** Where others reach a listener of ours. */
export interface PublicAddress {
  readonly host: string
  readonly port: number
}

/** A router that introduces others to us (ssu2, "Published Addresses"). */
export interface PublishedIntroducer {
  readonly hash: Hash
  readonly tag: number
  readonly expires: WallMillis
}

export interface Ssu2Self {
  /** Undefined while others cannot reach us: firewalled, hidden, or not known yet. */
  readonly published: PublicAddress | undefined
  /** IP versions we can be introduced over, when not published: 4, 6 or 46; empty for hidden routers. */
  readonly families: '' | '4' | '6' | '46'
  readonly mtu: number
  readonly introducers: readonly PublishedIntroducer[]
}

export interface SelfDescription {
  readonly netId: number
  /** Bandwidth class letter, K to X. */
  readonly bandwidth: string
  readonly floodfill: boolean
  readonly hidden: boolean
  /** Congestion letter D, E or G (proposal 162), or empty. */
  readonly congestion: string
  /** Where others reach our NTCP2 listener; undefined publishes only the static key (firewalled, hidden, mesh). */
  readonly ntcp2: PublicAddress | undefined
  /** Undefined without SSU2. */
  readonly ssu2?: Ssu2Self | undefined
}

export interface PublicKeys {
  readonly staticKey: Uint8Array
  /** NTCP2's `i`. */
  readonly iv: Uint8Array
  /** SSU2's `i`. */
  readonly introKey: Uint8Array | undefined
}

/** Our RouterInfo as of `wall`, rounded down to the second so that it leaks no finer clock. */
export function describeSelf(
  local: LocalIdentity,
  keys: PublicKeys,
  self: SelfDescription,
  wall: WallMillis,
): RouterInfo {
  const addresses = [ntcp2(keys, self.ntcp2)]
  if (self.ssu2 !== undefined && keys.introKey !== undefined)
    addresses.push(ssu2(keys.staticKey, keys.introKey, self.ssu2))
  return signRouterInfo(
    {
      addresses,
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

function ntcp2(keys: PublicKeys, at: PublicAddress | undefined): RouterAddress {
  const options = new Map([
    ['s', toBase64(keys.staticKey)],
    ['v', '2'],
  ])
  if (at === undefined) options.set('caps', '4')
  else {
    options.set('host', at.host)
    options.set('port', String(at.port))
    options.set('i', toBase64(keys.iv))
  }
  return { cost: at === undefined ? COST_NTCP2_UNPUBLISHED : COST_NTCP2, style: 'NTCP2', options }
}

/** `i` and `s` even when firewalled: whoever we dial needs them (ssu2, "Unpublished SSU2 Address"). */
function ssu2(staticKey: Uint8Array, introKey: Uint8Array, self: Ssu2Self): RouterAddress {
  const { published, families, mtu, introducers } = self
  const options = new Map([
    ['s', toBase64(staticKey)],
    ['i', toBase64(introKey)],
    ['v', '2'],
  ])
  if (mtu !== DEFAULT_MTU) options.set('mtu', String(mtu))
  if (published !== undefined) {
    options.set('host', published.host)
    options.set('port', String(published.port))
    // B answers peer tests, C introduces others.
    options.set('caps', 'BC')
    return { cost: COST_SSU2, style: 'SSU2', options }
  }
  if (families !== '') options.set('caps', families)
  for (const [n, { hash, tag, expires }] of introducers.entries()) {
    options.set(`ih${n}`, toBase64(hash))
    options.set(`itag${n}`, String(tag))
    options.set(`iexp${n}`, String(seconds(expires)))
  }
  return { cost: COST_SSU2_UNPUBLISHED, style: 'SSU2', options }
}

/** In i2pd's order: bandwidth, floodfill, hidden, reachability, congestion. */
function capabilities(self: SelfDescription): string {
  const published = self.ntcp2 !== undefined || self.ssu2?.published !== undefined
  const reach = self.hidden ? 'H' : published ? 'R' : 'U'
  return `${self.bandwidth}${self.floodfill ? 'f' : ''}${reach}${self.congestion}`
}
