/**
 * How long tunnels may be, as a mesh grows and shrinks (mesh design, "Small meshes, honestly"). Outside meshes: as long as asked for.
 */
import type { Millis } from '../base/clock.ts'
import { hopsForMesh } from './peers/mesh-hops.ts'

// Implementation constants

/** From the first neighbour on, until tunnels are as long as those found by then allow: discovery takes 1-2 s. */
const SETTLES: Millis = 3_000
/** A mesh that lost a router keeps its tunnel lengths this long: it may be back at once. */
const LOWER_AFTER: Millis = 60_000

export class HopRule {
  readonly #mesh: boolean
  readonly #wanted: number
  #hops: number
  #settled: boolean
  #deadline: Millis | undefined

  /** `wanted`: the length with which nobody has to wait for more neighbours. */
  constructor(mesh: boolean, wanted: number) {
    this.#mesh = mesh
    this.#wanted = wanted
    this.#hops = mesh ? 0 : Number.POSITIVE_INFINITY
    this.#settled = !mesh
  }

  /** The most hops a tunnel gets. */
  get hops(): number {
    return this.#hops
  }

  /**
   * False while a mesh is still being discovered: the first lease set of a village that was just switched on must not say that
   * its destination is right here, only because one neighbour was heard before the other five.
   */
  get settled(): boolean {
    return this.#settled
  }

  /** Looks at how many routers are in reach; true when `hops` or `settled` has changed. More hops at once, fewer after a while. */
  follow(reachable: number, now: Millis): boolean {
    if (!this.#mesh) return false
    const hops = hopsForMesh(reachable, Number.POSITIVE_INFINITY)
    const due = this.#deadline !== undefined && now >= this.#deadline
    if (!this.#settled) {
      if (reachable > 0) this.#deadline ??= now + SETTLES
      return (reachable > 0 && hops >= this.#wanted) || due ? this.#set(hops) : false
    }
    if (hops > this.#hops || (hops < this.#hops && due)) return this.#set(hops)
    this.#deadline = hops === this.#hops ? undefined : (this.#deadline ?? now + LOWER_AFTER)
    return false
  }

  nextTimeout(): Millis | undefined {
    return this.#deadline
  }

  #set(hops: number): true {
    this.#hops = hops
    this.#settled = true
    this.#deadline = undefined
    return true
  }
}
