/** What both faces do with their router: options from the configuration, persistence, status. */
import { toBase64 } from '../../base/base64.ts'
import type { Budget } from '../../base/budget.ts'
import type { Millis } from '../../base/clock.ts'
import { toB32 } from '../../protocol/structures/identity.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import type { RouterOptions } from '../../router/options.ts'
import type { Router } from '../../router/router.ts'
import type { Config } from '../config/schema.ts'
import type { FaceFolder } from '../data-folder.ts'
import type { Journal } from '../journal.ts'
import type { FaceStatus, PathStatus } from '../status.ts'

// Implementation constants
/** What is known of the network is saved this often: few writes for a memory card, little lost with the power. */
const SAVE_EVERY_MS = 10 * 60_000
/** The first time sooner: a short run should not have been for nothing. */
const SAVE_FIRST_MS = 60_000
/** Transit tunnels: some 2 KB and, when used, a cipher each. */
const DEFAULT_TRANSIT = 2_500
/** Build requests (one Diffie-Hellman each): what honest peers send, and what a small machine bears. */
const PEER_BUILDS_PER_SECOND = 5
const PEER_BUILD_BURST = 30
const BUILDS_PER_SECOND = 100
/** KB/s of the class letters (netDb page, "capabilities"). */
const CLASS_KBPS: Readonly<Record<string, number>> = {
  K: 12,
  L: 48,
  M: 64,
  N: 128,
  O: 256,
  P: 2000,
  X: 10_000,
}
const DEFAULT_CLASS = 'O'

export interface Bandwidth {
  readonly letter: string
  readonly bytesPerSecond: number
}

/** A class letter, or KB/s, which belong to one. */
export function bandwidth(setting: string): Bandwidth {
  const letter = setting === 'auto' ? DEFAULT_CLASS : setting
  const known = CLASS_KBPS[letter]
  if (known !== undefined) return { letter, bytesPerSecond: known * 1000 }
  const kbps = Number(setting)
  const fitting = Object.entries(CLASS_KBPS).find(([, limit]) => kbps < limit)
  return { letter: fitting?.[0] ?? 'X', bytesPerSecond: kbps * 1000 }
}

export function transitLimits(config: Config, share: Bandwidth, allowed: boolean): RouterOptions['transit'] {
  const { transit_tunnels, share: percent } = config.public
  const own = (share.bytesPerSecond * percent) / 100
  const bps = config.limits.transit_bps
  return {
    maxTransit: allowed ? (transit_tunnels === 'auto' ? DEFAULT_TRANSIT : transit_tunnels) : 0,
    transitBytesPerSecond: bps === 0 ? own : Math.min(own, bps / 8),
    peerBuildsPerSecond: PEER_BUILDS_PER_SECOND,
    peerBuildBurst: PEER_BUILD_BURST,
    buildsPerSecond: BUILDS_PER_SECOND,
  }
}

/** What of them the machine can afford. */
export function transitWithin(budget: Budget, limits: RouterOptions['transit']): RouterOptions['transit'] {
  return { ...limits, maxTransit: Math.round(limits.maxTransit * budget.transitShare) }
}

/** Saves what a router knows, now and then and at the end. */
export class Keeper {
  readonly #router: Router
  readonly #journal: Journal
  readonly #folder: FaceFolder
  readonly #saving: () => void
  #timer: NodeJS.Timeout

  /** `saving` is called each time, for what else should be written now and then. */
  constructor(router: Router, journal: Journal, folder: FaceFolder, saving: () => void = () => {}) {
    this.#router = router
    this.#journal = journal
    this.#folder = folder
    this.#saving = saving
    this.#timer = setTimeout(() => this.#again(), SAVE_FIRST_MS)
  }

  routerInfoChanged(ri: RouterInfo): void {
    void this.#folder.saveRouterInfo(ri.bytes)
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#save()
  }

  #again(): void {
    void this.#save()
    this.#timer = setTimeout(() => this.#again(), SAVE_EVERY_MS)
  }

  #save(): Promise<void> {
    this.#saving()
    return this.#journal.save(this.#router.netdb.snapshot())
  }
}

/** Rates between two looks at the counters. */
export class Meter {
  #at: Millis
  #in = 0
  #out = 0
  #transit = 0
  #rates = { in_bps: 0, out_bps: 0, transit_bps: 0 }

  constructor(now: Millis) {
    this.#at = now
  }

  rates(router: Router, now: Millis): { in_bps: number; out_bps: number; transit_bps: number } {
    const seconds = (now - this.#at) / 1000
    if (seconds < 1) return this.#rates
    const traffic = router.transport.traffic()
    const transit = router.tunnels.counts().transitBytes
    const bps = (after: number, before: number): number => Math.round((8 * (after - before)) / seconds)
    this.#rates = {
      in_bps: bps(traffic.in, this.#in),
      out_bps: bps(traffic.out, this.#out),
      transit_bps: bps(transit, this.#transit),
    }
    this.#at = now
    this.#in = traffic.in
    this.#out = traffic.out
    this.#transit = transit
    return this.#rates
  }
}

export interface FaceView {
  readonly netId: number
  readonly router: Router
  readonly clock: { readonly offset_ms: number; readonly quality: number }
  readonly anonymity: FaceStatus['anonymity']
  readonly note: string
  readonly hops: number
  readonly reachability: FaceStatus['reachability']
  readonly limit: number
  readonly waitingFor: string | undefined
}

export function faceStatus(view: FaceView, meter: Meter, now: Millis): FaceStatus {
  const { router } = view
  const counts = router.tunnels.counts()
  return {
    enabled: true,
    net_id: view.netId,
    router: toBase64(router.hash),
    clock: view.clock,
    anonymity: view.anonymity,
    anonymity_note: view.note,
    hops: view.hops,
    peers: [...router.transport.peers()].map((p) => ({
      router: toBase64(p.hash),
      transport: p.transport,
      link: p.linkName ?? '',
      rtt_ms: p.rttMs === undefined ? null : Math.round(p.rttMs),
      bytes_in: p.bytesIn,
      bytes_out: p.bytesOut,
      packets_sent: p.packetsSent,
      packets_lost: p.packetsLost,
    })),
    netdb: {
      routers: router.netdb.size,
      floodfills: router.netdb.floodfills,
      lease_sets: router.netdb.leaseSets,
    },
    tunnels: {
      exploratory: counts.exploratory,
      client: counts.client,
      transit: counts.transit,
      build_success: counts.buildsTried === 0 ? 0 : counts.buildsSucceeded / counts.buildsTried,
    },
    bandwidth: {
      ...meter.rates(router, now),
      transit_bytes: counts.transitBytes,
      limit_bps: view.limit * 8,
    },
    reachability: view.reachability,
    waiting_for: view.waitingFor ?? null,
  }
}

/** For the owner of the node. */
export function pathStatus(router: Router): PathStatus {
  const inbound = router.inboundPaths().map((t) => ({
    gateway: toBase64(t.gateway),
    tunnel_id: t.gatewayTunnelId,
    hops: t.hops.map(toBase64),
  }))
  const conversations = router.conversations().map((c) => ({
    remote: toB32(c.remote),
    hops: c.hops.map(toBase64),
    gateway: toBase64(c.lease.gateway),
    tunnel_id: c.lease.tunnelId,
  }))
  return { inbound, conversations }
}
