/**
 * mDNS on one interface at a time, in the only form that works without any other network (wireless facts, 3.5): udp6 on ff02::fb with
 * the interface named, no host name, no address but that interface's own link-local one. bonjour-service gives the socket and the
 * records; when to send is decided in mesh/. The one exception is the loopback link of a demonstration, whose multicast is IPv4's.
 */
import { networkInterfaces } from 'node:os'
import bonjour from 'bonjour-service'
import type { Log } from '../../base/log.ts'
import {
  type Announcement,
  announcementText,
  MAX_RECORDS,
  type MdnsRecord,
  SERVICE_NAME,
  SERVICE_TYPE,
  TTL,
} from '../../mesh/announcement.ts'
import type { LinkEvent } from '../../mesh/events.ts'
import { isLoopback, type LinkInterface, zoneOf } from '../../mesh/link.ts'

// Specification constants
/** RFC 6762, 3: the group on a link. */
const GROUP = 'ff02::fb'
const GROUP_IPV4 = '224.0.0.251'

// Implementation constants
/** One link's packet: larger ones are not ours, and cost parsing. */
const MAX_PACKET = 1500
/** A socket that should close gets this long for its last packet. */
const CLOSE_AFTER_MS = 100

export interface MdnsOptions {
  /** A response with records of any kind; `from` is scoped. */
  readonly onRecords: (linkName: string, from: string, records: readonly MdnsRecord[]) => void
  /** Someone asked for our service. */
  readonly onQuery: (linkName: string, from: string) => void
  /** mDNS cannot be had on this link. */
  readonly onProblem: (linkName: string, problem: string) => void
  readonly log: Log
}

/** Carries out the mDNS part of a neighbourhood's events. */
export class Mdns {
  readonly #options: MdnsOptions
  readonly #sockets = new Map<string, MdnsSocket>()

  constructor(options: MdnsOptions) {
    this.#options = options
  }

  /** Events of other kinds are passed over. */
  handle(e: LinkEvent): void {
    if (e.kind === 'join') this.#join(e.interface)
    else if (e.kind === 'leave') this.#leave(e.linkName)
    else if (e.kind === 'query') this.#sockets.get(e.linkName)?.query()
    else if (e.kind === 'announce') this.#sockets.get(e.linkName)?.respond(records(e))
  }

  /** After the last packets are out. */
  close(): Promise<void> {
    const closing = [...this.#sockets.values()].map((socket) => socket.close())
    this.#sockets.clear()
    return Promise.all(closing).then(() => {})
  }

  #join(link: LinkInterface): void {
    this.#leave(link.name)
    try {
      this.#sockets.set(link.name, new MdnsSocket(link, this.#options))
    } catch (e) {
      problem(this.#options, link.name, e as Error)
    }
  }

  #leave(linkName: string): void {
    void this.#sockets.get(linkName)?.close()
    this.#sockets.delete(linkName)
  }
}

/** The part of multicast-dns that is used: its types say `any`. */
interface MulticastDns {
  on(event: 'packet', listener: (packet: DnsPacket, from: PacketSource) => void): void
  on(event: 'error' | 'warning', listener: (e: NodeJS.ErrnoException) => void): void
  respond(records: readonly MdnsRecord[], sent: (e?: Error | null) => void): void
  query(name: string, type: string, sent: (e?: Error | null) => void): void
  destroy(done: () => void): void
}

interface DnsPacket {
  readonly type: string
  readonly questions?: readonly { readonly name: string; readonly type: string }[]
  readonly answers?: readonly MdnsRecord[]
  readonly additionals?: readonly MdnsRecord[]
}

interface PacketSource {
  readonly address: string
  readonly size: number
}

class MdnsSocket {
  readonly #name: string
  readonly #address: string
  readonly #options: MdnsOptions
  readonly #mdns: MulticastDns
  #sending = 0
  #closed = false
  #problem = false

