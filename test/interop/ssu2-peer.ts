/**
 * SSU2 handshakes as a process of its own, to be run inside i2pd's network namespace: commands come as JSON lines on stdin, events
 * leave as JSON lines on stdout. Settings are the first argument, JSON too. Of the data phase it knows just enough to prove the
 * keys: it seals, opens and acknowledges packets, and repeats nothing.
 */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { toBase64 } from '../../src/base/base64.ts'
import { concat, copy, hex, Reader } from '../../src/base/bytes.ts'
import { WallClock } from '../../src/base/clock.ts'
import type { Endpoint } from '../../src/base/core.ts'
import { randomId } from '../../src/base/random.ts'
import { open, seal } from '../../src/crypto/aead.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import { generateX25519 } from '../../src/crypto/x25519.ts'
import { BlockCursor, BlockType, writeBlock } from '../../src/protocol/blocks/block.ts'
import { readI2npBlock } from '../../src/protocol/blocks/i2np-block.ts'
import { readTermination, writeTermination } from '../../src/protocol/blocks/termination.ts'
import { writeDatabaseStore } from '../../src/protocol/i2np/database-store.ts'
import { readDeliveryStatus } from '../../src/protocol/i2np/delivery-status.ts'
import { MessageType as I2np, writeShortMessage } from '../../src/protocol/i2np/message.ts'
import { writeAck } from '../../src/protocol/ssu2/ack-block.ts'
import { Ssu2BlockType } from '../../src/protocol/ssu2/blocks.ts'
import type { Established, HandshakeStep, Local, Refused } from '../../src/protocol/ssu2/handshake.ts'
import {
  connectionKey,
  destinationKey,
  MessageType,
  maskNumberAndType,
  maskShortHeader,
  readShortHeader,
  writeShortHeader,
} from '../../src/protocol/ssu2/header.ts'
import { Initiator } from '../../src/protocol/ssu2/initiator.ts'
import { newRouterIdentity } from '../../src/protocol/structures/identity.ts'
import { ssu2Address } from '../../src/protocol/structures/router-address.ts'
import {
  readRouterInfo,
  signRouterInfo,
  verifyRouterInfo,
} from '../../src/protocol/structures/router-info.ts'
import { checks, Door } from '../protocol/ssu2/parties.ts'

export interface PeerSettings {
  readonly address: string
  readonly port: number
  readonly netId: number
  /** File with the other router's RouterInfo. */
  readonly target: string
  /** Ms that our clock is ahead. */
  readonly ahead: number
  /** Publish another static key than the one used. */
  readonly wrongKey: boolean
  readonly mtu: number
  /** Characters of options that do not shrink. */
  readonly ballast: number
}

export type PeerCommand =
  /** Without a token a TokenRequest comes first. */
  | { readonly do: 'dial'; readonly token: 'none' | 'wrong' | 'kept'; readonly wantRelayTag: boolean }
  /** A DatabaseStore of our RouterInfo that asks for a DeliveryStatus straight to us. */
  | { readonly do: 'store'; readonly token: number }
  | { readonly do: 'disconnect' }
  | { readonly do: 'quit' }

export type PeerEvent =
  | { readonly is: 'ready' }
  | { readonly is: 'sent' | 'received'; readonly bytes: number }
  | {
      readonly is: 'established'
      readonly role: 'initiator' | 'responder'
      readonly confirmPackets: number | undefined
      readonly clockOffset: number
      readonly rttMs: number | undefined
      readonly ourAddress: string | undefined
      readonly newToken: boolean
      readonly relayTag: number | undefined
    }
  | {
      readonly is: 'refused'
      readonly reason: number
      readonly why: string
      readonly offset: number | undefined
    }
  | { readonly is: 'data'; readonly blocks: readonly number[] }
  | { readonly is: 'status'; readonly token: number }
  | { readonly is: 'closed'; readonly reason: number }

const settings = JSON.parse(process.argv[2]!) as PeerSettings
const tell = (e: PeerEvent): void => {
  process.stdout.write(`${JSON.stringify(e)}\n`)
}

