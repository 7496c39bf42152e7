import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Log } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { Gateway } from '../../../src/node/drivers/gateway.ts'
import { PortMapping, type PortMappingState } from '../../../src/node/drivers/port-mapping.ts'
import { DatagramGateway, UpnpGateway } from './fake-gateway.ts'

const MINUTE = 60_000
const PORT = 9111
const HERE: Gateway = { address: '127.0.0.1', local: '127.0.0.1' }

let states: PortMappingState[]
let levels: Set<string>
let gateway: Gateway | undefined
let udp: DatagramGateway
let upnp: UpnpGateway
const open: { close(): unknown }[] = []
const log: Log = { enabled: () => true, write: (level) => void levels.add(level) }

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  states = []
  levels = new Set()
  gateway = HERE
  udp = await DatagramGateway.open()
  upnp = await UpnpGateway.open()
  open.push(udp, upnp)
})
afterEach(async () => {
  for (const it of open.splice(0).reverse()) await it.close()
  vi.useRealTimers()
  // Nothing of it goes where a user sees it.
  expect([...levels].filter((level) => level !== 'debug')).toEqual([])
})

function mapping(): PortMapping {
  const made = new PortMapping({
    wishes: [
      { protocol: 'tcp', port: PORT },
      { protocol: 'udp', port: PORT },
    ],
    onChange: (state) => states.push(state),
    random: seededRandom(1),
    log,
    gateway: async () => gateway,
    pcpPort: udp.port,
    ssdp: { address: '127.0.0.1', port: upnp.port },
  })
  open.push(made)
  made.start()
  return made
}

