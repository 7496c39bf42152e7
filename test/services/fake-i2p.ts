/** Destinations of one process: what a proxy or a site sees of I2P, without any. */
import { createServer, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import { toBase32 } from '../../src/base/base32.ts'
import { RefusedError } from '../../src/base/errors.ts'

/** A b32 name that is always the same for `n`. */
export function b32(n: number): string {
  return `${toBase32(new Uint8Array(32).fill(n))}.b32.i2p`
}

export class FakeI2p {
  /** Every name and port that was asked for. */
  readonly dialled: string[] = []
  /** The far ends, in the order they were opened. */
  readonly streams: Duplex[] = []
  readonly #sites = new Map<string, (stream: Duplex) => void>()

  async connect(name: string, port: number): Promise<Duplex> {
    this.dialled.push(`${name}:${port}`)
    const site = this.#sites.get(`${name}:${port}`)
    await new Promise((resolve) => setImmediate(resolve))
    if (site === undefined) throw new RefusedError('not-found', 'no lease set <b>found</b>')
    const [near, far] = duplexPair()
    // An I2P stream's end is seen by the other side, whichever way it comes.
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    near.on('error', () => {})
    far.on('error', () => {})
    this.streams.push(far)
    site(far)
    return near
  }

  site(name: string, onRequest: RequestListener, port: number = 80): void {
    const server = createServer({ keepAliveTimeout: 60_000 }, onRequest)
    this.raw(name, (stream) => void server.emit('connection', stream), port)
  }

  raw(name: string, onStream: (stream: Duplex) => void, port: number = 80): void {
    this.#sites.set(`${name}:${port}`, onStream)
  }
}

export interface Seen {
  readonly method: string
  readonly url: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
  readonly body: string
}

/** A site that answers with what it saw. */
export const echo: RequestListener = (req, res) => {
  let body = ''
  req.setEncoding('latin1')
  req.on('data', (chunk: string) => {
    body += chunk
  })
  req.on('end', () => {
    const seen: Seen = { method: req.method ?? '', url: req.url ?? '', headers: req.rawHeaders, body }
    res.setHeader('Content-Type', 'application/json')
    res.end(JSON.stringify(seen))
  })
}

/** Sends bytes as they are and resolves to all that comes back. `last` ends our side after them. */
export function exchange(port: number, bytes: string | Uint8Array, last: boolean = true): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      text += chunk
    })
    socket.on('error', (e: NodeJS.ErrnoException) => (e.code === 'ECONNRESET' ? resolve(text) : reject(e)))
    socket.on('close', () => resolve(text))
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    if (last) socket.end(buffer)
    else socket.write(buffer)
  })
}

export function statusOf(response: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1])
}

export function bodyOf(response: string): string {
  return response.slice(response.indexOf('\r\n\r\n') + 4)
}
