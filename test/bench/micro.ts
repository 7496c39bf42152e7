/**
 * What single operations cost, in one process without a network: each variant runs in a process of its own, because the
 * variants are decided when a process starts.
 */
import { execFileSync } from 'node:child_process'
import { WallClock } from '../../src/base/clock.ts'
import type { Sink } from '../../src/base/core.ts'
import { SILENT } from '../../src/base/log.ts'
import { open, sealInto } from '../../src/crypto/aead.ts'
import { ed25519KeyPair, ed25519Verify } from '../../src/crypto/ed25519.ts'
import { useAccelerator } from '../../src/crypto/provider.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import { generateX25519 } from '../../src/crypto/x25519.ts'
import { OutputQueue } from '../../src/protocol/blocks/output-queue.ts'
import { createBuild } from '../../src/protocol/build/creator.ts'
import { answerShortRecords, openShortRecord } from '../../src/protocol/build/responder.ts'
import { MessageType } from '../../src/protocol/i2np/message.ts'
import { initiate } from '../../src/protocol/ntcp2/initiator.ts'
import { respond } from '../../src/protocol/ntcp2/responder.ts'
import { LOCAL_DELIVERY } from '../../src/protocol/ratchet/clove.ts'
import { RatchetSessions } from '../../src/protocol/ratchet/sessions.ts'
import { PacketOpener, PacketSealer } from '../../src/protocol/ssu2/data-packet.ts'
import { Ssu2Session, type Ssu2SessionEvent } from '../../src/protocol/ssu2/session.ts'
import { CreatorLayers, HopLayer } from '../../src/protocol/tunnel-data/layers.ts'
import { checks, converse, party, remoteOf, WALL } from '../protocol/ntcp2/parties.ts'
import { established } from '../protocol/ssu2/link.ts'
import { say } from './network.ts'
import type { Result } from './result.ts'
import { nameOf, OURS } from './subject.ts'

/** The word on the command line that makes a process the one that measures. */
export const MICRO_CHILD = '--micro-child'

const RUNS = 5
const RUN_MS = 300
/** Until the compiler has seen it. */
const WARM_UP_MS = 300
const CLOVE_BYTES = 900

type Operation = () => void

export function micro(): Promise<Result[]> {
  const results: Result[] = []
  for (const subject of OURS) {
    say(`micro: ${nameOf(subject)}`)
    const env = { ...process.env, ...subject.env }
    const text = execFileSync(process.execPath, [process.argv[1]!, MICRO_CHILD], { env, encoding: 'utf8' })
    const measured = JSON.parse(text) as Record<string, number[]>
    const { who, variant } = subject
    for (const [what, runs] of Object.entries(measured))
      results.push({ figure: 'micro', what, unit: '1/CPU-s', who, variant, runs })
  }
  return Promise.resolve(results)
}

/** Prints operations a CPU-second, a list of runs for each. */
export function measureMicro(): void {
  if (process.env['RAMSONS_ACCELERATOR'] === 'none') useAccelerator(false)
  const operations = {
    ...aead(),
    ...layers(),
    ...curves(),
    ...builds(),
    ...handshakes(),
    ...datagrams(),
    ...ratchets(),
  }
  const rates = Object.entries(operations).map(([what, run]) => [what, measure(run)] as const)
  console.log(JSON.stringify(Object.fromEntries(rates)))
}

/** In CPU time, which others on the machine take less of than of time. */
function measure(run: Operation): number[] {
  let batch = 1
  const rate = (ms: number): number => {
    const from = process.cpuUsage()
    let count = 0
    for (;;) {
      for (let i = 0; i < batch; i++) run()
      count += batch
      const { user, system } = process.cpuUsage(from)
      const elapsed = (user + system) / 1000
      if (elapsed >= ms) return (1000 * count) / elapsed
    }
  }
  // The clock is looked at once a millisecond or so.
  batch = Math.max(1, Math.round(rate(WARM_UP_MS) / 1000))
  return Array.from({ length: RUNS }, () => rate(RUN_MS))
}

