/** An endpoint's unpacking of blocks into messages (tunnel-message, "Tunnel Message Delivery Instructions"). */
import { concat, copy, Reader } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { MAX_MESSAGE } from '../i2np/message.ts'
import { HASH_LENGTH } from '../structures/hash.ts'
import { readBlock } from './block.ts'
import {
  DELAY,
  DELIVER_LOCAL,
  DELIVER_ROUTER,
  DELIVER_TUNNEL,
  DELIVERY_SHIFT,
  EXTENDED_OPTIONS,
  FOLLOW_ON,
  FRAGMENTED,
  LAST_FRAGMENT,
  LOCAL,
  MAX_FRAGMENTS,
  type TunnelDelivery,
} from './delivery.ts'

// Implementation constants
/** Fragments of one message arrive within a round of retransmissions; i2pd waits 8 s, Java about 45. */
export const REASSEMBLY_TIMEOUT: Millis = 20_000
/** Messages begun and not complete in one tunnel: more than a gateway interleaves. */
const MAX_PARTIAL = 32

export interface Reassembled {
  readonly delivery: TunnelDelivery
  /** A whole message with its standard header. */
  readonly message: Uint8Array
}

/** Bytes that unfinished messages of several tunnels may hold together. */
export class FragmentBudget {
  readonly limit: number
  used = 0

  constructor(limit: number) {
    this.limit = limit
  }
}

interface Fragment {
  readonly number: number
  readonly last: boolean
  readonly bytes: Uint8Array
  /** In a first fragment only. */
  readonly delivery: TunnelDelivery | undefined
}

interface Unfinished {
  delivery: TunnelDelivery | undefined
  readonly fragments: (Uint8Array | undefined)[]
  received: number
  bytes: number
  /** Number of the last fragment, once seen. */
  last: number | undefined
  readonly startedAt: Millis
}

export class Reassembler {
  readonly #budget: FragmentBudget
  /** Oldest first. */
  readonly #partials = new Map<number, Unfinished>()

  constructor(budget: FragmentBudget) {
    this.#budget = budget
  }

  /** Messages that are not complete. */
  get pending(): number {
    return this.#partials.size
  }

  /** When the oldest unfinished message is given up. */
  nextTimeout(): Millis | undefined {
    for (const p of this.#partials.values()) return p.startedAt + REASSEMBLY_TIMEOUT
    return undefined
  }

  /** Forgets what took too long. */
  timeout(now: Millis): void {
    for (const [id, p] of this.#partials) {
      if (p.startedAt + REASSEMBLY_TIMEOUT > now) return
      this.#drop(id, p)
    }
  }

  /** Forgets everything: the tunnel is over. */
  clear(): void {
    for (const [id, p] of this.#partials) this.#drop(id, p)
  }

  /**
   * `block` is decrypted and becomes ours. Pushes what is complete to `done`. False when the block is malformed: what came
   * before the bad part counts.
   */
  receive(block: Uint8Array, now: Millis, done: Reassembled[]): boolean {
    const content = readBlock(block)
    if (content === undefined) return false
    try {
      const r = new Reader(content)
      while (r.left > 0) this.#part(r, now, done)
      return true
    } catch (e) {
      if (e instanceof MalformedError) return false
      throw e
    }
  }

  #part(r: Reader, now: Millis, done: Reassembled[]): void {
    const flag = r.u8()
    if ((flag & FOLLOW_ON) !== 0) {
      const id = r.u32()
      const number = (flag >> 1) & (MAX_FRAGMENTS - 1)
      const bytes = r.take(r.u16())
      if (number === 0 || bytes.length === 0) throw new MalformedError('bad follow-on fragment')
      const last = (flag & LAST_FRAGMENT) !== 0
      this.#fragment(id, { number, last, bytes, delivery: undefined }, now, done)
      return
    }
    const delivery = readDelivery(flag >> DELIVERY_SHIFT, r)
    const fragmented = (flag & FRAGMENTED) !== 0
    if ((flag & DELAY) !== 0) r.u8()
    const id = fragmented ? r.u32() : 0
    if ((flag & EXTENDED_OPTIONS) !== 0) r.take(r.u8())
    const bytes = r.take(r.u16())
    if (bytes.length === 0) throw new MalformedError('empty fragment')
    if (fragmented) this.#fragment(id, { number: 0, last: false, bytes, delivery }, now, done)
    else done.push({ delivery, message: bytes })
  }

  #fragment(id: number, f: Fragment, now: Millis, done: Reassembled[]): void {
    const p = this.#partials.get(id) ?? this.#begin(id, now)
    const before = p.fragments[f.number]
    // The same again is a duplicate.
    if (before !== undefined && before.length === f.bytes.length) return
    if (before !== undefined || !consistent(p, f) || !this.#reserve(f.bytes.length, p)) {
      this.#drop(id, p)
      return
    }
    p.fragments[f.number] = copy(f.bytes)
    p.received++
    p.bytes += f.bytes.length
    if (f.last) p.last = f.number
    p.delivery ??= f.delivery
    if (p.last === undefined || p.received !== p.last + 1 || p.delivery === undefined) return
    this.#drop(id, p)
    done.push({ delivery: p.delivery, message: concat(...(p.fragments as Uint8Array[])) })
  }

  #begin(id: number, now: Millis): Unfinished {
    if (this.#partials.size >= MAX_PARTIAL) this.#dropOldest(undefined)
    const p: Unfinished = {
      delivery: undefined,
      fragments: [],
      received: 0,
      bytes: 0,
      last: undefined,
      startedAt: now,
    }
    this.#partials.set(id, p)
    return p
  }

  /** Takes `bytes` from the budget, at the cost of this tunnel's older messages. */
  #reserve(bytes: number, keep: Unfinished): boolean {
    const budget = this.#budget
    while (budget.used + bytes > budget.limit) if (!this.#dropOldest(keep)) return false
    budget.used += bytes
    return true
  }

  #dropOldest(keep: Unfinished | undefined): boolean {
    for (const [id, p] of this.#partials) {
      if (p === keep) continue
      this.#drop(id, p)
      return true
    }
    return false
  }

  #drop(id: number, p: Unfinished): void {
    this.#partials.delete(id)
    this.#budget.used -= p.bytes
  }
}

/** Whether a fragment can belong to what came before it. */
function consistent(p: Unfinished, f: Fragment): boolean {
  if (p.bytes + f.bytes.length > MAX_MESSAGE) return false
  if (p.last !== undefined) return !f.last && f.number < p.last
  return !f.last || p.fragments.length <= f.number
}

function readDelivery(type: number, r: Reader): TunnelDelivery {
  switch (type) {
    case DELIVER_LOCAL:
      return LOCAL
    case DELIVER_TUNNEL: {
      const tunnelId = r.u32()
      return { kind: 'tunnel', tunnelId, gateway: r.take(HASH_LENGTH) }
    }
    case DELIVER_ROUTER:
      return { kind: 'router', hash: r.take(HASH_LENGTH) }
    default:
      throw new MalformedError('unknown delivery type')
  }
}
