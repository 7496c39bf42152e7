/** RouterHost on two StreamSets that a pump drives: what a router does for it, without the network in between. */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import type { Duplex } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { type Millis, WallClock } from '../../src/base/clock.ts'
import type { Sink } from '../../src/base/core.ts'
import { Deadlines, earliest } from '../../src/base/deadlines.ts'
import { RefusedError } from '../../src/base/errors.ts'
import { SILENT } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { type DestinationId, RouterHost, type RouterPort, type StreamEvent } from '../../src/host/host.ts'
import type { I2pSocket } from '../../src/host/i2p-socket.ts'
import { type Driven, Pump } from '../../src/host/pump.ts'
import type { Ports, StreamId, StreamSetEvent } from '../../src/protocol/streaming/events.ts'
import { StreamSet } from '../../src/protocol/streaming/streams.ts'
import type { Hash } from '../../src/protocol/structures/hash.ts'
import { type LocalIdentity, newDestination, toB32 } from '../../src/protocol/structures/identity.ts'

interface TestEvent {
  readonly destination: DestinationId
  readonly event: StreamEvent
}

const LATENCY = 5

/** Destinations 0, 1, ... in one core; packets take a while, and a hash nobody has is unreachable. */
class Loopback implements RouterPort<TestEvent> {
  readonly sets: StreamSet[] = []
  readonly locals: LocalIdentity[] = []
  readonly #due = new Deadlines<() => void>()
  readonly #events: { readonly at: number; readonly e: StreamSetEvent }[] = []

  constructor(count: number, now: Millis) {
    const random = seededRandom(11)
    for (let i = 0; i < count; i++) {
      const local = newDestination(random)
      this.locals.push(local)
      this.sets.push(new StreamSet({ local, random, clock: new WallClock(1_700_000_000_000, now) }))
    }
  }

