/**
 * I2NP block: one message with the 9-byte header (ntcp2, "I2NP Message"). Written straight into the frame, because this is
 * the hot path.
 */
import { Reader, type Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { type I2npMessage, readShortMessage, SHORT_HEADER, writeShortMessageInto } from '../i2np/message.ts'
import { BLOCK_HEADER, type BlockCursor, BlockType, putBlockHeader } from './block.ts'

/** Bytes that `putI2npBlock` writes. */
export function i2npBlockLength(message: I2npMessage): number {
  return BLOCK_HEADER + SHORT_HEADER + message.payload.length
}

export function putI2npBlock(w: Writer, message: I2npMessage): void {
  putBlockHeader(w, BlockType.i2np, SHORT_HEADER + message.payload.length)
  writeShortMessageInto(message, w)
}

/** The message in the cursor's current block, not copied; undefined when it is too short or too long to be one. */
export function readI2npBlock(blocks: BlockCursor): I2npMessage | undefined {
  try {
    return readShortMessage(new Reader(blocks.data()))
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
