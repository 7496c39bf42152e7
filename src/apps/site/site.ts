/** A folder of files as an I2P site. What it answers says nothing of the machine: no date, no file times, no listing. */
import { realpathSync, type Stats } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { relative, sep } from 'node:path'
import type { Duplex } from 'node:stream'
import send from 'send'
import { toBase64 } from '../../base/base64.ts'
import { utf8 } from '../../base/bytes.ts'
import type { Log } from '../../base/log.ts'
import { hmacSha256 } from '../../crypto/hmac.ts'
import { systemRandom } from '../../crypto/random.ts'
import { escapeHtml } from '../../services/html.ts'

// Implementation constants
/** Request line and headers, as I2P's own server tunnels bound them. */
const MAX_HEADER_BYTES = 8192
/** Streams that are open at once, of all readers and of one: a proxy has up to ten for each site. */
const MAX_STREAMS = 256
const MAX_STREAMS_EACH = 32
/** Without a request. Longer than a proxy keeps a stream, so that it is not closed under a request. */
const IDLE_MS = 90_000
/** A reader that takes nothing for so long is gone, or holds the stream to hold it. */
const STALL_MS = 300_000

/** Where streams come from: an I2P server, or anything that is like net.Server. */
export interface StreamServer {
  on(event: 'connection', listener: (stream: Duplex) => void): unknown
  off(event: 'connection', listener: (stream: Duplex) => void): unknown
}

export interface SiteOptions {
  readonly server: StreamServer
  /** The folder, absolute. */
  readonly root: string
  /** Of the page shown while there is no index.html. */
  readonly title: string
  readonly log: Log
}

export interface Site {
  /** Ends every stream. */
  close(): void
}

export function startSite({ server, root, title, log }: SiteOptions): Site {
  const tagKey = systemRandom.bytes(32)
  // Without a listening socket Node's own timeouts do not run: Patience has ours.
  const http = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: 0 })
  const streams = new Map<Duplex, Patience>()
  const readers = new Map<string, number>()
  const troubled = new Once(log)
  http.on('request', (req, res) => {
    const patience = streams.get(req.socket)
    patience?.wait(STALL_MS)
    res.on('drain', () => patience?.wait(STALL_MS))
    res.on('close', () => patience?.wait(IDLE_MS))
    answer(req, res, root, title, tagKey, troubled)
  })
  const onStream = (stream: Duplex): void => {
    const reader = 'remoteAddress' in stream ? String(stream.remoteAddress) : ''
    const had = readers.get(reader) ?? 0
    if (streams.size >= MAX_STREAMS || had >= MAX_STREAMS_EACH) {
      stream.destroy()
      return
    }
    const patience = new Patience(stream)
    streams.set(stream, patience)
    readers.set(reader, had + 1)
    stream.on('error', () => {})
    stream.once('close', () => {
      patience.stop()
      streams.delete(stream)
      const left = readers.get(reader)! - 1
      if (left > 0) readers.set(reader, left)
      else readers.delete(reader)
    })
    patience.wait(IDLE_MS)
    http.emit('connection', stream)
  }
  server.on('connection', onStream)
  return {
    close: () => {
      server.off('connection', onStream)
      for (const stream of streams.keys()) stream.destroy()
    },
  }
}

/** Ends a stream when what it waits for does not come. */
class Patience {
  readonly #stream: Duplex
  #timer: NodeJS.Timeout | undefined

  constructor(stream: Duplex) {
    this.#stream = stream
  }

  wait(ms: number): void {
    clearTimeout(this.#timer)
    if (!this.#stream.destroyed) this.#timer = setTimeout(() => this.#stream.destroy(), ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

/** Says what is wrong with the folder once: readers can cause it as often as they like, and what they asked for is theirs. */
class Once {
  readonly #log: Log
  #said = false

  constructor(log: Log) {
    this.#log = log
  }

  say(path: string): void {
    this.#log.write('debug', `site: ${path} cannot be read`)
    if (!this.#said) this.#log.write('warn', 'site: a file cannot be read (which one is said at level debug)')
    this.#said = true
  }
}

function answer(
  req: IncomingMessage,
  res: ServerResponse,
  root: string,
  title: string,
  tagKey: Uint8Array,
  troubled: Once,
): void {
  res.sendDate = false
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    res.setHeader('Allow', 'GET, HEAD')
    res.setHeader('Connection', 'close') // its body, if any, is not read
    page(req, res, 405, 'Method not allowed', '')
    return
  }
  const path = pathOf(req.url ?? '')
  if (path === undefined) {
    page(req, res, 400, 'Bad request', '')
    return
  }
  const sending = send(req, path, {
    root,
    index: ['index.html', 'index.htm'],
    extensions: ['html'],
    dotfiles: 'ignore',
    lastModified: false,
    cacheControl: false,
    etag: false,
  })
  sending.on(
    'headers',
    (_: ServerResponse, file: string, stat: { size: number; mtimeMs: number; ino: number }) => {
      // A tag that changes with the file but tells neither its time nor its place on the disk.
      const tag = hmacSha256(tagKey, utf8(`${file}\0${stat.size}\0${stat.mtimeMs}\0${stat.ino}`))
      res.setHeader('ETag', `W/"${toBase64(tag.subarray(0, 12))}"`)
      res.setHeader('Cache-Control', 'no-cache')
      res.setHeader('X-Content-Type-Options', 'nosniff')
    },
  )
  let refused = false
  sending.on('file', (file: string, stat: Stats) => {
    refused = !stat.isFile() || !isOf(root, file)
    // `send` goes no further once there is an answer.
    if (refused) page(req, res, 404, 'Not found', '')
  })
  sending.on('error', (e: Error & { status?: number }) => {
    if (refused) return
    const status = e.status ?? 500
    if (status >= 500) troubled.say(path)
    if (res.headersSent) res.destroy()
    else if (status === 404 && path === '/')
      page(req, res, 200, title === '' ? 'A new site' : title, 'Nothing here yet.')
    // With it goes Content-Range, which `send` has set: it says how long the file is.
    else if (status === 416) page(req, res, 416, 'Range not satisfiable', '')
    else if (status === 412) page(req, res, 412, 'Precondition failed', '')
    else if (status === 400) page(req, res, 400, 'Bad request', '')
    // What must not be read is as absent as what is not there.
    else page(req, res, 404, 'Not found', '')
  })
  sending.pipe(res)
}

/** Where links lead to: inside the folder and to nothing hidden. Whoever put one there may not have meant the whole disk. */
function isOf(root: string, file: string): boolean {
  try {
    return relative(realpathSync(root), realpathSync(file))
      .split(sep)
      .every((part) => !part.startsWith('.'))
  } catch {
    return false
  }
}

/** Undefined for what is no path. An address with a host is let through: some proxies send it. */
function pathOf(url: string): string | undefined {
  return /^(?:http:\/\/[^/?#]*)?(\/[^?#]*)/i.exec(url)?.[1]
}

function page(req: IncomingMessage, res: ServerResponse, status: number, title: string, text: string): void {
  const name = escapeHtml(title)
  const body = Buffer.from(
    `<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
      `<title>${name}</title></head><body><h1>${name}</h1>${text === '' ? '' : `<p>${escapeHtml(text)}</p>`}</body></html>\n`,
  )
  res.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': "default-src 'none'",
    'Content-Length': body.length,
  })
  res.end(req.method === 'HEAD' ? undefined : body)
}
