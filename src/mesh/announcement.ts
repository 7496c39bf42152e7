/**
 * What is said over mDNS, and all that is said: service type, a random instance, host and port that live for one epoch, the epoch
 * and a tag over epoch, address and port (wireless facts, 7.4). The tag binds the sender's address: replayed from another
 * address or for another port it does not verify.
 */
import { toBase32 } from '../base/base32.ts'
import { fromBase64, toBase64 } from '../base/base64.ts'
import { copy, Reader, utf8, Writer } from '../base/bytes.ts'
import { MalformedError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { constantTimeEqual } from '../crypto/equal.ts'
import { hmacSha256 } from '../crypto/hmac.ts'
import { linkLocalBytes } from './link.ts'

// Specification constants
/** Names nothing: neither I2P nor this program. */
export const SERVICE_NAME = 'mesh1'
export const SERVICE_TYPE: string = `_${SERVICE_NAME}._tcp.local`
const VERSION = '1'
const TAG_CONTEXT = utf8('d1')
const EPOCH_SIZE = 8
const TAG_SIZE = 16
/** Seconds; an announcement not repeated within it is forgotten. The same everywhere: it must not tell who runs on a battery. */
export const TTL = 120
/** As many records as a packet may have: ours has four. */
export const MAX_RECORDS = 16

/** One sender's epoch on one link. */
export interface Announcement {
  /** 8 random bytes: its order decides who dials. */
  readonly epoch: Uint8Array
  /** First label of the service's name. */
  readonly instance: string
  readonly host: string
  /** TCP. */
  readonly port: number
  readonly tag: Uint8Array
}

/** The parts of an mDNS record that matter, in the shape DNS libraries have it. */
export interface MdnsRecord {
  readonly name: string
  readonly type: string
  readonly ttl?: number | undefined
  readonly data?: unknown
}

/** What a packet said about our service: unverified. */
export interface HeardRecords {
  readonly announcements: readonly Omit<Announcement, 'host'>[]
  /** Instances that are no longer there. */
  readonly goodbyes: readonly string[]
}

/** `address` is the link's, `port` free on it. */
export function newAnnouncement(kd: Uint8Array, address: string, port: number, random: Random): Announcement {
  const epoch = random.bytes(EPOCH_SIZE)
  return {
    epoch,
    instance: toBase32(random.bytes(8)),
    host: `${toBase32(random.bytes(8))}.local`,
    port,
    tag: announcementTag(kd, epoch, address, port)!,
  }
}

/** Whether a holder of Kd announced this from `address`. */
export function verifyAnnouncement(
  kd: Uint8Array,
  address: string,
  a: Pick<Announcement, 'epoch' | 'port' | 'tag'>,
): boolean {
  const tag = announcementTag(kd, a.epoch, address, a.port)
  return tag !== undefined && constantTimeEqual(tag, a.tag)
}

function announcementTag(
  kd: Uint8Array,
  epoch: Uint8Array,
  address: string,
  port: number,
): Uint8Array | undefined {
  const bytes = linkLocalBytes(address)
  if (bytes === undefined) return undefined
  const covered = new Writer(EPOCH_SIZE + bytes.length + 2).put(epoch).put(bytes).u16(port).bytes
  return copy(hmacSha256(kd, TAG_CONTEXT, covered).subarray(0, TAG_SIZE))
}

/** The TXT record's strings. */
export function announcementText(a: Announcement): Record<string, string> {
  return { v: VERSION, e: toBase64(a.epoch), t: toBase64(a.tag) }
}

/** Whatever is foreign, malformed or of another version is passed over. */
export function readRecords(records: readonly MdnsRecord[]): HeardRecords {
  const announcements: Omit<Announcement, 'host'>[] = []
  const goodbyes: string[] = []
  for (const record of records.slice(0, MAX_RECORDS)) {
    if (record.type !== 'PTR' || !sameName(record.name, SERVICE_TYPE) || typeof record.data !== 'string')
      continue
    const instance = instanceOf(record.data)
    if (instance === undefined) continue
    if (record.ttl === 0) {
      goodbyes.push(instance)
      continue
    }
    const srv = records.find((r) => r.type === 'SRV' && sameName(r.name, record.data as string))
    const txt = records.find((r) => r.type === 'TXT' && sameName(r.name, record.data as string))
    const port = (srv?.data as { port?: unknown } | undefined)?.port
    const strings = textStrings(txt?.data)
    if (strings.get('v') !== VERSION || !isPort(port)) continue
    const epoch = bytesOf(strings.get('e'), EPOCH_SIZE)
    const tag = bytesOf(strings.get('t'), TAG_SIZE)
    if (epoch !== undefined && tag !== undefined) announcements.push({ epoch, instance, port, tag })
  }
  return { announcements, goodbyes }
}

/** DNS names know no case, except that we compare instances exactly: they are ours or random. */
function sameName(a: string, b: string): boolean {
  return a === b || a.toLowerCase() === b.toLowerCase()
}

function instanceOf(name: string): string | undefined {
  const dot = name.indexOf('.')
  return dot > 0 && sameName(name.slice(dot + 1), SERVICE_TYPE) ? name.slice(0, dot) : undefined
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= 65535
}

/** `key=value` strings; the first of each key counts. */
function textStrings(data: unknown): Map<string, string> {
  const strings = new Map<string, string>()
  const items: unknown[] = Array.isArray(data) ? data : [data]
  for (const item of items.slice(0, MAX_RECORDS)) {
    const s = item instanceof Uint8Array ? Buffer.from(item).toString('latin1') : item
    if (typeof s !== 'string') continue
    const at = s.indexOf('=')
    if (at > 0 && !strings.has(s.slice(0, at))) strings.set(s.slice(0, at), s.slice(at + 1))
  }
  return strings
}

function bytesOf(value: string | undefined, length: number): Uint8Array | undefined {
  if (value === undefined) return undefined
  try {
    const r = new Reader(fromBase64(value))
    const bytes = r.take(length)
    r.end('TXT value')
    return bytes
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
