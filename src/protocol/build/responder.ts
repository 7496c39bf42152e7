/** A hop's side of a build message with short records (tunnel-creation-ecies, "Record Encryption"). */
import { Reader, sameBytes } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { sealInto } from '../../crypto/aead.ts'
import type { X25519KeyPair } from '../../crypto/x25519.ts'
import type { Hash } from '../structures/hash.ts'
import { type HopKeys, openRequest, shortRecordKeys, streamRecord } from './hop-keys.ts'
import {
  type BuildRequest,
  EPHEMERAL_KEY,
  readShortRequest,
  SHORT_REPLY_CLEAR,
  TRUNCATED_HASH,
  writeReply,
} from './record.ts'

/** What a hop reads from its record. */
export interface OpenedRequest {
  readonly index: number
  readonly request: BuildRequest
  readonly keys: HopKeys
}

/** The index of the record for the router `self`, or -1. */
export function findRecord(records: readonly Uint8Array[], self: Hash): number {
  const mark = self.subarray(0, TRUNCATED_HASH)
  return records.findIndex((record) => sameBytes(record.subarray(0, TRUNCATED_HASH), mark))
}

/** The creator's ephemeral key: the same one twice is a replay. */
export function ephemeralKey(record: Uint8Array): Uint8Array {
  return record.subarray(TRUNCATED_HASH, TRUNCATED_HASH + EPHEMERAL_KEY)
}

/** Undefined when it does not decrypt or is malformed. */
export function openShortRecord(
  records: readonly Uint8Array[],
  index: number,
  keys: X25519KeyPair,
): OpenedRequest | undefined {
  const opened = openRequest(keys, records[index]!.subarray(TRUNCATED_HASH))
  if (opened === undefined) return undefined
  try {
    const request = readShortRequest(new Reader(opened.clear))
    return { index, request, keys: shortRecordKeys(opened.state, request.role === 'outbound-endpoint') }
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

/** In place: our reply in our record, and our layer over the others. */
export function answerShortRecords(
  records: readonly Uint8Array[],
  opened: OpenedRequest,
  status: number,
  random: Random,
): void {
  const { index, keys } = opened
  for (const [i, record] of records.entries()) {
    if (i !== index) streamRecord(keys.replyKey, i, record)
    else sealInto(record, 0, keys.replyKey, i, keys.h, writeReply(status, SHORT_REPLY_CLEAR, random))
  }
}
