/** The neighbours whose links were handed on to the router: being taken in, or connected. */
import { compareBytes } from '../base/bytes.ts'
import type { Millis } from '../base/clock.ts'
import type { Endpoint } from '../base/core.ts'
import type { ClockQuality } from '../protocol/hello/payload.ts'
import { type Hash, type HashKey, hashKey } from '../protocol/structures/hash.ts'

// Implementation constants
/** A session that lasted this long ends no row of failures. */
const STEADY: Millis = 60_000
/** Identities that one address may have: a few programs on one machine, not a crowd made up there. */
const MAX_PER_ADDRESS = 3

export interface MeshPeer {
  readonly hash: Hash
  readonly endpoint: Endpoint
  readonly linkName: string
  /** Ours. */
  readonly role: 'initiator' | 'responder'
  readonly quality: ClockQuality
  /** Since when its session is open; undefined while NTCP2 is at work. */
  connectedAt: Millis | undefined
}

export class Peers {
  readonly #byHash = new Map<HashKey, MeshPeer>()

  get size(): number {
    return this.#byHash.size
  }

  values(): IterableIterator<MeshPeer> {
    return this.#byHash.values()
  }

  get(key: HashKey): MeshPeer | undefined {
    return this.#byHash.get(key)
  }

  countAt(address: string): number {
    let n = 0
    for (const p of this.#byHash.values()) if (p.endpoint.address === address) n++
    return n
  }

  connectedCount(): number {
    let n = 0
    for (const p of this.#byHash.values()) if (p.connectedAt !== undefined) n++
    return n
  }

  set(peer: MeshPeer): void {
    this.#byHash.set(hashKey(peer.hash), peer)
  }

  delete(key: HashKey): void {
    this.#byHash.delete(key)
  }

  /** Those on a link that is gone, removed. */
  removeLink(linkName: string): MeshPeer[] {
    const gone = [...this.#byHash.values()].filter((p) => p.linkName === linkName)
    for (const p of gone) this.#byHash.delete(hashKey(p.hash))
    return gone
  }

  /**
   * Whether a link on which `hash` has just said hello should be used. Two that dial each other at once decide alike: the link
   * begun by the lower hash stays. A connected neighbour that dials us has lost the session that we still believe in.
   */
  wants(hash: Hash, own: Hash, role: 'initiator' | 'responder', address: string): boolean {
    const known = this.#byHash.get(hashKey(hash))
    if (known === undefined) return this.countAt(address) < MAX_PER_ADDRESS
    if (known.role === role || known.connectedAt !== undefined) return role === 'responder'
    const begunByUs = role === 'initiator'
    return compareBytes(own, hash) < 0 === begunByUs
  }
}

/** Whether a session that ends now had been a good one. */
export function wasSteady(peer: MeshPeer, now: Millis): boolean {
  return peer.connectedAt !== undefined && now - peer.connectedAt >= STEADY
}
