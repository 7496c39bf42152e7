/** SessionConfirmed in several packets, when the RouterInfo is too long for one (ssu2, "Session Confirmed Fragmentation"). */
import { concat, copy } from '../../base/bytes.ts'
import { MessageType, maskShortHeader, SHORT_HEADER, writeShortHeader } from './header.ts'

// Specification constants

/** "The size of the data in the last packet must be greater than or equal to 24 bytes, so that header encryption will work." */
const MIN_FRAGMENT = 24

// Implementation constants

/** i2pd reads no more. */
export const MAX_FRAGMENTS_SENT = 2
/** A RouterInfo of 3,072 bytes that cannot be packed, static key, other blocks: what an unproved peer can make us hold. */
const MAX_CONFIRMED = 4608

/** How many packets of at most `room` bytes it takes, headers not counted. */
export function fragmentCount(length: number, room: number): number {
  return Math.ceil(length / room)
}

/** The clear header of fragment `number` of `total`. Number 0 is the associated data of the whole. */
export function confirmedHeader(destinationId: Uint8Array, number: number, total: number): Uint8Array {
  return writeShortHeader({
    destinationId,
    packetNumber: 0,
    type: MessageType.sessionConfirmed,
    flags: (number << 4) | total,
  })
}

/** Cuts the sealed message into packets and masks their headers. */
export function confirmedPackets(
  destinationId: Uint8Array,
  sealed: Uint8Array,
  room: number,
  key1: Uint8Array,
  key2: Uint8Array,
): Uint8Array[] {
  const total = fragmentCount(sealed.length, room)
  const packets: Uint8Array[] = []
  for (let number = 0, at = 0; number < total; number++) {
    const left = sealed.length - at
    // The last but one leaves enough for the last.
    const end = number === total - 1 ? left : Math.min(room, left - MIN_FRAGMENT)
    const header = confirmedHeader(destinationId, number, total)
    const packet = concat(header, sealed.subarray(at, at + end))
    maskShortHeader(packet, key1, key2)
    packets.push(packet)
    at += end
  }
  return packets
}

/** Puts one together again, from fragments in any order. */
export class ConfirmedFragments {
  #total = 0
  #fragments: (Uint8Array | undefined)[] = []
  #bytes = 0

  /** `flags` and body of a packet with its masks off; the whole sealed message and its fragment count once nothing is missing. */
  add(flags: number, packet: Uint8Array): { sealed: Uint8Array; total: number } | undefined {
    const number = flags >> 4
    const total = flags & 0x0f
    if (number >= total) return undefined
    if (this.#total === 0) this.#total = total
    if (total !== this.#total || this.#fragments[number] !== undefined) return undefined
    this.#bytes += packet.length - SHORT_HEADER
    if (this.#bytes > MAX_CONFIRMED) {
      this.clear()
      return undefined
    }
    this.#fragments[number] = copy(packet.subarray(SHORT_HEADER))
    for (let i = 0; i < total; i++) if (this.#fragments[i] === undefined) return undefined
    return { sealed: concat(...(this.#fragments as Uint8Array[])), total }
  }

  /** What was put together does not verify: a fragment was damaged on its way, and all may come again. */
  clear(): void {
    this.#total = 0
    this.#fragments = []
    this.#bytes = 0
  }
}
