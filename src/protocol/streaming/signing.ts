/** Signatures over whole packets, their own field taken as zeros (streaming, "Variable Length Signature Notes"). */
import { copy } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { signatureLength, verifySignature } from '../../crypto/signature.ts'
import type { Identity, LocalIdentity } from '../structures/identity.ts'
import { type SigningKey, verifyOfflineSignature } from '../structures/offline-signature.ts'
import { type PacketFields, type StreamPacket, type WrittenPacket, writePacket } from './packet.ts'

/** What signs our packets: the destination's own key, or a transient one that it authorised. */
export interface PacketSigner {
  readonly identity: Identity
  readonly signatureLength: number
  /** For a transient key: expiry, type, key, signature, as in a lease set. */
  readonly offline: Uint8Array | undefined
  sign(message: Uint8Array): Uint8Array
}

export function signerOf(local: LocalIdentity): PacketSigner {
  const { identity, signing } = local
  return {
    identity,
    signatureLength: signatureLength(identity.signingType)!,
    offline: undefined,
    sign: (message) => signing.sign(message),
  }
}

/** `fields` with what a signed packet adds to them. */
export function signedFields(fields: PacketFields, signer: PacketSigner): PacketFields {
  const { signatureLength: length, offline } = signer
  return offline === undefined
    ? { ...fields, signatureLength: length }
    : { ...fields, signatureLength: length, offline }
}

/** Fills in the signature once the payload is in place. */
export function signPacket(packet: WrittenPacket, signer: PacketSigner): Uint8Array {
  packet.bytes.set(signer.sign(packet.bytes), packet.signatureAt)
  return packet.bytes
}

/** A finished packet without payload. */
export function signedPacket(fields: PacketFields, signer: PacketSigner, payload?: Uint8Array): Uint8Array {
  const packet = writePacket(signedFields(fields, signer), payload?.length ?? 0)
  if (payload !== undefined) packet.bytes.set(payload, packet.payloadAt)
  return signPacket(packet, signer)
}

/**
 * The key that made the packet's signature; undefined when there is none or it is wrong. `remembered` is a transient key
 * that an earlier packet of the stream proved: i2pd does not repeat the proof in a CLOSE.
 */
export function verifyPacket(
  packet: StreamPacket,
  signer: Identity,
  remembered: SigningKey | undefined,
  wall: WallMillis,
): SigningKey | undefined {
  const { signature, offline } = packet
  if (signature === undefined) return undefined
  const key =
    offline !== undefined
      ? verifyOfflineSignature(offline, signer, wall)
      : (remembered ?? { type: signer.signingType, key: signer.signingKey })
  if (key === undefined || signature.length !== signatureLength(key.type)) return undefined
  const message = copy(packet.bytes)
  message.fill(0, ...range(packet.bytes, signature))
  return verifySignature(key.type, key.key, message, signature) ? key : undefined
}

/** Where `part`, a view into `whole`, begins and ends in it. */
function range(whole: Uint8Array, part: Uint8Array): [number, number] {
  const at = part.byteOffset - whole.byteOffset
  return [at, at + part.length]
}