const target = verifyRouterInfo(readRouterInfo(readFileSync(settings.target)))!
const theirs = target.addresses.map(ssu2Address).find((a) => a?.host !== undefined)!
const endpoint: Endpoint = { address: theirs.host!, port: theirs.port! }

const wall = Date.now() + settings.ahead
const identity = newRouterIdentity(systemRandom)
const staticKeys = generateX25519(systemRandom)
const published = settings.wrongKey ? generateX25519(systemRandom) : staticKeys
const introKey = systemRandom.bytes(32)
const { netId } = settings
const clock = new WallClock(wall, performance.now())
const local: Local = { staticKeys, introKey, netId, prologue: undefined, random: systemRandom, clock }
const options = new Map([
  ['caps', 'LR'],
  ['netId', String(settings.netId)],
  ['router.version', '0.9.67'],
])
for (let i = 0; i < settings.ballast; i += 100) options.set(`x${i}`, hex(systemRandom.bytes(50)))
const routerInfo = signRouterInfo(
  {
    published: wall,
    addresses: [
      {
        cost: 3,
        style: 'SSU2',
        options: new Map([
          ['caps', '4'],
          ['host', settings.address],
          ['i', toBase64(introKey)],
          ['mtu', String(settings.mtu)],
          ['port', String(settings.port)],
          ['s', toBase64(published.publicKey)],
          ['v', '2'],
        ]),
      },
    ],
    options,
  },
  identity,
)

interface Session {
  readonly established: Established
  next: number
}
const sessions = new Map<string, Session>()
let current: Session | undefined
let dialling: Initiator | undefined
let keptToken: Uint8Array | undefined
let timer: NodeJS.Timeout | undefined
const door = new Door({ identity, local, routerInfo }, checks({ relayTag: () => 4711 }))
const socket = createSocket('udp4')

function now(): number {
  return performance.now()
}

function send(packets: readonly Uint8Array[]): void {
  for (const packet of packets) {
    tell({ is: 'sent', bytes: packet.length })
    socket.send(packet, endpoint.port, endpoint.address)
  }
}

function ended(role: 'initiator' | 'responder', result: Established | Refused): void {
  if (result.kind === 'refused') {
    const { reason, why } = result
    tell({ is: 'refused', reason, why, offset: result.clockOffset ?? result.claimedOffset })
    return
  }
  const { clockOffset, rttMs, ourAddress, confirm, relayTag } = result
  tell({
    is: 'established',
    role,
    confirmPackets: confirm?.length,
    clockOffset,
    rttMs,
    ourAddress: ourAddress && `${ourAddress.ip.join('.')}:${ourAddress.port}`,
    newToken: result.newToken !== undefined,
    relayTag,
  })
  keptToken = result.newToken?.token ?? keptToken
  // Packet 0 of the initiator was SessionConfirmed.
  current = { established: result, next: role === 'initiator' ? 1 : 0 }
  sessions.set(connectionKey(result.receiveId), current)
  if (role === 'responder')
    data(current, writeBlock(Ssu2BlockType.ack, writeAck({ through: 0, count: 0, ranges: [] })))
  for (const packet of result.early ?? []) receive(packet)
}

function step(s: HandshakeStep): void {
  send(s.send)
  if (s.result === undefined) return
  dialling = undefined
  ended('initiator', s.result)
}

function turn(): void {
  for (const result of door.results.splice(0)) ended('responder', result)
  clearTimeout(timer)
  const deadline = Math.min(dialling?.deadline ?? Infinity, door.deadline)
  if (deadline === Infinity) return
  timer = setTimeout(
    () => {
      if (dialling !== undefined && dialling.deadline <= now()) step(dialling.timeout(now()))
      send(door.timeout(now()))
      turn()
    },
    Math.max(1, deadline - now()),
  )
}

function receive(packet: Uint8Array): void {
  if (packet.length < 40) return
  const session = sessions.get(destinationKey(packet, introKey))
  if (session !== undefined) dataReceived(session, packet)
  else if (dialling !== undefined) {
    const mine = dialling.received(copy(packet), now())
    if (mine.send.length > 0 || mine.result !== undefined) step(mine)
    else send(door.received(packet, endpoint, now()))
  } else send(door.received(packet, endpoint, now()))
}

