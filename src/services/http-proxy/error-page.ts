/** What the browser shows when there is no page: why, and what can be done. */
import type { ServerResponse } from 'node:http'
import { toBase64 } from '../../base/base64.ts'
import { systemRandom } from '../../crypto/random.ts'
import { escapeHtml } from '../html.ts'

export interface ErrorPage {
  readonly status: number
  readonly title: string
  /** For people; shown as text, never as HTML. */
  readonly text: string
}

const STYLE =
  'body{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:12vh auto;padding:0 1em;color:#233;background:#f6f8f4}' +
  'h1{font-size:1.4em;color:#2d5a27}p{overflow-wrap:anywhere}small{color:#687}' +
  '@media(prefers-color-scheme:dark){body{color:#dde;background:#151915}h1{color:#9c9}}'

/** Answers with `page` and, when the request's body was not read, ends the connection. */
export function sendErrorPage(res: ServerResponse, page: ErrorPage, method: string | undefined): void {
  const nonce = toBase64(systemRandom.bytes(16)).replace(/[^A-Za-z0-9]/g, '')
  const body = Buffer.from(html(page, nonce))
  if (!res.req.complete) res.setHeader('Connection', 'close')
  res.writeHead(page.status, { ...errorHeaders(nonce), 'Content-Length': body.length })
  res.end(method === 'HEAD' ? undefined : body)
}

/** The same on a bare socket: for CONNECT, and for what is not HTTP. */
export function errorResponse(page: ErrorPage): string {
  const nonce = toBase64(systemRandom.bytes(16)).replace(/[^A-Za-z0-9]/g, '')
  const body = html(page, nonce)
  const headers = {
    ...errorHeaders(nonce),
    'Content-Length': `${Buffer.byteLength(body)}`,
    Connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return `HTTP/1.1 ${page.status} ${page.title}\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

function errorHeaders(nonce: string): Record<string, string> {
  return {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': `default-src 'none'; style-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  }
}

function html(page: ErrorPage, nonce: string): string {
  const title = escapeHtml(page.title)
  return (
    `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${title}</title><style nonce="${nonce}">${STYLE}</style></head>` +
    `<body><h1>${title}</h1><p>${escapeHtml(page.text)}</p><small>ramsons, HTTP proxy, ${page.status}</small></body></html>\n`
  )
}
