/**
 * Links through a proxy: what it is told, and what it must answer before a link is the core's. SOCKS5 (RFC 1928, RFC 1929) and HTTP
 * (RFC 9110, "CONNECT"). Targets are IP addresses, and so is the proxy's own: nothing is ever looked up.
 */
import { isIP, type Socket } from 'node:net'
import { concat, Writer } from '../base/bytes.ts'
import type { Endpoint } from '../base/core.ts'
import { ipBytes } from '../base/ip.ts'

// Specification constants

const SOCKS_VERSION = 5
const NO_AUTHENTICATION = 0
const USERNAME_PASSWORD = 2
const USERNAME_PASSWORD_VERSION = 1
const CONNECT = 1
const IPV4 = 1
const NAME = 3
const IPV6 = 4
const SUCCEEDED = 0
/** A user name or password, in bytes. */
const MAX_CREDENTIAL = 255
const DEFAULT_PORTS = { http: 80, socks: 1080 } as const

// Implementation constants

/** The longest answer: what HTTP servers commonly allow for headers. */
const MAX_ANSWER = 8192

export interface ProxyServer {
  readonly kind: 'http' | 'socks'
  readonly endpoint: Endpoint
  readonly user: string
  /** Not offered when `user` is empty too. */
  readonly password: string
}

/** As i2pd's `ntcp2.proxy`: `http://127.0.0.1:8118`, `socks://user:password@127.0.0.1:9050`. Undefined when it is none. */
export function readProxy(url: string): ProxyServer | undefined {
  const kind = /^(?:(http)|socks5?):\/\//.exec(url)
  if (kind === null || !URL.canParse(url)) return undefined
  const { hostname, port, username, password, pathname, search, hash } = new URL(url)
  const address = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isIP(address) === 0 || port === '0' || !/^\/?$/.test(pathname) || search + hash !== '') return undefined
  const scheme = kind[1] === undefined ? 'socks' : 'http'
  try {
    const proxy: ProxyServer = {
      kind: scheme,
      endpoint: { address, port: port === '' ? DEFAULT_PORTS[scheme] : Number(port) },
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
    }
    const longest = Math.max(Buffer.byteLength(proxy.user), Buffer.byteLength(proxy.password))
    return longest <= MAX_CREDENTIAL ? proxy : undefined
  } catch {
    return undefined // a % that escapes nothing
  }
}

/**
 * Asks the proxy that `socket` is being connected to for a link to `to`. Once it has agreed, the socket is the caller's, with the bytes
 * that came behind its answer; when it refuses, the socket is destroyed with the reason. Waits as long as the caller does.
 */
export function askProxy(
  socket: Socket,
  proxy: ProxyServer,
  to: Endpoint,
  agreed: (rest: Uint8Array) => void,
): void {
  const dialogue = proxy.kind === 'http' ? connect(proxy, to) : socks5(proxy, to)
  let got: Uint8Array = new Uint8Array(0)
  let waiting: Whole | undefined

  const go = (answer: Uint8Array): void => {
    const { done, value } = dialogue.next(answer)
    if (!done) {
      waiting = value.answer
      socket.write(value.send)
      return
    }
    waiting = undefined
    socket.off('data', received)
    if (value === undefined) agreed(got)
    else socket.destroy(new Error(`the proxy: ${value}`))
  }
  const received = (bytes: Buffer): void => {
    got = concat(got, bytes)
    for (let size = waiting?.(got); size !== undefined; size = waiting?.(got)) {
      const answer = got.subarray(0, size)
      got = got.subarray(size)
      go(answer)
    }
    if (waiting !== undefined && got.length > MAX_ANSWER)
      socket.destroy(new Error('the proxy: its answer has no end'))
  }
  socket.on('data', received)
  socket.once('connect', () => go(got))
}

/** The size of the answer that `bytes` begin with; undefined while it is not whole. */
type Whole = (bytes: Uint8Array) => number | undefined

interface Step {
  readonly send: Uint8Array
  readonly answer: Whole
}

/** Resumed with the whole answer. Returns why the proxy refused, undefined when it agreed. */
type Dialogue = Generator<Step, string | undefined, Uint8Array>

function* socks5({ user, password }: ProxyServer, to: Endpoint): Dialogue {
  const methods = user + password === '' ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, USERNAME_PASSWORD]
  const choice = yield { send: Uint8Array.of(SOCKS_VERSION, methods.length, ...methods), answer: exactly(2) }
  if (choice[0] !== SOCKS_VERSION) return 'does not speak SOCKS5'
  if (!methods.includes(choice[1]!)) return 'wants to know who we are'
  if (choice[1] === USERNAME_PASSWORD) {
    const verdict = yield { send: credentials(user, password), answer: exactly(2) }
    if (verdict[1] !== SUCCEEDED) return 'refuses our name or password'
  }
  const reply = yield { send: connectRequest(to), answer: socksReply }
  if (reply[0] !== SOCKS_VERSION) return 'does not speak SOCKS5'
  return reply[1] === SUCCEEDED ? undefined : `refuses, reply ${reply[1]}`
}

function credentials(user: string, password: string): Uint8Array {
  const [u, p] = [Buffer.from(user), Buffer.from(password)]
  const w = new Writer(3 + u.length + p.length).u8(USERNAME_PASSWORD_VERSION)
  return w.u8(u.length).put(u).u8(p.length).put(p).bytes
}

function connectRequest(to: Endpoint): Uint8Array {
  const address = ipBytes(to.address)!
  const w = new Writer(6 + address.length).u8(SOCKS_VERSION).u8(CONNECT).u8(0)
  w.u8(address.length === 4 ? IPV4 : IPV6)
  return w.put(address).u16(to.port).bytes
}

/** It ends with the address that the proxy dials from, in any of the three forms; a form unknown to us ends it early. */
function socksReply(bytes: Uint8Array): number | undefined {
  if (bytes.length < 5) return undefined
  const [, , , form, first] = bytes
  const address = form === IPV4 ? 4 : form === IPV6 ? 16 : form === NAME ? 1 + first! : 0
  return whole(bytes, 6 + address)
}

function exactly(size: number): Whole {
  return (bytes) => whole(bytes, size)
}

function whole(bytes: Uint8Array, size: number): number | undefined {
  return bytes.length < size ? undefined : size
}

function* connect({ user, password }: ProxyServer, to: Endpoint): Dialogue {
  const target = `${to.address.includes(':') ? `[${to.address}]` : to.address}:${to.port}`
  const basic = Buffer.from(`${user}:${password}`).toString('base64')
  const lines = [
    `CONNECT ${target} HTTP/1.1`,
    `Host: ${target}`,
    ...(user + password === '' ? [] : [`Proxy-Authorization: Basic ${basic}`]),
  ]
  const answer = yield { send: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), answer: httpHeader }
  const status = /^HTTP\/1\.[01] (\d{3})[ \r\n]/.exec(latin1(answer))?.[1]
  if (status === undefined) return 'does not speak HTTP'
  return status.startsWith('2') ? undefined : `refuses, status ${status}`
}

/** To the empty line. What does not begin as an answer does is not waited for. */
function httpHeader(bytes: Uint8Array): number | undefined {
  const text = latin1(bytes.subarray(0, MAX_ANSWER))
  const start = 'HTTP/1.'
  if (!text.startsWith(start.slice(0, text.length))) return bytes.length
  const end = /\r?\n\r?\n/.exec(text)
  return end === null ? undefined : end.index + end[0].length
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
