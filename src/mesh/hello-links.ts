/**
 * TCP links in their hello phase, both roles. Whoever does not know the key gets no answer: the link stays open, deaf, for a
 * random while, so that neither bytes nor timing tell what listens here.
 */
import type { Millis } from '../base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../base/core.ts'
import type { Random } from '../base/random.ts'
import { HelloInitiator, type HelloPeer, HelloResponder } from '../protocol/hello/hello.ts'
import type { HelloPayload } from '../protocol/hello/payload.ts'
import type { Heard } from './heard.ts'

// Implementation constants
/** Of both roles together: each costs an X25519 key and 2 KiB. */
const MAX_LINKS = 64
/** Strangers can open links too, from as many addresses as they like: they must leave room for ours. */
const MAX_ACCEPTED = 48
const MAX_ACCEPTED_PER_ADDRESS = 4
/** Three flights on one link, and the TCP handshake with a retransmission or two. */
const HELLO_TIMEOUT: Millis = 10_000
const DEAF_MIN: Millis = 3_000
const DEAF_SPREAD: Millis = 12_000

interface HelloLink {
  readonly id: LinkId
  /** The peer, scoped. */
  readonly from: Endpoint
  /** Key of what we heard, when we dialled. */
  readonly heardKey: string | undefined
  readonly hello: HelloInitiator | HelloResponder
  /** When the message was sent that the peer's payload answers. */
  sentAt: Millis
  deaf: boolean
  endsAt: Millis
}

/** The peer's payload arrived on this link. */
export interface HelloArrived extends HelloPeer {
  readonly link: HelloLink
  /** Makes message 3, when we are the dialler. */
  readonly confirm: ((own: HelloPayload) => Uint8Array) | undefined
  /** From our message to its answer. */
  readonly rtt: Millis
}

export class HelloLinks {
  readonly #links = new Map<LinkId, HelloLink>()
  readonly #psk: Uint8Array
  readonly #random: Random

  constructor(psk: Uint8Array, random: Random) {
    this.#psk = psk
    this.#random = random
  }

  get full(): boolean {
    return this.#links.size >= MAX_LINKS
  }

  has(id: LinkId): boolean {
    return this.#links.has(id)
  }

  values(): IterableIterator<HelloLink> {
    return this.#links.values()
  }

  /** Those that may still become neighbours. */
  countAt(address: string): number {
    let n = 0
    for (const l of this.#links.values()) if (l.from.address === address && !l.deaf) n++
    return n
  }

  /** Our own connection, asked for by `tcpOpen`. Returns when it must be done. */
  dialled(id: LinkId, to: Endpoint, heard: Pick<Heard, 'key' | 'epoch'>, now: Millis): Millis {
    return this.#add(id, to, heard.key, new HelloInitiator(this.#psk, heard.epoch, this.#random), now)
  }

  /** False when there are too many already. */
  mayAccept(address: string): boolean {
    const accepted = [...this.#links.values()].filter((l) => l.heardKey === undefined)
    const there = accepted.filter((l) => l.from.address === address).length
    return there < MAX_ACCEPTED_PER_ADDRESS && accepted.length < MAX_ACCEPTED && !this.full
  }

  /** `epochs` are ours on that link. Returns when it must be done. */
  accepted(id: LinkId, from: Endpoint, epochs: readonly Uint8Array[], now: Millis): Millis {
    return this.#add(id, from, undefined, new HelloResponder(this.#psk, epochs, this.#random), now)
  }

  connected(id: LinkId, now: Millis, out: Sink<never>): void {
    const link = this.#links.get(id)
    if (link === undefined || link.hello instanceof HelloResponder) return
    link.sentAt = now
    out.tcpData(id, link.hello.request())
  }

  /** Undefined while nothing is decided; 'failed' when an announcer's answer, or a dialler's last message, does not verify. */
  received(
    id: LinkId,
    bytes: Uint8Array,
    now: Millis,
    own: () => HelloPayload,
    out: Sink<never>,
  ): HelloArrived | 'failed' | undefined {
    const link = this.#links.get(id)
    if (link === undefined || link.deaf) return undefined
    const { hello } = link
    const rtt = now - link.sentAt
    if (hello instanceof HelloInitiator) {
      const step = hello.receive(bytes)
      return typeof step === 'object' ? { ...step, link, rtt, confirm: (p) => hello.confirm(p) } : step
    }
    const step = hello.receive(bytes)
    if (step === undefined) return undefined
    if (typeof step === 'object') return { ...step, link, rtt, confirm: undefined }
    const reply = step === 'request' ? hello.reply(own()) : undefined
    if (reply === undefined) {
      link.deaf = true
      link.endsAt = now + DEAF_MIN + this.#random.below(DEAF_SPREAD)
    } else {
      link.sentAt = now
      out.tcpData(id, reply)
    }
    return undefined
  }

  /** When the link is given up. */
  endsAt(id: LinkId): Millis | undefined {
    return this.#links.get(id)?.endsAt
  }

  /** Handed on, closed or given up. */
  remove(id: LinkId): HelloLink | undefined {
    const link = this.#links.get(id)
    this.#links.delete(id)
    return link
  }

  #add(
    id: LinkId,
    from: Endpoint,
    heardKey: string | undefined,
    hello: HelloInitiator | HelloResponder,
    now: Millis,
  ): Millis {
    const endsAt = now + HELLO_TIMEOUT
    this.#links.set(id, { id, from, heardKey, hello, sentAt: now, deaf: false, endsAt })
    return endsAt
  }
}
