/** What is under way, by nonce, each with the time it wants to be looked at again. */
import type { Millis } from '../../base/clock.ts'
import { Deadlines } from '../../base/deadlines.ts'

export class Pending<T> {
  readonly #byNonce = new Map<number, T>()
  readonly #deadlines = new Deadlines<number>()
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get full(): boolean {
    return this.#byNonce.size >= this.#capacity
  }

  get(nonce: number): T | undefined {
    return this.#byNonce.get(nonce)
  }

  values(): IterableIterator<[nonce: number, value: T]> {
    return this.#byNonce.entries()
  }

  /** Adds or replaces; the caller has seen that there is room. */
  set(nonce: number, value: T, at: Millis): void {
    this.#byNonce.set(nonce, value)
    this.#deadlines.set(nonce, at)
  }

  delay(nonce: number, at: Millis): void {
    this.#deadlines.set(nonce, at)
  }

  delete(nonce: number): void {
    this.#byNonce.delete(nonce)
    this.#deadlines.clear(nonce)
  }

  next(): Millis | undefined {
    return this.#deadlines.next()
  }

  /** One that is due; it stays until `delete`, but is due again only after `delay`. */
  due(now: Millis): [nonce: number, value: T] | undefined {
    const nonce = this.#deadlines.due(now)
    return nonce === undefined ? undefined : [nonce, this.#byNonce.get(nonce)!]
  }
}
