/** Two routers about to shake hands, from seeded randomness. */
import { toBase64 } from '../../../src/base/base64.ts'
import { WallClock } from '../../../src/base/clock.ts'
import { SeenFilter } from '../../../src/base/lru.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import type { Handshake, HandshakeResult, Local, Remote } from '../../../src/protocol/ntcp2/handshake.ts'
import type { ResponderChecks } from '../../../src/protocol/ntcp2/responder.ts'
import { type LocalIdentity, newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import { type RouterInfo, signRouterInfo } from '../../../src/protocol/structures/router-info.ts'

export const NET_ID = 77
/** The date at monotonic time 0. */
export const WALL: number = Date.UTC(2026, 10, 23)

export interface Party {
  readonly identity: LocalIdentity
  readonly local: Local
  readonly routerInfo: RouterInfo
}

export interface PartyOptions {
  readonly host?: string
  /** Published at the same port, with a higher cost. */
  readonly otherHost?: string
  readonly netId?: number
  readonly prologue?: Uint8Array
  /** Ms that its clock is ahead. */
  readonly ahead?: number
  readonly published?: number
}

export function party(seed: number, options: PartyOptions = {}): Party {
  const random: Random = seededRandom(seed)
  const identity = newRouterIdentity(random)
  const staticKeys = generateX25519(random)
  const iv = random.bytes(16)
  const netId = options.netId ?? NET_ID
  const address = new Map([
    ['i', toBase64(iv)],
    ['s', toBase64(staticKeys.publicKey)],
    ['v', '2'],
  ])
  if (options.host !== undefined) address.set('host', options.host).set('port', '1234')
  const addresses = [{ cost: 3, style: 'NTCP2', options: address }]
  if (options.otherHost !== undefined) {
    const other = new Map([...address, ['host', options.otherHost] as const])
    addresses.push({ cost: 5, style: 'NTCP2', options: other })
  }
  const routerInfo = signRouterInfo(
    {
      published: options.published ?? WALL,
      addresses,
      options: new Map([
        ['caps', 'LR'],
        ['netId', String(netId)],
        ['router.version', '0.9.67'],
      ]),
    },
    identity,
  )
  const clock = new WallClock(WALL + (options.ahead ?? 0), 0)
  const { hash } = identity.identity
  return {
    identity,
    routerInfo,
    local: { hash, staticKeys, iv, netId, prologue: options.prologue, random, clock },
  }
}

export function remoteOf(p: Party): Remote {
  return { routerInfo: p.routerInfo, staticKey: p.local.staticKeys.publicKey, iv: p.local.iv }
}

export function checks(refuse: ResponderChecks['refuse'] = () => undefined): ResponderChecks {
  return { replay: new SeenFilter(120_000, 1000, 0), refuse }
}

export interface Conversation {
  readonly initiator: HandshakeResult | undefined
  readonly responder: HandshakeResult | undefined
  /** What each side wrote, in order. */
  readonly wire: readonly { readonly from: 'initiator' | 'responder'; readonly bytes: Uint8Array }[]
}

/** Runs both generators against each other; `tamper` may change what is on its way. One message takes `latency` ms. */
export function converse(
  initiator: Handshake,
  responder: Handshake,
  latency = 20,
  tamper: (bytes: Uint8Array, index: number) => Uint8Array = (bytes) => bytes,
): Conversation {
  const wire: { from: 'initiator' | 'responder'; bytes: Uint8Array }[] = []
  const sides = {
    initiator: {
      steps: initiator,
      need: 0,
      held: new Uint8Array(0),
      result: undefined as HandshakeResult | undefined,
    },
    responder: {
      steps: responder,
      need: 0,
      held: new Uint8Array(0),
      result: undefined as HandshakeResult | undefined,
    },
  }
  let now = 0
  const take = (who: 'initiator' | 'responder', bytes: Uint8Array | undefined): void => {
    const side = sides[who]
    const step = bytes === undefined ? side.steps.next() : side.steps.next({ bytes, now })
    if (step.done) side.result = step.value
    else side.need = step.value.read
    if (step.value.send !== undefined) deliver(who, step.value.send)
  }
  const deliver = (from: 'initiator' | 'responder', bytes: Uint8Array): void => {
    const sent = tamper(bytes, wire.length)
    wire.push({ from, bytes: sent })
    now += latency
    const to = from === 'initiator' ? 'responder' : 'initiator'
    const side = sides[to]
    side.held = new Uint8Array([...side.held, ...sent])
    while (side.result === undefined && side.held.length >= side.need) {
      const piece = side.held.subarray(0, side.need)
      side.held = side.held.subarray(side.need)
      take(to, piece)
    }
  }
  take('responder', undefined)
  take('initiator', undefined)
  return { initiator: sides.initiator.result, responder: sides.responder.result, wire }
}
