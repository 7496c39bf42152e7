/**
 * Relay blocks: Alice asks Bob to introduce her to Charlie, who cannot be reached; Charlie answers through Bob and by a hole
 * punch (ssu2, "RelayRequest", "RelayIntro", "RelayResponse").
 */
import { concat, type Reader, utf8, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Ed25519KeyPair } from '../../crypto/ed25519.ts'
import { verifySignature } from '../../crypto/signature.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'
import type { Identity } from '../structures/identity.ts'
import { type IpPort, readAddress, writeAddress } from './blocks.ts'
import { TOKEN, VERSION } from './header.ts'

// Specification constants

const REQUEST_PROLOGUE = utf8('RelayRequestData')
const RESPONSE_PROLOGUE = utf8('RelayAgreementOK')
/** Nonce, tag, timestamp, version and the size of the address. */
const REQUEST_HEAD = 14
/** Nonce, timestamp, version and the size of the address, which may be 0. */
const RESPONSE_HEAD = 10

/** Bob's are below 64, Charlie's from there to 127. */
export const RelayCode = {
  accept: 0,
  bobUnspecified: 1,
  charlieBanned: 2,
  bobLimit: 3,
  bobSignature: 4,
  tagNotFound: 5,
  aliceNotFound: 6,
  charlieUnspecified: 64,
  charlieAddress: 65,
  charlieLimit: 66,
  charlieSignature: 67,
  alreadyConnected: 68,
  aliceBanned: 69,
  aliceUnknown: 70,
} as const

/** The lowest code that is Charlie's. */
export const FIRST_CHARLIE_CODE = 64

export interface RelayRequest {
  readonly nonce: number
  /** Of Charlie's RouterInfo. */
  readonly tag: number
  /** Seconds since 1970. */
  readonly timestamp: number
  readonly version: number
  /** Alice's: where Charlie sends his hole punch. */
  readonly address: IpPort
  /** All of these as on the wire: what Alice signs. */
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
}

/** What Bob passes on to Charlie. */
export interface RelayIntro {
  readonly alice: Hash
  readonly request: RelayRequest
}

export interface RelayResponse {
  readonly code: number
  readonly nonce: number
  /** Seconds since 1970; undefined when a router refused without a signature. */
  readonly timestamp: number | undefined
  readonly version: number
  /** Charlie's: where he expects SessionRequest. */
  readonly address: IpPort | undefined
  /** What Charlie, or Bob when he refuses, signs. */
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  /** For SessionRequest: 8 bytes, when the code is `accept`. */
  readonly token: Uint8Array | undefined
}

/** Shares the reader's memory. */
export function readRelayRequest(r: Reader): RelayRequest {
  r.u8() // flags
  return readRequest(r)
}

export function writeRelayRequest(request: RelayRequest): Uint8Array {
  const { bytes, signature } = request
  return new Writer(1 + bytes.length + signature.length).u8(0).put(bytes).put(signature).bytes
}

/** Shares the reader's memory. */
export function readRelayIntro(r: Reader): RelayIntro {
  r.u8() // flags
  return { alice: r.take(HASH_LENGTH), request: readRequest(r) }
}

export function writeRelayIntro({ alice, request }: RelayIntro): Uint8Array {
  const { bytes, signature } = request
  const w = new Writer(1 + HASH_LENGTH + bytes.length + signature.length).u8(0)
  return w.put(alice).put(bytes).put(signature).bytes
}

function readRequest(r: Reader): RelayRequest {
  const start = r.pos
  const nonce = r.u32()
  const tag = r.u32()
  const timestamp = r.u32()
  const version = r.u8()
  const address = readAddress(r.sub(r.u8()))
  const bytes = r.bytes.subarray(start, r.pos)
  return { nonce, tag, timestamp, version, address, bytes, signature: r.rest() }
}

