/** A message for the gateway of an inbound tunnel to send through it (i2np, "TunnelGateway"). */
import { type Reader, Writer } from '../../base/bytes.ts'

export interface TunnelGateway {
  readonly tunnelId: number
  /** A whole message with its standard header, not copied. */
  readonly message: Uint8Array
}

/** Bytes after the message are ignored: some routers send more than their length field says. */
export function readTunnelGateway(r: Reader): TunnelGateway {
  const tunnelId = r.u32()
  return { tunnelId, message: r.take(r.u16()) }
}

export function writeTunnelGateway(m: TunnelGateway): Uint8Array {
  return new Writer(6 + m.message.length).u32(m.tunnelId).u16(m.message.length).put(m.message).bytes
}
