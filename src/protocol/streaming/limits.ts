/** What can be set per destination, under Java's option names (`i2p.streaming.*`) where it has one. */
import type { Millis } from '../../base/clock.ts'
import type { Hash } from '../structures/hash.ts'

// Specification constants

/** Both sides use ECIES (streaming, "MTU Selection and Negotiation"; proposal 155). Payload bytes of a packet. */
const MTU_ECIES = 1812
/** A peer that says nothing has this. */
export const MTU_DEFAULT = 1730
export const MIN_MTU = 512

export interface StreamLimits {
  /** `maxMessageSize`: payload of one packet. */
  readonly mtu: number
  /** `maxWindowSize`: packets under way. */
  readonly maxWindow: number
  /** `maxResends`: timeouts in a row without any acknowledgement before a stream is given up. */
  readonly maxResends: number
  /** `initialRTO`: until a round trip was measured. */
  readonly initialRto: Millis
  /** `connectTimeout`: no answer to a SYNCHRONIZE. */
  readonly connectTimeout: Millis
  /** `inactivityTimeout`: an open stream says something after this much silence; 0 for never. */
  readonly inactivityTimeout: Millis
  /** `maxConcurrentStreams`, both directions. */
  readonly maxStreams: number
  /** Incoming streams that nobody has accepted, and how long they wait. */
  readonly backlog: number
  readonly acceptTimeout: Millis
  /** `maxConnsPerMinute`, `PerHour`, `PerDay`: incoming streams from one destination; 0 for any number. */
  readonly perMinute: number
  readonly perHour: number
  readonly perDay: number
  /** `maxTotalConnsPerMinute` and so on: from all together. */
  readonly totalPerMinute: number
  readonly totalPerHour: number
  readonly totalPerDay: number
  /** `limitAction`: what a refused initiator gets. */
  readonly refuse: 'reset' | 'drop'
  /** `answerPings`. */
  readonly answerPings: boolean
  /** Access lists: false for who may not connect. Undefined: everyone may. */
  readonly allow: ((remote: Hash) => boolean) | undefined
  /** Bytes that an application may have written ahead of the window. */
  readonly sendBuffer: number
  /** Unread bytes at which the peer is asked to stop, and at which to go on. */
  readonly chokeAt: number
  readonly unchokeAt: number
  /** Unread bytes beyond which packets are dropped: i2pd 2.45.1 does not heed a choke. */
  readonly receiveBuffer: number
  /** Unread bytes and what waits behind gaps, of all streams of a destination, with what each packet costs beside. */
  readonly receiveTotal: number
}

export const DEFAULT_LIMITS: StreamLimits = {
  mtu: MTU_ECIES,
  // i2pd's; a megabyte under way, enough for 3 MB/s at a round trip of 300 ms.
  maxWindow: 512,
  // With the back-off, some two and a half minutes out of range.
  maxResends: 12,
  // The others take 9 s, for lookups on the far side; where first packets get lost that is long.
  initialRto: 3_000,
  connectTimeout: 60_000,
  // As in Java.
  inactivityTimeout: 90_000,
  // Some 10 KB each when idle.
  maxStreams: 1024,
  backlog: 128,
  // As in i2pd.
  acceptTimeout: 10_000,
  perMinute: 0,
  perHour: 0,
  perDay: 0,
  totalPerMinute: 0,
  totalPerHour: 0,
  totalPerDay: 0,
  refuse: 'reset',
  answerPings: true,
  allow: undefined,
  sendBuffer: 262_144,
  chokeAt: 262_144,
  unchokeAt: 65_536,
  receiveBuffer: 2_097_152,
  // A dozen fast streams at once; a Pi has a gigabyte for everything.
  receiveTotal: 33_554_432,
}
