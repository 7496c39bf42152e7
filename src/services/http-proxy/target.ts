/** Where a request wants to go: the proxy's part of RFC 9112 3.2, and the only names that are let through. */
import { fromB32 } from '../../protocol/structures/identity.ts'

// Specification constants
const HTTP_PORT = 80
/** 32 bytes of hash in base32; longer names are of blinded destinations (b32encrypted). */
const B32_LENGTH = 52

export interface Target {
  /** Lower case, `....b32.i2p`. */
  readonly host: string
  readonly port: number
  /** Path and query as received; `/` when there was none. Empty for CONNECT. */
  readonly path: string
}

/** Why a request goes nowhere. */
export type Refusal =
  | 'malformed'
  | 'not-a-proxy-request'
  | 'scheme'
  | 'outside'
  | 'unknown-name'
  | 'encrypted-name'

/** Of a request line `GET http://host:port/path HTTP/1.1`. */
export function requestTarget(url: string): Target | Refusal {
  if (url.startsWith('/') || url === '*') return 'not-a-proxy-request'
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^#]*)/i.exec(url)
  if (!parts) return 'malformed'
  const [, scheme = '', authority = '', path = ''] = parts
  if (scheme.toLowerCase() !== 'http') return 'scheme'
  if (!isPath(path)) return 'malformed'
  return located(authority, HTTP_PORT, path.startsWith('/') ? path : `/${path}`)
}

/** Of a request line `CONNECT host:port HTTP/1.1`. */
export function connectTarget(authority: string): Target | Refusal {
  return located(authority, undefined, '')
}

/** Of a request line `GET /path HTTP/1.1` inside a connection to `where`. */
export function insideTarget(url: string, where: Target): Target | Refusal {
  return url.startsWith('/') && isPath(url) ? { ...where, path: url.replace(/#.*/, '') } : 'malformed'
}

/** Printable ASCII: browsers encode the rest, and what they do not is not worth guessing about. */
function isPath(path: string): boolean {
  return /^[\x21-\x7e]*$/.test(path)
}

function located(authority: string, defaultPort: number | undefined, path: string): Target | Refusal {
  const parts = /^([^:@[\]]+|\[[^@\]]*\])(?::(\d{0,5}))?$/.exec(authority)
  if (!parts) return 'malformed' // credentials too: none are meant for us
  const port = parts[2] === undefined || parts[2] === '' ? defaultPort : Number(parts[2])
  if (port === undefined || port < 1 || port > 65535) return 'malformed'
  const host = hostName(parts[1]!)
  if (!host.endsWith('.i2p')) return 'outside'
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(host)) return 'malformed'
  if (!host.endsWith('.b32.i2p')) return 'unknown-name'
  const name = host.slice(0, -'.b32.i2p'.length)
  if (fromB32(host) === undefined)
    return /^[a-z2-7]+$/.test(name) && name.length > B32_LENGTH ? 'encrypted-name' : 'malformed'
  return { host, port, path }
}

/** Lower case, without the final dot, and without `.alt`, which stands for names that are not in the DNS (naming, RFC 9476). */
function hostName(host: string): string {
  const plain = host.toLowerCase().replace(/\.$/, '')
  return plain.endsWith('.i2p.alt') ? plain.slice(0, -'.alt'.length) : plain
}
