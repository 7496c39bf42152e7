/** The sessions of today and yesterday: who may help us with what, and whom our packets have gone to. */

import type { Millis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import { ipBytes, ipText } from '../../base/ip.ts'
import { Lru } from '../../base/lru.ts'
import type { Random } from '../../base/random.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import { type Ssu2Address, ssu2Address } from '../../protocol/structures/router-address.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { hostKey, sameHost } from '../ip-ranges.ts'
import type { Family, ReachPeer } from './events.ts'

// Implementation constants

/** A NAT lets a host in for so long after our last packet to it: Linux' two or three minutes for UDP; i2pd assumes 160 s. */
const OPEN_MS: Millis = 180_000
/** Hosts remembered; beyond that a test may meet one that we have forgotten, which one test more sets right. */
const MAX_CONTACTS = 4096

export interface Peer extends ReachPeer {
  readonly key: HashKey
  /** Of `endpoint`. */
  readonly at: IpPort
  readonly family: Family
}

export class Peers {
  readonly #peers = new Map<HashKey, Peer>()
  readonly #contacts = new Lru<string, Millis>(MAX_CONTACTS)

  /** Undefined when the endpoint is not an IP address. Replaces what was known of it. */
  add(peer: ReachPeer, now: Millis): Peer | undefined {
    const at = ipPort(peer.endpoint)
    if (at === undefined) return undefined
    const key = hashKey(peer.hash)
    const added: Peer = { ...peer, key, at, family: familyOf(at.ip) }
    this.#peers.set(key, added)
    this.contacted(at.ip, now)
    return added
  }

  remove(hash: Hash, now: Millis): Peer | undefined {
    const key = hashKey(hash)
    const peer = this.#peers.get(key)
    this.#peers.delete(key)
    if (peer !== undefined) this.contacted(peer.at.ip, now)
    return peer
  }

  get(hash: Hash): Peer | undefined {
    return this.#peers.get(hashKey(hash))
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values()
  }

  /** A packet of ours has gone to this host. */
  contacted(ip: Uint8Array, now: Millis): void {
    this.#contacts.set(hostKey(ip), now)
  }

  /** Whether a NAT of ours may let this host in though it lets in no stranger. */
  isContact(ip: Uint8Array, now: Millis): boolean {
    const at = this.#contacts.get(hostKey(ip))
    if (at !== undefined && at + OPEN_MS > now) return true
    for (const peer of this.#peers.values()) if (sameHost(peer.at.ip, ip)) return true
    return false
  }

  /** Any of those that `fits`. */
  pick(random: Random, fits: (peer: Peer) => boolean): Peer | undefined {
    let picked: Peer | undefined
    let count = 0
    for (const peer of this.#peers.values()) {
      if (!fits(peer)) continue
      count++
      if (random.below(count) === 0) picked = peer
    }
    return picked
  }
}

export function familyOf(ip: Uint8Array): Family {
  return ip.length === 4 ? 4 : 6
}

/** Undefined when `address` is not an IP address. */
export function ipPort({ address, port }: Endpoint): IpPort | undefined {
  const ip = ipBytes(address)
  return ip === undefined ? undefined : { ip, port }
}

export function endpointOf({ ip, port }: IpPort): Endpoint {
  return { address: ipText(ip), port }
}

/** How `ri` is met over SSU2 by `family`. Those that publish no address say in their caps what they can send with. */
export interface Offer extends Ssu2Address {
  /** When it is published. */
  readonly at: IpPort | undefined
}

/** Undefined when it does not speak SSU2 over `family`. */
export function offerOf(ri: RouterInfo, family: Family): Offer | undefined {
  for (const address of ri.addresses) {
    const offer = ssu2Address(address)
    if (offer === undefined) continue
    const { host, port } = offer
    const ip = host === undefined ? undefined : ipBytes(host)
    if (ip === undefined ? offer.caps.includes(String(family)) : familyOf(ip) === family)
      return { ...offer, at: ip === undefined || port === undefined ? undefined : { ip, port } }
  }
  return undefined
}
