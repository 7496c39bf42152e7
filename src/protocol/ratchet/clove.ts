/**
 * The Garlic Clove block (ecies, "Garlic Clove"): delivery instructions, a 9-byte I2NP header, the message's body up to the
 * end of the block. Written straight into the frame: this is the hot path.
 */
import type { Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { type I2npMessage, readShortMessage, SHORT_HEADER, writeShortMessageInto } from '../i2np/message.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'

// Specification constants

/** Delivery types, bits 6 and 5 of the flag (i2np, "Garlic Clove Delivery Instructions"). */
const LOCAL = 0
const DESTINATION = 1
const ROUTER = 2
const TUNNEL = 3
/** Bit 7: the clove is encrypted by itself. Never used; its session key would follow the flag. */
const ENCRYPTED = 0x80
/** Bit 4: four bytes of delay stand at the end of the instructions. Never used; read and ignored. */
const DELAYED = 0x10
const FLAG_LENGTH = 1

/** Where the receiver shall take a clove's message. Destinations honour `local` and `destination`, routers the rest. */
export type CloveDelivery =
  | { readonly kind: 'local' }
  | { readonly kind: 'destination'; readonly hash: Hash }
  | { readonly kind: 'router'; readonly hash: Hash }
  /** `hash` is the tunnel's gateway. */
  | { readonly kind: 'tunnel'; readonly hash: Hash; readonly tunnelId: number }

export interface Clove {
  readonly delivery: CloveDelivery
  readonly message: I2npMessage
}

export const LOCAL_DELIVERY: CloveDelivery = { kind: 'local' }

/** Bytes of the clove without its block header. */
export function cloveLength(clove: Clove): number {
  const kind = clove.delivery.kind
  const instructions = kind === 'local' ? 0 : kind === 'tunnel' ? HASH_LENGTH + 4 : HASH_LENGTH
  return FLAG_LENGTH + instructions + SHORT_HEADER + clove.message.payload.length
}

export function writeClove(w: Writer, clove: Clove): void {
  const to = clove.delivery
  switch (to.kind) {
    case 'local':
      w.u8(LOCAL << 5)
      break
    case 'destination':
      w.u8(DESTINATION << 5).put(to.hash)
      break
    case 'router':
      w.u8(ROUTER << 5).put(to.hash)
      break
    case 'tunnel':
      w.u8(TUNNEL << 5)
        .put(to.hash)
        .u32(to.tunnelId)
  }
  writeShortMessageInto(clove.message, w)
}

/** `r` holds the block's content and nothing else. The payload is borrowed from it. @throws {MalformedError} */
export function readClove(r: Reader): Clove {
  const delivery = readDelivery(r)
  return { delivery, message: readShortMessage(r) }
}

function readDelivery(r: Reader): CloveDelivery {
  const flag = r.u8()
  if ((flag & ENCRYPTED) !== 0) throw new MalformedError('encrypted clove')
  const delivery = readTarget((flag >> 5) & 3, r)
  if ((flag & DELAYED) !== 0) r.take(4)
  return delivery
}

function readTarget(type: number, r: Reader): CloveDelivery {
  switch (type) {
    case LOCAL:
      return LOCAL_DELIVERY
    case DESTINATION:
      return { kind: 'destination', hash: r.take(HASH_LENGTH) }
    case ROUTER:
      return { kind: 'router', hash: r.take(HASH_LENGTH) }
    default:
      // The gateway's hash comes first here, unlike in tunnel delivery instructions.
      return { kind: 'tunnel', hash: r.take(HASH_LENGTH), tunnelId: r.u32() }
  }
}
