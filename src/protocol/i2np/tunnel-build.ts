/**
 * Build requests and replies: a count and that many records of one size (tunnel-creation-ecies, "ShortTunnelBuild",
 * "OutboundTunnelBuildReply"; tunnel-creation, "VariableTunnelBuild").
 */
import { type Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { MessageType } from './message.ts'

// Specification constants
export const MAX_BUILD_RECORDS = 8
export const SHORT_RECORD_LENGTH = 218
const LONG_RECORD_LENGTH = 528

/** Bytes per record in a message of type 23 to 26. */
export function buildRecordLength(type: number): number {
  const short = type === MessageType.ShortTunnelBuild || type === MessageType.OutboundTunnelBuildReply
  return short ? SHORT_RECORD_LENGTH : LONG_RECORD_LENGTH
}

/** The records, not copied: a hop rewrites its own in a buffer that it owns. */
export function readTunnelBuild(r: Reader, recordLength: number): Uint8Array[] {
  const count = r.u8()
  if (count === 0 || count > MAX_BUILD_RECORDS) throw new MalformedError(`tunnel build: ${count} records`)
  const records: Uint8Array[] = []
  for (let i = 0; i < count; i++) records.push(r.take(recordLength))
  r.end('tunnel build')
  return records
}

export function writeTunnelBuild(records: readonly Uint8Array[]): Uint8Array {
  let size = 1
  for (const record of records) size += record.length
  const w = new Writer(size).u8(records.length)
  for (const record of records) w.put(record)
  return w.bytes
}
