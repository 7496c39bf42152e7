import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../../src/base/base64.ts'
import { concat, hex, Reader } from '../../../src/base/bytes.ts'
import { MalformedError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import {
  ntcp2Address,
  type RouterAddress,
  readRouterAddress,
  ssu2Address,
  writeRouterAddress,
} from '../../../src/protocol/structures/router-address.ts'
import {
  checkRouterInfo,
  type RouterInfo,
  readRouterInfo,
  signRouterInfo,
  verifyRouterInfo,
} from '../../../src/protocol/structures/router-info.ts'
import { refusesTrailingByte, refusesTruncations, survivesRandomBytes } from '../refusals.ts'
import { vector } from '../vectors.ts'

const random = seededRandom(2)
const local = newRouterIdentity(random)
const published = Date.UTC(2026, 10, 22)
const options = new Map([
  ['caps', 'LfR'],
  ['netId', '99'],
  ['router.version', '0.9.67'],
])
const key = random.bytes(32)
key[31] = 0x12
const address: RouterAddress = {
  cost: 3,
  style: 'NTCP2',
  options: new Map([
    ['host', '21.101.0.1'],
    ['port', '20001'],
    ['s', toBase64(key)],
    ['i', toBase64(random.bytes(16))],
    ['v', '2'],
  ]),
}
const own = signRouterInfo({ addresses: [address], options, published }, local)

/** What the outside does with bytes: never throws. */
function accept(bytes: Uint8Array): RouterInfo | undefined {
  try {
    return verifyRouterInfo(readRouterInfo(bytes))
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

describe('RouterInfo', () => {
  it('reads what i2pd writes', () => {
    const bytes = vector('i2pd-2.45.1/router.info')
    const ri = accept(bytes)!
    expect(ri).toBeDefined()
    expect([ri.caps, ri.version, ri.netId]).toEqual(['Xf', 957, 77])
    expect(hex(ri.bytes)).toBe(hex(bytes))
    expect(ri.addresses.map((a) => [a.style, a.cost])).toEqual([
      ['NTCP2', 3],
      ['SSU2', 8],
    ])
    const ntcp2 = ntcp2Address(ri.addresses[0]!)!
    const keys = vector('i2pd-2.45.1/ntcp2.keys')
    expect([ntcp2.host, ntcp2.port]).toEqual(['61.11.7.1', 20001])
    expect(hex(ntcp2.staticKey)).toBe(hex(keys.subarray(0, 32)))
    expect(hex(ntcp2.iv!)).toBe(hex(keys.subarray(64, 80)))
    expect(ntcp2Address(ri.addresses[1]!)).toBeUndefined()
    const ssu2 = ssu2Address(ri.addresses[1]!)!
    expect([ssu2.host, ssu2.port, ssu2.caps, ssu2.mtu]).toEqual(['61.11.7.1', 21001, 'BC', 1280])
    expect(ssu2Address(ri.addresses[0]!)).toBeUndefined()
  })

  it('reads RouterInfos of the public network, byte for byte', () => {
    const caps = [1, 2, 4, 5].map((n) => {
      const bytes = vector(`emissary/router${n}.dat`)
      const ri = accept(bytes)!
      expect(ri.netId).toBe(2)
      expect(hex(concat(...ri.addresses.map(writeRouterAddress)))).toBe(
        hex(
          bytes.subarray(
            391 + 9,
            391 + 9 + ri.addresses.reduce((n, a) => n + writeRouterAddress(a).length, 0),
          ),
        ),
      )
      return ri.caps
    })
    expect(caps).toEqual(['NRD', 'XR', 'XfU', 'L'])
    expect(accept(vector('emissary/router3.dat'))).toBeUndefined() // damaged on purpose
  })

  it('signs what it reads, the same as its own view', () => {
    const ri = accept(own.bytes)!
    expect(ri).toEqual({ ...own, identity: ri.identity, addresses: ri.addresses, options: ri.options })
    expect([...ri.options]).toEqual([...options])
    expect([ri.caps, ri.version, ri.netId, ri.published]).toEqual(['LfR', 967, 99, published])
    expect(own.bytes.length).toBeLessThan(800)
  })

  it('owns its bytes', () => {
    const bytes = new Uint8Array(own.bytes)
    const u = readRouterInfo(bytes)
    bytes.fill(0)
    expect(verifyRouterInfo(u)).toBeDefined()
  })

  it('refuses every single changed byte', () => {
    const bytes = new Uint8Array(own.bytes)
    for (let i = 0; i < bytes.length; i++) {
      bytes[i]! ^= 1 << (i % 8)
      expect(accept(bytes), `byte ${i}`).toBeUndefined()
      bytes[i] = own.bytes[i]!
    }
    expect(accept(bytes)).toBeDefined()
  })

  it('refuses damaged bytes', () => {
    const read = (r: Reader): unknown => readRouterInfo(r.bytes)
    refusesTruncations(own.bytes, read)
    refusesTrailingByte(own.bytes, read)
    survivesRandomBytes(read)
    expect(() => readRouterInfo(new Uint8Array(3073))).toThrow(MalformedError)
  })

  it('judges network and date', () => {
    const hour = 3_600_000
    expect(checkRouterInfo(own, 99, published, hour)).toBe('ok')
    expect(checkRouterInfo(own, 2, published, hour)).toBe('netid')
    expect(checkRouterInfo(own, 99, published - 120_001, hour)).toBe('future')
    expect(checkRouterInfo(own, 99, published - 120_000, hour)).toBe('ok')
    expect(checkRouterInfo(own, 99, published + hour, hour)).toBe('ok')
    expect(checkRouterInfo(own, 99, published + hour + 1, hour)).toBe('old')
  })

  it('takes odd options as absent', () => {
    const odd = (extra: [string, string][]): RouterInfo =>
      signRouterInfo({ addresses: [], published, options: new Map(extra) }, local)
    expect(odd([]).netId).toBe(0)
    expect(odd([['netId', '02']]).netId).toBe(0)
    expect(odd([['router.version', '0.9']]).version).toBe(0)
    expect(odd([['router.version', '0.9.67-rc']]).version).toBe(0)
    expect(odd([]).caps).toBe('')
  })
})

describe('RouterAddress', () => {
  const with_ = (changes: Record<string, string | undefined>, style = 'NTCP2'): RouterAddress => {
    const changed = new Map(address.options)
    for (const [k, v] of Object.entries(changes)) v === undefined ? changed.delete(k) : changed.set(k, v)
    return { cost: 3, style, options: changed }
  }

  it('reads and writes', () => {
    const bytes = writeRouterAddress(address)
    expect(hex(writeRouterAddress(readRouterAddress(new Reader(bytes))))).toBe(hex(bytes))
    refusesTruncations(bytes, readRouterAddress)
    survivesRandomBytes(readRouterAddress)
  })

  it('sees an NTCP2 address only where a peer could use one', () => {
    expect(ntcp2Address(address)?.port).toBe(20001)
    expect(ntcp2Address(with_({ host: undefined, port: undefined, i: undefined }))).toEqual({
      staticKey: key,
    })
    expect(ntcp2Address(with_({ v: '1' }))).toBeUndefined()
    expect(ntcp2Address(with_({}, 'SSU2'))).toBeUndefined()
    expect(ntcp2Address(with_({ s: undefined }))).toBeUndefined()
    expect(ntcp2Address(with_({ s: 'AAAA' }))).toBeUndefined()
    expect(ntcp2Address(with_({ s: toBase64(new Uint8Array(32).fill(0xff)) }))).toBeUndefined()
    for (const port of ['0', '65536', '-1', '1e3', ' 80', '080'])
      expect(ntcp2Address(with_({ port }))?.port).toBeUndefined()
    expect(ntcp2Address(with_({ i: 'AAAA' }))?.iv).toBeUndefined()
  })

  it('sees an SSU2 address with its introducers', () => {
    const introKey = random.bytes(32)
    const hash = random.bytes(32)
    const ssu2 = (changes: Record<string, string | undefined>): RouterAddress =>
      with_({ host: undefined, port: undefined, i: toBase64(introKey), ...changes }, 'SSU2')
    expect(ssu2Address(ssu2({}))).toEqual({ staticKey: key, introKey, mtu: 1500, caps: '', introducers: [] })
    const published = ssu2({ host: '1.2.3.4', port: '99', mtu: '1400', caps: 'BC4' })
    expect(ssu2Address(published)).toMatchObject({ host: '1.2.3.4', port: 99, mtu: 1400, caps: 'BC4' })
    expect(ssu2Address(ssu2({ mtu: '9000' }))?.mtu).toBe(1500)
    for (const bad of [{ v: '1' }, { s: undefined }, { i: undefined }, { i: 'AAAA' }, { mtu: '1279' }])
      expect(ssu2Address(ssu2(bad)), JSON.stringify(bad)).toBeUndefined()
    expect(ssu2Address(ssu2({ s: toBase64(new Uint8Array(32).fill(0xff)) }))).toBeUndefined()
    expect(ssu2Address(address)).toBeUndefined()

    const ih = toBase64(hash)
    const introduced = { caps: '4', ih0: ih, itag0: '4294967295', ih2: ih, itag2: '7', iexp2: '1800000000' }
    expect(ssu2Address(ssu2(introduced))?.introducers).toEqual([
      { hash, tag: 4294967295 },
      { hash, tag: 7, expires: 1_800_000_000_000 },
    ])
    for (const bad of [{ itag0: '0' }, { itag0: undefined }, { ih0: 'AAAA' }, { itag0: '4294967296' }])
      expect(ssu2Address(ssu2({ ...introduced, ...bad }))?.introducers.length).toBe(1)
  })
})
