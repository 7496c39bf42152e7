import { createHash, randomBytes } from 'node:crypto'
import { Agent, type IncomingMessage, type RequestListener, request } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RefusedError } from '../../src/base/errors.ts'
import { SILENT } from '../../src/base/log.ts'
import { type HttpProxy, startHttpProxy } from '../../src/services/http-proxy/http-proxy.ts'
import { b32, bodyOf, echo, exchange, FakeI2p, type Seen, statusOf } from './fake-i2p.ts'

const SITE = b32(1)
const OTHER = b32(2)

let i2p: FakeI2p
let proxy: HttpProxy
let agent: Agent

beforeEach(async () => {
  i2p = new FakeI2p()
  i2p.site(SITE, echo)
  const listen = { host: '127.0.0.1', port: 0, key: undefined }
  proxy = await startHttpProxy({ listen, host: i2p, log: SILENT })
  agent = new Agent({ keepAlive: true })
})

afterEach(async () => {
  agent.destroy()
  await proxy.close()
})

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** As a browser that uses the proxy. */
function ask(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options
    const req = request(
      { host: '127.0.0.1', port: proxy.port, path: url, method, headers, agent, setHost: false },
      (res) => {
        const parts: Buffer[] = []
        res.on('data', (part: Buffer) => parts.push(part))
        res.on('end', () =>
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(parts) }),
        )
        res.on('error', reject)
      },
    )
    req.on('error', reject)
    if (headers['Host'] === undefined) req.setHeader('Host', 'localhost')
    req.end(body)
  })
}

async function seenFor(
  lines: readonly string[],
  requestLine = `GET http://${SITE}/ HTTP/1.1`,
): Promise<Seen> {
  const response = await exchange(
    proxy.port,
    `${requestLine}\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n`,
  )
  expect(statusOf(response)).toBe(200)
  return JSON.parse(bodyOf(response)) as Seen
}

