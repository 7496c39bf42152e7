import { execFileSync } from 'node:child_process'
import { constants, createHash, createPrivateKey, type KeyObject, privateEncrypt } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concat, utf8, Writer } from '../../src/base/bytes.ts'
import { MalformedError } from '../../src/base/errors.ts'
import { unzipRouterInfos } from '../../src/node/seed/archive.ts'
import { readSeed, type SeedOptions } from '../../src/node/seed/seed.ts'
import { readSu3 } from '../../src/node/seed/su3.ts'

const HASH = `${'A'.repeat(43)}=`
const NAME = `routerInfo-${HASH}.dat`
const ROUTER = utf8('a router')
const DAY = 24 * 3_600_000

let dir: string
let key: KeyObject
let options: SeedOptions

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-seed-'))
  mkdirSync(join(dir, 'certificates'))
  const crt = join(dir, 'certificates', 'me_at_mail.i2p.crt')
  const pem = join(dir, 'key.pem')
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:4096',
      '-nodes',
      '-days',
      '30',
      '-subj',
      '/CN=me@mail.i2p',
      '-keyout',
      pem,
      '-out',
      crt,
    ],
    { stdio: 'pipe' },
  )
  key = createPrivateKey(readFileSync(pem))
  options = { verify: true, certificates: join(dir, 'certificates'), wall: Date.now() + 60_000 }
})

afterAll(() => rmSync(dir, { recursive: true, force: true }))

interface Parts {
  signer?: string
  contentType?: number
  fileType?: number
  version?: string
  content?: Uint8Array
  signatureType?: number
}

function su3(parts: Parts = {}): Uint8Array {
  const signer = utf8(parts.signer ?? 'me@mail.i2p')
  const version = new Uint8Array(16)
  version.set(utf8(parts.version ?? `${Math.floor(options.wall / 1000)}`))
  const content = parts.content ?? zipSync({ [NAME]: ROUTER })
  const head = new Writer(40).put(utf8('I2Psu3')).u8(0).u8(0)
  head
    .u16(parts.signatureType ?? 6)
    .u16(512)
    .u8(0)
    .u8(version.length)
    .u8(0)
    .u8(signer.length)
    .u64(content.length)
  head
    .u8(0)
    .u8(parts.fileType ?? 0)
    .u8(0)
    .u8(parts.contentType ?? 3)
  const signed = concat(head.bytes, version, signer, content)
  const digest = createHash('sha512').update(signed).digest()
  return concat(signed, privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, digest))
}

let files = 0
function read(bytes: Uint8Array, change: Partial<SeedOptions> = {}): Uint8Array[] {
  const path = join(dir, `seed-${files++}`)
  writeFileSync(path, bytes)
  return readSeed(path, { ...options, ...change })
}

