/** The HTTP proxy of one face: GET and the rest to `http://....b32.i2p`, and CONNECT. Nothing it does asks the DNS or leaves I2P. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Log, named } from '../../base/log.ts'
import { type ListenAt, listen } from '../listen.ts'
import { errorResponse, sendErrorPage } from './error-page.ts'
import { type Agents, forward } from './forward.ts'
import { BAD_REQUEST, HEADERS_TOO_LARGE, METHOD_REFUSED, refusalPage } from './pages.ts'
import { StreamAgent, type StreamHost } from './stream-agent.ts'
import { insideTarget, requestTarget, type Target } from './target.ts'
import { tunnel } from './tunnel.ts'

// Implementation constants
/** Request line and headers; I2P servers refuse more ("i2ptunnel"). */
const MAX_HEADER_BYTES = 8192
/** A browser has at most some 30 connections to its proxy. */
const MAX_CLIENTS = 256
const HEADERS_MS = 30_000
/** Browsers keep their connections longer than this, and open new ones at no cost. */
const CLIENT_IDLE_MS = 65_000
/** Node looks for clients that send too slowly this often: a wake-up of the machine each time. */
const CHECK_MS = 300_000

export interface HttpProxyOptions {
  readonly listen: ListenAt
  readonly host: StreamHost
  readonly log: Log
}

export interface HttpProxy {
  readonly port: number
  close(): Promise<void>
}

/** @throws {Error} that names the port, and its key when the user set it, when it cannot be had. */
export async function startHttpProxy(options: HttpProxyOptions): Promise<HttpProxy> {
  const { host } = options
  const log = named(options.log, 'http proxy')
  const agents: Agents = { kept: new StreamAgent(host, true), fresh: new StreamAgent(host, false) }
  const tunnels = new Set<Duplex>()
  const inside: Inside = new WeakMap()
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    insecureHTTPParser: false,
    keepAliveTimeout: CLIENT_IDLE_MS,
    headersTimeout: HEADERS_MS,
    requestTimeout: 0, // uploads through I2P take as long as they take
    connectionsCheckingInterval: CHECK_MS,
  })
  server.maxConnections = MAX_CLIENTS
  server.on('request', (req, res) => onRequest(req, res, agents, inside, log))
  server.on('connect', (req: IncomingMessage, client: Duplex, head: Buffer) => {
    tunnels.add(client)
    client.once('close', () => tunnels.delete(client))
    void tunnel(req.url ?? '', client, head, host, log, (target) => {
      inside.set(client, target)
      server.emit('connection', client)
    })
  })
  server.on('clientError', onClientError)
  const port = await listen(server, options.listen, log)
  return { port, close: () => close(server, agents, tunnels) }
}

/** Connections in which plain HTTP was spoken after CONNECT: its requests are treated as any others. */
type Inside = WeakMap<Duplex, Target>

function onRequest(
  req: IncomingMessage,
  res: ServerResponse,
  agents: Agents,
  inside: Inside,
  log: Log,
): void {
  res.sendDate = false
  const where = inside.get(req.socket)
  const target = where === undefined ? requestTarget(req.url ?? '') : insideTarget(req.url ?? '', where)
  if (target === 'not-a-proxy-request' && isFromPage(req)) req.socket.destroy()
  else if (!isHttp1(req)) sendErrorPage(res, BAD_REQUEST, req.method)
  else if (typeof target === 'string') sendErrorPage(res, refusalPage(target), req.method)
  else if (req.method === 'TRACE') sendErrorPage(res, METHOD_REFUSED, req.method)
  else forward(req, res, target, agents, log)
}

/** Asked by a page, which may be of any site and any network, not by its reader: it need not know what runs here. */
function isFromPage({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'] ?? 'none'
  return site !== 'none' || headers.origin !== undefined || headers.referer !== undefined
}

/** With one Host at most: two are how a request means different things to proxy and server (RFC 9112 3.2). */
function isHttp1(req: IncomingMessage): boolean {
  const hosts = req.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length
  return hosts <= 1 && (req.httpVersion === '1.1' || req.httpVersion === '1.0')
}

function onClientError(e: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || e.code === 'ECONNRESET') socket.destroy()
  else socket.end(errorResponse(e.code === 'HPE_HEADER_OVERFLOW' ? HEADERS_TOO_LARGE : BAD_REQUEST))
}

function close(server: Server, agents: Agents, tunnels: ReadonlySet<Duplex>): Promise<void> {
  agents.kept.destroy()
  agents.fresh.destroy()
  for (const client of tunnels) client.destroy()
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
