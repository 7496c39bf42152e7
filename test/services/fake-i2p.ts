/** Destinations of one process: what a proxy or a site sees of I2P, without any. */
import { createServer, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import { RefusedError } from '../../src/base/errors.ts'
import { fromB32, toB32 } from '../../src/protocol/structures/identity.ts'

/** A b32 name that is always the same for `n`. */
export function b32(n: number): string {
  return toB32(new Uint8Array(32).fill(n))
}

export class FakeI2p {
  /** Every name and port that was asked for. */
  readonly dialled: string[] = []
  /** The far ends, in the order they were opened. */
  readonly streams: Duplex[] = []
  /** What every attempt fails with. */
  refuse: Error | undefined
  readonly #sites = new Map<string, (stream: Duplex) => void>()

  async connect(name: string, port: number): Promise<Duplex> {
    const stream = this.open(fromB32(name) ?? new Uint8Array(32), port)
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject)
      setImmediate(() => setImmediate(resolve))
    })
    stream.removeAllListeners('error')
    stream.on('error', () => {})
    return stream
  }

  open(to: Uint8Array, port: number): Duplex {
    const name = toB32(to)
    this.dialled.push(`${name}:${port}`)
    const [near, far] = duplexPair()
    // An I2P stream's end is seen by the other side, whichever way it comes.
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    far.on('error', () => {})
    setImmediate(() => {
      const site = this.#sites.get(`${name}:${port}`)
      if (this.refuse !== undefined) near.destroy(this.refuse)
      else if (site === undefined)
        near.destroy(new RefusedError('unreachable', 'the destination cannot be found'))
      else {
        this.streams.push(far)
        site(far)
      }
    })
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
