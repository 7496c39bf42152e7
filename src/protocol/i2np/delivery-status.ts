/** An acknowledgement (i2np, "DeliveryStatus"). */
import { type Reader, Writer } from '../../base/bytes.ts'

export interface DeliveryStatus {
  /** The acknowledged message's id or the store's token. */
  readonly messageId: number
  /** Eight bytes as they stand: others put random or obfuscated dates here, so nobody may set a clock by them. */
  readonly timestamp: Uint8Array
}

export function readDeliveryStatus(r: Reader): DeliveryStatus {
  const messageId = r.u32()
  const timestamp = r.take(8)
  r.end('DeliveryStatus')
  return { messageId, timestamp }
}

export function writeDeliveryStatus(m: DeliveryStatus): Uint8Array {
  return new Writer(12).u32(m.messageId).put(m.timestamp.subarray(0, 8)).bytes
}
