/** Options block: what padding and dummy traffic a router sends and would like to receive (ntcp2, "Options"). */
import { type Reader, Writer } from '../../base/bytes.ts'

// Specification constants

/** Later versions may append `more_options`, which are skipped. */
export const OPTIONS_MIN_LENGTH = 12

/** Ratios of padding to data in sixteenths (4.4 fixed point); traffic in bytes a second; delays in milliseconds. */
export interface PaddingOptions {
  readonly sendMin: number
  readonly sendMax: number
  readonly receiveMin: number
  readonly receiveMax: number
  readonly dummySend: number
  readonly dummyReceive: number
  readonly delaySend: number
  readonly delayReceive: number
}

// Implementation constants

/** We pad up to 1/16 of the data, as i2pd does, and ask for no more in return. */
export const OUR_PADDING_OPTIONS: PaddingOptions = {
  sendMin: 0,
  sendMax: 1,
  receiveMin: 0,
  receiveMax: 16,
  dummySend: 0,
  dummyReceive: 0,
  delaySend: 0,
  delayReceive: 0,
}

export function readPaddingOptions(r: Reader): PaddingOptions {
  return {
    sendMin: r.u8(),
    sendMax: r.u8(),
    receiveMin: r.u8(),
    receiveMax: r.u8(),
    dummySend: r.u16(),
    dummyReceive: r.u16(),
    delaySend: r.u16(),
    delayReceive: r.u16(),
  }
}

export function writePaddingOptions(o: PaddingOptions): Uint8Array {
  return new Writer(OPTIONS_MIN_LENGTH)
    .u8(o.sendMin)
    .u8(o.sendMax)
    .u8(o.receiveMin)
    .u8(o.receiveMax)
    .u16(o.dummySend)
    .u16(o.dummyReceive)
    .u16(o.delaySend)
    .u16(o.delayReceive).bytes
}
