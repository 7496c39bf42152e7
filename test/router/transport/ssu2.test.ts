import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../../src/base/base64.ts'
import { WallClock } from '../../../src/base/clock.ts'
import type { Endpoint, Sink } from '../../../src/base/core.ts'
import { SILENT } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import { newRouterIdentity } from '../../../src/protocol/structures/identity.ts'
import { type RouterInfo, signRouterInfo } from '../../../src/protocol/structures/router-info.ts'
import type { TransportEvent } from '../../../src/router/transport/events.ts'
import { Transport } from '../../../src/router/transport/transport.ts'
import { NET_ID, WALL } from '../../protocol/ntcp2/parties.ts'

const LATENCY = 10
const PORT = 9999

interface Sent {
  readonly from: Host
  readonly to: Endpoint
  readonly bytes: Uint8Array
}

/** Datagrams between transports that publish SSU2 only, in virtual time. */
class Net {
  now = 0
  readonly hosts: Host[] = []
  readonly sent: Sent[] = []
  /** Whether a datagram is lost; its number is its place in `sent`. */
  lost: (sent: Sent, number: number) => boolean = () => false
  readonly #due: { readonly at: number; readonly run: () => void }[] = []

  host(seed: number): Host {
    const host = new Host(this, seed)
    this.hosts.push(host)
    return host
  }

  carry(sent: Sent): void {
    this.sent.push(sent)
    if (!this.lost(sent, this.sent.length - 1)) this.deliver(sent, sent.from.at)
  }

  deliver({ to, bytes }: Sent, from: Endpoint): void {
    const target = this.hosts.find((host) => host.at.address === to.address)
    const copy = Uint8Array.from(bytes)
    this.#due.push({
      at: this.now + LATENCY,
      run: () => target?.turn((out) => target.transport.datagrams([{ from, bytes: copy }], this.now, out)),
    })
  }

  run(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const timers = this.hosts.map((host) => ({ host, at: host.transport.nextTimeout() ?? Infinity }))
      const timer = timers.reduce((a, b) => (b.at < a.at ? b : a))
      const due = this.#due[0]
      const next = Math.min(timer.at, due?.at ?? Infinity)
      if (next > end) break
      this.now = Math.max(this.now, next)
      if (due !== undefined && due.at <= next) {
        this.#due.shift()
        due.run()
      } else timer.host.turn((out) => timer.host.transport.timeout(this.now, out))
    }
    this.now = end
  }
}

class Host implements Sink<TransportEvent> {
  readonly net: Net
  readonly at: Endpoint
  readonly transport: Transport
  readonly routerInfo: RouterInfo
  readonly events: TransportEvent[] = []
  known: RouterInfo[] = []

  constructor(net: Net, seed: number) {
    const random = seededRandom(seed)
    const local = newRouterIdentity(random)
    const staticKeys = generateX25519(random)
    const introKey = random.bytes(32)
    this.net = net
    this.at = { address: `21.0.0.${seed}`, port: PORT }
    const options = new Map([
      ['host', this.at.address],
      ['i', toBase64(introKey)],
      ['port', String(PORT)],
      ['s', toBase64(staticKeys.publicKey)],
      ['v', '2'],
    ])
    this.routerInfo = signRouterInfo(
      {
        published: WALL,
        addresses: [{ cost: 8, style: 'SSU2', options }],
        options: new Map([
          ['caps', 'LR'],
          ['netId', String(NET_ID)],
          ['router.version', '0.9.67'],
        ]),
      },
      local,
    )
    this.transport = new Transport({
      local,
      ntcp2: { staticKeys, iv: random.bytes(16) },
      ssu2: { introKey, mtu: 1500, wantsRelayTag: () => false, relayTag: () => undefined },
      netId: NET_ID,
      random,
      clock: new WallClock(WALL, 0),
      log: SILENT,
      routers: { get: (hash) => this.known.find((ri) => Buffer.from(ri.hash).equals(hash)) },
    })
    this.transport.setRouterInfo(this.routerInfo)
  }

  turn(work: (out: this) => void): void {
    work(this)
    this.transport.flush(this.net.now, this)
  }

  send(to: Host, id: number, size = 100): void {
    this.known = [to.routerInfo]
    const message = { type: 18, id, expiration: WALL + this.net.now + 30_000, payload: new Uint8Array(size) }
    this.turn((out) => this.transport.send(to.routerInfo.hash, message, this.net.now, out))
  }

  get ids(): number[] {
    return this.events.flatMap((e) => (e.kind === 'message' ? [e.message.id] : []))
  }

