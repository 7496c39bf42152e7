/**
 * The links in use: joined when an interface with a usable address appears, left when it goes or comes back as another, announced on
 * as the policy says. Knows nobody beside us.
 */
import type { Millis } from '../base/clock.ts'
import type { Sink } from '../base/core.ts'
import { Deadlines } from '../base/deadlines.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Announcer } from './announcer.ts'
import type { LinkEvent } from './events.ts'
import {
  type AnnounceDecision,
  type AnnouncePolicy,
  announceDecision,
  type LinkInterface,
  scoped,
} from './link.ts'

// Implementation constants
/** Mean time between announcements: with its jitter at most 2.7 a minute. */
const ANNOUNCE_INTERVAL: Millis = 30_000
/** An epoch's port stays open for those who heard of it just before it ended. */
const UNLISTEN_AFTER: Millis = 30_000
/** What failed on a link is tried again. */
const RETRY_AFTER: Millis = 30_000

/** A link in use. */
export interface OpenLink {
  readonly interface: LinkInterface
  /** Its own address, scoped. */
  readonly address: string
  readonly decision: AnnounceDecision
  /** Undefined where we only listen. */
  readonly announcer: Announcer | undefined
  /** What is wrong with it, for people. */
  problem?: string
}

export interface LinksOptions {
  readonly kd: Uint8Array
  /** TCP port to announce; 0: another one each epoch and link. */
  readonly port: number
  readonly random: Random
  readonly log: Log
}

type Out = Sink<LinkEvent>
type TimerKey = `announce ${string}` | `retry ${string}` | `unlisten ${string}`

export class Links {
  readonly #o: LinksOptions
  readonly #timers = new Deadlines<TimerKey>()
  /** All interfaces there are, used or not. */
  readonly #interfaces = new Map<string, LinkInterface>()
  readonly #open = new Map<string, OpenLink>()
  /** Ports of ended epochs that are still open, by their timer's name. */
  readonly #closing = new Map<string, { linkName: string; address: string; port: number }>()
  #policy: AnnouncePolicy
  #interval: Millis = ANNOUNCE_INTERVAL
  #shortBurst = false

  constructor(options: LinksOptions, policy: AnnouncePolicy) {
    this.#o = options
    this.#policy = policy
  }

  get(name: string): OpenLink | undefined {
    return this.#open.get(name)
  }

