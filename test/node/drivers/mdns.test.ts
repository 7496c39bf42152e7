import { hostname, networkInterfaces } from 'node:os'
import { expect, test } from 'vitest'
import { SILENT } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { newAnnouncement, readRecords } from '../../../src/mesh/announcement.ts'
import { Mdns, records } from '../../../src/node/drivers/mdns.ts'
import { toRecords } from '../../mesh/segment.ts'

const announcement = newAnnouncement(new Uint8Array(32), 'fe80::1', 4_000, seededRandom(1))
const event = {
  kind: 'announce',
  linkName: 'x0',
  address: 'fe80::1',
  announcement,
  goodbyes: ['former'],
} as const

test('records: ours and nothing of this machine', () => {
  const made = records(event)
  expect(made.map((r) => [r.type, r.ttl])).toEqual([
    ['PTR', 0],
    ['PTR', 120],
    ['SRV', 120],
    ['TXT', 120],
    ['AAAA', 120],
  ])
  expect(readRecords(made)).toEqual(readRecords(toRecords(event)))
  const all = JSON.stringify(made)
  expect(all).not.toContain(hostname())
  for (const addresses of Object.values(networkInterfaces()))
    for (const a of addresses!) expect(all).not.toContain(`"${a.address}"`)
  expect(records({ ...event, announcement: undefined }).map((r) => [r.type, r.ttl, r.data])).toEqual([
    ['PTR', 0, 'former._mesh1._tcp.local'],
  ])
})

test('records of a demonstration on loopback: an IPv4 address', () => {
  const made = records({ ...event, linkName: 'lo', address: '127.0.0.2', goodbyes: [] })
  expect(made.map((r) => r.type)).toEqual(['PTR', 'SRV', 'TXT', 'A'])
  expect(made[3]!.data).toBe('127.0.0.2')
})

test('an interface that is not there is a problem, not an exception', async () => {
  const problem = new Promise<string[]>((resolve) => {
    const mdns = new Mdns({
      onRecords: () => {},
      onQuery: () => {},
      onProblem: (link, text) => {
        void mdns.close()
        resolve([link, text])
      },
      log: SILENT,
    })
    const link = {
      name: 'nosuch0',
      index: 99,
      address: 'fe80::1',
      kind: 'wifi',
      defaultRoute: false,
      network: '',
    } as const
    mdns.handle({ kind: 'join', interface: link })
    mdns.handle({ ...event, linkName: 'nosuch0' })
  })
  expect(await problem).toEqual(['nosuch0', 'mDNS: the interface is gone'])
})
