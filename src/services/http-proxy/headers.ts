/**
 * Which headers pass. A request may tell the site what is asked for, not who asks: what names the user, the machine, the browser or
 * other sites goes, and the rest gets one spelling and one order, whatever the browser (i2ptunnel, "HTTP client").
 */
import type { Target } from './target.ts'

// Specification constants
/** What every I2P proxy says, so that it says nothing. */
const USER_AGENT = 'MYOB/6.66 (AN/ON)'
const HTTP_PORT = 80

/** Headers for one connection only (RFC 9110 7.6.1), and the framing, which each side makes itself. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Requests lose these. */
const TELLING: ReadonlySet<string> = new Set([
  'alt-used',
  'cdn-loop',
  'client-ip',
  'cookie2',
  'device-memory',
  'dnt',
  'downlink',
  'dpr',
  'ect',
  'forwarded',
  'from',
  'host',
  'intervention',
  'max-forwards',
  'ping-from',
  'ping-to',
  'priority',
  'purpose',
  'rtt',
  'save-data',
  'true-client-ip',
  'upgrade-insecure-requests',
  'user-agent',
  'via',
  'viewport-width',
  'width',
  'x-att-deviceid',
  'x-client-data',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-moz',
  'x-originating-ip',
  'x-real-ip',
  'x-remote-addr',
  'x-remote-ip',
  'x-requested-with',
  'x-uidh',
  'x-wap-profile',
])
const TELLING_PREFIXES = ['accept-', 'cf-', 'fastly-', 'proxy', 'sec-', 'x-forwarded', 'x-i2p-']
/** Of those prefixes, what a site needs. */
const NEEDED: ReadonlySet<string> = new Set(['accept-encoding'])

/** Responses lose these: they would lead a browser out of I2P, or name what runs there to us. */
const MISLEADING: ReadonlySet<string> = new Set(['alt-svc', 'alternate-protocol'])

export type HeaderList = Record<string, string | string[]>

/** `raw` is Node's rawHeaders. Without framing: see `framing`. */
export function requestHeaders(raw: readonly string[], target: Target): HeaderList {
  const authority = target.port === HTTP_PORT ? target.host : `${target.host}:${target.port}`
  const named = connectionNames(raw)
  const kept: [string, string][] = []
  for (const [name, value] of pairs(raw)) {
    if (named.has(name) || HOP_BY_HOP.has(name) || isTelling(name)) continue
    if (name === 'referer' && !isSameOrigin(value, authority)) continue
    kept.push([name, name === 'origin' && !isSameOrigin(value, authority) ? 'null' : value])
  }
  kept.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return collect([['host', authority], ['user-agent', USER_AGENT], ...kept])
}

/** How the body comes, when there is one. Undefined when it cannot be told apart from the next request. */
export function framing(raw: readonly string[], httpVersion: string): HeaderList | undefined {
  let length: string | undefined
  let chunked = false
  for (const [name, value] of pairs(raw)) {
    if (name === 'content-length') {
      if (length !== undefined || !/^\d{1,15}$/.test(value)) return undefined
      length = value
    } else if (name === 'transfer-encoding') {
      if (chunked || value.trim().toLowerCase() !== 'chunked' || httpVersion !== '1.1') return undefined
      chunked = true
    }
  }
  if (chunked) return length === undefined ? { 'Transfer-Encoding': 'chunked' } : undefined
  return length === undefined ? {} : { 'Content-Length': length }
}

/** For the browser. The length stays, since a body passes through unchanged. */
export function responseHeaders(raw: readonly string[]): HeaderList {
  const named = connectionNames(raw)
  const kept = [...pairs(raw)].filter(
    ([name]) =>
      name === 'content-length' ||
      !(named.has(name) || HOP_BY_HOP.has(name) || MISLEADING.has(name) || name.startsWith('proxy-')),
  )
  return collect(kept.map(([name, value]) => [name, name === 'set-cookie' ? ownCookie(value) : value]))
}

/** Without Domain, so for one site only: browsers take all of b32.i2p for one owner, and would show any site what another left. */
function ownCookie(cookie: string): string {
  return cookie.replace(/;\s*domain\s*(=[^;]*)?(?=;|$)/gi, '')
}

/** `_` counts as `-`: many servers read them alike. */
function isTelling(name: string): boolean {
  const plain = name.replaceAll('_', '-')
  if (NEEDED.has(name)) return false
  return TELLING.has(plain) || HOP_BY_HOP.has(plain) || TELLING_PREFIXES.some((p) => plain.startsWith(p))
}

function isSameOrigin(url: string, authority: string): boolean {
  const origin = /^http:\/\/([^/?#]*)([/?#]|$)/i.exec(url)
  return origin?.[1]?.toLowerCase().replace(/:80$/, '') === authority
}

/** Names that a Connection header declares to be for this connection only. */
function connectionNames(raw: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>()
  for (const [name, value] of pairs(raw))
    if (name === 'connection') for (const token of value.split(',')) names.add(token.trim().toLowerCase())
  return names
}

/** Names in lower case. */
function* pairs(raw: readonly string[]): Generator<[string, string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) yield [raw[i]!.toLowerCase(), raw[i + 1]!]
}

/** Names as HTTP/1.1 usually spells them; repeated ones stay repeated. */
function collect(list: readonly (readonly [string, string])[]): HeaderList {
  const out: HeaderList = Object.create(null) as HeaderList
  for (const [name, value] of list) {
    const spelt = name.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase())
    const had = out[spelt]
    out[spelt] = had === undefined ? value : [...(Array.isArray(had) ? had : [had]), value]
  }
  return out
}
