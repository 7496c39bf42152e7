import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Log } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { type ProxyServer, readProxy } from '../../src/host/proxy.ts'
import { type Driven, Pump } from '../../src/host/pump.ts'
import { type Event, Probe } from './probe.ts'
import { closeServers, httpProxy, listening, type Served, socksProxy } from './proxy-servers.ts'

const lines: string[] = []
const log: Log = { enabled: () => true, write: (level, message) => void lines.push(`${level} ${message}`) }

let pump: Pump

beforeEach(() => {
  pump = new Pump({ log })
})
afterEach(() => {
  pump.close()
  closeServers()
  expect(lines.splice(0).filter((line) => line.startsWith('error'))).toEqual([])
})

/** Says hello and sends back what it gets; `from` are the ports that links come from. */
async function echo(host: string): Promise<{ port: number; from: number[] }> {
  const from: number[] = []
  const port = await listening(
    createServer((socket) => {
      from.push(socket.remotePort!)
      socket.write('hello')
      socket.pipe(socket)
    }),
    host,
  )
  return { port, from }
}

function through(proxy: string): { a: Probe; da: Driven<Event> } {
  const a = new Probe()
  return { a, da: pump.drive({ core: a, onEvent: () => {}, proxy: readProxy(proxy)! }) }
}

/** The kinds of events the core saw. */
const kinds = (a: Probe): string[] => a.seen.map((e) => e.kind)
/** What it received, joined. */
const text = (a: Probe): string =>
  Buffer.concat(a.seen.flatMap((e) => (e.bytes === undefined ? [] : [e.bytes]))).toString('latin1')

async function received(a: Probe, length: number): Promise<string> {
  while (text(a).length < length) await a.next('received')
  return text(a)
}

describe('a proxy that works', () => {
  const makers: Record<string, (login?: string) => Promise<Served>> = {
    http: (login) => httpProxy(login && `Basic ${Buffer.from(login).toString('base64')}`),
    socks: socksProxy,
    socks5: socksProxy,
  }
  for (const scheme of Object.keys(makers))
    for (const host of ['127.0.0.1', '::1'])
      for (const login of [undefined, 'us er:p@ss:wörd'])
        test(`${scheme}, to ${host}, ${login === undefined ? 'without a' : 'with'} login`, async () => {
          const target = await echo(host)
          const proxy = await makers[scheme]!(login)
          const [user, ...password] = login?.split(':') ?? []
          const info =
            user === undefined ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password.join(':'))}@`
          const { a, da } = through(`${scheme}://${info}127.0.0.1:${proxy.port}`)
          const connected = a.next('connected')
          const id = da.run((_now, out) => out.tcpOpen({ address: host, port: target.port }))
          await connected
          expect(await received(a, 5)).toBe('hello')
          const sent = 'x'.repeat(300_000)
          da.run((_now, out) => out.tcpData(id, Buffer.from(sent)))
          expect(await received(a, 5 + sent.length)).toBe(`hello${sent}`)
          const closed = a.next('closed')
          da.run((_now, out) => out.tcpEnd(id))
          await closed
          expect(proxy.asked).toEqual([`${host} ${target.port}`])
          expect(target.from).toEqual(proxy.from)
          expect(pump.links).toBe(0)
        })

  test.each(Object.keys(makers))(
    '%s: wrong login, missing login, target that is not there',
    async (scheme) => {
      const target = await echo('127.0.0.1')
      const proxy = await makers[scheme]!('right:one')
      const gone = createServer()
      const nobody = await listening(gone)
      await new Promise((done) => gone.close(done))
      for (const [info, port] of [
        ['wrong:one@', target.port],
        ['', target.port],
        ['right:one@', nobody],
      ] as const) {
        const { a, da } = through(`${scheme}://${info}127.0.0.1:${proxy.port}`)
        const closed = a.next('closed')
        da.run((_now, out) => out.tcpOpen({ address: '127.0.0.1', port }))
        await closed
        expect(kinds(a)).toEqual(['closed'])
      }
      expect(target.from).toEqual([])
      expect(lines.join()).not.toContain('one')
    },
  )

  test('names, and a proxy that is not there, close the link; nothing goes directly', async () => {
    const target = await echo('127.0.0.1')
    const server = createServer()
    const port = await listening(server)
    await new Promise((done) => server.close(done))
    const { a, da } = through(`socks://127.0.0.1:${port}`)
    for (const address of ['127.0.0.1', 'localhost', 'example.org']) {
      const closed = a.next('closed')
      da.run((_now, out) => out.tcpOpen({ address, port: target.port }))
      await closed
    }
    expect(kinds(a)).toEqual(['closed', 'closed', 'closed'])
    expect(target.from).toEqual([])
  })
})