  /** An epoch of ours on any link: two interfaces may lead to the same place. */
  isOwn(epoch: Uint8Array): boolean {
    for (const link of this.#open.values()) if (link.announcer?.isOwn(epoch) === true) return true
    return false
  }

  interfaces(): IterableIterator<LinkInterface> {
    return this.#interfaces.values()
  }

  /** Why an interface is used as it is. */
  decision(i: LinkInterface): AnnounceDecision {
    return announceDecision(i, this.#policy)
  }

  nextTimeout(): Millis | undefined {
    return this.#timers.next()
  }

  /** From the next announcement on; `shortBurst` counts for links that come up later. */
  setCadence(interval: Millis, shortBurst: boolean): void {
    this.#interval = interval
    this.#shortBurst = shortBurst
    for (const link of this.#open.values())
      if (link.announcer !== undefined) link.announcer.interval = interval
  }

  /** Returns the links that were left. */
  setPolicy(policy: AnnouncePolicy, now: Millis, out: Out): string[] {
    this.#policy = policy
    return this.update([...this.#interfaces.values()], now, out)
  }

  /** `interfaces` are all there are now. Returns the names of the links that were left, joined again or not. */
  update(interfaces: readonly LinkInterface[], now: Millis, out: Out): string[] {
    this.#interfaces.clear()
    for (const i of interfaces) this.#interfaces.set(i.name, i)
    const left: string[] = []
    for (const link of [...this.#open.values()]) {
      const there = this.#interfaces.get(link.interface.name)
      if (there !== undefined && this.#stays(link, there)) {
        this.#open.set(there.name, { ...link, interface: keepNetwork(link.interface, there) })
        continue
      }
      this.#leave(link, there !== undefined && sameLink(link.interface, there), out)
      left.push(link.interface.name)
    }
    for (const i of interfaces) if (!this.#open.has(i.name)) this.#join(i, now, out)
    return left
  }

  /** Says goodbye everywhere. Returns the links that were left. */
  shutdown(out: Out): string[] {
    const left = [...this.#open.values()]
    for (const link of left) this.#leave(link, true, out)
    for (const key of [...this.#closing.keys()]) this.#unlisten(key, out)
    this.#interfaces.clear()
    return left.map((link) => link.interface.name)
  }

  /** Someone new should hear of us on this link. */
  answerSoon(link: OpenLink, now: Millis): void {
    if (link.announcer === undefined) return
    link.announcer.answerSoon(now)
    this.#arm(link.interface.name, link.announcer)
  }

  /** mDNS or the fixed port cannot be had: all of the link is tried again later. */
  failed(name: string, problem: string, now: Millis): void {
    const link = this.#open.get(name)
    if (link === undefined) return
    this.#o.log.write(link.problem === problem ? 'debug' : 'warn', `${name}: ${problem}`)
    link.problem = problem
    this.#timers.set(`retry ${name}`, now + RETRY_AFTER)
  }

  /** The port of a 'listen' event could not be had. */
  listenFailed(name: string, port: number, problem: string, now: Millis, out: Out): void {
    const link = this.#open.get(name)
    if (link?.announcer === undefined || link.announcer.current.port !== port) return
    if (this.#o.port !== 0) {
      this.failed(name, problem, now)
      return
    }
    link.announcer.otherPort(now)
    this.#arm(name, link.announcer)
    out.event({ kind: 'listen', linkName: name, address: link.address, port: link.announcer.current.port })
  }

  /** Returns the links that were left (and joined again). */
  timeout(now: Millis, out: Out): string[] {
    const left: string[] = []
    for (let key = this.#timers.due(now); key !== undefined; key = this.#timers.due(now)) {
      const rest = key.slice(key.indexOf(' ') + 1)
      if (key.startsWith('announce ')) this.#announce(rest, now, out)
      else if (key.startsWith('unlisten ')) this.#unlisten(rest, out)
      else {
        this.#retry(rest, now, out)
        left.push(rest)
      }
    }
    return left
  }

  #stays(link: OpenLink, there: LinkInterface): boolean {
    const was = link.interface
    const moved = was.network !== '' && there.network !== '' && was.network !== there.network
    return sameLink(was, there) && !moved && announceDecision(there, this.#policy).mode === link.decision.mode
  }

  #join(i: LinkInterface, now: Millis, out: Out): void {
    const decision = announceDecision(i, this.#policy)
    if (i.address === undefined || decision.mode === 'off') return
    const announcer = decision.mode === 'announce' ? this.#announcer(i.address, now) : undefined
    const address = scoped(i.address, i.name)
    this.#open.set(i.name, { interface: i, address, decision, announcer })
    const what = decision.mode === 'announce' ? 'announcing' : 'only listening'
    this.#o.log.write('info', `${what} on ${i.name} (${decision.why})`)
    out.event({ kind: 'join', interface: i })
    if (announcer === undefined) return
    out.event({ kind: 'listen', linkName: i.name, address, port: announcer.current.port })
    this.#arm(i.name, announcer)
  }

  #announcer(address: string, now: Millis): Announcer {
    const { kd, port, random } = this.#o
    const options = { kd, port, random, address, interval: this.#interval, shortBurst: this.#shortBurst }
    return new Announcer(options, now)
  }

  /** `reachable`: the interface is still there, so a goodbye gets out. */
  #leave(link: OpenLink, reachable: boolean, out: Out): void {
    const { name } = link.interface
    this.#open.delete(name)
    this.#timers.clear(`announce ${name}`)
    this.#timers.clear(`retry ${name}`)
    if (link.announcer !== undefined) {
      const { instance, port } = link.announcer.current
      const address = link.interface.address!
      if (reachable) {
        out.event({
          kind: 'announce',
          linkName: name,
          address,
          announcement: undefined,
          goodbyes: [instance],
        })
      }
      out.event({ kind: 'unlisten', linkName: name, address: link.address, port })
    }
    for (const [key, c] of [...this.#closing]) if (c.linkName === name) this.#unlisten(key, out)
    this.#o.log.write('info', `left ${name}`)
    out.event({ kind: 'leave', linkName: name })
  }

  #announce(name: string, now: Millis, out: Out): void {
    const link = this.#open.get(name)
    if (link?.announcer === undefined) return
    const { announcement, goodbyes, query, former } = link.announcer.due(now)
    if (former !== undefined && former.port !== announcement.port) {
      const { address } = link
      out.event({ kind: 'listen', linkName: name, address, port: announcement.port })
      const key = `${name} ${former.port}`
      this.#closing.set(key, { linkName: name, address, port: former.port })
      this.#timers.set(`unlisten ${key}`, now + UNLISTEN_AFTER)
    }
    out.event({ kind: 'announce', linkName: name, address: link.interface.address!, announcement, goodbyes })
    if (query) out.event({ kind: 'query', linkName: name })
    this.#arm(name, link.announcer)
  }

  #arm(name: string, announcer: Announcer): void {
    this.#timers.set(`announce ${name}`, announcer.next)
  }

  #unlisten(key: string, out: Out): void {
    const closing = this.#closing.get(key)
    if (closing === undefined) return
    this.#closing.delete(key)
    this.#timers.clear(`unlisten ${key}`)
    out.event({ kind: 'unlisten', ...closing })
  }

  #retry(name: string, now: Millis, out: Out): void {
    const link = this.#open.get(name)
    if (link === undefined) return
    this.#leave(link, true, out)
    this.#join(link.interface, now, out)
  }
}

function sameLink(a: LinkInterface, b: LinkInterface): boolean {
  return a.index === b.index && a.address === b.address
}

/** A network that cannot be told just now is still the one it was. */
function keepNetwork(was: LinkInterface, is: LinkInterface): LinkInterface {
  return is.network === '' ? { ...is, network: was.network } : is
}
