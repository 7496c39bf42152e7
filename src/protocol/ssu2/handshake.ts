/**
 * What both roles of the handshake share. Each role is an object that takes packets and the time and answers with packets and at
 * last a result; it does no I/O, so a transcript is a function of keys, randomness and time.
 *
 * Letters as in the spec: X, Y ephemeral public keys of initiator and responder; h, ck inside `SymmetricState`.
 */
import { copy } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { Endpoint } from '../../base/core.ts'
import type { Random } from '../../base/random.ts'
import { hkdf, hkdf2 } from '../../crypto/hkdf.ts'
import type { SymmetricState } from '../../crypto/noise/symmetric-state.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import type { PaddingOptions } from '../blocks/padding-options.ts'
import type { RouterInfo } from '../structures/router-info.ts'
import type { IpPort, NewToken } from './blocks.ts'

// Specification constants

export const PROTOCOL_NAME = 'Noise_XKchaobfse+hs1+hs2+hs3_25519_ChaChaPoly_SHA256'
export const MAC = 16
/** IP and UDP headers: what an MTU holds beside the packet. */
const OVERHEAD_V4 = 28
const OVERHEAD_V6 = 48

// Implementation constants

/**
 * Between the clocks of two peers: i2pd's for SSU2 and the spec's for NTCP2. "Replay Prevention" recommends two minutes, with
 * which a peer would be refused by one transport and not by the other.
 */
export const MAX_SKEW_MS = 60_000
/** i2pd's and ours: 90 minutes (the spec asks for "the usual Router Info validation"). */
export const MAX_ROUTER_INFO_AGE_MS: number = 90 * 60_000
/** Our padding in handshake packets: "Random size from 0 to 31 bytes minimum?", as i2pd has it. */
export const MAX_HANDSHAKE_PADDING = 31

/** What a router brings to every one of its handshakes. */
export interface Local {
  readonly staticKeys: X25519KeyPair
  /** `i` of our address. */
  readonly introKey: Uint8Array
  readonly netId: number
  /** Noise prologue: undefined on the public network, a secret of the mesh otherwise. */
  readonly prologue: Uint8Array | undefined
  readonly random: Random
  readonly clock: Clock
}

/** Whom an initiator dials. */
export interface Remote {
  readonly routerInfo: RouterInfo
  /** `s`, `i` and `mtu` of the address being dialled. */
  readonly staticKey: Uint8Array
  readonly introKey: Uint8Array
  readonly mtu: number
  readonly endpoint: Endpoint
}

export interface HandshakeStep {
  /** To the peer's endpoint, in this order; the receiver owns them. */
  readonly send: readonly Uint8Array[]
  /**
   * Responder: the packet is another SessionRequest with the same connection ids, left as it came. When its token is good, its
   * own responder replaces this one: an initiator begins again after a Retry, i2pd after each that reaches it, repeated or not.
   */
  readonly another?: true
  /** The last step has one; nothing may be asked of the handshake afterwards. */
  readonly result?: Established | Refused
}

/** Keys of one direction ("KDF for data phase"). */
export interface DirectionKeys {
  /** Of the AEAD. */
  readonly data: Uint8Array
  /** The receiver's intro key. */
  readonly header1: Uint8Array
  readonly header2: Uint8Array
}

export interface DataPhaseKeys {
  readonly send: DirectionKeys
  readonly receive: DirectionKeys
}

export interface Established {
  readonly kind: 'established'
  readonly keys: DataPhaseKeys
  /** Connection ids: in packets to the peer, and in packets to us. */
  readonly sendId: Uint8Array
  readonly receiveId: Uint8Array
  readonly remote: RouterInfo
  readonly remoteIntroKey: Uint8Array
  /** `mtu` of their address. */
  readonly remoteMtu: number
  /** Their clock minus ours in ms, half the round trip taken into account. */
  readonly clockOffset: number
  /** Undefined when a packet was repeated and it is not known which one was answered (Karn's algorithm). */
  readonly rttMs: number | undefined
  readonly options?: PaddingOptions
  /** Where the peer sees us. */
  readonly ourAddress?: IpPort
  /** A token for our next SessionRequest to it. */
  readonly newToken?: NewToken
  /** Initiator: the peer relays for us under this tag. */
  readonly relayTag?: number
  /** Initiator: SessionConfirmed, sent and to be repeated as it is until packet 0 is acknowledged. */
  readonly confirm?: readonly Uint8Array[]
  /** Responder: the tag under which we have promised to relay for the peer. */
  readonly grantedTag?: number
  /** Responder: k_header_2 of SessionConfirmed, to tell a repeated one from other packets; packet 0 is then acknowledged again. */
  readonly confirmHeader2?: Uint8Array
  /** Responder: whole blocks of SessionConfirmed for the data phase, one after another; empty mostly. */
  readonly leftover?: Uint8Array
  /** Responder: packets that came before SessionConfirmed was whole, masks on: Data, by all likelihood. */
  readonly early?: readonly Uint8Array[]
}

