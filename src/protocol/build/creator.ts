/** The creator's side of one tunnel build (tunnel-creation-ecies, "Build Records", "Record Encryption"). */
import { Reader, sameBytes } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { type Random, randomId, shuffle } from '../../base/random.ts'
import { open } from '../../crypto/aead.ts'
import { generateX25519 } from '../../crypto/x25519.ts'
import {
  MAX_BUILD_RECORDS,
  readTunnelBuild,
  SHORT_RECORD_LENGTH,
  writeTunnelBuild,
} from '../i2np/tunnel-build.ts'
import type { Hash } from '../structures/hash.ts'
import { type GarlicReply, type HopKeys, sealRequest, shortRecordKeys, streamRecord } from './hop-keys.ts'
import {
  EPHEMERAL_KEY,
  type HopRole,
  LAYER_AES,
  readReplyStatus,
  TRUNCATED_HASH,
  TUNNEL_SECONDS,
  writeShortRequest,
} from './record.ts'

// Specification constants
/** Records of an ordinary message: its size tells nothing of a tunnel of up to four hops. */
const USUAL_RECORDS = 4

/** A router asked to take part. */
export interface Hop {
  readonly hash: Hash
  readonly encryptionKey: Uint8Array
}

/** A hop of a tunnel that stands. */
export interface TunnelHop {
  readonly hash: Hash
  readonly receiveTunnelId: number
  readonly layerKey: Uint8Array
  readonly ivKey: Uint8Array
}

export interface OutboundEnd {
  readonly direction: 'outbound'
  /** The inbound tunnel that brings the reply. */
  readonly gateway: Hash
  readonly tunnelId: number
}

export interface InboundEnd {
  readonly direction: 'inbound'
  readonly self: Hash
  /** Where we shall receive. */
  readonly tunnelId: number
}

export interface TunnelBuild {
  /** Payload of the ShortTunnelBuild. */
  readonly payload: Uint8Array
  /** In path order. */
  readonly hops: readonly TunnelHop[]
  /** Outbound: how the endpoint garlic encrypts the reply. */
  readonly garlicReply: GarlicReply | undefined
  readonly slots: readonly Slot[]
  /**
   * Inbound: a record that bears our own hash, without which the last hop would see that nobody comes after it. It must come back as it was.
   */
  readonly phony: { readonly index: number; readonly record: Uint8Array } | undefined
}

/** Where a hop's record lies in the message, and its keys. */
interface Slot {
  readonly index: number
  readonly keys: HopKeys
}

/** Per hop, in path order: the reply byte, or undefined where the reply does not verify. */
export type BuildStatuses = readonly (number | undefined)[]

/**
 * `hops` in path order: an inbound tunnel's gateway first, an outbound tunnel's endpoint last. `replyMessageId` is the id of
 * the message that ends the build. Undefined when a hop's key is no key, or there are none or too many hops.
 */
export function createBuild(
  hops: readonly Hop[],
  end: OutboundEnd | InboundEnd,
  replyMessageId: number,
  minutes: number,
  random: Random,
): TunnelBuild | undefined {
  const inbound = end.direction === 'inbound'
  const used = hops.length + (inbound ? 1 : 0)
  if (hops.length === 0 || used > MAX_BUILD_RECORDS) return undefined
  const count = used <= USUAL_RECORDS ? USUAL_RECORDS : MAX_BUILD_RECORDS
  const records = Array.from({ length: count }, () => random.bytes(SHORT_RECORD_LENGTH))
  const order = shuffle(
    random,
    records.map((_, i) => i),
  )
  const ids = hops.map(() => randomId(random))
  const slots: Slot[] = []
  const made: TunnelHop[] = []
  for (const [i, hop] of hops.entries()) {
    const last = i === hops.length - 1
    const role = hopRole(i, hops.length, inbound)
    const clear = writeShortRequest(
      {
        role,
        receiveTunnelId: ids[i]!,
        nextTunnelId: last ? end.tunnelId : ids[i + 1]!,
        nextHop: last ? (inbound ? end.self : end.gateway) : hops[i + 1]!.hash,
        layerEncryption: LAYER_AES,
        requestTime: minutes,
        lifetime: TUNNEL_SECONDS,
        nextMessageId: last ? replyMessageId : randomId(random),
      },
      random,
    )
    const request = sealRequest(hop.encryptionKey, generateX25519(random), clear)
    if (request === undefined) return undefined
    const index = order[i]!
    records[index]!.set(hop.hash.subarray(0, TRUNCATED_HASH))
    records[index]!.set(request.sealed, TRUNCATED_HASH)
    const keys = shortRecordKeys(request.state, role === 'outbound-endpoint')
    slots.push({ index, keys })
    made.push({ hash: hop.hash, receiveTunnelId: ids[i]!, layerKey: keys.layerKey, ivKey: keys.ivKey })
  }
  const phony = inbound ? { index: order[hops.length]!, record: phonyRecord(end.self, random) } : undefined
  if (phony !== undefined) records[phony.index]!.set(phony.record)
  // Each hop streams over every record but its own: what a later hop is to find has to be streamed by all before it, in advance.
  for (let i = 0; i < slots.length; i++) {
    for (let j = i + 1; j < slots.length; j++) streamSlot(slots[i]!, records, slots[j]!.index)
    if (phony !== undefined) streamSlot(slots[i]!, records, phony.index)
  }
  const garlicReply = slots[slots.length - 1]!.keys.garlicReply
  return { payload: writeTunnelBuild(records), hops: made, garlicReply, slots, phony }
}

/**
 * Reads the replies out of the message that ended the build; `payload` is overwritten. Undefined when it is not an answer to
 * this build at all: wrong size, or our own record was touched.
 */
export function readBuildReplies(build: TunnelBuild, payload: Uint8Array): BuildStatuses | undefined {
  const records = recordsOf(payload)
  if (payload.length !== build.payload.length || records === undefined) return undefined
  const { slots, phony } = build
  if (phony !== undefined && !sameBytes(records[phony.index]!, phony.record)) return undefined
  const statuses = new Array<number | undefined>(slots.length)
  for (let i = slots.length - 1; i >= 0; i--) {
    const { index, keys } = slots[i]!
    const clear = open(keys.replyKey, index, keys.h, records[index]!)
    statuses[i] = clear === undefined ? undefined : readReplyStatus(clear)
    for (let j = 0; j < i; j++) streamSlot(slots[i]!, records, slots[j]!.index)
  }
  return statuses
}

function recordsOf(payload: Uint8Array): Uint8Array[] | undefined {
  try {
    return readTunnelBuild(new Reader(payload), SHORT_RECORD_LENGTH)
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}

function streamSlot(slot: Slot, records: readonly Uint8Array[], index: number): void {
  streamRecord(slot.keys.replyKey, index, records[index]!)
}

function hopRole(i: number, length: number, inbound: boolean): HopRole {
  if (inbound) return i === 0 ? 'inbound-gateway' : 'participant'
  return i === length - 1 ? 'outbound-endpoint' : 'participant'
}

/** Looks like a request to us: our hash and a real key, for random bytes may have a key's top bit set. */
function phonyRecord(self: Hash, random: Random): Uint8Array {
  const record = random.bytes(SHORT_RECORD_LENGTH)
  record.set(self.subarray(0, TRUNCATED_HASH))
  record.set(generateX25519(random).publicKey.subarray(0, EPHEMERAL_KEY), TRUNCATED_HASH)
  return record
}