function aead(): Record<string, Operation> {
  const key = systemRandom.bytes(32)
  const plain = systemRandom.bytes(1024)
  const out = new Uint8Array(1024 + 16)
  sealInto(out, 0, key, 7, undefined, plain)
  const sealed = out.slice()
  return {
    'AEAD seal, 1 KiB': () => sealInto(out, 0, key, 7, undefined, plain),
    'AEAD open, 1 KiB': () => expect(open(key, 7, undefined, sealed)),
  }
}

function layers(): Record<string, Operation> {
  const keys = (): { layerKey: Uint8Array; ivKey: Uint8Array } => ({
    layerKey: systemRandom.bytes(32),
    ivKey: systemRandom.bytes(32),
  })
  const block = [systemRandom.bytes(1024)]
  const hop = new HopLayer(keys())
  const creator = new CreatorLayers([keys(), keys()])
  return {
    'tunnel layer, as participant': () => hop.apply(block),
    'tunnel layers, as creator of 2 hops': () => creator.apply(block),
  }
}

function curves(): Record<string, Operation> {
  const ours = generateX25519(systemRandom)
  const theirs = generateX25519(systemRandom).publicKey
  const signing = ed25519KeyPair(systemRandom.bytes(32))
  const message = systemRandom.bytes(600)
  const signature = signing.sign(message)
  return {
    'X25519 agreement': () => expect(ours.agree(theirs)),
    'Ed25519 signature': () => expect(signing.sign(message)),
    'Ed25519 verification': () => expect(ed25519Verify(signing.publicKey, message, signature) || undefined),
  }
}

function builds(): Record<string, Operation> {
  const hops = [0, 1, 2].map(() => {
    const keys = generateX25519(systemRandom)
    return { hash: systemRandom.bytes(32), encryptionKey: keys.publicKey, keys }
  })
  const end = { direction: 'outbound', gateway: systemRandom.bytes(32), tunnelId: 1 } as const
  const build = expect(createBuild(hops, end, 2, 1000, systemRandom))
  const records: Uint8Array[] = []
  for (let at = 1; at < build.payload.length; at += 218) records.push(build.payload.slice(at, at + 218))
  const mine = records.findIndex((r) => r.subarray(0, 16).every((b, i) => b === hops[0]!.hash[i]))
  const record = records[mine]!.slice()
  return {
    'tunnel build, as creator of 3 hops': () => expect(createBuild(hops, end, 2, 1000, systemRandom)),
    'tunnel build, as one hop': () => {
      records[mine]!.set(record)
      answerShortRecords(records, expect(openShortRecord(records, mine, hops[0]!.keys)), 0, systemRandom)
    },
  }
}

function handshakes(): Record<string, Operation> {
  const [a, b] = [party(1), party(2)]
  const alice = { ...a.local, random: systemRandom }
  const bob = { ...b.local, random: systemRandom }
  return {
    'NTCP2 handshake, both sides': () => {
      const initiator = initiate(alice, remoteOf(b), a.routerInfo.bytes, 0)
      const ends = converse(initiator, respond(bob, checks()))
      if (ends.responder?.kind !== 'established') throw new Error('the handshake failed')
    },
  }
}

function datagrams(): Record<string, Operation> {
  const keys = {
    data: systemRandom.bytes(32),
    header1: systemRandom.bytes(32),
    header2: systemRandom.bytes(32),
  }
  const id = systemRandom.bytes(8)
  const payload = systemRandom.bytes(1440)
  const sealer = new PacketSealer(keys, id)
  const opener = new PacketOpener(keys, id)
  const packet = sealer.seal(sealer.begin(payload.length).put(payload), 7, false)
  const arrived = new Uint8Array(packet.length)
  return {
    'SSU2 packet of 1472 bytes, sealed': () =>
      sealer.seal(sealer.begin(payload.length).put(payload), 7, false),
    'SSU2 packet of 1472 bytes, opened': () => {
      arrived.set(packet)
      if (!opener.header(arrived)) throw new Error('not a Data packet')
      expect(opener.open(arrived))
    },
    'SSU2 messages of 1028 bytes, both sides': conversation(),
  }
}

