/** What a router is told when it is made, and how it shows its tunnels. */
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { X25519KeyPair } from '../crypto/x25519.ts'
import type { Hash } from '../protocol/structures/hash.ts'
import type { LocalIdentity } from '../protocol/structures/identity.ts'
import type { Lease } from '../protocol/structures/lease.ts'
import type { Family } from './reach/events.ts'
import type { SelfDescription } from './self.ts'
import type { SideOptions, TransitLimits } from './tunnel/tunnel-event.ts'

export interface PoolSides {
  readonly inbound: SideOptions
  readonly outbound: SideOptions
}

export interface Ssu2Settings {
  readonly introKey: Uint8Array
  /** Of our interface. */
  readonly mtu: number
  /** Undefined where nobody is behind a NAT: in a mesh, and for a router that hides. */
  readonly reach?: {
    /** Of the addresses that we have. */
    readonly families: readonly Family[]
    /** Our UDP port. */
    readonly port: number
    /** Whether each transport may be published once others can reach us. */
    readonly publish: { readonly ntcp2: boolean; readonly ssu2: boolean }
    /** Peers of different networks that must agree on our address. */
    readonly quorum?: number
  }
}

export interface RouterOptions {
  readonly local: LocalIdentity
  readonly ntcp2: { readonly staticKeys: X25519KeyPair; readonly iv: Uint8Array }
  /** Undefined without SSU2; its static keys are NTCP2's. */
  readonly ssu2?: Ssu2Settings | undefined
  readonly self: SelfDescription
  /** Mixed into every handshake; a mesh's hello key. */
  readonly prologue?: Uint8Array
  readonly exploratory: PoolSides
  /** In a mesh lengths follow from the number of neighbours, up to what pools ask for. */
  readonly meshRule: boolean
  readonly allowReservedRanges: boolean
  readonly maxPeers: number
  readonly transit: TransitLimits
  /** Bytes a second of everything, each way. Default: no limit. */
  readonly bytesPerSecond?: number
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
}

export interface DestinationRequest extends PoolSides {
  readonly name: string
  readonly local: LocalIdentity
  readonly published: boolean
  /** Hops below which this destination does not go, however small the mesh is. */
  readonly minLength: number
}

export interface InboundPath {
  readonly gateway: Hash
  readonly gatewayTunnelId: number
  readonly hops: readonly Hash[]
}

export interface Conversation {
  readonly remote: Hash
  readonly lease: Lease
  readonly hops: readonly Hash[]
}
