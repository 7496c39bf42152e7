/**
 * One-time keys that we handed out for answers: encrypted lookup replies (i2np, "DatabaseLookup") and tunnel build replies
 * (tunnel-creation-ecies, "OutboundTunnelBuildReply"). A message that starts with a known tag is opened with its key, once, and
 * only when it came out of a tunnel of the pool that asked: whoever was asked could else send the answer to other tunnels, or
 * straight to a router that it suspects, and see from what follows whether it was right.
 */
import type { Millis } from '../base/clock.ts'
import { Lru } from '../base/lru.ts'
import type { Clove } from '../protocol/ratchet/clove.ts'
import { unwrapWithKey } from '../protocol/ratchet/symmetric-garlic.ts'
import type { PoolId } from './tunnel/tunnel-event.ts'

// Implementation constants

/** Open lookups and builds at once, with room to spare: each is answered or forgotten within a minute. */
const MAX_REPLY_KEYS = 1024
/** Longer than any lookup or build waits. */
const REPLY_KEY_LIFETIME: Millis = 60_000
/** Length of an ECIES reply tag, bytes. */
const TAG_LENGTH = 8

interface ReplyKey {
  readonly key: Uint8Array
  readonly tag: Uint8Array
  readonly pool: PoolId
  readonly until: Millis
}

export class ReplyKeys {
  readonly #keys = new Lru<string, ReplyKey>(MAX_REPLY_KEYS)

  /** `pool`: out of whose inbound tunnels the answer comes. */
  add(key: Uint8Array, tag: Uint8Array, pool: PoolId, now: Millis): void {
    this.#keys.set(tagKey(tag), { key, tag, pool, until: now + REPLY_KEY_LIFETIME })
  }

  /** The clove inside, when `garlic` came out of a tunnel of `pool` and was encrypted with a key for it. */
  open(garlic: Uint8Array, pool: PoolId, now: Millis): Clove | undefined {
    if (this.#keys.size === 0 || garlic.length < TAG_LENGTH) return undefined
    const tag = tagKey(garlic)
    const entry = this.#keys.get(tag)
    if (entry === undefined || entry.pool !== pool || entry.until < now) return undefined
    const clove = unwrapWithKey(entry.key, entry.tag, garlic)
    if (clove !== undefined) this.#keys.delete(tag)
    return clove
  }
}

function tagKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, TAG_LENGTH).toString('latin1')
}
