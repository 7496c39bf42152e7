/**
 * Whose a far static key is, as far as lease sets say. Anyone can write anybody's key into a lease set; only a message under the
 * key that brings the lease set along proves that its owner agrees.
 */
import { sameBytes } from '../../base/bytes.ts'
import { Lru } from '../../base/lru.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'

// Implementation constants

/** Destinations that name one key; a router's destinations may share one, more is mischief. */
const MAX_CLAIMS = 4

interface Claims {
  readonly hashes: Hash[]
  readonly proved: boolean
}

export class KeyClaims {
  readonly #byKey: Lru<HashKey, Claims>

  constructor(capacity: number) {
    this.#byKey = new Lru(capacity)
  }

  /** A lease set of `hash` names `key`. What was proved is not touched by what is only said. */
  add(key: Uint8Array, hash: Hash, proved: boolean): void {
    const id = hashKey(key)
    const held = this.#byKey.get(id)
    if (held === undefined || (proved && !held.proved)) this.#byKey.set(id, { hashes: [hash], proved })
    else if (
      held.proved === proved &&
      held.hashes.length < MAX_CLAIMS &&
      !held.hashes.some((h) => sameBytes(h, hash))
    )
      held.hashes.push(hash)
  }

  /** Undefined when it cannot be told. */
  owner(key: Uint8Array): Hash | undefined {
    const hashes = this.all(key)
    return hashes.length === 1 ? hashes[0] : undefined
  }

  all(key: Uint8Array): readonly Hash[] {
    return this.#byKey.get(hashKey(key))?.hashes ?? []
  }
}
