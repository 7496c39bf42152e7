/**
 * Packets outside any session whose connection ids are made of a nonce: PeerTest, messages 5 to 7, and HolePunch (ssu2, "Peer Test
 * (Type 7)", "Hole Punch (Type 11)"). What they say is believed for its signature or for the nonce, which only those who take part
 * know.
 */
import { concat, Reader, sameBytes, Writer } from '../../base/bytes.ts'
import type { WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { BlockCursor, BlockType, writeBlock } from '../blocks/block.ts'
import { readDateTime, writeDateTime } from '../blocks/date-time.ts'
import { type IpPort, readAddress, Ssu2BlockType, writeAddress } from './blocks.ts'
import { CONNECTION_ID, MessageType, readLongHeader, TOKEN, VERSION } from './header.ts'
import { openOutOfSession, padding, sealOutOfSession } from './out-of-session.ts'

// Implementation constants

/** i2pd's newer versions pad by up to 31 bytes. */
const MAX_PADDING = 31

export interface NoncePacket {
  readonly type: typeof MessageType.peerTest | typeof MessageType.holePunch
  /** The 32 bits that the destination id repeats: the nonce in packets to Alice, its `inverse` in message 6, which goes to Charlie. */
  readonly id: number
  readonly dateTime: WallMillis
  /** The receiver's, as the sender sees it. */
  readonly address: IpPort | undefined
  /** The data of the PeerTest or RelayResponse block. */
  readonly block: Uint8Array
}

/** A whole packet, masked. `introKey` is the receiver's. */
export function sealNoncePacket(
  packet: NoncePacket,
  introKey: Uint8Array,
  netId: number,
  random: Random,
): Uint8Array {
  const { type, id, dateTime, address, block } = packet
  const payload = concat(
    writeBlock(BlockType.dateTime, writeDateTime(dateTime)),
    address === undefined ? new Uint8Array(0) : writeBlock(Ssu2BlockType.address, writeAddress(address)),
    writeBlock(blockType(type), block),
    padding(random, MAX_PADDING),
  )
  const header = {
    destinationId: twice(id),
    packetNumber: random.below(2 ** 32),
    type,
    version: VERSION,
    netId,
    sourceId: twice(inverse(id)),
    token: random.bytes(TOKEN),
  }
  return sealOutOfSession(header, payload, introKey)
}

/**
 * `packet` has its masks off (`readFirstPacket`); `introKey` is ours. Undefined when its ids are not made of a nonce, or when it
 * does not open.
 * @throws {MalformedError} when what it holds is not what it should.
 */
export function openNoncePacket(packet: Uint8Array, introKey: Uint8Array): NoncePacket | undefined {
  const payload = openOutOfSession(packet, introKey)
  if (payload === undefined) return undefined
  const { type, destinationId, sourceId } = readLongHeader(new Reader(packet))
  if (type !== MessageType.peerTest && type !== MessageType.holePunch) return undefined
  const id = new Reader(destinationId).u32()
  if (!sameBytes(destinationId, twice(id)) || !sameBytes(sourceId, twice(inverse(id)))) return undefined
  return { type, id, ...readPayload(payload, blockType(type)) }
}

function readPayload(
  payload: Uint8Array,
  wanted: number,
): Pick<NoncePacket, 'dateTime' | 'address' | 'block'> {
  let dateTime: WallMillis | undefined
  let address: IpPort | undefined
  let block: Uint8Array | undefined
  const cursor = new BlockCursor()
  cursor.open(payload)
  while (cursor.next()) {
    if (cursor.type === BlockType.dateTime) dateTime = readDateTime(new Reader(cursor.data()))
    else if (cursor.type === Ssu2BlockType.address) address = readAddress(new Reader(cursor.data()))
    else if (cursor.type === wanted) block = cursor.data()
  }
  if (dateTime === undefined || block === undefined) throw new MalformedError('a block is missing')
  return { dateTime, address, block }
}

function blockType(type: NoncePacket['type']): number {
  return type === MessageType.peerTest ? Ssu2BlockType.peerTest : Ssu2BlockType.relayResponse
}

/** "Two copies of the 4-byte big-endian test nonce, i.e. ((nonce << 32) | nonce)", and the inverse of that the other way. */
export function inverse(nonce: number): number {
  return ~nonce >>> 0
}

function twice(id: number): Uint8Array {
  return new Writer(CONNECTION_ID).u32(id).u32(id).bytes
}