describe('what a site learns from a request', () => {
  const ALWAYS = ['Host', SITE, 'User-Agent', 'MYOB/6.66 (AN/ON)']
  const LAST = ['Connection', 'keep-alive']

  it('is the same for every browser, however it spells and orders its headers', async () => {
    const seen = await seenFor([
      'cookie: a=b',
      'ACCEPT: text/html',
      `hOsT: ${SITE}`,
      'user-agent: Mozilla/5.0 (X11; Linux x86_64)',
      'User-Agent: twice',
      'accept-encoding: gzip',
    ])
    expect(seen.headers).toEqual([
      ...ALWAYS,
      'Accept',
      'text/html',
      'Accept-Encoding',
      'gzip',
      'Cookie',
      'a=b',
      ...LAST,
    ])
  })

  it.each([
    'Accept-Language: de-AT',
    'ACCEPT-LANGUAGE: de-AT',
    'aCCept-lAnguage: de-AT',
    'Accept_Language: de-AT',
    'Accept-Charset: utf-8',
    'Accept-Datetime: Thu, 31 May 2007 20:35:00 GMT',
    'Via: 1.1 my-laptop',
    'via: 1.1 my-laptop',
    'From: me@example.org',
    'Forwarded: for=192.0.2.1',
    'X-Forwarded-For: 192.0.2.1',
    'x-forwarded-for: 192.0.2.1',
    'X_Forwarded_For: 192.0.2.1',
    'X-FORWARDED-HOST: laptop',
    'X-Forwarded-Proto: https',
    'X-Forwarded: 192.0.2.1',
    'X-Real-IP: 192.0.2.1',
    'Client-IP: 192.0.2.1',
    'X-Client-IP: 192.0.2.1',
    'True-Client-IP: 192.0.2.1',
    'CF-Connecting-IP: 192.0.2.1',
    'Proxy-Connection: keep-alive',
    'Proxy-Authorization: Basic bWU6cGFzcw==',
    'proxy-anything: x',
    'Proxy: http://127.0.0.1/',
    'DNT: 1',
    'Sec-GPC: 1',
    'Sec-CH-UA-Platform: "Linux"',
    'Sec-Fetch-Site: none',
    'X-Requested-With: org.example.app',
    'X-I2P-DestHash: forged',
    'X-I2P-DestB32: forged',
    'Upgrade-Insecure-Requests: 1',
    'Priority: u=0',
    'Purpose: prefetch',
    `Ping-From: http://${OTHER}/page`,
    `Ping-To: http://${SITE}/`,
    'X-Client-Data: CJa2yQ==',
    'Alt-Used: elsewhere.example',
    'Save-Data: on',
    'DPR: 2',
    'Max-Forwards: 3',
    'Keep-Alive: timeout=5',
    'TE: trailers',
    'Upgrade: websocket',
    'HTTP2-Settings: AAMAAABk',
    'Connection: close, X-Secret\r\nX-Secret: 1',
    'Referer: http://elsewhere.i2p/secret',
    `Referer: http://${OTHER}/page`,
    `Referer: https://${SITE}/page`,
    `Referer: http://${SITE}.evil.example/`,
    `Referer: http://${SITE}@evil.example/`,
    `Referer: http://${SITE}:81/`,
    'Referer: about:blank',
    'Referer:',
  ])('is not %s', async (line) => {
    for (const lines of [
      [`Host: ${SITE}`, line],
      [line, `Host: ${SITE}`, line],
    ])
      expect((await seenFor(lines)).headers).toEqual([...ALWAYS, ...LAST])
  })

  it.each([
    [`Referer: http://${SITE}/page?q=1`, 'Referer', `http://${SITE}/page?q=1`],
    [`REFERER: http://${SITE.toUpperCase()}/`, 'Referer', `http://${SITE.toUpperCase()}/`],
    [`referer: http://${SITE}`, 'Referer', `http://${SITE}`],
    [`Origin: http://${SITE}`, 'Origin', `http://${SITE}`],
    [`Origin: http://${OTHER}`, 'Origin', 'null'],
    ['Authorization: Basic eDp5', 'Authorization', 'Basic eDp5'],
    ['If-None-Match: "abc"', 'If-None-Match', '"abc"'],
    ['Range: bytes=0-9', 'Range', 'bytes=0-9'],
    ['x-csrf-token: 1', 'X-Csrf-Token', '1'],
  ])('is %s', async (line, name, value) => {
    expect((await seenFor([`Host: ${SITE}`, line])).headers).toEqual([...ALWAYS, name, value, ...LAST])
  })

  it('keeps what a page sends twice', async () => {
    const { headers } = await seenFor([`Host: ${SITE}`, 'X-List: a', 'x-list: b'])
    expect(headers).toEqual([...ALWAYS, 'X-List', 'a', 'X-List', 'b', ...LAST])
  })

  it.each([
    [`GET http://${SITE.toUpperCase()}/Path?Q=%20#frag HTTP/1.1`, '/Path?Q=%20', SITE],
    [`GET HTTP://${SITE}:80 HTTP/1.1`, '/', SITE],
    [`GET http://${SITE}:? HTTP/1.1`, '/?', SITE],
    [`GET http://${SITE}.alt/x HTTP/1.1`, '/x', SITE],
    [`GET http://${SITE}./x HTTP/1.1`, '/x', SITE],
    [`GET http://${SITE}/../a//b/%2e%2e HTTP/1.1`, '/../a//b/%2e%2e', SITE],
    [`GET http://${SITE}/http://example.org/ HTTP/1.1`, '/http://example.org/', SITE],
  ])('takes the place from the request line: %s', async (line, path, host) => {
    const seen = await seenFor(['Host: 192.168.1.2'], line)
    expect(seen.url).toBe(path)
    expect(seen.headers.slice(0, 2)).toEqual(['Host', host])
  })

  it('names the port when it is another', async () => {
    i2p.site(SITE, echo, 8080)
    const seen = await seenFor([`Referer: http://${SITE}:8080/a`], `GET http://${SITE}:8080/ HTTP/1.0`)
    expect(seen.headers).toContain(`${SITE}:8080`)
    expect(seen.headers).toContain('Referer')
    expect(i2p.dialled).toEqual([`${SITE}:8080`])
  })
})