  constructor(link: LinkInterface, options: MdnsOptions) {
    const { name, address } = link
    if (address === undefined || !hasAddress(name, address)) throw new Error('the interface is gone')
    this.#name = name
    this.#address = address
    this.#options = options
    // What is sent on loopback has this address as its source and leaves the machine by no interface.
    const settings = isLoopback(address)
      ? { type: 'udp4', ip: GROUP_IPV4, interface: address, bind: '0.0.0.0' }
      : { type: 'udp6', ip: GROUP, interface: `::%${name}` }
    // Publishing through bonjour-service would bring its own schedule, so only its socket is asked for.
    const instance = new bonjour.Bonjour(settings as object, (e: Error) => this.#failed(e))
    this.#mdns = (instance as unknown as { server: { mdns: MulticastDns } }).server.mdns
    this.#mdns.on('packet', (packet, from) => this.#received(packet, from))
    this.#mdns.on('error', (e) => this.#failed(e))
    // Other programs' packets that cannot be parsed arrive here too.
    this.#mdns.on('warning', (e) => {
      if (e.syscall !== undefined) this.#failed(e)
    })
  }

  respond(answers: readonly MdnsRecord[]): void {
    this.#send((sent) => this.#mdns.respond(answers, sent))
  }

  query(): void {
    this.#send((sent) => this.#mdns.query(SERVICE_TYPE, 'PTR', sent))
  }

  close(): Promise<void> {
    this.#closed = true
    return new Promise((resolve) => {
      const destroy = (): void => {
        this.#mdns.destroy(resolve)
      }
      if (this.#sending === 0) destroy()
      else setTimeout(destroy, CLOSE_AFTER_MS)
    })
  }

  #send(send: (sent: (e?: Error | null) => void) => void): void {
    if (this.#closed) return
    if (!hasAddress(this.#name, this.#address)) {
      this.#failed(new Error('the interface is gone'))
      return
    }
    this.#sending++
    send((e) => {
      this.#sending--
      if (e) this.#failed(e)
    })
  }

  #received(packet: DnsPacket, from: PacketSource): void {
    // The wildcard socket also hears groups that other sockets joined on other interfaces.
    if (this.#closed || from.size > MAX_PACKET || zoneOf(from.address) !== this.#name) return
    if (packet.type === 'query') {
      const asked = packet.questions?.some((q) => isAbout(q.name) && (q.type === 'PTR' || q.type === 'ANY'))
      if (asked) this.#options.onQuery(this.#name, from.address)
      return
    }
    const found = [...(packet.answers ?? []), ...(packet.additionals ?? [])]
    if (found.length > MAX_RECORDS || !found.some((r) => r.type === 'PTR' && isAbout(r.name))) return
    this.#options.onRecords(this.#name, from.address, found)
  }

  #failed(e: Error): void {
    if (this.#closed) return
    this.#options.log.write('debug', `mDNS on ${this.#name}: ${e.message}`)
    if (this.#problem) return
    this.#problem = true
    problem(this.#options, this.#name, e)
  }
}

/** Told in a later turn: whoever sends is in the middle of something. */
function problem(options: MdnsOptions, linkName: string, e: NodeJS.ErrnoException): void {
  setImmediate(() => options.onProblem(linkName, `mDNS: ${e.code ?? e.message}`))
}

/** The kernel takes an interface it does not know for "any": what is meant for this link would leave on another. */
function hasAddress(name: string, address: string): boolean {
  return isLoopback(address) || (networkInterfaces()[name]?.some((a) => a.address === address) ?? false)
}

function isAbout(name: string): boolean {
  return name.toLowerCase() === SERVICE_TYPE
}

/** One packet: what is over, and what is. */
export function records(e: LinkEvent & { kind: 'announce' }): MdnsRecord[] {
  const over = e.goodbyes.map((g) => ({
    name: SERVICE_TYPE,
    type: 'PTR',
    ttl: 0,
    data: `${g}.${SERVICE_TYPE}`,
  }))
  return e.announcement === undefined ? over : [...over, ...serviceRecords(e.announcement, e.address)]
}

function serviceRecords(a: Announcement, address: string): MdnsRecord[] {
  const config = {
    name: a.instance,
    type: SERVICE_NAME,
    port: a.port,
    host: a.host,
    txt: announcementText(a),
  }
  const service = new bonjour.Service(config, nothing, nothing)
  // Its own list has every address of this machine and a record that enumerates services: three of it are wanted.
  const wanted = service.records().filter((r) => ['SRV', 'TXT'].includes(r.type) || r.name === SERVICE_TYPE)
  return [...wanted, { name: a.host, type: isLoopback(address) ? 'A' : 'AAAA', data: address }].map((r) => ({
    ...r,
    ttl: TTL,
  }))
}

function nothing(): void {
  // The service is never started: it only makes records.
}
