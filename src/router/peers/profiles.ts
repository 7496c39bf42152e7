/** What we experienced of other routers in our tunnels (peer-selection, "Peer Profiles"). Forgotten at a restart. */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { type Hash, type HashKey, hashKey } from '../../protocol/structures/hash.ts'
import type { PeerResult } from '../tunnel/tunnel-event.ts'

// Implementation constants
/** Routers remembered: all of a small network, those in use of a large one. */
const MAX_PROFILES = 4096
/** What happened counts half after this long. */
const HALF_LIFE: Millis = 20 * 60_000
/** Who declined is not asked again so soon; i2pd's figure. */
const DECLINE_PAUSE: Millis = 330_000
/** Weights. Nobody knows which hop of a build or a test is at fault, so each is blamed in part. */
const TIMEOUT_WEIGHT = 0.5
const TEST_OK_WEIGHT = 0.5
const TEST_FAILED_WEIGHT = 0.75
/** Below this score, with this much against it, a router is avoided. */
const POOR_SCORE = 0.25
const POOR_EVIDENCE = 2

interface Profile {
  good: number
  bad: number
  at: Millis
  declinedAt: Millis | undefined
}

export class PeerProfiles {
  readonly #profiles = new Lru<HashKey, Profile>(MAX_PROFILES)

  record(peer: Hash, what: PeerResult, now: Millis): void {
    const key = hashKey(peer)
    const p = this.#profiles.get(key) ?? { good: 0, bad: 0, at: now, declinedAt: undefined }
    decay(p, now)
    switch (what) {
      case 'accepted':
        p.good++
        p.declinedAt = undefined
        break
      case 'declined':
        p.bad++
        p.declinedAt = now
        break
      case 'timeout':
        p.bad += TIMEOUT_WEIGHT
        break
      case 'test-ok':
        p.good += TEST_OK_WEIGHT
        break
      case 'test-failed':
        p.bad += TEST_FAILED_WEIGHT
    }
    this.#profiles.set(key, p)
  }

  /** 0 to 1; a stranger has a half. */
  score(peer: HashKey, now: Millis): number {
    const p = this.#profiles.get(peer)
    if (p === undefined) return 0.5
    decay(p, now)
    return (1 + p.good) / (2 + p.good + p.bad)
  }

  /** True for routers that should only be asked when there are no others. */
  avoid(peer: HashKey, now: Millis): boolean {
    const p = this.#profiles.get(peer)
    if (p === undefined) return false
    if (p.declinedAt !== undefined && now < p.declinedAt + DECLINE_PAUSE) return true
    return this.score(peer, now) < POOR_SCORE && p.bad >= POOR_EVIDENCE
  }
}

function decay(p: Profile, now: Millis): void {
  if (now <= p.at) return
  const rest = 0.5 ** ((now - p.at) / HALF_LIFE)
  p.good *= rest
  p.bad *= rest
  p.at = now
}