export interface Refused {
  readonly kind: 'refused'
  /** A TerminationReason: the peer's when it gave one, else ours. */
  readonly reason: number
  /** Responder: the peer is authenticated and can be told the reason in a Data packet. */
  readonly tell?: Pick<Established, 'keys' | 'sendId' | 'receiveId'>
  /** Their clock minus ours in ms, from a peer that has proved its static key. */
  readonly clockOffset?: number
  /** The same from a Retry, which whoever is on the path and knows the RouterInfo could have written. */
  readonly claimedOffset?: number
  /** Log line at debug level. */
  readonly why: string
}

export const NOTHING: HandshakeStep = { send: [] }

/** Bytes of the largest packet to an address of this kind. */
export function maxPacket(mtu: number, v6: boolean): number {
  return mtu - (v6 ? OVERHEAD_V6 : OVERHEAD_V4)
}

/** k_header_2 of SessionCreated, once `es` is mixed in. */
export function createdHeaderKey(noise: SymmetricState): Uint8Array {
  return hkdf(noise.ck, new Uint8Array(0), 'SessCreateHeader', 32)
}

/** k_header_2 of SessionConfirmed, once `ee` is mixed in. */
export function confirmedHeaderKey(noise: SymmetricState): Uint8Array {
  return hkdf(noise.ck, new Uint8Array(0), 'SessionConfirmed', 32)
}

/** "KDF for data phase", after SessionConfirmed. */
export function dataPhaseKeys(
  noise: SymmetricState,
  role: 'initiator' | 'responder',
  ours: Uint8Array,
  theirs: Uint8Array,
): DataPhaseKeys {
  const [ab, ba] = noise.split()
  const [out, back] = role === 'initiator' ? [ab, ba] : [ba, ab]
  return { send: directionKeys(out, theirs), receive: directionKeys(back, ours) }
}

function directionKeys(key: Uint8Array, header1: Uint8Array): DirectionKeys {
  const [data, header2] = hkdf2(key, new Uint8Array(0), 'HKDFSSU2DataKeys')
  return { data, header1, header2 }
}

/** Bit 255 is never set in an honest X25519 key; the hybrid handshakes, which we do not offer, use it as a flag. */
export function hasHighBit(publicKey: Uint8Array): boolean {
  return (publicKey[31]! & 0x80) !== 0
}

/** When packets go again, and when they are given up; times after they were first sent. */
export interface Repeats {
  readonly after: readonly Millis[]
  readonly failed: Millis
}

/** Packets that are sent, byte for byte the same, until they are answered ("Handshake Retransmission"). */
export class Repeated {
  readonly #packets: readonly Uint8Array[]
  readonly #repeats: Repeats
  readonly sentAt: Millis
  times = 0

  constructor(packets: readonly Uint8Array[], repeats: Repeats, now: Millis) {
    this.#packets = packets
    this.#repeats = repeats
    this.sentAt = now
  }

  get deadline(): Millis {
    return this.sentAt + (this.#repeats.after[this.times] ?? this.#repeats.failed)
  }

  failed(now: Millis): boolean {
    return now >= this.sentAt + this.#repeats.failed
  }

  /** What to send at `now`: copies when it is time, else nothing. */
  due(now: Millis): Uint8Array[] {
    if (now < this.deadline || this.failed(now)) return []
    this.times++
    return this.copies()
  }

  /** The receiver of a packet takes its masks off in place. */
  copies(): Uint8Array[] {
    return this.#packets.map(copy)
  }

  /** Of the answer that came at `now`. */
  rttMs(now: Millis): Millis | undefined {
    return this.times === 0 ? now - this.sentAt : undefined
  }
}
