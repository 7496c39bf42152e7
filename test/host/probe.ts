/** A core that shows what a pump does to it. */
import { expect } from 'vitest'
import type { Millis } from '../../src/base/clock.ts'
import type { Endpoint, LinkId, Sink } from '../../src/base/core.ts'
import type { PumpedCore } from '../../src/host/pump.ts'

export type Event = {
  readonly kind: string
  readonly id?: LinkId
  readonly bytes?: Uint8Array
  readonly from?: Endpoint
}

/** Tells what it is told, and does what a test wants done. */
export class Probe implements PumpedCore<Event> {
  readonly seen: Event[] = []
  deadline: Millis | undefined
  working = false
  on: (e: Event, now: Millis, out: Sink<Event>) => void = () => {}
  readonly #waiting: { readonly kind: string; readonly done: (e: Event) => void }[] = []

  accepted(id: LinkId, from: Endpoint, now: Millis, out: Sink<Event>): void {
    this.#note({ kind: 'accepted', id, from }, now, out)
  }
  connected(id: LinkId, now: Millis, out: Sink<Event>): void {
    this.#note({ kind: 'connected', id }, now, out)
  }
  received(id: LinkId, bytes: Uint8Array, now: Millis, out: Sink<Event>): void {
    this.#note({ kind: 'received', id, bytes }, now, out)
  }
  closed(id: LinkId, now: Millis, out: Sink<Event>): void {
    this.#note({ kind: 'closed', id }, now, out)
  }
  writable(id: LinkId, now: Millis, out: Sink<Event>): void {
    this.#note({ kind: 'writable', id }, now, out)
  }
  timeout(now: Millis, out: Sink<Event>): void {
    this.deadline = undefined
    this.#note({ kind: 'timeout' }, now, out)
  }
  nextTimeout(): Millis | undefined {
    return this.deadline
  }

  next(kind: string): Promise<Event> {
    return new Promise((done) => this.#waiting.push({ kind, done }))
  }

  #note(e: Event, now: Millis, out: Sink<Event>): void {
    expect(this.working).toBe(false)
    this.working = true
    this.seen.push(e)
    this.on(e, now, out)
    this.working = false
    const i = this.#waiting.findIndex((w) => w.kind === e.kind)
    if (i >= 0) this.#waiting.splice(i, 1)[0]!.done(e)
  }
}
