/** What a router says of itself (common-structures, "RouterInfo"; netDb page, "RouterInfo"). */
import { concat, copy, Reader, Writer } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { signatureLength } from '../../crypto/signature.ts'
import type { Hash } from './hash.ts'
import { HASH_LENGTH } from './hash.ts'
import { type Identity, type LocalIdentity, readIdentity } from './identity.ts'
import { type Mapping, readMapping, writeMapping } from './mapping.ts'
import { type RouterAddress, readRouterAddress, writeRouterAddress } from './router-address.ts'
import { type Unverified, verified } from './unverified.ts'

// Specification constants
/** Bytes; what i2pd accepts. */
export const MAX_ROUTER_INFO = 3072
/** A date this far ahead of our clock is refused (netDb page). */
export const MAX_FUTURE: Millis = 2 * 60_000

export interface RouterInfo {
  readonly identity: Identity
  readonly hash: Hash
  readonly published: WallMillis
  readonly addresses: readonly RouterAddress[]
  readonly options: Mapping
  /** Capability letters: f floodfill, R reachable, U unreachable, H hidden, K to X bandwidth, D E G congestion. */
  readonly caps: string
  /** 0.9.67 is 967; 0 when absent or odd. */
  readonly version: number
  /** 0, which no network has, when absent. */
  readonly netId: number
  /** As received: what the signature covers and what is passed on. */
  readonly bytes: Uint8Array
}

/** Copies `bytes`. */
export function readRouterInfo(bytes: Uint8Array): Unverified<RouterInfo> {
  if (bytes.length > MAX_ROUTER_INFO) throw new MalformedError('RouterInfo: too long')
  const r = new Reader(copy(bytes))
  const identity = readIdentity(r)
  const published = r.u64()
  const addresses: RouterAddress[] = []
  for (let n = r.u8(); n > 0; n--) addresses.push(readRouterAddress(r))
  r.take(r.u8() * HASH_LENGTH) // peers: unused, always none
  const options = readMapping(r)
  const signed = r.bytes.subarray(0, r.pos)
  const signature = r.take(signatureLength(identity.signingType)!)
  r.end('RouterInfo')
  return {
    claimed: view(identity, published, addresses, options, r.bytes),
    checks: [{ type: identity.signingType, key: identity.signingKey, message: signed, signature }],
  }
}

/** Its signature only: the network and the date are for `checkRouterInfo`. */
export function verifyRouterInfo(unverified: Unverified<RouterInfo>): RouterInfo | undefined {
  return verified(unverified)
}

/** Whether a verified RouterInfo may be used at the date `wall`. `maxAge` depends on the use: a handshake is stricter than the netDb. */
export function checkRouterInfo(
  ri: RouterInfo,
  netId: number,
  wall: WallMillis,
  maxAge: Millis,
): 'ok' | 'netid' | 'future' | 'old' {
  if (ri.netId !== netId) return 'netid'
  if (ri.published > wall + MAX_FUTURE) return 'future'
  return ri.published < wall - maxAge ? 'old' : 'ok'
}

export interface RouterInfoContent {
  readonly published: WallMillis
  readonly addresses: readonly RouterAddress[]
  readonly options: Mapping
}

/** @throws {RangeError} when it would be longer than other routers accept. */
export function signRouterInfo(content: RouterInfoContent, local: LocalIdentity): RouterInfo {
  const { published, addresses, options } = content
  const head = new Writer(9).u64(published).u8(addresses.length).bytes
  const peers = new Uint8Array(1)
  const tail = concat(...addresses.map(writeRouterAddress), peers, writeMapping(options))
  const body = concat(local.identity.bytes, head, tail)
  const bytes = concat(body, local.signing.sign(body))
  if (bytes.length > MAX_ROUTER_INFO) throw new RangeError('RouterInfo: too long')
  return view(local.identity, published, addresses, options, bytes)
}

function view(
  identity: Identity,
  published: WallMillis,
  addresses: readonly RouterAddress[],
  options: Mapping,
  bytes: Uint8Array,
): RouterInfo {
  const caps = options.get('caps') ?? ''
  const version = versionNumber(options.get('router.version') ?? '')
  const netId = netIdNumber(options.get('netId') ?? '')
  return { identity, hash: identity.hash, published, addresses, options, caps, version, netId, bytes }
}

/** The digits run together, as i2pd compares versions. */
function versionNumber(version: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(version)
  return parts === null ? 0 : Number(parts[1]! + parts[2]! + parts[3]!)
}

function netIdNumber(netId: string): number {
  return /^[1-9][0-9]{0,2}$/.test(netId) ? Number(netId) : 0
}
