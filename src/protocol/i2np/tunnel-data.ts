/** One hop's worth of a tunnel (i2np, "TunnelData"; tunnel-message, "Encrypted"). */
import { type Reader, Writer } from '../../base/bytes.ts'

// Specification constants
/** IV and encrypted data. */
const TUNNEL_DATA_LENGTH = 1024

export interface TunnelData {
  /** At the router that receives it. */
  readonly tunnelId: number
  /** 1024 bytes, not copied. */
  readonly data: Uint8Array
}

export function readTunnelData(r: Reader): TunnelData {
  const tunnelId = r.u32()
  const data = r.take(TUNNEL_DATA_LENGTH)
  r.end('TunnelData')
  return { tunnelId, data }
}

export function writeTunnelData(m: TunnelData): Uint8Array {
  return new Writer(4 + TUNNEL_DATA_LENGTH).u32(m.tunnelId).put(m.data).bytes
}
