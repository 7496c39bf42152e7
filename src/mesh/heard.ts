/**
 * The verified announcements that have not expired: who might be dialled, where. Bounded, since a holder of the key could announce
 * without end.
 */
import { hex } from '../base/bytes.ts'
import type { Millis } from '../base/clock.ts'
import type { HashKey } from '../protocol/structures/hash.ts'
import type { Announcement } from './announcement.ts'

// Implementation constants
/** On one link: far more machines than one radio channel carries. */
const MAX_PER_LINK = 128
/** Of one address: this epoch and the last ones, of a few programs on one machine. */
const MAX_PER_ADDRESS = 4

/** One neighbour's epoch on one link. */
export interface Heard {
  readonly key: string
  /** Interface name. */
  readonly linkName: string
  /** Scoped. */
  readonly address: string
  readonly port: number
  readonly instance: string
  readonly epoch: Uint8Array
  expires: Millis
  /** Failed attempts in a row, for the back-off. */
  failures: number
  /** Not dialled before: back-off. */
  notBefore: Millis
  /** Who it turned out to be. */
  hash?: HashKey
}

export class HeardTable {
  /** In the order heard, so that the oldest comes first. */
  readonly #byKey = new Map<string, Heard>()

  get size(): number {
    return this.#byKey.size
  }

  values(): IterableIterator<Heard> {
    return this.#byKey.values()
  }

  get(key: string): Heard | undefined {
    return this.#byKey.get(key)
  }

  /** Adds or refreshes. `removed` had to go for it. */
  hear(
    linkName: string,
    address: string,
    a: Pick<Announcement, 'epoch' | 'port' | 'instance'>,
    expires: Millis,
  ): { heard: Heard; isNew: boolean; removed: Heard[] } {
    const key = `${address}|${a.port}|${hex(a.epoch)}`
    const known = this.#byKey.get(key)
    if (known !== undefined) {
      known.expires = expires
      this.#byKey.delete(key)
      this.#byKey.set(key, known)
      return { heard: known, isNew: false, removed: [] }
    }
    const removed = [
      ...this.#makeRoom((h) => h.address === address, MAX_PER_ADDRESS),
      ...this.#makeRoom((h) => h.linkName === linkName, MAX_PER_LINK),
    ]
    const { port, instance } = a
    const epoch = new Uint8Array(a.epoch)
    const heard = { key, linkName, address, port, instance, epoch, expires, failures: 0, notBefore: 0 }
    this.#byKey.set(key, heard)
    return { heard, isNew: true, removed }
  }

  /** How many programs announce from this address, as far as we know. */
  countAt(address: string): number {
    let n = 0
    for (const h of this.#byKey.values()) if (h.address === address) n++
    return n
  }

  delete(key: string): void {
    this.#byKey.delete(key)
  }

  /** The entry that a goodbye from this address means. */
  byInstance(address: string, instance: string): Heard | undefined {
    for (const h of this.#byKey.values()) if (h.address === address && h.instance === instance) return h
    return undefined
  }

  #makeRoom(among: (h: Heard) => boolean, max: number): Heard[] {
    const group = [...this.#byKey.values()].filter(among)
    const removed = group.slice(0, Math.max(0, group.length - max + 1))
    for (const h of removed) this.#byKey.delete(h.key)
    return removed
  }
}
