/** How a router can be reached (common-structures, "RouterAddress"). Styles we do not know are kept and passed on. */
import { fromBase64 } from '../../base/base64.ts'
import { type Reader, utf8, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { HASH_LENGTH, type Hash } from './hash.ts'
import { type Mapping, readMapping, readString, writeMapping } from './mapping.ts'

// Specification constants

/** ssu2, "MTU": for both families; published when it is not the largest. */
const MAX_MTU = 1500
const MIN_MTU = 1280
/** ssu2, "Introducers": `ih0` to `ih2`. */
export const MAX_INTRODUCERS = 3

export interface RouterAddress {
  /** 0 is the cheapest. */
  readonly cost: number
  readonly style: string
  readonly options: Mapping
}

/** What an address of style NTCP2 offers (ntcp2, "Published Addresses"). */
export interface Ntcp2Address {
  /** An IP address or a name: published routers have one. */
  readonly host?: string
  readonly port?: number
  readonly staticKey: Uint8Array
  /** Obfuscates the first message; only published addresses have one. */
  readonly iv?: Uint8Array
}

/** A router that brings others to one without a public address (ssu2, "Introducers"). */
export interface Introducer {
  readonly hash: Hash
  /** Not 0. */
  readonly tag: number
  readonly expires?: WallMillis
}

/** What an address of style SSU2 offers (ssu2, "Published Router Info"). */
export interface Ssu2Address {
  /** An IP address; only of routers that can be dialled directly. */
  readonly host?: string
  readonly port?: number
  readonly staticKey: Uint8Array
  readonly introKey: Uint8Array
  readonly mtu: number
  /** B answers peer tests, C introduces; 4 and 6 for the families it can send with. */
  readonly caps: string
  readonly introducers: readonly Introducer[]
}

export function readRouterAddress(r: Reader): RouterAddress {
  const cost = r.u8()
  r.take(8) // expiration: all zeros by now, and ignored whatever it says
  const style = readString(r)
  return { cost, style, options: readMapping(r) }
}

export function writeRouterAddress(address: RouterAddress): Uint8Array {
  const style = utf8(address.style)
  const options = writeMapping(address.options)
  const w = new Writer(1 + 8 + 1 + style.length + options.length).u8(address.cost)
  w.pos += 8
  return w.u8(style.length).put(style).put(options).bytes
}

/** Undefined for another style, another version, or a key no peer could use. */
export function ntcp2Address(address: RouterAddress): Ntcp2Address | undefined {
  if (address.style !== 'NTCP2') return undefined
  const { options } = address
  if (!options.get('v')?.split(',').includes('2')) return undefined
  const staticKey = bytesOption(options.get('s'), 32)
  // X25519 ignores the top bit; other routers refuse keys that have it, so that each key has one spelling.
  if (staticKey === undefined || staticKey[31]! > 0x7f) return undefined
  const host = options.get('host')
  const port = portOption(options.get('port'))
  const iv = bytesOption(options.get('i'), 16)
  return {
    staticKey,
    ...(host !== undefined && host !== '' ? { host } : {}),
    ...(port !== undefined ? { port } : {}),
    ...(iv !== undefined ? { iv } : {}),
  }
}

/** Undefined for another style, another version, a key no peer could use, or an MTU below what SSU2 needs. */
export function ssu2Address(address: RouterAddress): Ssu2Address | undefined {
  if (address.style !== 'SSU2') return undefined
  const { options } = address
  if (!options.get('v')?.split(',').includes('2')) return undefined
  const staticKey = bytesOption(options.get('s'), 32)
  const introKey = bytesOption(options.get('i'), 32)
  if (staticKey === undefined || staticKey[31]! > 0x7f || introKey === undefined) return undefined
  const mtu = Math.min(numberOption(options.get('mtu')) ?? MAX_MTU, MAX_MTU)
  if (mtu < MIN_MTU) return undefined
  const host = options.get('host')
  const port = portOption(options.get('port'))
  return {
    ...(host !== undefined && host !== '' ? { host } : {}),
    ...(port !== undefined ? { port } : {}),
    staticKey,
    introKey,
    mtu,
    caps: options.get('caps') ?? '',
    introducers: introducersOf(options),
  }
}

function introducersOf(options: Mapping): Introducer[] {
  const introducers: Introducer[] = []
  for (let i = 0; i < MAX_INTRODUCERS; i++) {
    const hash = bytesOption(options.get(`ih${i}`), HASH_LENGTH)
    const tag = numberOption(options.get(`itag${i}`))
    const expires = numberOption(options.get(`iexp${i}`))
    if (hash === undefined || tag === undefined || tag === 0) continue
    introducers.push({ hash, tag, ...(expires === undefined ? {} : { expires: expires * 1000 }) })
  }
  return introducers
}

/** Digits only, below 2^32. */
function numberOption(value: string | undefined): number | undefined {
  if (value === undefined || !/^[0-9]{1,10}$/.test(value)) return undefined
  const number = Number(value)
  return number <= 0xffffffff ? number : undefined
}

function portOption(value: string | undefined): number | undefined {
  if (value === undefined || !/^[1-9][0-9]{0,4}$/.test(value)) return undefined
  const port = Number(value)
  return port <= 65535 ? port : undefined
}

function bytesOption(value: string | undefined, length: number): Uint8Array | undefined {
  if (value === undefined) return undefined
  try {
    const bytes = fromBase64(value)
    return bytes.length === length ? bytes : undefined
  } catch {
    return undefined
  }
}
