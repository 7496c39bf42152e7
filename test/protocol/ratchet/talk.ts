/** Two stores and what lies between them, for the tests of this folder. */
import { WallClock } from '../../../src/base/clock.ts'
import { SILENT } from '../../../src/base/log.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import { generateX25519, type X25519KeyPair } from '../../../src/crypto/x25519.ts'
import type { Clove } from '../../../src/protocol/ratchet/clove.ts'
import { type Decrypted, RatchetSessions } from '../../../src/protocol/ratchet/sessions.ts'

export const WALL = 1_760_000_000_000

export interface Side {
  readonly keys: X25519KeyPair
  readonly clock: WallClock
  store: RatchetSessions
}

export function side(random: Random, offset = 0): Side {
  const keys = generateX25519(random)
  const clock = new WallClock(WALL + offset, 0)
  return { keys, clock, store: new RatchetSessions({ keys, random, clock, log: SILENT }) }
}

/** As if its process had been started anew with the same keys. */
export function restart(s: Side, random: Random): void {
  s.store = new RatchetSessions({ keys: s.keys, random, clock: s.clock, log: SILENT })
}

export function clove(n: number, size = 20): Clove {
  const payload = new Uint8Array(size)
  new DataView(payload.buffer).setUint32(0, n)
  return { delivery: { kind: 'local' }, message: { type: 20, id: n, expiration: WALL + 60_000, payload } }
}

export function ids(d: Decrypted | undefined): number[] {
  return d === undefined ? [] : d.cloves.map((c) => c.message.id)
}

/** By its length a handshake message of one small clove cannot be told from others, so: what the far side makes of it. */
export type Kind = 'NS' | 'NSR' | 'ES'

/** A message with no clove, padding or 20 bytes of body has a length in one of three ranges. */
export function kind(message: Uint8Array, cloveBytes: number): Kind {
  const rest = message.length - cloveBytes
  return rest >= 96 + 7 ? 'NS' : rest >= 72 ? 'NSR' : 'ES'
}

/** Bytes of one clove block with local delivery and `size` bytes of body. */
export function blockLength(size = 20): number {
  return 3 + 10 + size
}

export interface LinkOptions {
  readonly latency: number
  readonly jitter: number
  readonly loss: number
  readonly duplicates: number
}

/** Both directions between two stores in virtual time, with the empty messages that time brings. */
export class Talk {
  now = 0
  readonly random: Random
  readonly received: { to: Side; decrypted: Decrypted; at: number }[] = []
  readonly sent: { from: Side; message: Uint8Array; at: number }[] = []
  undecrypted = 0
  readonly #a: Side
  readonly #b: Side
  readonly #options: LinkOptions
  #flying: { at: number; to: Side; message: Uint8Array }[] = []

  constructor(a: Side, b: Side, seed: number, options: Partial<LinkOptions> = {}) {
    this.#a = a
    this.#b = b
    this.random = seededRandom(seed)
    this.#options = { latency: 100, jitter: 0, loss: 0, duplicates: 0, ...options }
  }

  send(from: Side, cloves: readonly Clove[], ack = false): number | undefined {
    const encrypted = from.store.encrypt(this.#other(from).keys.publicKey, cloves, { ack }, this.now)
    if (encrypted !== undefined) this.fly(from, encrypted.message)
    return encrypted?.ackId
  }

  fly(from: Side, message: Uint8Array): void {
    this.sent.push({ from, message, at: this.now })
    const o = this.#options
    const copies = this.random.below(1000) < o.duplicates * 1000 ? 2 : 1
    for (let i = 0; i < copies; i++) {
      if (this.random.below(1000) < o.loss * 1000) continue
      const at = this.now + o.latency + this.random.below(o.jitter + 1)
      this.#flying.push({ at, to: this.#other(from), message })
    }
  }

  /** Loses what is under way. */
  cut(): void {
    this.#flying = []
  }

  run(until: number): void {
    for (;;) {
      let next = Math.min(this.#a.store.nextTimeout() ?? until, this.#b.store.nextTimeout() ?? until)
      for (const f of this.#flying) next = Math.min(next, f.at)
      if (next >= until) break
      this.now = Math.max(this.now, next)
      for (const f of this.#flying.filter((x) => x.at <= this.now)) {
        this.#flying.splice(this.#flying.indexOf(f), 1)
        const decrypted = f.to.store.decrypt(f.message, this.now)
        if (decrypted === undefined) this.undecrypted++
        else this.received.push({ to: f.to, decrypted, at: this.now })
      }
      for (const s of [this.#a, this.#b]) {
        for (const due of s.store.timeout(this.now)) this.fly(s, due.message)
      }
    }
    this.now = until
  }

  ids(to: Side): number[] {
    return this.received.filter((r) => r.to === to).flatMap((r) => ids(r.decrypted))
  }

  #other(s: Side): Side {
    return s === this.#a ? this.#b : this.#a
  }
}
