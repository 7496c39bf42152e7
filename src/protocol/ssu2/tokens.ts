/**
 * Tokens: who holds one can receive at the address he sends from, and his SessionRequest is no replay (ssu2, "Tokens").
 *
 * Those that we give are not kept, or a flood of requests from invented addresses would push out the honest ones. A token is
 * number (1), expiry (2, in units of `UNIT_MS`) and the MAC of both and the address (5); it is used up by remembering it.
 */
import { concat, Writer } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import { Lru, SeenFilter } from '../../base/lru.ts'
import type { Random } from '../../base/random.ts'
import { constantTimeEqual } from '../../crypto/equal.ts'
import { sipHash24 } from '../../crypto/siphash.ts'
import type { IpPort, NewToken } from './blocks.ts'
import { type ConnectionKey, connectionKey, TOKEN } from './header.ts'

// Implementation constants

/** Of a token in a Retry: "must be used immediately, and expires in a few seconds"; a round trip of a bad link, some repeats. */
export const RETRY_TOKEN_MS: Millis = 15_000
/** Of a token in a NewToken block: "one or more hours maximum". */
export const NEW_TOKEN_MS: Millis = 60 * 60_000
/** Expiry is counted in these: 16 bits of them are three days. */
const UNIT_MS = 4_000
const UNITS = 2 ** 16
const MAC_AT = 3
/** Used tokens of an hour, each from an address that was proved: beyond that the oldest may be used again. */
const MAX_USED = 8192
/** Peers whose tokens we keep; the least recently given goes first. */
const MAX_HELD = 1024

/** Those that we give. They are good for the address they were given to, once, until they expire. */
export class GivenTokens {
  readonly #random: Random
  #key: Uint8Array
  /** So that nobody is given twice what he has used. */
  #number = 0
  readonly #used: SeenFilter<ConnectionKey>

  constructor(random: Random, now: Millis) {
    this.#random = random
    this.#key = random.bytes(16)
    this.#used = new SeenFilter(NEW_TOKEN_MS + UNIT_MS, MAX_USED, now)
  }

  /** 8 bytes. `lifetime` is at most `NEW_TOKEN_MS`; it lives up to `UNIT_MS` longer. */
  give(to: IpPort, lifetime: Millis, now: Millis): Uint8Array {
    const head = new Writer(MAC_AT)
      .u8(this.#number++)
      .u16(Math.ceil((now + lifetime) / UNIT_MS) % UNITS).bytes
    return concat(head, this.#mac(head, to))
  }

  /** Whether `token` is ours, for this address, not expired and not used before; it is used then. */
  redeem(token: Uint8Array, from: IpPort, now: Millis): boolean {
    const unitsLeft = ((token[1]! << 8) | token[2]!) - (Math.floor(now / UNIT_MS) % UNITS)
    if ((unitsLeft + UNITS) % UNITS > (NEW_TOKEN_MS + UNIT_MS) / UNIT_MS) return false
    const mac = this.#mac(token.subarray(0, MAC_AT), from)
    return constantTimeEqual(mac, token.subarray(MAC_AT)) && !this.#used.seen(connectionKey(token), now)
  }

  /** Our address has changed: "it must delete all saved tokens". */
  forget(): void {
    this.#key = this.#random.bytes(16)
  }

  #mac(head: Uint8Array, { ip, port }: IpPort): Uint8Array {
    const message = new Writer(MAC_AT + ip.length + 2).put(head).put(ip).u16(port).bytes
    return sipHash24(this.#key, message).subarray(0, TOKEN - MAC_AT)
  }
}

/** Those that peers gave us: the last one from each address, for one SessionRequest. */
export class HeldTokens {
  readonly #held = new Lru<string, NewToken>(MAX_HELD)

  put(from: Endpoint, token: NewToken): void {
    this.#held.set(key(from), token)
  }

  /** Undefined without one, or when it has expired; a token is taken once. */
  take(to: Endpoint, wall: WallMillis): Uint8Array | undefined {
    const held = this.#held.get(key(to))
    if (held === undefined) return undefined
    this.#held.delete(key(to))
    return held.expires > wall ? held.token : undefined
  }

  /** Our address has changed: they were for the old one. */
  forget(): void {
    this.#held.clear()
  }
}

function key({ address, port }: Endpoint): string {
  return `${address} ${port}`
}
