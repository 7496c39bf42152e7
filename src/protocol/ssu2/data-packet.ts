/**
 * Data packets: a short header, then blocks sealed under the packet number with the clear header as associated data (ssu2,
 * "KDF for data phase", "Data Message (Type 6)"). The hot path: one buffer for each packet out, one for each packet in.
 */
import { Writer } from '../../base/bytes.ts'
import { open, sealInto } from '../../crypto/aead.ts'
import { type DirectionKeys, MAC, maxPacket } from './handshake.ts'
import {
  MessageType,
  MIN_PACKET,
  maskConnectionId,
  maskNumberAndType,
  messageType,
  SHORT_HEADER,
} from './header.ts'

// Specification constants

/** A payload has at least this much, for the masks take the last 24 bytes of the packet as their nonces. */
export const MIN_PAYLOAD: number = MIN_PACKET - SHORT_HEADER - MAC
const FLAG_IMMEDIATE_ACK = 0x01
/** Of the packet number and the flags in a short header. */
const NUMBER_AT = 8
const FLAGS_AT = 13

/** Most bytes of blocks in a packet: MTU - 60 over IPv4, MTU - 80 over IPv6 ("Payload Format"). */
export function maxPayload(mtu: number, ipv6: boolean): number {
  return maxPacket(mtu, ipv6) - SHORT_HEADER - MAC
}

/** Makes the packets of one direction. */
export class PacketSealer {
  readonly #keys: DirectionKeys
  readonly #destinationId: Uint8Array

  constructor(keys: DirectionKeys, destinationId: Uint8Array) {
    this.#keys = keys
    this.#destinationId = destinationId
  }

  /** A buffer for a whole packet; the caller writes exactly `length` bytes of blocks, at least `MIN_PAYLOAD`, then calls `seal`. */
  begin(length: number): Writer {
    const w = new Writer(SHORT_HEADER + length + MAC)
    w.pos = SHORT_HEADER
    return w
  }

  /** Seals in place; the bytes are the packet as it goes on the wire. */
  seal(w: Writer, packetNumber: number, immediateAck: boolean): Uint8Array {
    const packet = w.bytes
    w.pos = 0
    w.put(this.#destinationId).u32(packetNumber).u8(MessageType.data)
    w.u8(immediateAck ? FLAG_IMMEDIATE_ACK : 0).u16(0)
    const header = packet.subarray(0, SHORT_HEADER)
    const blocks = packet.subarray(SHORT_HEADER, packet.length - MAC)
    sealInto(packet, SHORT_HEADER, this.#keys.data, packetNumber, header, blocks)
    maskConnectionId(packet, this.#keys.header1)
    maskNumberAndType(packet, this.#keys.header2)
    return packet
  }
}

/** Opens the packets of the other direction, in two steps: a number seen before costs no decryption. */
export class PacketOpener {
  readonly #keys: DirectionKeys
  readonly #receiveId: Uint8Array
  /** Of the packet last given to `header`. */
  packetNumber = 0
  immediateAck = false

  constructor(keys: DirectionKeys, receiveId: Uint8Array) {
    this.#keys = keys
    this.#receiveId = receiveId
  }

  /**
   * Takes the masks off the header, in place. Whoever found the session by the connection id may have taken off the first one
   * or not. False, and the second part is masked again, when this is no Data packet.
   */
  header(packet: Uint8Array): boolean {
    if (packet.length < MIN_PACKET) return false
    maskNumberAndType(packet, this.#keys.header2)
    if (messageType(packet) !== MessageType.data) {
      maskNumberAndType(packet, this.#keys.header2)
      return false
    }
    packet.set(this.#receiveId)
    const b = packet
    const at = NUMBER_AT
    this.packetNumber = ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
    this.immediateAck = (b[FLAGS_AT]! & FLAG_IMMEDIATE_ACK) !== 0
    return true
  }

  /** The blocks of the packet last given to `header`, or undefined when they do not verify. */
  open(packet: Uint8Array): Uint8Array | undefined {
    const header = packet.subarray(0, SHORT_HEADER)
    return open(this.#keys.data, this.packetNumber, header, packet.subarray(SHORT_HEADER))
  }
}
