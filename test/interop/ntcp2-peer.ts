/**
 * A bare Transport as a process of its own, to be run inside i2pd's network namespace: commands come as JSON lines on stdin,
 * events leave as JSON lines on stdout. Settings are the first argument, JSON too.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { toBase64 } from '../../src/base/base64.ts'
import { Reader } from '../../src/base/bytes.ts'
import { WallClock } from '../../src/base/clock.ts'
import { randomId } from '../../src/base/random.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import { generateX25519 } from '../../src/crypto/x25519.ts'
import { writeDatabaseStore } from '../../src/protocol/i2np/database-store.ts'
import { readDeliveryStatus } from '../../src/protocol/i2np/delivery-status.ts'
import {
  type I2npMessage,
  MAX_MESSAGE,
  MessageType,
  STANDARD_HEADER,
} from '../../src/protocol/i2np/message.ts'
import { hashKey } from '../../src/protocol/structures/hash.ts'
import { newRouterIdentity } from '../../src/protocol/structures/identity.ts'
import {
  readRouterInfo,
  signRouterInfo,
  verifyRouterInfo,
} from '../../src/protocol/structures/router-info.ts'
import { Transport } from '../../src/router/transport/transport.ts'
import { TcpHost } from './tcp-host.ts'

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
}

export type PeerCommand =
  /** DatabaseStores of our RouterInfo, each asking for a DeliveryStatus straight to us. */
  | { readonly do: 'store'; readonly count: number; readonly firstToken: number }
  /** A message of the largest size and of no known type. */
  | { readonly do: 'largest' }
  | { readonly do: 'disconnect' }
  | { readonly do: 'quit' }

export type PeerEvent =
  | { readonly is: 'ready' }
  | { readonly is: 'open'; readonly initiator: boolean }
  | { readonly is: 'closed'; readonly reason: number }
  | { readonly is: 'dial-failed' }
  | { readonly is: 'clock'; readonly offset: number }
  | { readonly is: 'message'; readonly type: number; readonly token: number | undefined }
  | { readonly is: 'log'; readonly line: string }

const settings = JSON.parse(process.argv[2]!) as PeerSettings
const tell = (e: PeerEvent): void => {
  process.stdout.write(`${JSON.stringify(e)}\n`)
}

const target = verifyRouterInfo(readRouterInfo(readFileSync(settings.target)))!
const wall = Date.now() + settings.ahead
const clock = new WallClock(wall, performance.now())
const local = newRouterIdentity(systemRandom)
const staticKeys = generateX25519(systemRandom)
const published = settings.wrongKey ? generateX25519(systemRandom) : staticKeys
const iv = systemRandom.bytes(16)
const address = new Map([
  ['host', settings.address],
  ['port', String(settings.port)],
  ['i', toBase64(iv)],
  ['s', toBase64(published.publicKey)],
  ['v', '2'],
])
const options = new Map([
  ['caps', 'LR'],
  ['netId', String(settings.netId)],
  ['router.version', '0.9.67'],
])
const routerInfo = signRouterInfo(
  { published: wall, addresses: [{ cost: 3, style: 'NTCP2', options: address }], options },
  local,
)

const transport = new Transport({
  local,
  ntcp2: { staticKeys, iv },
  netId: settings.netId,
  random: systemRandom,
  clock,
  log: { enabled: () => true, write: (_level, line) => tell({ is: 'log', line }) },
  routers: { get: (hash) => (hashKey(hash) === hashKey(target.hash) ? target : undefined) },
})
transport.setRouterInfo(routerInfo)

const host = new TcpHost(transport, settings.address, (e) => {
  if (e.kind === 'session-open') tell({ is: 'open', initiator: e.initiator })
  else if (e.kind === 'session-closed') tell({ is: 'closed', reason: e.reason })
  else if (e.kind === 'dial-failed') tell({ is: 'dial-failed' })
  else if (e.kind === 'clock') tell({ is: 'clock', offset: e.offset })
  else if (e.kind === 'message') tell({ is: 'message', type: e.message.type, token: tokenOf(e.message) })
})

function tokenOf(m: I2npMessage): number | undefined {
  return m.type === MessageType.DeliveryStatus
    ? readDeliveryStatus(new Reader(m.payload)).messageId
    : undefined
}

function send(type: number, payload: Uint8Array): void {
  const expiration = clock.wall(host.now) + 8000
  host.turn(() =>
    transport.send(target.hash, { type, id: randomId(systemRandom), expiration, payload }, host.now, host),
  )
}

function store(token: number): void {
  const { hash } = local.identity
  const reply = { token, tunnelId: 0, gateway: hash }
  send(MessageType.DatabaseStore, writeDatabaseStore({ key: hash, type: 0, reply, data: routerInfo.bytes }))
}

function obey(command: PeerCommand): void {
  switch (command.do) {
    case 'store': {
      let next = 0
      const some = (): void => {
        for (let i = 0; i < 20 && next < command.count; i++) store(command.firstToken + next++)
        if (next < command.count) setTimeout(some, 10)
      }
      some()
      return
    }
    case 'largest':
      // Two bytes less than the limit: i2pd's buffers of that size begin with two of their own.
      send(99, new Uint8Array(MAX_MESSAGE - STANDARD_HEADER - 2))
      return
    case 'disconnect':
      host.turn(() => transport.disconnect(target.hash, 0, host.now, host))
      return
    case 'quit':
      host.turn(() => transport.shutdown(host.now, host))
      setTimeout(() => {
        host.close()
        process.exit(0)
      }, 200)
  }
}

await host.listen(settings.port)
tell({ is: 'ready' })
createInterface({ input: process.stdin })
  .on('line', (line) => obey(JSON.parse(line) as PeerCommand))
  .on('close', () => process.exit(0))
