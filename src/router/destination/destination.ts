/**
 * One destination of ours: its ratchet sessions, its lease set, what it knows of others, and the streams on top.
 * Encrypted garlic from its inbound tunnels goes in, cloves for leases of others come out; it knows no tunnel and no netDb.
 * Read ecies ("Garlic Cloves", "Acknowledgement") and i2cp ("Payload") first.
 */
import { Reader, sameBytes } from '../../base/bytes.ts'
import { type Clock, type Millis, seconds } from '../../base/clock.ts'
import { Deadlines, earliest } from '../../base/deadlines.ts'
import { MalformedError } from '../../base/errors.ts'
import { type Log, named } from '../../base/log.ts'
import { Lru } from '../../base/lru.ts'
import { type Random, randomId } from '../../base/random.ts'
import { readPayload, STREAMING_PROTOCOL, writePayload } from '../../protocol/datagram/payload.ts'
import { readData, writeData } from '../../protocol/i2np/data.ts'
import { readDatabaseStore, writeDatabaseStore } from '../../protocol/i2np/database-store.ts'
import { readGarlic, writeGarlic } from '../../protocol/i2np/garlic.ts'
import { type I2npMessage, MessageType } from '../../protocol/i2np/message.ts'
import type { Clove } from '../../protocol/ratchet/clove.ts'
import { RatchetSessions } from '../../protocol/ratchet/sessions.ts'
import type { StreamSetEvent } from '../../protocol/streaming/events.ts'
import { StreamSet } from '../../protocol/streaming/streams.ts'
import { type Hash, type HashKey, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import type { Identity, LocalIdentity } from '../../protocol/structures/identity.ts'
import { type Lease, MAX_LEASES } from '../../protocol/structures/lease.ts'
import { type LeaseSet, readLeaseSet, verifyLeaseSet } from '../../protocol/structures/lease-set.ts'
import { signLeaseSet2 } from '../../protocol/structures/lease-set2.ts'
import { KeyClaims } from './claims.ts'
import { Remote } from './remote.ts'

// Specification constants

/** How long an I2NP message of ours may take (i2np, "Expiration"): i2pd's 8 s is short on radio links. */
const MESSAGE_LIFETIME = 15_000
/** Store types (i2np, "DatabaseStore"). */
const STORE_LEASE_SET2 = 3
/** X25519 among the key types of a lease set. */
const ENCRYPTION_X25519 = 4
/** Lease set 2 flag bit 1: not to be stored by floodfills. */
const FLAG_UNPUBLISHED = 0x02

// Implementation constants

/** Far destinations known at once by one of ours: a busy site's clients; the least recently used goes first. */
const MAX_REMOTES = 1024
/** How far the date of our lease set may run ahead of the clock when it changes more than once a second. */
const MAX_LEAD: Millis = 60_000
/** Our lease set is sent along again when it was not acknowledged within this. */
const LEASE_SET_RESEND: Millis = 2_000
/** Destinations written to within this, so many at most, are told of a new lease set at once. */
const RECENT: Millis = 60_000
const MAX_TOLD = 32
/** Between lookups of a destination all of whose known leases are dead. */
const STRANDED_LOOKUP: Millis = 2_000

export interface DestinationOptions {
  readonly local: LocalIdentity
  /** False for clients: their lease set travels inside their messages only. */
  readonly published: boolean
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
}

/** What the owner of a destination hears of its streams. */
export type StreamEvent = Exclude<StreamSetEvent, { readonly kind: 'send' }>

export type DestinationEvent =
  /** A garlic message for the gateway of a lease. `remote` keeps one conversation in one tunnel; `lost`: the last one may be dead. */
  | {
      readonly kind: 'garlic'
      readonly lease: Lease
      readonly message: I2npMessage
      readonly remote: Hash
      readonly lost: boolean
    }
  | { readonly kind: 'lookup'; readonly hash: Hash }
  | { readonly kind: 'publish'; readonly leaseSet: LeaseSet }
  | StreamEvent

export interface DestinationSink {
  event(e: DestinationEvent): void
}

export class Destination {
  readonly local: LocalIdentity
  readonly streams: StreamSet
  readonly #published: boolean
  readonly #random: Random
  readonly #clock: Clock
  readonly #log: Log
  readonly #ratchets: RatchetSessions
  readonly #remotes = new Lru<HashKey, Remote>(MAX_REMOTES)
  readonly #claims = new KeyClaims(MAX_REMOTES)
  /** Destinations that were not found and will be asked for once more. */
  readonly #lookAgain = new Deadlines<HashKey>()
  readonly #streamEvents: StreamSetEvent[] = []
  #leaseSet: LeaseSet | undefined
  #leaseSetNumber = 0

  constructor(options: DestinationOptions) {
    this.local = options.local
    this.#published = options.published
    this.#random = options.random
    this.#clock = options.clock
    this.#log = named(options.log, `destination ${shortHash(options.local.identity.hash)}`)
    this.#ratchets = new RatchetSessions({
      keys: options.local.encryption,
      random: options.random,
      clock: options.clock,
      log: this.#log,
    })
    this.streams = new StreamSet({
      local: options.local,
      random: options.random,
      clock: options.clock,
      log: this.#log,
    })
    // Nobody can know where an unpublished destination is unless it called them.
    this.streams.listening = options.published
  }

  get hash(): Hash {
    return this.local.identity.hash
  }

  /** The lease set in force; undefined until the first inbound tunnel is up. */
  get leaseSet(): LeaseSet | undefined {
    return this.#leaseSet
  }

  /** The inbound tunnels of our pool have changed; newest first. */
  leasesChanged(leases: readonly Lease[], now: Millis, out: DestinationSink): void {
    if (leases.length === 0) return
    const wall = this.#clock.wall(now)
    const last = this.#leaseSet?.published ?? 0
    // Newer than the last, unless a clock that went back has made its date one that nobody believes.
    const newer = last > wall + MAX_LEAD ? 0 : seconds(last) + 1
    const published = Math.max(seconds(wall), newer) * 1000
    this.#leaseSet = signLeaseSet2(
      {
        published,
        expires: leases.reduce((end, l) => Math.max(end, l.end), published),
        leases: leases.slice(0, MAX_LEASES),
        encryptionKeys: [{ type: ENCRYPTION_X25519, key: this.local.encryption.publicKey }],
        flags: this.#published ? 0 : FLAG_UNPUBLISHED,
        options: new Map(),
      },
      this.local,
    )
    this.#leaseSetNumber++
    if (this.#published) out.event({ kind: 'publish', leaseSet: this.#leaseSet })
    this.#tellLeases(now, out)
  }

  /** The netDb's answer to a 'lookup'. */
  leaseSetFound(leaseSet: LeaseSet, now: Millis, out: DestinationSink): void {
    this.#learn(leaseSet, now, out)
  }

  leaseSetNotFound(hash: Hash, now: Millis, out: DestinationSink): void {
    const remote = this.#remotes.get(hashKey(hash))
    if (remote === undefined) return
    const again = remote.lookupFailed(now)
    if (remote.leaseSet !== undefined) return
    if (again !== undefined) {
      this.#lookAgain.set(hashKey(hash), again)
      return
    }
    while (remote.waiting.shift() !== undefined);
    this.streams.unreachable(hash, now, this.#streamSink)
    this.drainStreams(now, out)
  }

  /** A router of a mesh is gone, and with it every lease whose gateway it is: those we speak with are sought anew. */
  gatewayGone(gateway: Hash, now: Millis): void {
    for (const [key, remote] of this.#remotes.entries())
      if (now <= remote.sentAt + RECENT && remote.gatewayGone(gateway, now) && remote.stranded)
        this.#lookAgain.set(key, now)
  }

  /** A message out of one of our inbound tunnels. */
  received(message: I2npMessage, now: Millis, out: DestinationSink): void {
    if (message.type !== MessageType.Garlic) return
    const garlic = wellFormed(() => readGarlic(new Reader(message.payload)))
    const opened = garlic === undefined ? undefined : this.#ratchets.decrypt(garlic, now)
    if (opened === undefined) return
    const from =
      opened.remoteKey === undefined ? undefined : this.#binding(opened.remoteKey, opened.cloves, now, out)
    if (from !== undefined && opened.acked.length > 0) this.#acknowledged(from, opened.acked)
    for (const clove of opened.cloves) {
      if (clove.message.type === MessageType.Data && this.#isFor(clove))
        this.#data(clove.message, from, now, out)
    }
  }

  /** What is known of a far destination, for those who name it by its hash only. */
  identityOf(hash: Hash): Identity | undefined {
    return this.#remotes.get(hashKey(hash))?.leaseSet?.destination
  }

  /** Whom it speaks to, and through which lease. */
  conversations(): { readonly remote: Hash; readonly lease: Lease }[] {
    const inUse: { readonly remote: Hash; readonly lease: Lease }[] = []
    for (const [, { hash, current }] of this.#remotes.entries())
      if (current !== undefined) inUse.push({ remote: hash, lease: current })
    return inUse
  }

  /** Raw access for what is not a stream: one payload to one far destination. */
  send(to: Hash, payload: Uint8Array, now: Millis, out: DestinationSink, lost = false): void {
    const remote = this.#remote(to)
    const wall = this.#clock.wall(now)
    const key = remote.encryptionKey
    if (lost) {
      // Its tunnels may be gone, and its side of our session with them, if it has started anew.
      remote.leaseFailed(now)
      if (key !== undefined) this.#ratchets.restart(key, now)
    }
    if (remote.wantsLookup(now, wall)) out.event({ kind: 'lookup', hash: to })
    const lease = remote.lease(now, wall, this.#random)
    if (lease === undefined || key === undefined) {
      remote.waiting.push(payload)
      return
    }
    const cloves: Clove[] = []
    // Who gets a New Session message may know nothing of us. First: i2pd handles cloves in order, and drops a stream that
    // opens before it knows where to answer.
    const bundle = this.#leaseSetClove(remote, !this.#ratchets.established(key, now), now)
    if (bundle !== undefined) cloves.push(bundle)
    cloves.push({
      delivery: { kind: 'destination', hash: to },
      message: this.#message(MessageType.Data, writeData(payload), wall),
    })
    const sealed = this.#ratchets.encrypt(key, cloves, { ack: bundle !== undefined }, now)
    if (sealed === undefined) return // counts as lost on the way
    if (bundle !== undefined) remote.ackAwaited = sealed.ackId
    this.#emit(remote, lease, sealed.message, wall, now, out, lost)
  }

  /** What the streams want said, after any call on `streams`. */
  drainStreams(now: Millis, out: DestinationSink): void {
    for (let i = 0; i < this.#streamEvents.length; i++) {
      const e = this.#streamEvents[i]!
      if (e.kind === 'send') {
        this.send(
          e.to,
          writePayload({ protocol: STREAMING_PROTOCOL, ...e.ports }, e.packet),
          now,
          out,
          e.lost,
        )
      } else out.event(e)
    }
    this.#streamEvents.length = 0
  }

  /** To be passed to commands on `streams`, then `drainStreams`. */
  get streamSink(): { event(e: StreamSetEvent): void } {
    return this.#streamSink
  }

  timeout(now: Millis, out: DestinationSink): void {
    for (let key = this.#lookAgain.due(now); key !== undefined; key = this.#lookAgain.due(now)) {
      const remote = this.#remotes.get(key)
      if (remote === undefined || (remote.waiting.size === 0 && !remote.stranded)) continue
      if (remote.wantsLookup(now, this.#clock.wall(now))) out.event({ kind: 'lookup', hash: remote.hash })
      if (remote.stranded && now <= remote.sentAt + RECENT) {
        remote.doubt()
        this.#lookAgain.set(key, now + STRANDED_LOOKUP)
      }
    }
    this.streams.timeout(now, this.#streamSink)
    this.drainStreams(now, out)
    for (const due of this.#ratchets.timeout(now)) {
      const wall = this.#clock.wall(now)
      // To everyone who may be meant: only the key's owner can read it.
      for (const hash of this.#claims.all(due.remoteKey)) {
        const remote = this.#remotes.get(hashKey(hash))
        const lease = remote?.lease(now, wall, this.#random)
        if (remote !== undefined && lease !== undefined)
          this.#emit(remote, lease, due.message, wall, now, out, false)
      }
    }
  }

  nextTimeout(): Millis | undefined {
    const next = earliest(this.streams.nextTimeout(), this.#ratchets.nextTimeout())
    return earliest(next, this.#lookAgain.next())
  }

  readonly #streamSink = { event: (e: StreamSetEvent): void => void this.#streamEvents.push(e) }

  #remote(hash: Hash): Remote {
    const key = hashKey(hash)
    const known = this.#remotes.get(key)
    if (known !== undefined) return known
    const remote = new Remote(hash)
    this.#remotes.set(key, remote)
    return remote
  }

  #emit(
    remote: Remote,
    lease: Lease,
    garlic: Uint8Array,
    wall: number,
    now: Millis,
    out: DestinationSink,
    lost: boolean,
  ): void {
    const message = this.#message(MessageType.Garlic, writeGarlic(garlic), wall)
    remote.sentAt = now
    out.event({ kind: 'garlic', lease, message, remote: remote.hash, lost })
  }

  #message(type: number, payload: Uint8Array, wall: number): I2npMessage {
    return { type, id: randomId(this.#random), expiration: wall + MESSAGE_LIFETIME, payload }
  }

  /** Our lease set as a clove, while `remote` is not known to hold the current one, or in any case when it must have it. */
  #leaseSetClove(remote: Remote, must: boolean, now: Millis): Clove | undefined {
    const own = this.#leaseSet
    if (own === undefined || (!must && remote.heldLeaseSet === this.#leaseSetNumber)) return undefined
    const again =
      remote.sentLeaseSet !== this.#leaseSetNumber || now >= remote.sentLeaseSetAt + LEASE_SET_RESEND
    if (!again && !must) return undefined
    remote.sentLeaseSet = this.#leaseSetNumber
    remote.sentLeaseSetAt = now
    const store = writeDatabaseStore({
      key: this.hash,
      type: STORE_LEASE_SET2,
      data: own.bytes,
    })
    return {
      delivery: { kind: 'local' },
      message: this.#message(MessageType.DatabaseStore, store, this.#clock.wall(now)),
    }
  }

  /** Those we speak with learn at once where we are now: their next message may be all that we wait for. */
  #tellLeases(now: Millis, out: DestinationSink): void {
    let told = 0
    for (const [, remote] of this.#remotes.entries()) {
      if (now > remote.sentAt + RECENT || !this.#tell(remote, now, out)) continue
      if (++told === MAX_TOLD) return
    }
  }

  #tell(remote: Remote, now: Millis, out: DestinationSink): boolean {
    const key = remote.encryptionKey
    if (key === undefined || !this.#ratchets.established(key, now)) return false
    const wall = this.#clock.wall(now)
    const lease = remote.lease(now, wall, this.#random)
    const clove = this.#leaseSetClove(remote, true, now)
    if (lease === undefined || clove === undefined) return false
    const sealed = this.#ratchets.encrypt(key, [clove], { ack: true }, now)
    if (sealed === undefined) return false
    remote.ackAwaited = sealed.ackId
    this.#emit(remote, lease, sealed.message, wall, now, out, false)
    return true
  }

  /** Whose key `remoteKey` is: what its own lease set, inside this message or an earlier one, says. */
  #binding(
    remoteKey: Uint8Array,
    cloves: readonly Clove[],
    now: Millis,
    out: DestinationSink,
  ): Hash | undefined {
    for (const clove of cloves) {
      if (clove.message.type !== MessageType.DatabaseStore) continue
      const leaseSet = this.#bundled(clove.message)
      if (!leaseSet?.encryptionKeys.some((k) => sameBytes(k.key, remoteKey))) continue
      this.#claims.add(remoteKey, leaseSet.hash, true)
      this.#learn(leaseSet, now, out)
    }
    return this.#claims.owner(remoteKey)
  }

  #bundled(message: I2npMessage): LeaseSet | undefined {
    return wellFormed(() => {
      const store = readDatabaseStore(new Reader(message.payload))
      if (store.type === 0) return undefined
      const leaseSet = verifyLeaseSet(readLeaseSet(store.type, store.data))
      return leaseSet !== undefined && sameBytes(leaseSet.hash, store.key) ? leaseSet : undefined
    })
  }

  #learn(leaseSet: LeaseSet, now: Millis, out: DestinationSink): void {
    const remote = this.#remote(leaseSet.hash)
    const { stranded } = remote
    remote.learn(leaseSet)
    // What it knows of us may lead nowhere as well.
    if (stranded && !remote.stranded) this.#tell(remote, now, out)
    const key = remote.encryptionKey
    if (key !== undefined) this.#claims.add(key, leaseSet.hash, false)
    for (let n = remote.waiting.size; n > 0; n--) this.send(leaseSet.hash, remote.waiting.shift()!, now, out)
  }

  #isFor({ delivery }: Clove): boolean {
    return (
      delivery.kind === 'local' || (delivery.kind === 'destination' && sameBytes(delivery.hash, this.hash))
    )
  }

  #acknowledged(from: Hash, acked: readonly number[]): void {
    const remote = this.#remotes.get(hashKey(from))
    if (remote?.ackAwaited !== undefined && acked.includes(remote.ackAwaited)) {
      remote.heldLeaseSet = remote.sentLeaseSet
      remote.ackAwaited = undefined
    }
  }

  #data(message: I2npMessage, from: Hash | undefined, now: Millis, out: DestinationSink): void {
    const payload = wellFormed(() => readPayload(readData(new Reader(message.payload))))
    if (payload === undefined) this.#log.write('debug', 'malformed payload dropped')
    else if (payload.protocol === STREAMING_PROTOCOL) {
      this.streams.receive(payload, from, now, this.#streamSink)
      this.drainStreams(now, out)
    }
  }
}

/** Undefined when `read` finds a peer's bytes malformed. */
function wellFormed<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