/** One message over a session, with its share of acknowledgements: sixteen leave in one turn. */
function conversation(): Operation {
  const { alice: a, bob: b, established: results } = established()
  const flying: (() => void)[] = []
  let [now, id, told] = [0, 0, 0]
  const side = (
    party: typeof a,
    result: (typeof results)[number],
    other: () => Ssu2Session,
  ): { session: Ssu2Session; sink: Sink<Ssu2SessionEvent> } => {
    const session = new Ssu2Session(
      {
        established: result,
        local: { random: systemRandom, clock: party.local.clock },
        endpoint: { address: '22.2.2.2', port: 2 },
        mtu: 1500,
        ours: () => party.routerInfo.bytes,
        output: new OutputQueue(),
        times: { idleMs: Number.POSITIVE_INFINITY },
      },
      now,
    )
    const nothing = (): never => {
      throw new Error('no TCP here')
    }
    const sink: Sink<Ssu2SessionEvent> = {
      udp: (to, bytes) => flying.push(() => other().received(bytes, to, now, sinkOf(other()))),
      tcpOpen: nothing,
      tcpData: nothing,
      tcpEnd: nothing,
      event: (e) => {
        if (e.kind === 'message') told++
      },
    }
    return { session, sink }
  }
  const alice = side(a, results[0]!, () => bob.session)
  const bob = side(b, results[1]!, () => alice.session)
  const sinkOf = (session: Ssu2Session): Sink<Ssu2SessionEvent> =>
    session === alice.session ? alice.sink : bob.sink
  for (const { session, sink } of [alice, bob]) session.start(now, sink)
  const deliver = (): void => {
    for (const arrive of flying.splice(0)) arrive()
  }
  deliver()
  const message = systemRandom.bytes(1028)
  return () => {
    const expiration = WALL + now + 60_000
    alice.session.output.push({ type: 18, id: ++id, expiration, payload: message }, 'own', now)
    if (id % 16 !== 0) return
    now++
    alice.session.flush(now, alice.sink)
    deliver()
    bob.session.flush(now, bob.sink)
    deliver()
    if (told < id) throw new Error('a message is missing')
  }
}

function ratchets(): Record<string, Operation> {
  const side = () => {
    const keys = generateX25519(systemRandom)
    const clock = new WallClock(WALL, 0)
    return { keys, store: new RatchetSessions({ keys, random: systemRandom, clock, log: SILENT }) }
  }
  const payload = systemRandom.bytes(CLOVE_BYTES)
  const message = { type: MessageType.Data, id: 1, expiration: WALL + 60_000, payload }
  const cloves = [{ delivery: LOCAL_DELIVERY, message }]
  const send = (from: ReturnType<typeof side>, to: ReturnType<typeof side>, now: number): void => {
    const garlic = expect(from.store.encrypt(to.keys.publicKey, cloves, {}, now)).message
    expect(to.store.decrypt(garlic, now))
  }
  const [alice, bob] = [side(), side()]
  let now = 0
  for (let i = 0; i < 4; i++) send(i % 2 === 0 ? alice : bob, i % 2 === 0 ? bob : alice, now)
  return {
    'ratchet message of 900 bytes, both sides': () => {
      now += 0.1
      send(alice, bob, now)
      // What time brings: acknowledgements and new keys.
      for (const due of bob.store.timeout(now)) alice.store.decrypt(due.message, now)
      for (const due of alice.store.timeout(now)) bob.store.decrypt(due.message, now)
    },
    'ratchet session, both sides': () => {
      const [one, other] = [side(), side()]
      send(one, other, 0)
      send(other, one, 0)
      send(one, other, 0)
    },
  }
}

function expect<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the operation failed')
  return value
}
