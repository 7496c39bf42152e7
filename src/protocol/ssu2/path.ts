/**
 * Where the peer is: whether it has really moved to another endpoint (ssu2, "Connection Migration"), and whether we still reach
 * it after a change on our side ("Validation After Local Change").
 *
 * Until it answers from there nothing but challenges goes to a new endpoint, so neither window nor MTU have to shrink meanwhile,
 * and a packet that someone copied and sent on moves nothing. Newer packets from the old endpoint cancel the validation.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import { ipBytes } from '../../base/ip.ts'
import type { Random } from '../../base/random.ts'
import { BlockType, writeBlock } from '../blocks/block.ts'
import { writeDateTime } from '../blocks/date-time.ts'
import { Ssu2BlockType, writeAddress } from './blocks.ts'
import { maxPayload } from './data-packet.ts'
import type { Sender, UdpSink } from './sender.ts'

// Specification constants

/** "At least 8 bytes", of which i2pd compares the first eight. */
const CHALLENGE = 8
/** "SSU2 Address": no path is narrower. */
const MIN_MTU = 1280

// Implementation constants

/** To a new endpoint goes no more than so many times what came from it ("Peer Address Spoofing"). */
const AMPLIFICATION = 3
/** Challenges of one validation, each after twice the time of the one before. */
const MAX_TRIES = 4
const MIN_INTERVAL: Millis = 200
/** Of challenges and responses: the largest packet that is sent here. Counted as sent, whatever it was. */
const CHALLENGE_PACKET = 108
/** Longer ones are not answered: "they could be a vector for packet amplification attacks". */
const MAX_CHALLENGE = 64
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

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address
}

export class Path {
  readonly #random: Random
  readonly #sender: Sender
  readonly #mayMove: (to: Endpoint) => boolean
  #endpoint: Endpoint
  #candidate: Candidate | undefined
  #probe: Validation | undefined
  #notBefore: Millis = Number.NEGATIVE_INFINITY

  /** `mayMove`: our owner's rules for new endpoints. */
  constructor(endpoint: Endpoint, sender: Sender, mayMove: (to: Endpoint) => boolean, random: Random) {
    this.#endpoint = endpoint
    this.#sender = sender
    this.#mayMove = mayMove
    this.#random = random
  }

  /** Validated; everything but challenges and their answers goes there. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  get deadline(): Millis {
    const { POSITIVE_INFINITY } = Number
    return Math.min(this.#candidate?.nextAt ?? POSITIVE_INFINITY, this.#probe?.nextAt ?? POSITIVE_INFINITY)
  }

  /** A packet that verified, newer than all before it, came from `from`. `interval` is how long an answer takes. */
  heard(from: Endpoint, packetNumber: number, bytes: number, interval: Millis, now: Millis): void {
    const candidate = this.#candidate
    if (sameEndpoint(from, this.#endpoint)) {
      if (candidate !== undefined && packetNumber > candidate.highest) this.#candidate = undefined
      return
    }
    if (candidate !== undefined && sameEndpoint(from, candidate.endpoint)) {
      candidate.highest = packetNumber
      candidate.credit += AMPLIFICATION * bytes
      return
    }
    if (now < this.#notBefore || !this.#mayMove(from)) return
    this.#notBefore = now + VALIDATION_INTERVAL
    const validation = this.#validation(from, interval, now)
    this.#candidate = { ...validation, highest: packetNumber, credit: AMPLIFICATION * bytes }
  }

  /** Our own address changed, or may have. */
  probe(interval: Millis, now: Millis): void {
    this.#sender.hurry(now)
    this.#probe = this.#validation(this.#endpoint, interval, now)
  }

  /** Sends the challenges that are due. */
  challenge(now: Millis, wall: WallMillis, out: UdpSink): void {
    for (let due = this.#due(now); due !== undefined; due = this.#due(now)) {
      this.#send(Ssu2BlockType.pathChallenge, due.data, due.endpoint, wall, out)
    }
  }

  /** "The Path Response must be sent to the IP/port from which the Path Challenge was received." */
  challenged(data: Uint8Array, from: Endpoint, wall: WallMillis, out: UdpSink): void {
    if (data.length > MAX_CHALLENGE || !(sameEndpoint(from, this.#endpoint) || this.#mayMove(from))) return
    this.#send(Ssu2BlockType.pathResponse, data, from, wall, out)
  }

  /** A PathResponse with this data came from `from`. Tells where the peer was before when it has moved. */
  answered(data: Uint8Array, from: Endpoint, now: Millis, wall: WallMillis): Endpoint | undefined {
    const candidate = this.#candidate
    const before = this.#endpoint
    // The spec takes an answer from anywhere; taken from there alone, it proves both directions.
    if (candidate !== undefined && answers(data, candidate) && sameEndpoint(from, candidate.endpoint)) {
      this.#candidate = undefined
      this.#endpoint = candidate.endpoint
      // Another port is mostly a NAT that forgot; the path behind it is the old one ("Successful Path Validation").
      if (from.address !== before.address) {
        this.#sender.reset(now - candidate.since, maxPayload(MIN_MTU, isIpv6(from)))
      }
      this.#sender.moved(now, wall)
      return before
    }
    const probe = this.#probe
    if (probe !== undefined && answers(data, probe)) {
      this.#probe = undefined
      this.#sender.reset(now - probe.since, undefined)
      this.#sender.moved(now, wall)
    }
    return undefined
  }

  /** A challenge that is to be sent now. */
  #due(now: Millis): Validation | undefined {
    const candidate = this.#candidate
    if (candidate !== undefined && now >= candidate.nextAt) {
      if (candidate.tries === MAX_TRIES) this.#candidate = undefined
      else if (attempt(candidate, now).credit >= CHALLENGE_PACKET) {
        candidate.credit -= CHALLENGE_PACKET
        return candidate
      }
    }
    const probe = this.#probe
    if (probe === undefined || now < probe.nextAt) return undefined
    if (probe.tries < MAX_TRIES) return attempt(probe, now)
    this.#probe = undefined
    return undefined
  }

  /** With DateTime and the recipient's address ("Message Contents"); with an Ack only where the peer is known to be. */
  #send(type: number, data: Uint8Array, to: Endpoint, wall: WallMillis, out: UdpSink): void {
    const blocks = [writeBlock(BlockType.dateTime, writeDateTime(wall)), writeBlock(type, data)]
    const ip = ipBytes(to.address)
    if (ip !== undefined) {
      blocks.push(writeBlock(Ssu2BlockType.address, writeAddress({ ip, port: to.port })))
    }
    this.#sender.sendBlocks(blocks, sameEndpoint(to, this.#endpoint), wall, to, out)
  }

  #validation(endpoint: Endpoint, interval: Millis, now: Millis): Validation {
    const data = this.#random.bytes(CHALLENGE)
    return { endpoint, data, interval: Math.max(MIN_INTERVAL, interval), tries: 0, since: now, nextAt: now }
  }
}

export function isIpv6(endpoint: Endpoint): boolean {
  return ipBytes(endpoint.address)?.length === 16
}

function attempt<V extends Validation>(validation: V, now: Millis): V {
  if (validation.tries === 0) validation.since = now
  validation.nextAt = now + validation.interval * 2 ** validation.tries++
  return validation
}

function answers(data: Uint8Array, validation: Validation): boolean {
  return validation.tries > 0 && sameBytes(data, validation.data)
}
