import { execFileSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duplex, duplexPair } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Site, startSite } from '../../src/apps/site/site.ts'
import { hasFiles, watchFiles } from '../../src/apps/site/watch.ts'
import { SILENT } from '../../src/base/log.ts'

let root: string
let server: EventEmitter
let site: Site

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ramsons-site-'))
  server = new EventEmitter()
  site = startSite({ server, root, title: '<My> site', log: SILENT })
})

afterEach(() => {
  site.close()
  rmSync(root, { recursive: true, force: true })
})

function open(remoteAddress = 'x.b32.i2p'): Duplex {
  const [near, far] = duplexPair()
  Object.assign(far, { remoteAddress })
  far.on('close', () => near.destroy())
  near.on('error', () => {})
  server.emit('connection', far)
  return near
}

/** Sends a whole request and reads until the site ends the stream. */
function ask(head: string): Promise<string> {
  return new Promise((resolve) => {
    const stream = open()
    let text = ''
    stream.setEncoding('latin1')
    stream.on('data', (part: string) => {
      text += part
    })
    stream.on('close', () => resolve(text))
    stream.on('end', () => stream.destroy())
    stream.write(head.replace('\r\n\r\n', '\r\nHost: x.b32.i2p\r\nConnection: close\r\n\r\n'))
  })
}

const get = (path: string): Promise<string> => ask(`GET ${path} HTTP/1.1\r\n\r\n`)
const status = (response: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(response)?.[1])
const header = (response: string, name: string): string | undefined =>
  new RegExp(`^${name}: (.*)\r$`, 'im').exec(response)?.[1]
const body = (response: string): string => response.slice(response.indexOf('\r\n\r\n') + 4)

