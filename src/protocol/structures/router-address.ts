/** How a router can be reached (common-structures, "RouterAddress"). Styles we do not know are kept and passed on. */
import { fromBase64 } from '../../base/base64.ts'
import { type Reader, utf8, Writer } from '../../base/bytes.ts'
import { type Mapping, readMapping, readString, writeMapping } from './mapping.ts'

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
