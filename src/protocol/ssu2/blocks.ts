/** The block types that only SSU2 has, and codecs of the small ones (ssu2, "Block Specifications"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { seconds } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { TOKEN } from './header.ts'

// Specification constants

/** Beside those in `blocks/block.ts`. */
export const Ssu2BlockType = {
  firstFragment: 4,
  followOnFragment: 5,
  termination: 6,
  relayRequest: 7,
  relayResponse: 8,
  relayIntro: 9,
  peerTest: 10,
  ack: 12,
  address: 13,
  relayTagRequest: 15,
  relayTag: 16,
  newToken: 17,
  pathChallenge: 18,
  pathResponse: 19,
  firstPacketNumber: 20,
  congestion: 21,
} as const

const CONGESTION_IMMEDIATE_ACK = 0x01
const CONGESTION_EXPERIENCED = 0x02
/** Follow-on fragments are numbered in seven bits. */
const MAX_FRAGMENT_NUMBER = 127
/** Fragment number and last-fragment bit, message id. */
export const FOLLOW_ON_HEADER = 5

/** An IP address and port as blocks have them. */
export interface IpPort {
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array
  readonly port: number
}

export function readAddress(r: Reader): IpPort {
  const port = r.u16()
  if (r.left !== 4 && r.left !== 16) throw new MalformedError(`Address of ${r.left} bytes`)
  return { ip: r.rest(), port }
}

export function writeAddress({ ip, port }: IpPort): Uint8Array {
  return new Writer(2 + ip.length).u16(port).put(ip).bytes
}

/** Not 0. */
export function readRelayTag(r: Reader): number {
  const tag = r.u32()
  r.end('RelayTag')
  if (tag === 0) throw new MalformedError('RelayTag of 0')
  return tag
}

export function writeRelayTag(tag: number): Uint8Array {
  return new Writer(4).u32(tag).bytes
}

/** For one later SessionRequest from the same address. */
export interface NewToken {
  readonly expires: WallMillis
  /** 8 bytes. */
  readonly token: Uint8Array
}

export function readNewToken(r: Reader): NewToken {
  const newToken = { expires: r.u32() * 1000, token: r.take(TOKEN) }
  r.end('NewToken')
  return newToken
}

export function writeNewToken({ expires, token }: NewToken): Uint8Array {
  return new Writer(4 + TOKEN).u32(seconds(expires)).put(token).bytes
}

export interface Congestion {
  readonly immediateAck: boolean
  /** The network marked packets (ECN). */
  readonly experienced: boolean
}

/** Later versions may append to it. */
export function readCongestion(r: Reader): Congestion {
  const flags = r.u8()
  return {
    immediateAck: (flags & CONGESTION_IMMEDIATE_ACK) !== 0,
    experienced: (flags & CONGESTION_EXPERIENCED) !== 0,
  }
}

export function writeCongestion(congestion: Congestion): Uint8Array {
  return Uint8Array.of(
    (congestion.immediateAck ? CONGESTION_IMMEDIATE_ACK : 0) |
      (congestion.experienced ? CONGESTION_EXPERIENCED : 0),
  )
}

/** A part of an I2NP message after the first. The first is a block with the header of 9 bytes and a shorter payload. */
export interface FollowOnFragment {
  /** 1 to 127. */
  readonly number: number
  readonly isLast: boolean
  readonly messageId: number
  /** At least 1 byte. */
  readonly data: Uint8Array
}

/** The data is not copied. */
export function readFollowOnFragment(r: Reader): FollowOnFragment {
  const info = r.u8()
  const fragment = { number: info >> 1, isLast: (info & 1) !== 0, messageId: r.u32(), data: r.rest() }
  if (fragment.number === 0) throw new MalformedError('follow-on fragment with number 0')
  if (fragment.data.length === 0) throw new MalformedError('empty fragment')
  return fragment
}

/** Straight into a packet that has room for `FOLLOW_ON_HEADER` and the data. */
export function putFollowOnFragment(w: Writer, fragment: FollowOnFragment): void {
  const { number, isLast, messageId, data } = fragment
  if (number < 1 || number > MAX_FRAGMENT_NUMBER) throw new RangeError(`fragment ${number}`)
  w.u8((number << 1) | (isLast ? 1 : 0))
    .u32(messageId)
    .put(data)
}