  udp(to: Endpoint, bytes: Uint8Array): void {
    this.net.carry({ from: this, to, bytes: Uint8Array.from(bytes) })
  }
  tcpOpen(): number {
    throw new Error('no TCP here')
  }
  tcpData(): void {}
  tcpEnd(): void {}
  event(e: TransportEvent): void {
    this.events.push(e)
  }
}

function pair(): { net: Net; a: Host; b: Host } {
  const net = new Net()
  return { net, a: net.host(1), b: net.host(2) }
}

describe('SSU2 conversations', () => {
  it('begin with a token asked for, carry messages both ways, and begin again with the token given', () => {
    const { net, a, b } = pair()
    a.send(b, 1, 40_000)
    net.run(1_000)
    b.send(a, 2)
    net.run(1_000)
    expect([b.ids, a.ids]).toEqual([[1], [2]])
    expect([...a.transport.peers()].map((p) => [p.transport, p.initiator])).toEqual([['ssu2', true]])
    a.turn((out) => a.transport.disconnect(b.routerInfo.hash, 0, net.now, out))
    net.run(1_000)
    expect([...b.transport.peers()]).toEqual([])
    const before = net.sent.length
    a.send(b, 3)
    net.run(2 * LATENCY)
    // SessionRequest and SessionCreated at once: no TokenRequest, no Retry.
    const [request, created] = net.sent.slice(before)
    expect([request!.from, created!.from]).toEqual([a, b])
    expect(request!.bytes.length).toBeGreaterThanOrEqual(88)
    net.run(1_000)
    expect(b.ids).toEqual([1, 3])
  })

  it('go on when SessionCreated is lost: the same is sent again, and no Retry', () => {
    const { net, a, b } = pair()
    let lost: Uint8Array | undefined
    // TokenRequest, Retry, SessionRequest, SessionCreated.
    net.lost = (sent, number) => {
      if (number !== 3) return false
      lost = sent.bytes
      return true
    }
    a.send(b, 1)
    net.run(10_000)
    const answers = net.sent.filter((s) => s.from === b && Buffer.from(s.bytes).equals(lost!))
    expect(answers.length).toBeGreaterThanOrEqual(2)
    expect(b.ids).toEqual([1])
    expect(a.events.filter((e) => e.kind === 'ssu2-open').length).toBe(1)
  })

  it('answer a repeated SessionRequest with the same SessionCreated', () => {
    const { net, a, b } = pair()
    net.lost = (_, number) => number === 3
    a.send(b, 1)
    net.run(3 * LATENCY)
    const request = net.sent[2]!
    const before = net.sent.length
    net.deliver(request, a.at)
    net.run(LATENCY)
    const answers = net.sent.slice(before)
    expect(answers.map((s) => [s.from, s.bytes])).toEqual([[b, net.sent[3]!.bytes]])
  })

  it('that cross leave one session, and no message is lost', () => {
    const { net, a, b } = pair()
    a.send(b, 1)
    b.send(a, 2)
    net.run(20_000)
    a.send(b, 3)
    b.send(a, 4)
    net.run(1_000)
    expect([b.ids, a.ids]).toEqual([
      [1, 3],
      [2, 4],
    ])
    const [ours, theirs] = [[...a.transport.peers()], [...b.transport.peers()]]
    expect([ours.length, theirs.length]).toEqual([1, 1])
    expect(ours[0]!.initiator).toBe(!theirs[0]!.initiator)
  })

  it('are not begun by replays or junk, whoever sends them', () => {
    const { net, a, b } = pair()
    a.send(b, 1, 3_000)
    net.run(1_000)
    const stranger = net.host(3)
    const packets = net.sent.filter((s) => s.from === a)
    const sessions = b.events.filter((e) => e.kind === 'ssu2-open').length
    const before = net.sent.length
    for (const sent of packets) net.deliver(sent, stranger.at)
    const random = seededRandom(9)
    for (let n = 0; n < 200; n++)
      net.deliver({ from: stranger, to: b.at, bytes: random.bytes(random.below(1400)) }, stranger.at)
    net.run(5_000)
    const answers = net.sent.slice(before).filter((s) => s.to.address === stranger.at.address)
    // TokenRequest and SessionRequest get a Retry each, below three times their size; nothing else gets anything.
    expect(answers.length).toBeLessThanOrEqual(2)
    for (const { bytes } of answers) expect(bytes.length).toBeLessThan(3 * 56)
    expect(b.events.filter((e) => e.kind === 'ssu2-open').length).toBe(sessions)
    b.send(a, 5)
    net.run(1_000)
    expect(a.ids).toEqual([5])
  })
})