/** Time passes while the sockets work. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await vi.advanceTimersByTimeAsync(5)
    await new Promise((next) => setImmediate(next))
  }
}

const last = (): PortMappingState | undefined => states.at(-1)
const settled = (): boolean => last() !== undefined && last()!.kind !== 'searching'
const mapped = (): boolean => last()?.kind === 'mapped'
const granted = (external = PORT, address = '61.11.7.1', lifetime = 1200): object[] =>
  ['tcp', 'udp'].map((protocol) => ({ protocol, port: PORT, external, address, lifetime }))

describe('PCP and NAT-PMP', () => {
  test('PCP: both ports, and both are given back at the end', async () => {
    const m = mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'mapped', by: 'PCP', granted: granted() })
    await m.close()
    const nonces = new Set(udp.asked.map((a) => a.nonce))
    expect(nonces.size).toBe(1)
    expect(udp.asked.map((a) => [a.by, a.protocol, a.internal, a.lifetime])).toEqual([
      ['PCP', 'tcp', PORT, 1200],
      ['PCP', 'udp', PORT, 1200],
      ['PCP', 'tcp', PORT, 0],
      ['PCP', 'udp', PORT, 0],
    ])
    expect(upnp.paths).toEqual([])
  })

  const older: readonly (readonly [string, DatagramGateway['pcp']])[] = [
    ['that does not know PCP', 'unsupported'],
    ['that is silent to PCP', 'silent'],
    ['that has a mapping of our last run, with another nonce', 2],
  ]
  test.each(older)(
    'NAT-PMP with a gateway %s; the port outside is kept when renewing',
    async (_what, pcp) => {
      udp.pcp = pcp
      udp.externalOf = (internal) => internal + 1
      const m = mapping()
      await until(settled)
      expect(last()).toEqual({ kind: 'mapped', by: 'NAT-PMP', granted: granted(PORT + 1) })
      const before = udp.asked.length
      await vi.advanceTimersByTimeAsync(9 * MINUTE)
      expect(udp.asked.length).toBe(before)
      await vi.advanceTimersByTimeAsync(MINUTE)
      await until(() => udp.asked.length === before + 2)
      await m.close()
      const after = udp.asked.slice(before).map((a) => [a.by, a.protocol, a.suggested, a.lifetime])
      expect(after).toEqual([
        ['NAT-PMP', 'tcp', PORT + 1, 1200],
        ['NAT-PMP', 'udp', PORT + 1, 1200],
        ['NAT-PMP', 'tcp', 0, 0],
        ['NAT-PMP', 'udp', 0, 0],
      ])
      expect(states.filter((s) => s.kind === 'mapped').length).toBe(1)
    },
  )

  test('a short lifetime is not believed', async () => {
    udp.lifetime = 1
    mapping()
    await until(settled)
    await vi.advanceTimersByTimeAsync(59_000)
    expect(udp.asked.length).toBe(2)
    await until(() => udp.asked.length === 4)
  })

  test('noise between the answers', async () => {
    const random = seededRandom(2)
    udp.noise = () => random.bytes(random.below(100))
    mapping()
    await until(settled)
    expect(last()?.kind).toBe('mapped')
  })

  test('nobody answers, then somebody does', async () => {
    udp.pcp = udp.natPmp = 'silent'
    upnp.location = 'http://192.0.2.1/'
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'neither PCP nor NAT-PMP; no UPnP' })
    udp.pcp = 0
    await vi.advanceTimersByTimeAsync(14 * MINUTE)
    expect(mapped()).toBe(false)
    await vi.advanceTimersByTimeAsync(MINUTE)
    await until(mapped)
  })

  test('a gateway that refuses, and one whose uplink is down', async () => {
    udp.pcp = udp.natPmp = 3
    upnp.refuse = () => 606
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'NAT-PMP refused, code 3; UPnP refused, code 606' })
    udp.pcp = 0
    udp.outside = new Uint8Array(4)
    mapping()
    await until(() => states.length === 2)
    expect(last()).toEqual({
      kind: 'none',
      why: 'the gateway has no address outside; UPnP refused, code 606',
    })
  })
})

describe('places', () => {
  test('another network: nothing more is asked of the first', async () => {
    const there = await DatagramGateway.open('127.0.0.2', udp.port)
    open.push(there)
    there.outside = Uint8Array.of(61, 11, 7, 2)
    mapping()
    await until(mapped)
    const before = udp.asked.length
    gateway = { address: '127.0.0.2', local: '127.0.0.1' }
    await vi.advanceTimersByTimeAsync(MINUTE)
    await until(() => states.length === 3)
    expect(states.map((s) => s.kind)).toEqual(['mapped', 'searching', 'mapped'])
    expect(last()).toEqual({ kind: 'mapped', by: 'PCP', granted: granted(PORT, '61.11.7.2') })
    expect(udp.asked.length).toBe(before)
    expect(there.asked.map((a) => a.suggested)).toEqual([PORT, PORT])
  })

  test('no gateway, then one', async () => {
    gateway = undefined
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'no gateway' })
    gateway = HERE
    await vi.advanceTimersByTimeAsync(MINUTE)
    await until(mapped)
  })

  test('a gateway that cannot be reached', async () => {
    gateway = { address: '255.255.255.255', local: '127.0.0.1' }
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'EACCES' })
  })

  test('an address that needs no translation: nobody is asked', async () => {
    gateway = { address: '127.0.0.1', local: '61.11.7.9' }
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'our address is not translated' })
    expect([udp.asked, upnp.paths]).toEqual([[], []])
  })

  test('a gateway that was replaced by one that speaks UPnP only', async () => {
    mapping()
    await until(mapped)
    udp.pcp = udp.natPmp = 'silent'
    await vi.advanceTimersByTimeAsync(10 * MINUTE)
    await until(() => states.length === 2)
    expect(last()).toEqual({ kind: 'mapped', by: 'UPnP', granted: granted() })
  })
})

describe('the end', () => {
  test('while it is searched: at once, and nothing is left behind', async () => {
    udp.pcp = udp.natPmp = 'silent'
    const m = mapping()
    await until(() => udp.asked.length > 0)
    await m.close()
    expect(states).toEqual([])
    await vi.advanceTimersByTimeAsync(60 * MINUTE)
    expect(udp.asked.length).toBe(1)
  })

  test('between two ports: the one that is there is given back', async () => {
    udp.externalOf = (internal) => {
      udp.pcp = 'silent' // to the other port
      return internal
    }
    const m = mapping()
    await until(() => udp.asked.some((a) => a.protocol === 'udp'))
    let ended = false
    void m.close().then(() => {
      ended = true
    })
    await until(() => udp.asked.some((a) => a.lifetime === 0))
    udp.pcp = 0
    await until(() => ended)
    expect(new Set(udp.asked.filter((a) => a.lifetime === 0).map((a) => a.protocol))).toEqual(
      new Set(['tcp']),
    )
  })

  test('while it renews: both are given back', async () => {
    const m = mapping()
    await until(mapped)
    udp.pcp = udp.natPmp = 'silent'
    await vi.advanceTimersByTimeAsync(10 * MINUTE)
    await until(() => udp.asked.length > 2)
    udp.pcp = udp.natPmp = 0
    await m.close()
    const back = udp.asked.filter((a) => a.lifetime === 0)
    expect(back.map((a) => [a.by, a.protocol])).toEqual([
      ['PCP', 'tcp'],
      ['PCP', 'udp'],
    ])
  })
})

describe('UPnP', () => {
  beforeEach(() => {
    udp.pcp = udp.natPmp = 'silent'
  })

  test.each(['WANIPConnection:1', 'WANIPConnection:2', 'WANPPPConnection:1'])('%s', async (type) => {
    upnp.type = type
    const m = mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'mapped', by: 'UPnP', granted: granted() })
    await m.close()
    const of = (action: string): unknown[] => upnp.calls.filter((c) => c.action === action).map((c) => c.args)
    expect(of('AddPortMapping')).toEqual(
      ['TCP', 'UDP'].map((protocol) => ({
        NewRemoteHost: '',
        NewExternalPort: `${PORT}`,
        NewProtocol: protocol,
        NewInternalPort: `${PORT}`,
        NewInternalClient: '127.0.0.1',
        NewEnabled: '1',
        NewPortMappingDescription: `${protocol} ${PORT}`,
        NewLeaseDuration: '1200',
      })),
    )
    expect(of('DeletePortMapping')).toEqual(
      ['TCP', 'UDP'].map((NewProtocol) => ({
        NewRemoteHost: '',
        NewExternalPort: `${PORT}`,
        NewProtocol,
      })),
    )
    expect(new Set(upnp.paths)).toEqual(new Set(['/root.xml', '/control?a=1&b=2']))
  })

  test('a port that another machine has, and a gateway that knows no end of leases', async () => {
    upnp.refuse = ({ NewExternalPort, NewLeaseDuration }) =>
      NewExternalPort === `${PORT}` ? 718 : NewLeaseDuration === '0' ? undefined : 725
    mapping()
    await until(settled)
    const state = last()!
    if (state.kind !== 'mapped') throw new Error(JSON.stringify(state))
    expect(state.granted.map((g) => g.lifetime)).toEqual([0, 0])
    for (const g of state.granted) expect(g.external).toBeGreaterThanOrEqual(20_000)
  })

  test('all ports taken', async () => {
    upnp.refuse = () => 718
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'neither PCP nor NAT-PMP; UPnP refused, code 718' })
    expect(upnp.calls.filter((c) => c.action === 'AddPortMapping').length).toBe(8)
  })

  const other = 'http://127.0.0.2:1/'
  const bad: Record<string, (u: UpnpGateway) => void> = {
    'describes itself on another host': (u) => {
      u.location = other
    },
    'by a name': (u) => {
      u.location = u.url.replace('127.0.0.1', 'localhost')
    },
    'over https': (u) => {
      u.location = u.url.replace('http:', 'https:')
    },
    'with no URL at all': (u) => {
      u.location = ':'
    },
    'is controlled on another host': (u) => {
      const good = u.description
      u.description = (type) => good(type).replace('/control?', `${other}?`)
    },
    'never ends': (u) => {
      u.description = (type) => `<service>${type}`.repeat(30_000)
    },
    'is no XML': (u) => {
      u.description = () => '\0\x01<service><serviceType>'
    },
    'is no gateway': (u) => {
      u.type = 'ContentDirectory:1'
    },
    'has no address outside': (u) => {
      u.address = '0.0.0.0'
    },
    'has a strange address outside': (u) => {
      u.address = 'example.org'
    },
  }
  test.each(Object.keys(bad))('a gateway that %s is none', async (what) => {
    bad[what]!(upnp)
    mapping()
    await until(settled)
    expect(last()).toEqual({ kind: 'none', why: 'neither PCP nor NAT-PMP; no UPnP' })
    expect(upnp.calls.filter((c) => c.action !== 'GetExternalIPAddress')).toEqual([])
  })

  test('another machine on the link that says it is the gateway is not asked', async () => {
    const impostor = await UpnpGateway.open('127.0.0.2')
    open.push(impostor)
    const m = new PortMapping({
      wishes: [{ protocol: 'udp', port: PORT }],
      onChange: (state) => states.push(state),
      random: seededRandom(1),
      log,
      gateway: async () => gateway,
      pcpPort: udp.port,
      ssdp: { address: '127.0.0.2', port: impostor.port },
    })
    open.push(m)
    m.start()
    await until(settled)
    expect(last()?.kind).toBe('none')
    expect(impostor.paths).toEqual([])
  })
})