function data(session: Session, payload: Uint8Array): void {
  const { keys, sendId } = session.established
  const header = { destinationId: sendId, packetNumber: session.next++, type: MessageType.data, flags: 0 }
  const clear = writeShortHeader(header)
  const filler = writeBlock(BlockType.padding, new Uint8Array(8))
  const packet = concat(clear, seal(keys.send.data, header.packetNumber, clear, concat(payload, filler)))
  maskShortHeader(packet, keys.send.header1, keys.send.header2)
  send([packet])
}

function dataReceived(session: Session, packet: Uint8Array): void {
  const { keys, receiveId } = session.established
  packet.set(receiveId)
  maskNumberAndType(packet, keys.receive.header2)
  const { packetNumber, type } = readShortHeader(new Reader(packet))
  const plaintext = open(keys.receive.data, packetNumber, packet.subarray(0, 16), packet.subarray(16))
  if (type !== MessageType.data || plaintext === undefined) return
  const blocks = new BlockCursor()
  const types: number[] = []
  blocks.open(plaintext)
  while (blocks.next()) {
    types.push(blocks.type)
    if (blocks.type === BlockType.i2np) {
      const m = readI2npBlock(blocks)
      if (m?.type === I2np.DeliveryStatus)
        tell({ is: 'status', token: readDeliveryStatus(new Reader(m.payload)).messageId })
    } else if (blocks.type === Ssu2BlockType.termination) {
      tell({ is: 'closed', reason: readTermination(new Reader(blocks.data())).reason })
    }
  }
  tell({ is: 'data', blocks: types })
  const silent: readonly number[] = [Ssu2BlockType.ack, BlockType.padding, Ssu2BlockType.termination]
  if (types.some((t) => !silent.includes(t)))
    data(session, writeBlock(Ssu2BlockType.ack, writeAck({ through: packetNumber, count: 0, ranges: [] })))
}

function obey(command: PeerCommand): void {
  switch (command.do) {
    case 'dial': {
      const token =
        command.token === 'kept' ? keptToken : command.token === 'wrong' ? systemRandom.bytes(8) : undefined
      keptToken = undefined
      const { staticKey, introKey: theirIntroKey, mtu } = theirs
      dialling = new Initiator(
        local,
        { routerInfo: target, staticKey, introKey: theirIntroKey, mtu, endpoint },
        {
          ...(token === undefined ? {} : { token }),
          ours: routerInfo.bytes,
          wantRelayTag: command.wantRelayTag,
          mtu: settings.mtu,
        },
      )
      step(dialling.start(now()))
      turn()
      return
    }
    case 'store': {
      const { hash } = identity.identity
      const reply = { token: command.token, tunnelId: 0, gateway: hash }
      const payload = writeDatabaseStore({ key: hash, type: 0, reply, data: routerInfo.bytes })
      const expiration = clock.wall(now()) + 8000
      const message = { type: I2np.DatabaseStore, id: randomId(systemRandom), expiration, payload }
      data(current!, writeBlock(BlockType.i2np, writeShortMessage(message)))
      return
    }
    case 'disconnect':
      data(
        current!,
        writeBlock(Ssu2BlockType.termination, writeTermination({ framesReceived: 0, reason: 0 })),
      )
      return
    case 'quit':
      if (current !== undefined) obey({ do: 'disconnect' })
      setTimeout(() => process.exit(0), 200)
  }
}

socket.on('message', (packet, from) => {
  // The other routers of the network hear of us and dial us as well.
  if (from.address !== endpoint.address) return
  tell({ is: 'received', bytes: packet.length })
  receive(new Uint8Array(packet))
  turn()
})
socket.bind(settings.port, settings.address, () => tell({ is: 'ready' }))
createInterface({ input: process.stdin })
  .on('line', (line) => obey(JSON.parse(line) as PeerCommand))
  .on('close', () => process.exit(0))
