/** Token buckets for incoming connections: one for all, one for each source. */
import type { Millis } from '../../base/clock.ts'
import { Lru } from '../../base/lru.ts'
import { sourceKey } from './addresses.ts'
import type { TransportLimits } from './limits.ts'

// Implementation constants

/** Sources remembered; an attacker with more addresses than this meets the common bucket. */
const MAX_SOURCES = 4096
/** A source whose handshake was refused pays for as many more, so that probing is slow. */
const PENALTY = 3

/** Holds up to `burst` tokens and gains one per `interval` ms. */
export class TokenBucket {
  readonly #burst: number
  readonly #interval: Millis
  #tokens: number
  #at: Millis

  constructor(burst: number, interval: Millis, now: Millis) {
    this.#burst = burst
    this.#interval = interval
    this.#tokens = burst
    this.#at = now
  }

  take(now: Millis): boolean {
    this.#refill(now)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Takes more than there may be. */
  penalise(count: number, now: Millis): void {
    this.#refill(now)
    this.#tokens = Math.max(-this.#burst, this.#tokens - count)
  }

  #refill(now: Millis): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) / this.#interval)
    this.#at = now
  }
}

export class InboundRate {
  readonly #limits: TransportLimits
  readonly #sources = new Lru<string, TokenBucket>(MAX_SOURCES)
  #all: TokenBucket | undefined

  constructor(limits: TransportLimits) {
    this.#limits = limits
  }

  /** Whether one more connection from `address` may begin. */
  allow(address: string, now: Millis): boolean {
    if (!this.#source(address, now).take(now)) return false
    this.#all ??= new TokenBucket(this.#limits.handshakeBurst, this.#limits.handshakeIntervalMs, now)
    return this.#all.take(now)
  }

  /** Its handshake was refused. */
  failed(address: string, now: Millis): void {
    this.#source(address, now).penalise(PENALTY, now)
  }

  #source(address: string, now: Millis): TokenBucket {
    const key = sourceKey(address)
    let bucket = this.#sources.get(key)
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#limits.sourceBurst, this.#limits.sourceIntervalMs, now)
      this.#sources.set(key, bucket)
    }
    return bucket
  }
}