/** A proxy that answers by a script: one entry each time that something comes; then it closes, or stays silent. */
async function scripted(
  script: readonly Buffer[],
  then: 'close' | 'stay',
  bytewise = false,
): Promise<{ port: number; gone: Promise<void> }> {
  let told: () => void
  const gone = new Promise<void>((done) => {
    told = done
  })
  const port = await listening(
    createServer({ noDelay: true }, (socket) => {
      const answers = [...script]
      socket.once('close', () => told())
      const say = async (answer: Buffer): Promise<void> => {
        const pieces = bytewise ? Array.from(answer, (b) => Buffer.of(b)) : [answer]
        for (const piece of pieces) {
          socket.write(piece)
          await new Promise((next) => setImmediate(next))
        }
        if (answers.length === 0 && then === 'close') socket.end()
      }
      socket.on('data', () => {
        const answer = answers.shift()
        if (answer !== undefined) void say(answer)
      })
    }),
  )
  return { port, gone }
}

const hex = (s: string): Buffer => Buffer.from(s.replaceAll(' ', ''), 'hex')
const TARGET = { address: '192.0.2.1', port: 1 }
const GOOD: Record<string, readonly Buffer[]> = {
  http: [Buffer.from('HTTP/1.1 200 OK\r\nA: b\r\n\r\n')],
  socks: [hex('0500'), hex('05000001 00000000 0000')],
  'socks://u:p@': [hex('0502'), hex('0100'), hex('05000004 00000000000000000000000000000001 0050')],
}
/** Its address, of a proxy of that kind. */
const at = (kind: string, port: number): string =>
  kind.includes(':') ? `${kind}127.0.0.1:${port}` : `${kind}://127.0.0.1:${port}`

describe('answers', () => {
  test.each(Object.keys(GOOD))('%s: byte by byte, with bytes of the far side behind', async (kind) => {
    const answers = GOOD[kind]!
    const last = Buffer.concat([answers.at(-1)!, Buffer.from('\r\n\r\nfrom afar')])
    for (const bytewise of [false, true]) {
      const { port } = await scripted([...answers.slice(0, -1), last], 'stay', bytewise)
      const { a, da } = through(at(kind, port))
      da.run((_now, out) => out.tcpOpen(TARGET))
      expect(await received(a, 13)).toBe('\r\n\r\nfrom afar')
      expect(kinds(a)[0]).toBe('connected')
    }
  })

  test.each(Object.keys(GOOD))('%s: closed after every part of them', async (kind) => {
    const answers = GOOD[kind]!
    const all = Buffer.concat(answers)
    for (let size = 0; size < all.length; size++) {
      let left = size
      const script = answers.map((answer) => {
        const part = answer.subarray(0, left)
        left -= part.length
        return part
      })
      const upTo = script.findIndex((part, i) => part.length < answers[i]!.length) + 1
      const { port } = await scripted(script.slice(0, upTo), 'close')
      const { a, da } = through(at(kind, port))
      const closed = a.next('closed')
      da.run((_now, out) => out.tcpOpen(TARGET))
      await closed
      expect(kinds(a), `${size} bytes`).toEqual(['closed'])
    }
  })

  const bad: readonly (readonly [string, string, readonly (string | Buffer)[]])[] = [
    ['http', 'refused', ['HTTP/1.1 403 Forbidden\r\n\r\n']],
    ['http', 'a redirect', ['HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n']],
    ['http', 'another protocol', ['SSH-2.0-x\r\n']],
    ['http', 'a word too short for a status', ['HTTP/1.1 20 OK\r\n\r\n']],
    ['http', 'a status too long', ['HTTP/1.1 2000 OK\r\n\r\n']],
    ['http', 'another version', ['HTTP/2.0 200 OK\r\n\r\n']],
    ['http', 'SOCKS', [hex('0500')]],
    ['http', 'no end', [`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(2000)}`]],
    ['socks', 'SOCKS4', [hex('005a 0000 00000000')]],
    ['socks', 'no method', [hex('05ff')]],
    ['socks', 'a method not offered', [hex('0502')]],
    ['socks', 'HTTP', ['HTTP/1.1 400 Bad Request\r\n\r\n']],
    ['socks', 'refused', [hex('0500'), hex('05050001 00000000 0000')]],
    ['socks', 'refused with an unknown form of address', [hex('0500'), hex('05010000 0000')]],
    ['socks', 'another version', [hex('0500'), hex('04000001 00000000 0000')]],
    ['socks://u:p@', 'login refused', [hex('0502'), hex('0101')]],
    ['socks://u:p@', 'GSSAPI', [hex('0501')]],
  ]
  test.each(bad)('%s, bad: %s', async (kind, _what, answers) => {
    // The proxy stays: it is we who end it.
    const { port, gone } = await scripted(
      answers.map((b) => Buffer.from(b as string)),
      'stay',
    )
    const { a, da } = through(at(kind, port))
    const closed = a.next('closed')
    da.run((_now, out) => out.tcpOpen(TARGET))
    await Promise.all([closed, gone])
    expect(kinds(a)).toEqual(['closed'])
    expect(lines.some((line) => line.startsWith('debug') && line.includes('the proxy:'))).toBe(true)
  })

  test.each(Object.keys(GOOD).map((kind, seed) => ({ kind, seed })))(
    '$kind: noise opens nothing',
    async ({ kind, seed }) => {
      const random = seededRandom(seed)
      for (let i = 0; i < 50; i++) {
        const noise = [random.bytes(2 + random.below(40)), random.bytes(1 + random.below(9000))]
        // Not by chance an answer.
        noise[0]![0] = 0x80 | noise[0]![0]!
        const { port } = await scripted(
          noise.map((n) => Buffer.from(n)),
          'close',
        )
        const { a, da } = through(at(kind, port))
        const closed = a.next('closed')
        da.run((_now, out) => out.tcpOpen(TARGET))
        await closed
        expect(kinds(a)).toEqual(['closed'])
      }
    },
  )
})