  connect(d: number, remote: Hash, ports: Ports, now: Millis, out: Sink<TestEvent>): StreamId {
    const known = this.locals.find((l) => Buffer.from(l.identity.hash).equals(remote))
    const id = this.sets[d]!.connect(remote, known?.identity, ports, now, this.#to(d))
    if (known === undefined) this.sets[d]!.unreachable(remote, now, this.#to(d))
    this.#settle(now, out)
    return id
  }
  accept(d: number, id: StreamId, now: Millis, out: Sink<TestEvent>): void {
    this.sets[d]!.accept(id, now, this.#to(d))
    this.#settle(now, out)
  }
  write(d: number, id: StreamId, bytes: Uint8Array, now: Millis, out: Sink<TestEvent>): number {
    const n = this.sets[d]!.write(id, bytes, now, this.#to(d))
    this.#settle(now, out)
    return n
  }
  end(d: number, id: StreamId, now: Millis, out: Sink<TestEvent>): void {
    this.sets[d]!.end(id, now, this.#to(d))
    this.#settle(now, out)
  }
  release(d: number, id: StreamId, now: Millis, out: Sink<TestEvent>): void {
    this.sets[d]!.release(id, now, this.#to(d))
    this.#settle(now, out)
  }
  reset(d: number, id: StreamId, now: Millis, out: Sink<TestEvent>): void {
    this.sets[d]!.reset(id, now, this.#to(d))
    this.#settle(now, out)
  }
  consumed(d: number, id: StreamId, bytes: number, now: Millis, out: Sink<TestEvent>): void {
    this.sets[d]!.consumed(id, bytes, now, this.#to(d))
    this.#settle(now, out)
  }
  listen(d: number, listening: boolean): void {
    this.sets[d]!.listening = listening
  }

  timeout(now: Millis, out: Sink<TestEvent>): void {
    for (let work = this.#due.due(now); work !== undefined; work = this.#due.due(now)) work()
    for (const [d, set] of this.sets.entries()) set.timeout(now, this.#to(d))
    this.#settle(now, out)
  }
  nextTimeout(): Millis | undefined {
    return this.sets.reduce<Millis | undefined>((t, s) => earliest(t, s.nextTimeout()), this.#due.next())
  }

  #to(d: number): { event(e: StreamSetEvent): void } {
    return { event: (e) => void this.#events.push({ at: d, e }) }
  }

  #settle(now: Millis, out: Sink<TestEvent>): void {
    for (const { at, e } of this.#events.splice(0)) {
      if (e.kind !== 'send') {
        out.event({ destination: at, event: e })
        continue
      }
      const to = this.locals.findIndex((l) => Buffer.from(l.identity.hash).equals(e.to))
      const from = this.locals[at]!.identity.hash
      if (to >= 0)
        this.#due.set(
          () => this.sets[to]!.receive({ ...e.ports, data: e.packet }, from, now + LATENCY, this.#to(to)),
          now + LATENCY,
        )
    }
  }
}

const pumps: Pump[] = []
afterEach(() => {
  for (const pump of pumps.splice(0)) pump.close()
})

function start(): {
  readonly host: RouterHost<TestEvent>
  readonly router: Loopback
  readonly server: string
} {
  const pump = new Pump({ log: SILENT })
  pumps.push(pump)
  const router = new Loopback(2, pump.now())
  let host: RouterHost<TestEvent>
  const runner: Driven<TestEvent> = pump.drive({
    core: router,
    onEvent: (e: TestEvent) => host.handle(e.destination, e.event),
  })
  host = new RouterHost({
    router,
    runner,
    resolver: async (name) => (name === 'server.i2p' ? router.locals[1]!.identity.hash : undefined),
  })
  host.addDestination(0, router.locals[0]!.identity.hash, { client: true })
  host.addDestination(1, router.locals[1]!.identity.hash, { client: false })
  return { host, router, server: toB32(router.locals[1]!.identity.hash) }
}

async function text(stream: Duplex | IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  stream.on('data', (part: Buffer) => parts.push(part))
  await once(stream, 'end')
  return Buffer.concat(parts).toString()
}

describe('RouterHost', () => {
  test('a server and a client', async () => {
    const { host, router, server } = start()
    const serving = host.createServer(1, { port: 80 })
    await once(serving, 'listening')
    expect(serving.address()).toEqual({ address: server, port: 80, family: 'I2P' })
    serving.on('connection', (socket: I2pSocket) => {
      expect(socket.remoteAddress).toBe(toB32(router.locals[0]!.identity.hash))
      expect(socket.localPort).toBe(80)
      socket.pipe(socket)
    })
    for (const name of [server, server.toUpperCase(), 'server.i2p']) {
      const socket = await host.connect(name, 80)
      expect(socket.remoteAddress).toBe(server)
      socket.end('hello')
      expect(await text(socket)).toBe('hello')
    }
    serving.close()
    await once(serving, 'close')
    expect(router.sets[1]!.listening).toBe(false)
  })

  test('what is written before the answer goes with the first packet', async () => {
    const { host, router } = start()
    const serving = host.createServer(1, { port: 80 }, (socket) => socket.pipe(socket))
    const socket = host.open(router.locals[1]!.identity.hash, 80)
    expect(socket.connecting).toBe(true)
    socket.end('early')
    expect(await text(socket)).toBe('early')
    serving.close()
  })

  test('refusals have codes', async () => {
    const { host, server } = start()
    await expect(host.connect('nowhere.i2p', 80)).rejects.toMatchObject({
      name: 'RefusedError',
      code: 'unknown-name',
    })
    await expect(host.connect(server, 80)).rejects.toMatchObject({ name: 'RefusedError', code: 'refused' })
    await expect(host.connect(new Uint8Array(32), 80)).rejects.toMatchObject({ code: 'unreachable' })
    await expect(host.connect(server, 80, { from: 9 })).rejects.toMatchObject({ code: 'not-ready' })
    expect(host.sockets).toBe(0)
  })

  test('each port has its server, port 0 has the rest', async () => {
    const { host, server } = start()
    const servers = [80, 0].map((port) => host.createServer(1, { port }, (socket) => socket.end(`${port}`)))
    expect(() => host.createServer(1, { port: 80 })).toThrow(RefusedError)
    expect(await text(await host.connect(server, 80))).toBe('80')
    expect(await text(await host.connect(server, 81))).toBe('0')
    servers[1]!.close()
    await expect(host.connect(server, 81).then((s) => once(s, 'close'))).rejects.toMatchObject({
      code: expect.stringMatching(/refused|ECONNRESET/),
    })
    servers[0]!.close()
  })

  test('no more connections than the server wants', async () => {
    const { host, server } = start()
    const serving = host.createServer(1, { maxConnections: 1 }, (socket) => socket.on('error', () => {}))
    const first = await host.connect(server, 80)
    await expect(host.connect(server, 80)).rejects.toMatchObject({ code: 'refused' })
    first.destroy()
    await once(serving.close(), 'close')
  })

  test('a destination that goes takes its sockets with it', async () => {
    const { host, server } = start()
    host.createServer(1, {}, (socket) => socket.on('error', () => {}))
    const socket = await host.connect(server, 80)
    const failed = once(socket, 'error')
    host.removeDestination(1)
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
    host.removeDestination(0)
    expect(host.sockets).toBe(0)
  })

  test('a slow reader holds the writer back over the whole way', async () => {
    const { host, server } = start()
    let got = 0
    let at: I2pSocket | undefined
    const serving = host.createServer(1, {}, (socket) => {
      at = socket
      socket.on('error', () => {})
    })
    const socket = await host.connect(server, 80)
    let written = 0
    const write = (): void => {
      while (written < 20_000_000) {
        written += 100_000
        if (!socket.write(Buffer.alloc(100_000))) {
          socket.once('drain', write)
          return
        }
      }
      socket.end()
    }
    write()
    await new Promise((done) => setTimeout(done, 500))
    expect(written).toBeLessThan(3_000_000)
    at!.on('data', (part: Buffer) => {
      got += part.length
    })
    await once(at!, 'end')
    expect(got).toBe(20_000_000)
    serving.close()
  })

  test('node:http, client and server', async () => {
    const { host, server, router } = start()
    const http = createServer((req, res) => {
      let n = 0
      req.on('data', (part: Buffer) => {
        n += part.length
      })
      req.on('end', () => res.end(`${req.method} ${req.url} ${n} from ${req.socket.remoteAddress}`))
    })
    const serving = host.createServer(1, { port: 80 }, (socket) => http.emit('connection', socket))
    const agent = new Agent({ keepAlive: true })
    Object.assign(agent, {
      createConnection: () => host.open(router.locals[1]!.identity.hash, 80),
    })
    const from = toB32(router.locals[0]!.identity.hash)
    for (const size of [0, 10, 3_000_000]) {
      const req = request({ agent, host: server, path: '/x', method: 'POST' })
      req.end(Buffer.alloc(size))
      const [response] = (await once(req, 'response')) as [IncomingMessage]
      expect(await text(response)).toBe(`POST /x ${size} from ${from}`)
    }
    expect(host.sockets).toBe(2)
    agent.destroy()
    await once(serving.close(), 'close')
  })
})
