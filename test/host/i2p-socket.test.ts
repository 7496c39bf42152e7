import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import type { Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import { RefusedError } from '../../src/base/errors.ts'
import { I2pSocket } from '../../src/host/i2p-socket.ts'
import { MemoryPort, socketPair } from './memory-port.ts'

const later = (): Promise<void> => new Promise((done) => setImmediate(done))

/** What comes until the end; iterating would destroy the stream. */
async function read(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = []
  stream.on('data', (part: Buffer) => parts.push(part))
  await once(stream, 'end')
  return Buffer.concat(parts)
}

describe('a socket', () => {
  test('both ways, and the end of both', async () => {
    const { a, b, portA, portB } = socketPair()
    a.resume()
    const closed = Promise.all([once(a, 'close'), once(b, 'close')])
    a.write('hello ')
    a.end('there')
    expect((await read(b)).toString()).toBe('hello there')
    await closed
    expect([...portA.calls, ...portB.calls]).not.toContain('reset')
    expect([a.bytesWritten, b.bytesRead]).toEqual([11, 11])
  })

  test('half open only when asked for', async () => {
    const { a, b } = socketPair({ allowHalfOpen: true })
    a.end('question')
    expect((await read(b)).toString()).toBe('question')
    await later()
    expect(b.writable).toBe(true)
    b.end('answer')
    expect((await read(a)).toString()).toBe('answer')
  })

  test('a slow reader holds the writer back', async () => {
    const { a, b, portA } = socketPair()
    const size = 5_000_000
    let written = 0
    const writing = (async () => {
      const chunk = Buffer.alloc(50_000, 7)
      while (written < size) {
        if (!a.write(chunk)) await once(a, 'drain')
        written += chunk.length
      }
      a.end()
    })()
    for (let i = 0; i < 50; i++) await later()
    expect(written).toBeLessThan(400_000)
    expect((await read(b)).length).toBe(size)
    await writing
    expect(portA.most).toBeLessThanOrEqual(64_000)
  })

  test('destroyed without an end it breaks the stream off', async () => {
    const { a, b, portA } = socketPair()
    const failed = once(b, 'error')
    b.resume()
    a.write('x')
    a.destroy()
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
    expect(portA.calls).toEqual(['reset'])
  })

  test('destroyed after its end it lets the rest go out', async () => {
    const { a, portA } = socketPair()
    a.end('x')
    await once(a, 'finish')
    a.destroy()
    await once(a, 'close')
    expect(portA.calls).toEqual(['end', 'release'])
  })

  test('destroySoon waits for what is written', async () => {
    const { a, b, portA } = socketPair()
    a.write(Buffer.alloc(300_000))
    a.destroySoon()
    expect((await read(b)).length).toBe(300_000)
    expect(portA.calls).toEqual(['end', 'release'])
  })

  test('why a stream could not be had', async () => {
    const port = new MemoryPort()
    const names = { localAddress: '', remoteAddress: '', localPort: 0, remotePort: 1 }
    const socket = new I2pSocket({ port, ...names, connecting: true })
    expect(socket.readyState).toBe('opening')
    const failed = once(socket, 'error')
    socket.streamClosed('unreachable')
    const [e] = await failed
    expect(e).toBeInstanceOf(RefusedError)
    expect(e).toMatchObject({ code: 'unreachable' })
    expect(port.calls).toEqual([])
  })

  test('a timeout, put off by traffic, that ends nothing', async () => {
    const { a, b } = socketPair()
    b.resume()
    const start = performance.now()
    let last = 0
    a.setTimeout(80)
    for (let i = 0; i < 4; i++) {
      await new Promise((done) => setTimeout(done, 30))
      a.write('x')
      last = performance.now()
    }
    await once(a, 'timeout')
    expect(performance.now() - last).toBeGreaterThanOrEqual(78)
    expect(performance.now() - start).toBeGreaterThan(180)
    expect(a.destroyed).toBe(false)
    a.setTimeout(0)
    a.destroy()
    b.on('error', () => {})
  })

  test('a listener that reads in the middle of being given something', async () => {
    const { a, b } = socketPair()
    const data = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251))
    const parts: Buffer[] = []
    b.on('readable', () => {
      for (let part = b.read(1000) ?? b.read(); part !== null; part = b.read(1000) ?? b.read())
        parts.push(part)
    })
    a.end(data)
    await once(b, 'end')
    expect(Buffer.concat(parts).equals(data)).toBe(true)
  })
})

describe('node:http', () => {
  const body = Buffer.from(Array.from({ length: 10_000_000 }, (_, i) => (i * 7) % 253))

  function serve(): { readonly connect: () => Duplex; readonly opened: () => number } {
    const server = createServer((req, res) => {
      if (req.url === '/echo') pipeline(req, res).catch(() => {})
      else if (req.url === '/chunks') {
        for (let i = 0; i < 100; i++) res.write(`chunk ${i}\n`)
        res.end()
      } else res.end(`from ${req.socket.remoteAddress}`)
    })
    let opened = 0
    return {
      connect: () => {
        opened++
        const { a, b } = socketPair()
        server.emit('connection', b)
        return a
      },
      opened: () => opened,
    }
  }

  function get(agent: Agent, path: string, sent?: Buffer): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const req = request(
        { agent, host: 'b.b32.i2p', path, method: sent === undefined ? 'GET' : 'POST' },
        resolve,
      )
      req.on('error', reject)
      req.end(sent)
    })
  }

  function agentOf(connect: () => Duplex): Agent {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    Object.assign(agent, { createConnection: connect })
    return agent
  }

  test('keep-alive: one stream for several requests', async () => {
    const { connect, opened } = serve()
    const agent = agentOf(connect)
    for (let i = 0; i < 3; i++) expect((await read(await get(agent, '/'))).toString()).toBe('from a.b32.i2p')
    expect(opened()).toBe(1)
    agent.destroy()
  })

  test('chunked', async () => {
    const { connect } = serve()
    const agent = agentOf(connect)
    const response = await get(agent, '/chunks')
    expect(response.headers['transfer-encoding']).toBe('chunked')
    expect((await read(response)).toString().split('\n').length).toBe(101)
    agent.destroy()
  })

  test('ten megabytes there and back, with pauses', async () => {
    const { connect } = serve()
    const agent = agentOf(connect)
    const response = await get(agent, '/echo', body)
    const parts: Buffer[] = []
    response.on('data', (part: Buffer) => {
      parts.push(part)
      if (parts.length % 20 !== 0) return
      response.pause()
      setTimeout(() => response.resume(), 1)
    })
    await once(response, 'end')
    expect(Buffer.concat(parts).equals(body)).toBe(true)
    agent.destroy()
  })

  test('a client that goes away in mid-response', async () => {
    const { connect } = serve()
    const agent = agentOf(connect)
    const req = request({ agent, host: 'x', path: '/echo', method: 'POST' })
    req.on('error', () => {})
    const responded = once(req, 'response')
    req.write(body.subarray(0, 1_000_000))
    await responded
    req.destroy()
    await once(req, 'close')
  })
})