/** Alice's request to `bob` for the router `charlie` that published `tag`. */
export function signRelayRequest(
  signing: Ed25519KeyPair,
  bob: Hash,
  charlie: Hash,
  content: {
    readonly nonce: number
    readonly tag: number
    readonly timestamp: number
    readonly address: IpPort
  },
): RelayRequest {
  const { nonce, tag, timestamp, address } = content
  const endpoint = writeAddress(address)
  const w = new Writer(REQUEST_HEAD + endpoint.length).u32(nonce).u32(tag).u32(timestamp).u8(VERSION)
  const { bytes } = w.u8(endpoint.length).put(endpoint)
  const signature = signing.sign(REQUEST_PROLOGUE, bob, charlie, bytes)
  return { nonce, tag, timestamp, version: VERSION, address, bytes, signature }
}

export function verifyRelayRequest(
  alice: Identity,
  bob: Hash,
  charlie: Hash,
  request: RelayRequest,
): boolean {
  const message = concat(REQUEST_PROLOGUE, bob, charlie, request.bytes)
  return verifySignature(alice.signingType, alice.signingKey, message, request.signature)
}

/**
 * Shares the reader's memory.
 * @throws {MalformedError} also when an agreement lacks its address, signature or token.
 */
export function readRelayResponse(r: Reader): RelayResponse {
  r.u8() // flags
  const code = r.u8()
  const start = r.pos
  const nonce = r.u32()
  // "The data below is present only if the code is 0": most routers sign a refusal as well, some may not.
  if (code !== RelayCode.accept && r.left === 0) return bare(code, nonce, r.bytes.subarray(start, r.pos))
  const timestamp = r.u32()
  const version = r.u8()
  const size = r.u8()
  const address = size === 0 ? undefined : readAddress(r.sub(size))
  const bytes = r.bytes.subarray(start, r.pos)
  const head = { code, nonce, timestamp, version, address, bytes }
  if (code !== RelayCode.accept) return { ...head, signature: r.rest(), token: undefined }
  if (address === undefined || r.left <= TOKEN) throw new MalformedError('RelayResponse cut short')
  return { ...head, signature: r.take(r.left - TOKEN), token: r.take(TOKEN) }
}

function bare(code: number, nonce: number, bytes: Uint8Array): RelayResponse {
  const none = { timestamp: undefined, address: undefined, token: undefined }
  return { code, nonce, ...none, version: VERSION, bytes, signature: new Uint8Array(0) }
}

export function writeRelayResponse(response: RelayResponse): Uint8Array {
  const { code, bytes, signature, token } = response
  const size = 2 + bytes.length + signature.length + (token?.length ?? 0)
  const w = new Writer(size).u8(0).u8(code).put(bytes).put(signature)
  if (token !== undefined) w.put(token)
  return w.bytes
}

/** Charlie's agreement or refusal, or Bob's refusal; in both `bob` is Bob's hash. */
export function signRelayResponse(
  signing: Ed25519KeyPair,
  bob: Hash,
  content: {
    readonly code: number
    readonly nonce: number
    readonly timestamp: number
    readonly address: IpPort | undefined
    readonly token: Uint8Array | undefined
  },
): RelayResponse {
  const { code, nonce, timestamp, address, token } = content
  const endpoint = address === undefined ? new Uint8Array(0) : writeAddress(address)
  const w = new Writer(RESPONSE_HEAD + endpoint.length).u32(nonce).u32(timestamp).u8(VERSION)
  const { bytes } = w.u8(endpoint.length).put(endpoint)
  const signature = signing.sign(RESPONSE_PROLOGUE, bob, bytes)
  return { code, nonce, timestamp, version: VERSION, address, bytes, signature, token }
}

/** The code and the token are not covered. */
export function verifyRelayResponse(signer: Identity, bob: Hash, response: RelayResponse): boolean {
  const message = concat(RESPONSE_PROLOGUE, bob, response.bytes)
  return verifySignature(signer.signingType, signer.signingKey, message, response.signature)
}
