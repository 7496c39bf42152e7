/**
 * Garlic under a key that the receiver handed out beforehand: answers to encrypted lookups (i2np, "DatabaseLookup") and the
 * OutboundTunnelBuildReply (tunnel-creation-ecies). It looks like an Existing Session message: tag 8, then one AEAD frame with
 * n = 0 and the tag as associated data.
 */
import { Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { open, sealInto } from '../../crypto/aead.ts'
import { BLOCK_HEADER_LENGTH, clovesLength, readPayload, writeCloves } from './blocks.ts'
import type { Clove } from './clove.ts'

// Specification constants

const TAG_LENGTH = 8
const MAC_LENGTH = 16

/**
 * The clove is the first block and nothing precedes it: i2pd looks at no other, and requires local delivery.
 * Returns a Garlic message's data without its length field. A key and tag serve once.
 */
export function wrapWithKey(key: Uint8Array, tag: Uint8Array, clove: Clove): Uint8Array {
  const cloves = [clove]
  const w = new Writer(clovesLength(cloves))
  writeCloves(w, cloves)
  const out = new Uint8Array(TAG_LENGTH + w.bytes.length + MAC_LENGTH)
  out.set(tag)
  sealInto(out, TAG_LENGTH, key, 0, tag, w.bytes)
  return out
}

/** The first clove; undefined when the message is not under this key and tag, or holds none. */
export function unwrapWithKey(key: Uint8Array, tag: Uint8Array, bytes: Uint8Array): Clove | undefined {
  if (bytes.length < TAG_LENGTH + BLOCK_HEADER_LENGTH + MAC_LENGTH) return undefined
  const plain = open(key, 0, tag, bytes.subarray(TAG_LENGTH))
  if (plain === undefined) return undefined
  try {
    return readPayload(plain).cloves[0]
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