describe('a core that waits no longer', () => {
  for (const kind of Object.keys(GOOD))
    for (const reset of [false, true])
      test(`${kind}: ends the link before the proxy has answered${reset ? ', by reset' : ''}`, async () => {
        for (let answered = 0; answered < GOOD[kind]!.length; answered++) {
          const { port, gone } = await scripted(GOOD[kind]!.slice(0, answered), 'stay')
          const { a, da } = through(at(kind, port))
          const id = da.run((now, out) => {
            a.deadline = now + 20
            return out.tcpOpen(TARGET)
          })
          a.on = (e, _now, out) => {
            if (e.kind !== 'timeout') return
            // Nothing of it reaches the proxy.
            out.tcpData(id, Buffer.from('too early'))
            out.tcpEnd(id, reset)
          }
          await Promise.all([a.next('closed'), gone])
          expect(kinds(a)).toEqual(['timeout', 'closed'])
          expect(pump.links).toBe(0)
        }
      })

  test('in the turn that opened it', async () => {
    const { port } = await scripted(GOOD['socks']!, 'stay')
    const { a, da } = through(`socks://127.0.0.1:${port}`)
    const closed = a.next('closed')
    da.run((_now, out) => out.tcpEnd(out.tcpOpen(TARGET)))
    await closed
    expect(kinds(a)).toEqual(['closed'])
  })
})

describe('the address of a proxy', () => {
  const socks = (address: string, port: number, user = '', password = ''): ProxyServer => ({
    kind: 'socks',
    endpoint: { address, port },
    user,
    password,
  })
  test.each<[string, ProxyServer]>([
    ['socks://127.0.0.1:9050', socks('127.0.0.1', 9050)],
    ['socks5://127.0.0.1:9050/', socks('127.0.0.1', 9050)],
    ['socks://[2001:db8::1]:9050', socks('2001:db8::1', 9050)],
    ['socks://10.0.0.1', socks('10.0.0.1', 1080)],
    ['socks://a%40b:c%3Ad@10.0.0.1:1', socks('10.0.0.1', 1, 'a@b', 'c:d')],
    ['socks://only@10.0.0.1:1', socks('10.0.0.1', 1, 'only')],
    ['http://10.0.0.1', { ...socks('10.0.0.1', 80), kind: 'http' }],
    ['http://[::1]:8118', { ...socks('::1', 8118), kind: 'http' }],
  ])('%s', (url, expected) => {
    expect(readProxy(url)).toEqual(expected)
  })

  test.each([
    '',
    '127.0.0.1:9050',
    'socks://localhost:9050',
    'http://proxy.example:80',
    'https://127.0.0.1:80',
    'socks4://127.0.0.1:80',
    'socks://127.0.0.1:0',
    'socks://127.0.0.1:70000',
    'socks://127.0.0.1:80/path',
    'http://127.0.0.1:80?x',
    'http://127.0.0.1:80#x',
    'socks://%zz@127.0.0.1:80',
    `socks://${'a'.repeat(256)}@127.0.0.1:80`,
    'socks://300.0.0.1:80',
  ])('none: %s', (url) => {
    expect(readProxy(url)).toBeUndefined()
  })
})
