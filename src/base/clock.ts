/**
 * Two clocks. `Millis` is monotonic and drives every deadline; it is an argument everywhere (`now`). The wall clock serves
 * the protocol's dates only: it is the monotonic clock plus an offset that a face may step, so a machine without a battery
 * clock can learn the date without a timer firing early.
 */

/** Milliseconds on the monotonic clock; its zero means nothing. */
export type Millis = number

/** Milliseconds since 1970-01-01 UTC. */
export type WallMillis = number

/** What turns monotonic time into dates. */
export interface Clock {
  wall(now: Millis): WallMillis
}

/** A wall clock for one face. */
export class WallClock implements Clock {
  #offset: number

  /** `wall` is the date at monotonic time `now`. */
  constructor(wall: WallMillis, now: Millis) {
    this.#offset = wall - now
  }

  wall(now: Millis): WallMillis {
    return Math.round(now + this.#offset)
  }

  /** Moves dates by `by` ms; no deadline moves. */
  step(by: number): void {
    this.#offset += by
  }
}

/** Whole seconds, as the protocol's 4-byte dates have it. */
export function seconds(wall: WallMillis): number {
  return Math.floor(wall / 1000)
}
