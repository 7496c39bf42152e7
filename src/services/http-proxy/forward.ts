/** One request to a site and its response back, bodies streamed both ways. */
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { pipeline } from 'node:stream'
import { RefusedError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { type ErrorPage, sendErrorPage } from './error-page.ts'
import { framing, requestHeaders, responseHeaders } from './headers.ts'
import { BAD_REQUEST, BAD_RESPONSE, failure, NO_RESPONSE } from './pages.ts'
import type { StreamAgent } from './stream-agent.ts'
import type { Target } from './target.ts'

// Implementation constants
/** From the end of the request to the first byte of the answer. Slow pages exist, and so do slow tunnels. */
const RESPONSE_MS = 150_000
/** Without any byte of a body, either way. */
const STALL_MS = 300_000
/** A kept stream that had died, and one that died under the request. */
const MAX_ATTEMPTS = 3
/** Requests that may be sent twice (RFC 9110 9.2.2), when they have no body that was used up. */
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

export interface Agents {
  /** Keeps streams between requests. */
  readonly kept: StreamAgent
  /** A new stream for each request. */
  readonly fresh: StreamAgent
}

/** Answers `res` in any case. */
export function forward(
  req: IncomingMessage,
  res: ServerResponse,
  target: Target,
  agents: Agents,
  log: Log,
): void {
  const frame = framing(req.rawHeaders, req.httpVersion)
  if (frame === undefined) {
    sendErrorPage(res, BAD_REQUEST, req.method)
    return
  }
  new Exchange(
    req,
    res,
    target,
    agents,
    { ...requestHeaders(req.rawHeaders, target), ...frame },
    log,
  ).attempt()
}

class Exchange {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #target: Target
  readonly #agents: Agents
  readonly #headers: Record<string, string | string[]>
  readonly #log: Log
  readonly #hasBody: boolean
  #attempts = 0
  #upstream: ClientRequest | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    target: Target,
    agents: Agents,
    headers: Record<string, string | string[]>,
    log: Log,
  ) {
    this.#req = req
    this.#res = res
    this.#target = target
    this.#agents = agents
    this.#headers = headers
    this.#log = log
    const length = headers['Content-Length']
    this.#hasBody = headers['Transfer-Encoding'] !== undefined || (length !== undefined && Number(length) > 0)
    res.on('close', () => {
      this.#stopTimer()
      if (!res.writableFinished) this.#upstream?.destroy()
    })
  }

  attempt(): void {
    const { host, port, path } = this.#target
    this.#attempts++
    const agent = this.#attempts === 1 && this.#mayRepeat() ? this.#agents.kept : this.#agents.fresh
    const upstream = httpRequest({
      agent,
      host,
      port,
      method: this.#req.method,
      path,
      headers: this.#headers,
      setHost: false,
      insecureHTTPParser: false,
      joinDuplicateHeaders: false,
    })
    this.#upstream = upstream
    let answered = false
    upstream.on('socket', (stream) => {
      if (stream.readableEnded) upstream.destroy(new StaleError('the peer had closed the stream'))
    })
    upstream.on('response', (response) => {
      answered = true
      this.#stopTimer()
      agent.responded(response)
      this.#respond(response)
    })
    upstream.on('error', (e) => {
      this.#stopTimer()
      if (!answered) this.#failed(e)
    })
    // Nobody asked for another protocol, so a server that switches is broken.
    upstream.on('upgrade', (_, stream) => {
      answered = true
      stream.destroy()
      this.#fail(BAD_RESPONSE)
    })
    if (this.#hasBody) {
      this.#startTimer(STALL_MS)
      this.#req.on('data', () => this.#timer?.refresh())
      pipeline(this.#req, upstream, () => {
        if (!answered && !this.#res.destroyed) this.#startTimer(RESPONSE_MS)
      })
    } else {
      upstream.end()
      this.#startTimer(RESPONSE_MS)
    }
  }

  #mayRepeat(): boolean {
    return !this.#hasBody && REPEATABLE.has(this.#req.method ?? '')
  }

  /** Before any answer. What broke is worth another try; what could not be opened was tried hard enough by the host. */
  #failed(e: Error): void {
    if (this.#res.destroyed || this.#res.headersSent) return
    this.#log.write('debug', `${this.#target.host}: ${e.message}`)
    if (e instanceof NoAnswerError) this.#fail(NO_RESPONSE)
    else if (isParseError(e)) this.#fail(BAD_RESPONSE)
    else if (!isBreak(e)) this.#fail(failure(e))
    else if (this.#mayRepeat() && this.#attempts < MAX_ATTEMPTS) this.attempt()
    else this.#fail(BAD_RESPONSE)
  }

  #respond(response: IncomingMessage): void {
    const status = response.statusCode ?? 0
    // 407 would make a browser ask its user for a password to us.
    if (status < 200 || status > 599 || status === 407) {
      response.destroy()
      this.#fail(BAD_RESPONSE)
      return
    }
    const res = this.#res
    res.sendDate = false
    res.writeHead(status, printable(response.statusMessage), responseHeaders(response.rawHeaders))
    // Long before the first body byte, for pages that stream.
    res.flushHeaders()
    this.#startTimer(STALL_MS)
    response.on('data', () => this.#timer?.refresh())
    pipeline(response, res, (e) => {
      this.#stopTimer()
      if (e) this.#log.write('debug', `${this.#target.host}: response ended early: ${e.message}`)
    })
  }

  #fail(page: ErrorPage): void {
    if (!this.#res.headersSent && !this.#res.destroyed) sendErrorPage(this.#res, page, this.#req.method)
  }

  #startTimer(ms: number): void {
    this.#stopTimer()
    this.#timer = setTimeout(() => this.#upstream?.destroy(new NoAnswerError('no answer in time')), ms)
  }

  #stopTimer(): void {
    clearTimeout(this.#timer)
  }
}

class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
}

class StaleError extends Error {
  override readonly name = 'StaleError'
}

/** What came is not HTTP. */
function isParseError(e: Error): boolean {
  return 'code' in e && typeof e.code === 'string' && e.code.startsWith('HPE_')
}

/** The stream was open, or opening, and was broken off. */
function isBreak(e: Error): boolean {
  if (e instanceof RefusedError) return e.code === 'reset'
  return (
    e instanceof StaleError ||
    ('code' in e && (e.code === 'ECONNRESET' || e.code === 'ECONNABORTED' || e.code === 'EPIPE'))
  )
}

/** A reason phrase may hold what Node would refuse to send on. */
function printable(message: string | undefined): string {
  return (message ?? '').replace(/[^\x20-\x7e]/g, '')
}
