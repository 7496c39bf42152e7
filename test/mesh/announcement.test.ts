import { expect, test } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import {
  type MdnsRecord,
  newAnnouncement,
  readRecords,
  verifyAnnouncement,
} from '../../src/mesh/announcement.ts'
import { Announcer } from '../../src/mesh/announcer.ts'
import { toRecords } from './segment.ts'

const random = seededRandom(7)
const KD = random.bytes(32)
const ADDRESS = 'fe80::aa:bb'
const announcement = newAnnouncement(KD, ADDRESS, 12_345, random)
const RECORDS = toRecords({
  kind: 'announce',
  linkName: 'x0',
  address: ADDRESS,
  announcement,
  goodbyes: ['former'],
})

test('both ways', () => {
  const { host: _, ...said } = announcement
  expect(readRecords(RECORDS)).toEqual({ announcements: [said], goodbyes: ['former'] })
  const capitals = RECORDS.map((r) => ({ ...r, name: r.name.toUpperCase() }))
  expect(readRecords(capitals).announcements.length).toBe(1)
})

test('the tag covers key, epoch, address and port', () => {
  expect(verifyAnnouncement(KD, `${ADDRESS}%x0`, announcement)).toBe(true)
  expect(verifyAnnouncement(random.bytes(32), ADDRESS, announcement)).toBe(false)
  expect(verifyAnnouncement(KD, 'fe80::aa:bc', announcement)).toBe(false)
  expect(verifyAnnouncement(KD, '10.0.0.1', announcement)).toBe(false)
  expect(verifyAnnouncement(KD, ADDRESS, { ...announcement, port: 12_346 })).toBe(false)
  for (const field of ['epoch', 'tag'] as const) {
    const bytes = announcement[field]
    for (let i = 0; i < bytes.length; i++) {
      const bad = new Uint8Array(bytes)
      bad[i]! ^= 1
      expect(verifyAnnouncement(KD, ADDRESS, { ...announcement, [field]: bad })).toBe(false)
    }
    expect(verifyAnnouncement(KD, ADDRESS, { ...announcement, tag: announcement.tag.subarray(1) })).toBe(
      false,
    )
  }
})

test('anything missing, of another version or of another size is passed over', () => {
  const ptr = RECORDS[1]!
  const txt = RECORDS.find((r) => r.type === 'TXT')!
  const strings = (txt.data as Buffer[]).map(String)
  const heard = (records: readonly MdnsRecord[]) => readRecords(records).announcements.length
  for (const type of ['PTR', 'SRV', 'TXT']) expect(heard(RECORDS.filter((r) => r.type !== type))).toBe(0)
  expect(heard(RECORDS.filter((r) => r.type !== 'AAAA'))).toBe(1)
  const withText = (data: unknown) => heard(RECORDS.map((r) => (r.type === 'TXT' ? { ...r, data } : r)))
  expect(withText(strings)).toBe(1)
  expect(withText(strings.map((s) => s.replace('v=1', 'v=2')))).toBe(0)
  expect(withText(strings.slice(0, 2))).toBe(0)
  expect(withText(strings.map((s) => s.slice(0, -1)))).toBe(0)
  expect(withText([...strings, 'e=AAAA', 'v=9', '=', 'x'])).toBe(1)
  expect(withText(strings.map((s) => (s.startsWith('e=') ? 'e=AAAAAAAAAAAA' : s)))).toBe(0)
  for (const port of [0, 65_536, 1.5, '80', undefined, Number.NaN])
    expect(heard(RECORDS.map((r) => (r.type === 'SRV' ? { ...r, data: { port } } : r)))).toBe(0)
  expect(heard([{ ...ptr, data: '_mesh1._tcp.local' }, ...RECORDS.slice(2)])).toBe(0)
  expect(heard([{ ...ptr, name: '_http._tcp.local' }, ...RECORDS.slice(2)])).toBe(0)
  const many = Array.from({ length: 16 }, () => ({ ...ptr, data: 'x._mesh1._tcp.local' }))
  expect(heard([...many, ...RECORDS])).toBe(0)
})

test('epochs: 15 to 60 minutes, nothing in common, and a new one when the port is taken', () => {
  const options = { kd: KD, address: ADDRESS, port: 0, interval: 30_000, shortBurst: false, random }
  const announcer = new Announcer(options, 0)
  const begun: number[] = []
  const seen = new Set<string>()
  let now = 0
  while (now < 24 * 3_600_000) {
    now = announcer.next
    const { announcement: a, former, goodbyes } = announcer.due(now)
    if (former !== undefined) {
      begun.push(now)
      expect(goodbyes).toEqual([former.instance])
      expect(announcer.isOwn(former.epoch)).toBe(true)
      for (const field of ['instance', 'host', 'port'] as const) expect(a[field]).not.toBe(former[field])
    }
    seen.add(`${a.instance} ${a.host} ${a.port}`)
    expect(a.port).toBeGreaterThanOrEqual(9111)
    expect(a.port).toBeLessThanOrEqual(30_777)
  }
  expect(seen.size).toBe(begun.length + 1)
  for (let i = 1; i < begun.length; i++) {
    expect(begun[i]! - begun[i - 1]!).toBeGreaterThanOrEqual(15 * 60_000)
    expect(begun[i]! - begun[i - 1]!).toBeLessThanOrEqual(61 * 60_000)
  }
  const before = announcer.current
  announcer.otherPort(now)
  expect(announcer.current.instance).not.toBe(before.instance)
  expect(announcer.next - now).toBeLessThanOrEqual(1_000)
  expect(announcer.due(announcer.next).goodbyes).toEqual([before.instance])
})