describe('a site', () => {
  it('serves its files, and index.html for folders', async () => {
    writeFileSync(join(root, 'index.html'), '<p>home')
    mkdirSync(join(root, 'sub'))
    writeFileSync(join(root, 'sub', 'index.html'), '<p>sub')
    writeFileSync(join(root, 'a b.txt'), 'text')
    expect(body(await get('/'))).toBe('<p>home')
    expect(body(await get('/?x=1'))).toBe('<p>home')
    expect(body(await get('/sub/'))).toBe('<p>sub')
    expect(header(await get('/sub'), 'Location')).toBe('/sub/')
    const text = await get('/a%20b.txt')
    expect(body(text)).toBe('text')
    expect(header(text, 'Content-Type')).toMatch(/^text\/plain/)
    expect(body(await get('http://x.b32.i2p/a%20b.txt'))).toBe('text')
    const head = await ask('HEAD /a%20b.txt HTTP/1.1\r\n\r\n')
    expect([header(head, 'Content-Length'), body(head)]).toEqual(['4', ''])
  })

  it('shows a page with its title while there is no index.html, and never a listing', async () => {
    writeFileSync(join(root, 'secret-name.txt'), 'x')
    mkdirSync(join(root, 'sub'))
    const home = await get('/')
    expect(status(home)).toBe(200)
    expect(body(home)).toContain('&lt;My&gt; site')
    expect(home).not.toContain('secret-name')
    expect(status(await get('/sub/'))).toBe(404)
  })

  it.each([
    '/.env',
    '/.git/config',
    '/sub/.hidden',
    '/%2eenv',
    '/../outside.txt',
    '/..%2foutside.txt',
    '/%2e%2e/outside.txt',
    '/sub/../../outside.txt',
    '/sub/%2e%2e%2f%2e%2e%2foutside.txt',
    '//outside.txt',
    '/..\\outside.txt',
    '/nowhere.html',
    '/a%00.txt',
    '/%ff',
  ])('does not have %s', async (path) => {
    writeFileSync(join(root, '.env'), 'SECRET')
    mkdirSync(join(root, '.git'))
    writeFileSync(join(root, '.git', 'config'), 'SECRET')
    mkdirSync(join(root, 'sub'))
    writeFileSync(join(root, 'sub', '.hidden'), 'SECRET')
    writeFileSync(join(root, '..', 'outside.txt'), 'SECRET')
    const response = await get(path)
    rmSync(join(root, '..', 'outside.txt'))
    expect([400, 404]).toContain(status(response))
    expect(response).not.toContain('SECRET')
    expect(response).not.toContain(root)
  })

  it('says nothing of clock, file times, server or machine', async () => {
    writeFileSync(join(root, 'a.txt'), 'text')
    for (const response of [
      await get('/a.txt'),
      await get('/'),
      await get('/none'),
      await ask('POST / HTTP/1.1\r\n\r\n'),
      await ask('\0\r\n\r\n'),
    ])
      expect(response).not.toMatch(/^(Date|Last-Modified|Server|X-Powered-By|Age|Via):/im)
  })

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('refuses %s', async (method) => {
    const response = await ask(`${method} / HTTP/1.1\r\n\r\n`)
    expect(status(response)).toBe(405)
    expect(header(response, 'Allow')).toBe('GET, HEAD')
  })

  it('serves ranges', async () => {
    writeFileSync(join(root, 'a.txt'), '0123456789')
    const range = async (spec: string): Promise<string> =>
      ask(`GET /a.txt HTTP/1.1\r\nRange: bytes=${spec}\r\n\r\n`)
    const middle = await range('2-4')
    expect([status(middle), header(middle, 'Content-Range'), body(middle)]).toEqual([
      206,
      'bytes 2-4/10',
      '234',
    ])
    expect(body(await range('7-'))).toBe('789')
    expect(body(await range('-3'))).toBe('789')
    const beyond = await range('10-')
    expect([status(beyond), header(beyond, 'Content-Range')]).toEqual([416, 'bytes */10'])
  })

  it('has a tag that changes with the file and tells nothing of it', async () => {
    const path = join(root, 'a.txt')
    writeFileSync(path, 'text')
    utimesSync(path, 1_600_000_000, 1_600_000_000)
    const tag = header(await get('/a.txt'), 'ETag') ?? ''
    expect(tag).toMatch(/^W\/"[A-Za-z0-9~-]{16}"$/)
    const again = await ask(`GET /a.txt HTTP/1.1\r\nIf-None-Match: ${tag}\r\n\r\n`)
    expect([status(again), body(again)]).toEqual([304, ''])
    utimesSync(path, 1_600_000_001, 1_600_000_001)
    expect(header(await get('/a.txt'), 'ETag')).not.toBe(tag)
    // Another site with the same file has another tag: two of one machine must not be linked by it.
    site.close()
    site = startSite({ server, root, title: '', log: SILENT })
    utimesSync(path, 1_600_000_000, 1_600_000_000)
    expect(header(await get('/a.txt'), 'ETag')).not.toBe(tag)
  })

  it('answers several requests on one stream', async () => {
    writeFileSync(join(root, 'a.txt'), 'text')
    const stream = open()
    stream.setEncoding('latin1')
    let text = ''
    const three = new Promise<void>((resolve) => {
      stream.on('data', (part: string) => {
        text += part
        if (text.split('HTTP/1.1 200').length === 4 && text.endsWith('text')) resolve()
      })
    })
    stream.write('GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3))
    await three
    stream.destroy()
  })

  it('survives what is not HTTP, and headers without end', async () => {
    expect(status(await ask('\x16\x03\x01\r\n\r\n'))).toBe(400)
    expect(status(await ask(`GET / HTTP/1.1\r\nX: ${'a'.repeat(9000)}\r\n\r\n`))).toBe(431)
    expect(status(await get('/'))).toBe(200)
  })

  it('survives a file that cannot be read', async () => {
    symlinkSync(join(root, 'loop'), join(root, 'loop'))
    writeFileSync(join(root, 'no.txt'), 'x')
    chmodSync(join(root, 'no.txt'), 0)
    expect(status(await get('/loop'))).toBe(404)
    expect([200, 404]).toContain(status(await get('/no.txt'))) // root may read it
  })
})

describe('what is in the folder but not of it', () => {
  it('is absent: links out of it or to dot files, pipes', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'ramsons-outside-'))
    writeFileSync(join(outside, 'index.html'), 'SECRET')
    writeFileSync(join(root, '.env'), 'SECRET')
    symlinkSync(join(outside, 'index.html'), join(root, 'file.html'))
    symlinkSync(outside, join(root, 'folder'))
    symlinkSync('.env', join(root, 'env'))
    execFileSync('mkfifo', [join(root, 'pipe')])
    for (const path of ['/file.html', '/file', '/folder/', '/folder/index.html', '/env', '/pipe']) {
      const response = await get(path)
      expect(status(response), path).toBe(404)
      expect(response).not.toContain('SECRET')
    }
    rmSync(outside, { recursive: true })
  })

  it('does not concern links within it, nor a folder that is itself reached by one', async () => {
    writeFileSync(join(root, 'a.txt'), 'text')
    symlinkSync('a.txt', join(root, 'b.txt'))
    expect(body(await get('/b.txt'))).toBe('text')
    const link = `${root}-link`
    symlinkSync(root, link)
    site.close()
    site = startSite({ server, root: link, title: '', log: SILENT })
    expect(body(await get('/a.txt'))).toBe('text')
    rmSync(link)
  })
})