describe('an su3 reseed', () => {
  it('gives its RouterInfos when signed by a known signer', () => {
    expect(read(su3()).map((b) => [...b])).toEqual([[...ROUTER]])
  })

  it('is refused with any byte flipped, and cut anywhere', () => {
    const good = su3()
    const step = Math.ceil(good.length / 60)
    for (let i = 0; i < good.length; i += step) {
      // The unused bytes are signed too.
      const bad = good.map((b, j) => (j === i ? b ^ 1 : b))
      expect(() => read(bad), `byte ${i}`).toThrow(/^\S+: /)
      expect(() => readSu3(good.subarray(0, i)), `cut at ${i}`).toThrow(MalformedError)
    }
    expect(() => readSu3(concat(good, new Uint8Array(1)))).toThrow(MalformedError)
  })

  it.each([
    ['another content type', { contentType: 1 }, /content type 1, not a reseed/],
    ['another file type', { fileType: 4 }, /file type 4, not a zip/],
    ['an unknown signer', { signer: 'other@mail.i2p' }, /other@mail\.i2p, who is not known/],
    ['a signer that is a path', { signer: '../x@../y' }, /no usable name/],
    ['a signature of another type', { signatureType: 5 }, /signature type 5/],
    ['no date', { version: 'today' }, /no date/],
    ['a zip cut short', { content: zipSync({ [NAME]: ROUTER }).subarray(0, 60) }, /zip: damaged/],
  ] satisfies [string, Parts, RegExp][])('is refused with %s', (_, parts, message) => {
    expect(() => read(su3(parts))).toThrow(message)
  })

  it('is refused outside the dates of certificate and file', () => {
    expect(() => read(su3(), { wall: options.wall + 40 * DAY })).toThrow(/has expired/)
    expect(() => read(su3(), { wall: options.wall - 2 * DAY })).toThrow(/not valid yet/)
    expect(() => read(su3({ version: `${Math.floor((options.wall + 2 * DAY) / 1000)}` }))).toThrow(
      /in the future/,
    )
    expect(() => read(su3({ version: `${Math.floor((options.wall - 100 * DAY) / 1000)}` }))).toThrow(
      /too old/,
    )
  })

  it('may come unsigned when the user says so', () => {
    expect(read(su3({ signer: 'other@mail.i2p' }), { verify: false })).toHaveLength(1)
    expect(() => read(su3({ contentType: 1 }), { verify: false })).toThrow(/not a reseed/)
  })
})

describe('a zip', () => {
  it('gives the entries that can be RouterInfos', () => {
    const zip = zipSync({
      [NAME]: ROUTER,
      'router.info': ROUTER,
      'r01.router.info': ROUTER,
      [`sub/${NAME}`]: ROUTER,
      [`../${NAME}`]: ROUTER,
      [`..\\${NAME}`]: ROUTER,
      'readme.txt': ROUTER,
      [`routerInfo-${'B'.repeat(43)}=.dat`]: new Uint8Array(70_000),
    })
    expect(read(zip)).toHaveLength(3)
  })

  it('never yields more than its entries may hold, whatever its header claims', () => {
    const zip = zipSync({ [NAME]: new Uint8Array(10_000_000) }, { level: 9 })
    expect(unzipRouterInfos(zip)).toEqual([])
    // The size in the central directory: the bomb says it is small.
    const lie = new Uint8Array(zip)
    const at = Buffer.from(lie).lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'))
    new DataView(lie.buffer).setUint32(at + 24, 1000, true)
    for (const entry of outcome(() => unzipRouterInfos(lie)))
      expect(entry.length).toBeLessThanOrEqual(64 * 1024)
  })

  it('of random or cut bytes is refused, not crashed on', () => {
    const zip = zipSync({ [NAME]: ROUTER })
    for (let cut = 0; cut < zip.length; cut++) outcome(() => unzipRouterInfos(zip.subarray(0, cut)))
    for (let i = 0; i < zip.length; i++)
      outcome(() => unzipRouterInfos(zip.map((b, j) => (j === i ? b ^ 0xff : b))))
    expect(() => unzipRouterInfos(new Uint8Array(0))).toThrow(MalformedError)
  })
})

/** Nothing but a MalformedError may be thrown. */
function outcome(f: () => Uint8Array[]): Uint8Array[] {
  try {
    return f()
  } catch (e) {
    expect(e).toBeInstanceOf(MalformedError)
    return []
  }
}

describe('a folder', () => {
  it('is searched as netDb folders are laid out', () => {
    const root = join(dir, 'netDb')
    mkdirSync(join(root, 'rA'), { recursive: true })
    writeFileSync(join(root, 'rA', NAME), ROUTER)
    writeFileSync(join(root, 'router.info'), ROUTER)
    writeFileSync(join(root, 'router.keys'), ROUTER)
    writeFileSync(join(root, `routerInfo-${'C'.repeat(43)}=.dat`), new Uint8Array(70_000))
    expect(readSeed(root, options)).toHaveLength(2)
  })

  it('that is missing is one clear line', () => {
    expect(() => readSeed(join(dir, 'nowhere'), options)).toThrow(/nowhere: no such file or folder$/)
  })
})
