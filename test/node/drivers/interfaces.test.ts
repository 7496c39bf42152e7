import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { SILENT } from '../../../src/base/log.ts'
import type { LinkInterface } from '../../../src/mesh/link.ts'
import { Interfaces, linkKind, readInterfaces } from '../../../src/node/drivers/interfaces.ts'

const root = mkdtempSync(join(tmpdir(), 'interfaces-'))
afterAll(() => rmSync(root, { recursive: true }))
let made = 0

function device(index: number, files: Record<string, string> = {}, folders: string[] = []): string {
  const path = join(root, `dev${made++}`)
  mkdirSync(path)
  writeFileSync(join(path, 'ifindex'), `${index}\n`)
  for (const [name, content] of Object.entries({ type: '1', iflink: `${index}`, ...files }))
    writeFileSync(join(path, name), `${content}\n`)
  for (const name of folders) mkdirSync(join(path, name))
  return path
}

/** A folder like /proc, as far as it is read. */
function proc(addresses: string[], names: string[], routes4: string[] = [], routes6: string[] = []): string {
  const path = join(root, `proc${made++}`)
  mkdirSync(join(path, 'net'), { recursive: true })
  writeFileSync(join(path, 'net/if_inet6'), `${addresses.join('\n')}\n`)
  writeFileSync(
    join(path, 'net/dev'),
    `Inter-| Receive\n face |bytes\n${names.map((n) => `${n.padStart(6)}: 1 2 3\n`).join('')}`,
  )
  writeFileSync(join(path, 'net/route'), `Iface\tDestination\n${routes4.join('\n')}\n`)
  writeFileSync(join(path, 'net/ipv6_route'), `${routes6.join('\n')}\n`)
  return path
}

test('a link-local address counts once it is no longer tentative, while there is a carrier', () => {
  const path = proc(
    [
      'fe800000000000000000000000000001 02 40 20 80     wlan0',
      'fe800000000000000000000000000009 06 40 20 80    wlan1',
      'fe800000000000000000000000000002 03 40 20 c0     eth0',
      'fe800000000000000000000000000003 04 40 20 88     eth1',
      'fe800000000000000000000000000004 04 40 20 80     eth1',
      'fd000000000000000000000000000002 05 40 00 82     eth2',
      '00000000000000000000000000000001 01 80 10 80       lo',
    ],
    ['lo', 'eth0', 'eth1', 'eth2', 'wlan0', 'wlan1', 'down0'],
  )
  const running = new Set(['eth0', 'eth1', 'eth2', 'wlan0'])
  expect(
    readInterfaces(path, root, running).map(({ name, index, address }) => [name, index, address]),
  ).toEqual([
    ['down0', 0, undefined],
    ['eth0', 3, undefined],
    ['eth1', 4, 'fe80::4'],
    ['eth2', 0, undefined],
    ['wlan0', 2, 'fe80::1'],
    ['wlan1', 6, undefined],
  ])
})

test('ways out', () => {
  const path = proc(
    [],
    ['eth0', 'wlan0', 'wg0', 'eth1'],
    [
      'eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
      'eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    ],
    [
      '00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000000000000000aaaa 00000400 00000001 00000000 00000003    wlan0',
      '00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo',
      'fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001    eth1',
    ],
  )
  const found = Object.fromEntries(
    readInterfaces(path, root).map((i) => [i.name, [i.defaultRoute, i.network]]),
  )
  expect(found).toEqual({
    eth0: [true, '0100A8C0'],
    eth1: [false, ''],
    wg0: [false, ''],
    wlan0: [true, 'fe80000000000000000000000000aaaa'],
  })
})

describe('kinds', () => {
  test('by what the kernel shows', () => {
    const of = (files: Record<string, string>, folders: string[] = [], name = 'x0') =>
      linkKind(device(7, files, folders), name, 7)
    expect(of({ uevent: 'DEVTYPE=wlan\nINTERFACE=x0' })).toBe('wifi')
    expect(of({}, ['phy80211'])).toBe('wifi')
    expect(of({}, ['device'])).toBe('wired')
    expect(of({ iflink: '12' })).toBe('veth')
    expect(of({ iflink: '3', uevent: 'DEVTYPE=vlan' })).toBe('wired')
    expect(of({ uevent: 'DEVTYPE=bridge' }, ['bridge'])).toBe('bridge')
    expect(of({}, ['device', 'brport'])).toBe('port')
    expect(of({ uevent: 'DEVTYPE=wireguard', type: '65534' })).toBe('vpn')
    expect(of({ tun_flags: '0x1', type: '65534' })).toBe('vpn')
    expect(of({ type: '512' })).toBe('vpn')
    expect(of({ uevent: 'DEVTYPE=wwan' })).toBe('cellular')
    expect(of({ type: '519' })).toBe('cellular')
    expect(of({}, ['mesh'])).toBe('mesh')
    expect(of({ type: '772' })).toBe('other')
  })

  test('a device without hardware: one end of a pair, or leading nowhere', () => {
    const virtual = (name: string, flags: string): string => {
      const target = join(root, 'virtual', name)
      mkdirSync(target, { recursive: true })
      for (const [file, content] of Object.entries({ ifindex: '7', iflink: '7', type: '1', flags })) {
        writeFileSync(join(target, file), content)
      }
      symlinkSync(target, join(root, name))
      return join(root, name)
    }
    expect(linkKind(virtual('dummy0', '0x83'), 'dummy0', 7)).toBe('other')
    expect(linkKind(virtual('x0', '0x1003'), 'x0', 7)).toBe('veth')
  })

  test('by name where /sys shows another namespace', () => {
    const other = device(99, {}, ['phy80211'])
    const names = [
      'wlan0',
      'wlp2s0',
      'eth0',
      'w0',
      'wg0',
      'tun0',
      'wwan0',
      'br0',
      'docker0',
      'bat0',
      'dummy0',
    ]
    expect(names.map((name) => linkKind(other, name, 7))).toEqual([
      'wifi',
      'wifi',
      'wired',
      'wired',
      'vpn',
      'vpn',
      'cellular',
      'bridge',
      'bridge',
      'mesh',
      'other',
    ])
  })
})

test('this machine: as Node sees it', () => {
  const expected = Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? [])
      .filter((a) => a.family === 'IPv6' && !a.internal && a.address.startsWith('fe80'))
      .map((a) => [name, a.address]),
  )
  const found = readInterfaces()
    .filter((i) => i.address !== undefined)
    .map((i) => [i.name, i.address])
  for (const pair of found) expect(expected).toContainEqual(pair)
  expect(readInterfaces().some((i) => i.name === 'lo')).toBe(false)
})

test('on loopback, when asked for, and then on nothing else', () => {
  const seen: (readonly LinkInterface[])[] = []
  const driver = new Interfaces({ onChange: (all) => seen.push(all), loopback: '127.0.0.2', log: SILENT })
  driver.start()
  expect(seen.map((all) => all.map((i) => [i.name, i.address]))).toEqual([[['lo', '127.0.0.2']]])
  driver.stop()
})

test('the first look comes at once, and stopping leaves nothing behind', () => {
  const seen: (readonly LinkInterface[])[] = []
  const driver = new Interfaces({ onChange: (all) => seen.push(all), log: SILENT })
  driver.start()
  expect(seen).toEqual([readInterfaces()])
  driver.stop()
})