describe('a reader that wants too much', () => {
  it('gets the file once for a thousand ranges', async () => {
    writeFileSync(join(root, 'a.txt'), 'x'.repeat(10_000))
    const ranges = Array.from({ length: 1000 }, (_, i) => `${3 * i}-${3 * i + 1}`).join(',')
    const response = await ask(`GET /a.txt HTTP/1.1\r\nRange: bytes=${ranges.slice(0, 7900)}\r\n\r\n`)
    expect([status(response), body(response).length]).toEqual([200, 10_000])
  })

  it('leaves streams for others', async () => {
    writeFileSync(join(root, 'index.html'), 'home')
    const streams = Array.from({ length: 300 }, () => open('greedy.b32.i2p'))
    await new Promise(setImmediate)
    expect(streams.filter((s) => !s.destroyed).length).toBeLessThan(100)
    expect(body(await get('/'))).toBe('home')
    for (const s of streams) s.destroy()
    await new Promise(setImmediate)
    expect(open('greedy.b32.i2p').destroyed).toBe(false)
  })

  it('is in no log that is kept, and fills none', async () => {
    symlinkSync('loop', join(root, 'loop'))
    const lines: string[] = []
    const log = {
      enabled: () => true,
      write: (level: string, line: string) => void lines.push(`${level} ${line}`),
    }
    site.close()
    site = startSite({ server, root, title: '', log })
    for (let i = 0; i < 5; i++) await get('/loop')
    const kept = lines.filter((l) => !/^(debug|trace) /.test(l))
    expect(kept.length).toBeLessThanOrEqual(1)
    expect(kept.join()).not.toContain('loop')
  })
})

describe('the folder of a site', () => {
  it('is empty until there is a file that readers can get', () => {
    expect(hasFiles(join(root, 'missing'))).toBe(false)
    mkdirSync(join(root, 'sub', 'deeper'), { recursive: true })
    writeFileSync(join(root, '.keep'), '')
    expect(hasFiles(root)).toBe(false)
    writeFileSync(join(root, 'sub', 'deeper', 'a'), '')
    expect(hasFiles(root)).toBe(true)
  })

  it('is watched', async () => {
    const changes: boolean[] = []
    let next = (): void => {}
    const watching = watchFiles(
      root,
      (has) => {
        changes.push(has)
        next()
      },
      SILENT,
    )
    const first = new Promise<void>((resolve) => {
      next = resolve
    })
    writeFileSync(join(root, 'index.html'), '')
    await first
    const second = new Promise<void>((resolve) => {
      next = resolve
    })
    rmSync(join(root, 'index.html'))
    await second
    watching.close()
    expect(changes).toEqual([true, false])
  })
})
