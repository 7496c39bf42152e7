/**
 * PeerTest block: the seven messages by which Alice learns, through Bob, whether Charlie can reach her (ssu2, "PeerTest").
 * Messages 1 to 4 travel in sessions, 5 to 7 in packets of their own (nonce-packet.ts).
 */
import { concat, type Reader, utf8, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Ed25519KeyPair } from '../../crypto/ed25519.ts'
import { verifySignature } from '../../crypto/signature.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'
import type { Identity } from '../structures/identity.ts'
import { type IpPort, readAddress, writeAddress } from './blocks.ts'
import { VERSION } from './header.ts'

// Specification constants

const PROLOGUE = utf8('PeerTestValidate')
/** Version, nonce, timestamp and the size of the address. */
const DATA_HEAD = 10
const FIRST_MESSAGE = 1
const LAST_MESSAGE = 7
/** Alice's hash for Charlie, Charlie's for Alice. */
const MESSAGES_WITH_HASH = [2, 4]

/** Bob's are below 64, Charlie's from there to 127. Messages 3 and 4 only. */
export const PeerTestCode = {
  accept: 0,
  bobUnspecified: 1,
  noCharlie: 2,
  bobLimit: 3,
  bobSignature: 4,
  bobAddress: 5,
  charlieUnspecified: 64,
  charlieAddress: 65,
  charlieLimit: 66,
  charlieSignature: 67,
  alreadyConnected: 68,
  aliceBanned: 69,
  aliceUnknown: 70,
} as const

/** What Alice asks and Charlie answers, each with a signature. */
export interface PeerTestData {
  readonly version: number
  readonly nonce: number
  /** Seconds since 1970. */
  readonly timestamp: number
  /** Alice's, the one that is tested. */
  readonly address: IpPort
  /** All of these as on the wire: what is signed, and passed on unchanged. */
  readonly bytes: Uint8Array
}

export interface PeerTest {
  /** 1 to 7. */
  readonly message: number
  readonly code: number
  /** Message 2: Alice's. Message 4: Charlie's, or zeros when Bob refused. */
  readonly hash?: Hash
  readonly data: PeerTestData
  /** May be empty in messages 5 to 7. */
  readonly signature: Uint8Array
}

/** Shares the reader's memory. */
export function readPeerTest(r: Reader): PeerTest {
  const message = r.u8()
  if (message < FIRST_MESSAGE || message > LAST_MESSAGE)
    throw new MalformedError(`PeerTest message ${message}`)
  const code = r.u8()
  r.u8() // flags
  const hash = MESSAGES_WITH_HASH.includes(message) ? r.take(HASH_LENGTH) : undefined
  const data = readPeerTestData(r)
  return { message, code, ...(hash === undefined ? {} : { hash }), data, signature: r.rest() }
}

export function writePeerTest(test: PeerTest): Uint8Array {
  const { message, code, hash, data, signature } = test
  const size = 3 + (hash?.length ?? 0) + data.bytes.length + signature.length
  const w = new Writer(size).u8(message).u8(code).u8(0)
  if (hash !== undefined) w.put(hash)
  return w.put(data.bytes).put(signature).bytes
}

function readPeerTestData(r: Reader): PeerTestData {
  const start = r.pos
  const version = r.u8()
  const nonce = r.u32()
  const timestamp = r.u32()
  const address = readAddress(r.sub(r.u8()))
  return { version, nonce, timestamp, address, bytes: r.bytes.subarray(start, r.pos) }
}

export function peerTestData(nonce: number, timestamp: number, address: IpPort): PeerTestData {
  const endpoint = writeAddress(address)
  const w = new Writer(DATA_HEAD + endpoint.length).u8(VERSION).u32(nonce).u32(timestamp)
  const { bytes } = w.u8(endpoint.length).put(endpoint)
  return { version: VERSION, nonce, timestamp, address, bytes }
}

/** Alice signs what she asks of `bob`; Charlie his answer, with `alice`'s hash in it. */
export function signPeerTest(
  signing: Ed25519KeyPair,
  bob: Hash,
  alice: Hash | undefined,
  data: PeerTestData,
): Uint8Array {
  return signing.sign(signed(bob, alice, data))
}

/** Whether `signer` signed it; `alice` is undefined for Alice's own. */
export function verifyPeerTest(
  signer: Identity,
  bob: Hash,
  alice: Hash | undefined,
  data: PeerTestData,
  signature: Uint8Array,
): boolean {
  return verifySignature(signer.signingType, signer.signingKey, signed(bob, alice, data), signature)
}

function signed(bob: Hash, alice: Hash | undefined, data: PeerTestData): Uint8Array {
  return alice === undefined ? concat(PROLOGUE, bob, data.bytes) : concat(PROLOGUE, bob, alice, data.bytes)
}
