/**
 * Where the peer is: whether it has really moved to another endpoint (ssu2, "Connection Migration"), and whether we still reach
 * it after a change on our side ("Validation After Local Change").
 *
 * Until it answers from there nothing but challenges goes to a new endpoint, so neither window nor MTU have to shrink meanwhile,
 * and a packet that someone copied and sent on moves nothing. Newer packets from the old endpoint cancel the validation.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import type { Random } from '../../base/random.ts'

// Specification constants

/** "At least 8 bytes", of which i2pd compares the first eight. */
const CHALLENGE = 8

// Implementation constants

/** To a new endpoint goes no more than so many times what came from it ("Peer Address Spoofing"). */
const AMPLIFICATION = 3
/** Challenges of one validation, each after twice the time of the one before. */
const MAX_TRIES = 4
const MIN_INTERVAL: Millis = 200
/** Of challenges and responses: the largest packet that is sent here. Counted as sent, whatever it was. */
const CHALLENGE_PACKET = 108
/** Between two validations: copied packets cannot keep us busy. */
const VALIDATION_INTERVAL: Millis = 1_000

interface Validation {
  readonly endpoint: Endpoint
  readonly data: Uint8Array
  readonly interval: Millis
  tries: number
  /** The first challenge. */
  since: Millis
  nextAt: Millis
}

interface Candidate extends Validation {
  /** The newest packet from there. */
  highest: number
  /** Bytes that may go there. */
  credit: number
}

export interface Challenge {
  readonly to: Endpoint
  readonly data: Uint8Array
}

export interface Validated {
  readonly endpoint: Endpoint
  readonly rtt: Millis
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address
}

export class Path {
  readonly #random: Random
  /** Validated; everything but challenges and their answers goes there. */
  endpoint: Endpoint
  #candidate: Candidate | undefined
  #probe: Validation | undefined
  #notBefore: Millis = Number.NEGATIVE_INFINITY

  constructor(endpoint: Endpoint, random: Random) {
    this.endpoint = endpoint
    this.#random = random
  }

  get deadline(): Millis {
    const { POSITIVE_INFINITY } = Number
    return Math.min(this.#candidate?.nextAt ?? POSITIVE_INFINITY, this.#probe?.nextAt ?? POSITIVE_INFINITY)
  }

  /** A packet that verified, newer than all before it, came from `from`. `interval` is how long an answer takes. */
  heard(from: Endpoint, packetNumber: number, bytes: number, interval: Millis, now: Millis): void {
    const candidate = this.#candidate
    if (sameEndpoint(from, this.endpoint)) {
      if (candidate !== undefined && packetNumber > candidate.highest) this.#candidate = undefined
      return
    }
    if (candidate !== undefined && sameEndpoint(from, candidate.endpoint)) {
      candidate.highest = packetNumber
      candidate.credit += AMPLIFICATION * bytes
      return
    }
    if (now < this.#notBefore) return
    this.#notBefore = now + VALIDATION_INTERVAL
    const validation = this.#validation(from, interval, now)
    this.#candidate = { ...validation, highest: packetNumber, credit: AMPLIFICATION * bytes }
  }

  /** Our own address changed, or may have. */
  probe(interval: Millis, now: Millis): void {
    this.#probe = this.#validation(this.endpoint, interval, now)
  }

  /** A challenge that is to be sent now; call until undefined. */
  due(now: Millis): Challenge | undefined {
    const candidate = this.#candidate
    if (candidate !== undefined && now >= candidate.nextAt) {
      if (candidate.tries === MAX_TRIES) this.#candidate = undefined
      else {
        const challenge = attempt(candidate, now)
        if (candidate.credit >= CHALLENGE_PACKET) {
          candidate.credit -= CHALLENGE_PACKET
          return challenge
        }
      }
    }
    const probe = this.#probe
    if (probe === undefined || now < probe.nextAt) return undefined
    if (probe.tries < MAX_TRIES) return attempt(probe, now)
    this.#probe = undefined
    return undefined
  }

  /** A PathResponse with this data came from `from`. What is validated by it, if anything; the endpoint is then the path's. */
  answered(data: Uint8Array, from: Endpoint, now: Millis): Validated | undefined {
    const candidate = this.#candidate
    // The spec takes an answer from anywhere; taken from there alone, it proves both directions.
    if (candidate !== undefined && answers(data, candidate) && sameEndpoint(from, candidate.endpoint)) {
      this.#candidate = undefined
      this.endpoint = candidate.endpoint
      return { endpoint: candidate.endpoint, rtt: now - candidate.since }
    }
    const probe = this.#probe
    if (probe === undefined || !answers(data, probe)) return undefined
    this.#probe = undefined
    return { endpoint: probe.endpoint, rtt: now - probe.since }
  }

  #validation(endpoint: Endpoint, interval: Millis, now: Millis): Validation {
    const data = this.#random.bytes(CHALLENGE)
    return { endpoint, data, interval: Math.max(MIN_INTERVAL, interval), tries: 0, since: now, nextAt: now }
  }
}

function attempt(validation: Validation, now: Millis): Challenge {
  if (validation.tries === 0) validation.since = now
  validation.nextAt = now + validation.interval * 2 ** validation.tries++
  return { to: validation.endpoint, data: validation.data }
}

function answers(data: Uint8Array, validation: Validation): boolean {
  return validation.tries > 0 && sameBytes(data, validation.data)
}