describe('what is refused before anything is sent', () => {
  it.each([
    ['GET http://example.org/ HTTP/1.1', 403],
    ['GET http://127.0.0.1/ HTTP/1.1', 403],
    ['GET http://127.0.0.1:7657/ HTTP/1.1', 403],
    ['GET http://localhost/ HTTP/1.1', 403],
    ['GET http://[::1]/ HTTP/1.1', 403],
    ['GET http://[fe80::1%25wlan0]/ HTTP/1.1', 403],
    ['GET http://2130706433/ HTTP/1.1', 403],
    ['GET http://i2p/ HTTP/1.1', 403],
    [`GET http://${SITE}.example.org/ HTTP/1.1`, 403],
    [`GET http://${SITE}%2eexample.org/ HTTP/1.1`, 403],
    ['GET http://stats.i2p/ HTTP/1.1', 502],
    ['GET http://stats.i2p.alt/ HTTP/1.1', 502],
    [`GET http://www.${SITE}/ HTTP/1.1`, 400],
    [`GET http://${'a'.repeat(51)}.b32.i2p/ HTTP/1.1`, 400],
    [`GET http://${'1'.repeat(52)}.b32.i2p/ HTTP/1.1`, 400],
    [`GET http://${'b'.repeat(52)}.b32.i2p/ HTTP/1.1`, 400],
    [`GET http://${'a'.repeat(56)}.b32.i2p/ HTTP/1.1`, 502],
    ['GET http://.i2p/ HTTP/1.1', 400],
    ['GET http://a..i2p/ HTTP/1.1', 400],
    [`GET http://user:pass@${SITE}/ HTTP/1.1`, 400],
    [`GET http://${SITE}:0/ HTTP/1.1`, 400],
    [`GET http://${SITE}:65536/ HTTP/1.1`, 400],
    [`GET http://${SITE}:8a/ HTTP/1.1`, 400],
    [`GET http://${SITE}\\@x/ HTTP/1.1`, 400],
    [`GET http:///${SITE}/ HTTP/1.1`, 400],
    [`GET http:/${SITE}/ HTTP/1.1`, 400],
    [`GET https://${SITE}/ HTTP/1.1`, 400],
    [`GET ftp://${SITE}/ HTTP/1.1`, 400],
    ['GET / HTTP/1.1', 400],
    ['OPTIONS * HTTP/1.1', 400],
    [`GET http://${SITE}/\xe9 HTTP/1.1`, 400],
    [`TRACE http://${SITE}/ HTTP/1.1`, 405],
    [`GET http://${SITE}/ HTTP/2.0`, 400],
    ['CONNECT example.org:443 HTTP/1.1', 403],
    ['CONNECT 127.0.0.1:22 HTTP/1.1', 403],
    ['CONNECT [::1]:22 HTTP/1.1', 403],
    [`CONNECT ${SITE} HTTP/1.1`, 400],
    ['CONNECT stats.i2p:443 HTTP/1.1', 502],
  ])('%s', async (line, status) => {
    const response = await exchange(proxy.port, `${line}\r\nHost: ${SITE}\r\n\r\n`)
    expect(statusOf(response)).toBe(status)
    expect(i2p.dialled).toEqual([])
    expect(response).not.toMatch(/\r\n(server|date|x-powered-by|access-control-[a-z-]*):/i)
  })

  const to = `http://${SITE}/`
  const host = `Host: ${SITE}\r\n`
  it.each([
    ['a folded header', `GET ${to} HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`],
    [
      'a folded transfer coding',
      `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['two lengths', `POST ${to} HTTP/1.1\r\n${host}Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde`],
    [
      'the same length twice',
      `POST ${to} HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde`,
    ],
    ['a list of lengths', `POST ${to} HTTP/1.1\r\n${host}Content-Length: 5, 5\r\n\r\nabcde`],
    ['a signed length', `POST ${to} HTTP/1.1\r\n${host}Content-Length: +5\r\n\r\nabcde`],
    ['a negative length', `POST ${to} HTTP/1.1\r\n${host}Content-Length: -5\r\n\r\nabcde`],
    ['a length in hex', `POST ${to} HTTP/1.1\r\n${host}Content-Length: 0x5\r\n\r\nabcde`],
    [
      'a length and chunks',
      `POST ${to} HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      'chunks and a length',
      `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    ],
    ['an unknown coding', `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['two codings', `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    [
      'chunked and identity',
      `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
    ],
    [
      'chunked twice',
      `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      'a space before the colon',
      `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['a vertical tab', `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
    ['chunks in HTTP/1.0', `POST ${to} HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['a bare LF after the request line', `GET ${to} HTTP/1.1\n${host}\r\n`],
    ['a bare LF after a header', `GET ${to} HTTP/1.1\r\nHost: ${SITE}\nX: b\r\n\r\n`],
    ['a bare LF as the last line', `GET ${to} HTTP/1.1\r\n${host}\n`],
    ['a bare CR', `GET ${to} HTTP/1.1\r\nHost: ${SITE}\rX: b\r\n\r\n`],
    ['NUL in a value', `GET ${to} HTTP/1.1\r\n${host}X: b\0c\r\n\r\n`],
    ['NUL in a name', `GET ${to} HTTP/1.1\r\n${host}X\0: bc\r\n\r\n`],
    ['NUL in the address', `GET ${to}\0 HTTP/1.1\r\n${host}\r\n`],
    ['no colon', `GET ${to} HTTP/1.1\r\n${host}X\r\n\r\n`],
    ['no name', `GET ${to} HTTP/1.1\r\n${host}: x\r\n\r\n`],
    ['a space before the first header', `GET ${to} HTTP/1.1\r\n X: b\r\n${host}\r\n`],
    ['two hosts', `GET ${to} HTTP/1.1\r\n${host}Host: ${OTHER}\r\n\r\n`],
    ['no host', `GET ${to} HTTP/1.1\r\n\r\n`],
    ['a space in the address', `GET ${to} b HTTP/1.1\r\n${host}\r\n`],
    ['a tab in the address', `GET ${to}\tb HTTP/1.1\r\n${host}\r\n`],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['a header name beyond ASCII', `GET ${to} HTTP/1.1\r\n${host}X\x80: b\r\n\r\n`],
    ['an unknown method', `FOO ${to} HTTP/1.1\r\n${host}\r\n`],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ])('400: %s', async (_, bytes) => {
    expect(statusOf(await exchange(proxy.port, bytes))).toBe(400)
    expect(i2p.dialled).toEqual([])
  })

  it.each([
    ['a chunk size ended by LF', '5\nabcde\r\n0\r\n\r\n'],
    ['a negative chunk', '-5\r\nabcde\r\n0\r\n\r\n'],
    ['a chunk beyond all numbers', 'fffffffffffffffff\r\nabcde\r\n0\r\n\r\n'],
    ['a chunk longer than it says', '3\r\nabcde\r\n0\r\n\r\n'],
    ['a line break in a chunk extension', '5;a\nb\r\nabcde\r\n0\r\n\r\n'],
  ])('a body with %s never reaches the site whole', async (_, body) => {
    let whole = false
    i2p.site(SITE, (req, res) =>
      req.resume().on('end', () => {
        whole = true
        res.end()
      }),
    )
    const response = await exchange(
      proxy.port,
      `POST ${to} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${body}`,
    )
    expect(response === '' || statusOf(response) === 400).toBe(true)
    expect(whole).toBe(false)
  })

  it('431: more than 8 KB of headers', async () => {
    const response = await exchange(proxy.port, `GET ${to} HTTP/1.1\r\n${host}X: ${'a'.repeat(8200)}\r\n\r\n`)
    expect(statusOf(response)).toBe(431)
    expect(i2p.dialled).toEqual([])
  })
})

describe('error pages', () => {
  it('are HTML of their own, with a policy that allows only their style', async () => {
    const pages = await Promise.all([ask(`http://${OTHER}/`), ask(`http://${OTHER}/`)])
    const nonces = pages.map(({ status, headers, body }) => {
      expect(status).toBe(502)
      const html = body.toString()
      expect(html).toContain('<h1>Destination not found</h1>')
      const policy = String(headers['content-security-policy'])
      expect(policy).toMatch(/^default-src 'none'; style-src 'nonce-[A-Za-z0-9]{16,}'; /)
      expect(html).toContain(`<style nonce="${/nonce-([A-Za-z0-9]+)/.exec(policy)?.[1]}">`)
      expect(headers['cache-control']).toBe('no-store')
      expect(headers['date']).toBeUndefined()
      return policy
    })
    expect(nonces[0]).not.toBe(nonces[1])
  })

  it.each([
    ['timeout', 504],
    ['unreachable', 502],
    ['refused', 502],
    ['limit', 503],
    ['not-ready', 503],
    ['unknown-name', 502],
    ['something else', 502],
  ])('tell %s', async (code, status) => {
    i2p.refuse = new RefusedError(code, 'secret')
    const { status: got, body } = await ask(`http://${SITE}/`)
    expect(got).toBe(status)
    expect(body.toString()).not.toContain('secret')
    const response = await exchange(proxy.port, `CONNECT ${SITE}:443 HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`)
    expect(statusOf(response)).toBe(status)
    expect(i2p.dialled).toHaveLength(2)
  })

  it('tell that the node is not ready when a stream cannot even be tried', async () => {
    i2p.open = () => {
      throw new RefusedError('not-ready', 'there is no destination')
    }
    expect((await ask(`http://${SITE}/`)).status).toBe(503)
  })

  it('have no body for HEAD, and leave the connection usable', async () => {
    const both = await exchange(
      proxy.port,
      `HEAD http://${OTHER}/ HTTP/1.1\r\nHost: ${OTHER}\r\n\r\nGET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`,
    )
    expect(both.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 502', 'HTTP/1.1 200'])
  })

  it('say nothing of bugs inside', async () => {
    i2p.refuse = new TypeError('secret of the implementation')
    const { status, body } = await ask(`http://${OTHER}/`)
    expect(status).toBe(502)
    expect(body.toString()).not.toContain('secret')
  })
})

describe('connections to a site', () => {
  it('are kept and used again', async () => {
    for (let i = 0; i < 5; i++) expect((await ask(`http://${SITE}/${i}`)).status).toBe(200)
    expect(i2p.dialled).toHaveLength(1)
  })

  it('are replaced when the site had closed them', async () => {
    await ask(`http://${SITE}/1`)
    i2p.streams[0]!.end()
    expect((await ask(`http://${SITE}/2`)).status).toBe(200)
    expect(i2p.dialled).toHaveLength(2)
  })

  it('are replaced, and the request sent again, when they break under it', async () => {
    let served = 0
    i2p.raw(SITE, (stream) => {
      stream.on('data', () => {
        if (served++ === 1) stream.destroy()
        else stream.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    })
    await ask(`http://${SITE}/1`)
    const second = await ask(`http://${SITE}/2`)
    expect(second.status).toBe(200)
    expect(second.body.toString()).toBe('ok')
    expect(i2p.dialled).toHaveLength(2)
  })

  it('that always break end in an error page, after few attempts', async () => {
    i2p.raw(SITE, (stream) => stream.on('data', () => stream.destroy()))
    expect((await ask(`http://${SITE}/`)).status).toBe(502)
    expect(i2p.dialled.length).toBeLessThanOrEqual(3)
  })

  it('are new for each POST, and a POST is sent once', async () => {
    const posts: string[] = []
    i2p.site(SITE, (req, res) => {
      if (req.method === 'POST') posts.push(req.url ?? '')
      if (req.url === '/break') req.socket.destroy()
      else res.end()
    })
    await ask(`http://${SITE}/`)
    expect((await ask(`http://${SITE}/a`, { method: 'POST', body: Buffer.from('x') })).status).toBe(200)
    expect((await ask(`http://${SITE}/break`, { method: 'POST', body: Buffer.from('x') })).status).toBe(502)
    expect(posts).toEqual(['/a', '/break'])
    expect(i2p.dialled).toHaveLength(3)
  })

  it('are not kept when the site says something nobody asked for', async () => {
    i2p.raw(SITE, (stream) => {
      stream.on('data', () => {
        stream.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        setImmediate(() => stream.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'))
      })
    })
    for (let i = 0; i < 3; i++) {
      expect((await ask(`http://${SITE}/`)).body.toString()).toBe('ok')
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    }
  })

  it('are not kept longer than the site says', async () => {
    i2p.site(SITE, (_, res) => {
      res.setHeader('Keep-Alive', 'timeout=1')
      res.setHeader('Connection', 'keep-alive')
      res.end()
    })
    await ask(`http://${SITE}/1`)
    await ask(`http://${SITE}/2`)
    expect(i2p.dialled).toHaveLength(2)
  })

  it('end when the browser goes away', async () => {
    const closed = new Promise<void>((resolve) => {
      i2p.raw(SITE, (stream) => {
        stream.on('close', () => resolve())
        stream.on('data', () => {})
      })
    })
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(`GET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`)
    while (i2p.streams.length === 0) await new Promise((resolve) => setImmediate(resolve))
    socket.destroy()
    await closed
  })
})

describe('bodies', () => {
  const big = randomBytes(10 * 1024 * 1024)
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

  it('of 10 MB come whole', async () => {
    i2p.site(SITE, (_, res) => res.end(big))
    expect(sha256((await ask(`http://${SITE}/`)).body)).toBe(sha256(big))
  })

  it('of 10 MB go whole, with a length and in chunks', async () => {
    const digest: RequestListener = (req, res) => {
      const hash = createHash('sha256')
      req.on('data', (part: Buffer) => hash.update(part))
      req.on('end', () => res.end(`${hash.digest('hex')} ${req.headers['transfer-encoding'] ?? 'length'}`))
    }
    i2p.site(SITE, digest)
    const sized = await ask(`http://${SITE}/`, {
      method: 'POST',
      body: big,
      headers: { 'Content-Length': `${big.length}` },
    })
    expect(sized.body.toString()).toBe(`${sha256(big)} length`)
    const chunked = await ask(`http://${SITE}/`, {
      method: 'POST',
      body: big,
      headers: { 'Transfer-Encoding': 'chunked' },
    })
    expect(chunked.body.toString()).toBe(`${sha256(big)} chunked`)
  })

  it('are passed on as they come', async () => {
    let finish: (() => void) | undefined
    i2p.site(SITE, (_, res) => {
      res.write('first')
      finish = () => res.end('last')
    })
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(proxy.port, '127.0.0.1')
      let seen = ''
      socket.setEncoding('latin1')
      socket.on('error', reject)
      socket.on('data', (chunk: string) => {
        seen += chunk
        if (seen.includes('first') && finish !== undefined) {
          finish()
          finish = undefined
        }
        if (seen.includes('last')) {
          socket.destroy()
          resolve(seen)
        }
      })
      socket.write(`GET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`)
    })
    expect(text).toContain('first')
  })

  it('that break off are seen to be incomplete', async () => {
    i2p.site(SITE, (req, res) => {
      res.writeHead(200, { 'Content-Length': '100' })
      res.write('part')
      setImmediate(() => req.socket.destroy())
    })
    await expect(ask(`http://${SITE}/`)).rejects.toThrow(/aborted|hang up|ECONNRESET/)
  })

  it('are asked for with 100 Continue by us, not by the site', async () => {
    const socket = connect(proxy.port, '127.0.0.1')
    socket.setEncoding('latin1')
    const next = (): Promise<string> =>
      new Promise((resolve) => socket.once('data', (d: string) => resolve(d)))
    socket.write(
      `POST http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`,
    )
    expect(await next()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    socket.write('ab')
    const response = await next()
    expect(response).toContain('"body":"ab"')
    expect(response).not.toContain('Expect')
    socket.destroy()
  })
})

describe('responses', () => {
  const answer = (text: string): void =>
    i2p.raw(SITE, (stream) => {
      stream.on('data', () => stream.end(text))
    })

  it('lose what leads out of I2P or concerns one connection, and keep the rest', async () => {
    answer(
      'HTTP/1.1 404 Not Here\r\nAlt-Svc: h2="example.org:443"\r\nProxy-Authenticate: Basic\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n' +
        'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: x\r\nContent-Length: 2\r\n\r\nno',
    )
    const { status, headers, body } = await ask(`http://${SITE}/`)
    expect(status).toBe(404)
    expect(body.toString()).toBe('no')
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(headers['server']).toBe('x')
    for (const gone of ['alt-svc', 'proxy-authenticate', 'x-hop', 'date'])
      expect(headers[gone]).toBeUndefined()
  })

  it('cannot set a cookie for every site at once', async () => {
    const cookies = ['a=1; Domain=.b32.i2p; Path=/', 'b=2;domain = i2p', 'c=domain=3; Secure']
    answer(
      `HTTP/1.1 200 OK\r\n${cookies.map((c) => `Set-Cookie: ${c}\r\n`).join('')}Content-Length: 0\r\n\r\n`,
    )
    const { headers } = await ask(`http://${SITE}/`)
    expect(headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2', 'c=domain=3; Secure'])
  })

  it.each([
    ['204 without a body', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
    ['304 without a body', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 304, ''],
    ['a body that ends with the stream', 'HTTP/1.0 200 OK\r\n\r\nall of it', 200, 'all of it'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 200, 'abc'],
  ])('pass: %s', async (_, text, status, body) => {
    answer(text)
    const got = await ask(`http://${SITE}/`)
    expect([got.status, got.body.toString()]).toEqual([status, body])
  })

  it.each([
    ['a password prompt for us', 'HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a folded header', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
    ['nothing', ''],
  ])('502: %s', async (_, text) => {
    answer(text)
    expect((await ask(`http://${SITE}/`)).status).toBe(502)
  })
})

describe('CONNECT', () => {
  const open = async (line: string, early = 'early'): Promise<{ socket: Socket; head: string }> => {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.setEncoding('latin1')
    socket.write(`${line}\r\nHost: x\r\n\r\n${early}`)
    const head = await new Promise<string>((resolve) => socket.once('data', (d: string) => resolve(d)))
    return { socket, head }
  }

  it('carries bytes both ways to any port, each way ending by itself', async () => {
    i2p.raw(
      SITE,
      (stream: Duplex) => {
        let text = ''
        stream.on('data', (part: Buffer) => {
          text += part.toString('latin1')
        })
        stream.on('end', () => stream.end(`heard ${text}`))
      },
      6667,
    )
    const { socket, head } = await open(`CONNECT ${SITE.toUpperCase()}:6667 HTTP/1.1`)
    expect(head).toBe('HTTP/1.1 200 Connection established\r\n\r\n')
    socket.end(' and late')
    const text = await new Promise<string>((resolve) => {
      let all = ''
      socket.on('data', (d: string) => {
        all += d
      })
      socket.on('end', () => resolve(all))
    })
    expect(text).toBe('heard early and late')
    expect(i2p.dialled).toEqual([`${SITE}:6667`])
  })

  it('ends the stream when the program goes away, and the other way round', async () => {
    i2p.raw(SITE, (stream) => void stream.on('data', () => {}), 443)
    const first = await open(`CONNECT ${SITE}:443 HTTP/1.1`)
    const closed = new Promise((resolve) => i2p.streams[0]!.on('close', resolve))
    first.socket.resetAndDestroy()
    await closed
    const second = await open(`CONNECT ${SITE}:443 HTTP/1.1`)
    const gone = new Promise((resolve) => second.socket.on('close', resolve).on('error', () => {}))
    second.socket.on('end', () => second.socket.end())
    i2p.streams[1]!.destroy()
    await gone
  })

  it.each([
    ['at once', ''],
    ['after our answer', undefined],
  ])('carries no plain HTTP past the rules: a WebSocket that begins %s', async (_, early) => {
    const lines = [
      'GET /chat?room=1 HTTP/1.1',
      `Host: ${SITE}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'User-Agent: Mozilla/5.0 (X11; Linux x86_64)',
      'Accept-Language: de-AT',
      `Origin: http://${OTHER}`,
    ].join('\r\n')
    const socket = connect({ port: proxy.port, host: '127.0.0.1' })
    socket.setEncoding('latin1')
    let text = ''
    socket.on('data', (part: string) => {
      text += part
    })
    const done = new Promise((resolve) => socket.on('close', resolve))
    socket.write(
      `CONNECT ${SITE}:80 HTTP/1.1\r\nHost: x\r\n\r\n${early === undefined ? '' : `${lines}\r\n\r\n`}`,
    )
    await new Promise((resolve) => socket.once('data', resolve))
    socket.end(early === undefined ? `${lines}\r\n\r\n` : '')
    await done
    const seen = JSON.parse(bodyOf(text.slice(text.indexOf('\r\n\r\n') + 4))) as Seen
    expect(seen.url).toBe('/chat?room=1')
    expect(seen.headers).toEqual([
      ...['Host', SITE, 'User-Agent', 'MYOB/6.66 (AN/ON)', 'Origin', 'null', 'Connection', 'keep-alive'],
    ])
  })

  it('lets the far side speak first', async () => {
    i2p.raw(SITE, (stream) => void stream.write('220 mail\r\n'), 25)
    const { socket, head } = await open(`CONNECT ${SITE}:25 HTTP/1.1`, '')
    const greeting = head.includes('220') ? head : await new Promise<string>((r) => socket.once('data', r))
    expect(greeting).toContain('220 mail')
    const heard = new Promise((resolve) => i2p.streams[0]!.once('data', (d: Buffer) => resolve(`${d}`)))
    socket.write('GET me')
    expect(await heard).toBe('GET me')
    socket.destroy()
  })

  it('shows why there is no connection', async () => {
    const response = await exchange(proxy.port, `CONNECT ${OTHER}:443 HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect(statusOf(response)).toBe(502)
    expect(response).toContain('<h1>Destination not found</h1>')
  })
})

describe('a page in some browser of this machine', () => {
  const from = (...lines: readonly string[]): Promise<string> =>
    exchange(proxy.port, ['GET /x HTTP/1.1', 'Host: 127.0.0.1', ...lines, '', ''].join('\r\n'))

  it.each([
    'Sec-Fetch-Site: cross-site',
    'Sec-Fetch-Site: same-site',
    `Origin: http://${OTHER}`,
    `Referer: http://${OTHER}/`,
  ])('is not told what listens here (%s)', async (line) => {
    expect(await from(line)).toBe('')
  })

  it('differs from its user, who is told', async () => {
    expect(statusOf(await from())).toBe(400)
    expect(await from('Sec-Fetch-Site: none')).toContain('<h1>This is a proxy</h1>')
  })
})

describe('the listening port', () => {
  const taken = async (): Promise<{ port: number; free: () => void }> => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, free: () => server.close() }
  }

  it('is the next free one when a default is taken, and said', async () => {
    const { port, free } = await taken()
    const lines: string[] = []
    const log = { enabled: () => true, write: (_: string, line: string) => void lines.push(line) }
    const second = await startHttpProxy({
      listen: { host: '127.0.0.1', port, key: undefined },
      host: i2p,
      log,
    })
    expect(second.port).toBeGreaterThan(port)
    expect(lines.join()).toContain(`port ${port} is in use, listening on ${second.port}`)
    await second.close()
    free()
  })

  it('is an error that names the key when the user chose it', async () => {
    const { port, free } = await taken()
    const listen = { host: '127.0.0.1', port, key: 'mesh.http_proxy.port' }
    await expect(startHttpProxy({ listen, host: i2p, log: SILENT })).rejects.toThrow(
      `port ${port} (mesh.http_proxy.port) is in use by another program`,
    )
    free()
  })
})
