/** Relay tags that we gave: by them we know for whom others ask (ssu2, "RelayTag"). One for each session, forgotten with it. */
import type { Random } from '../../base/random.ts'
import { randomId } from '../../base/random.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'

// Implementation constants

/** Routers that we introduce at once. */
const MAX_TAGS = 128

export class Tags {
  readonly #random: Random
  readonly #owners = new Map<number, Hash>()
  readonly #tags = new Map<HashKey, number>()

  constructor(random: Random) {
    this.#random = random
  }

  /** For a session that is about to begin: counts only once it is `given`. Undefined when we introduce enough. */
  fresh(): number | undefined {
    const tag = randomId(this.#random)
    return this.#owners.has(tag) || this.#owners.size >= MAX_TAGS ? undefined : tag
  }

  /** Its first tag stays; asked again, it hears the same. */
  give(to: Hash): number | undefined {
    const given = this.#tags.get(hashKey(to))
    if (given !== undefined) return given
    const tag = this.fresh()
    if (tag !== undefined) this.given(to, tag)
    return tag
  }

  given(to: Hash, tag: number): void {
    this.forget(to)
    if (this.#owners.size >= MAX_TAGS || this.#owners.has(tag)) return
    this.#owners.set(tag, to)
    this.#tags.set(hashKey(to), tag)
  }

  owner(tag: number): Hash | undefined {
    return this.#owners.get(tag)
  }

  forget(peer: Hash): void {
    const key = hashKey(peer)
    const tag = this.#tags.get(key)
    if (tag === undefined) return
    this.#tags.delete(key)
    this.#owners.delete(tag)
  }
}
