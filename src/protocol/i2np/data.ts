/** A client's payload inside a garlic clove (i2np, "Data"): four bytes of length and the bytes. */
import { type Reader, Writer } from '../../base/bytes.ts'

/** The payload, not copied. */
export function readData(r: Reader): Uint8Array {
  const data = r.take(r.u32())
  r.end('Data')
  return data
}

export function writeData(data: Uint8Array): Uint8Array {
  return new Writer(4 + data.length).u32(data.length).put(data).bytes
}
