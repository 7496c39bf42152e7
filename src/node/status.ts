/** What `ramsons status --json` prints. Scripts rely on these names. */

export interface PeerStatus {
  /** Router hash in I2P base64, 44 characters. */
  readonly router: string
  readonly transport: string
  /** The interface of a mesh neighbour, else empty. */
  readonly link: string
  readonly rtt_ms: number | null
  readonly bytes_in: number
  readonly bytes_out: number
  /** SSU2 only: TCP does not tell. */
  readonly packets_sent: number
  readonly packets_lost: number
}

export interface FaceStatus {
  readonly enabled: true
  readonly net_id: number
  readonly router: string
  readonly clock: { readonly offset_ms: number; readonly quality: number }
  readonly anonymity: 'none' | 'weak' | 'moderate'
  /** What `anonymity` means here, for people. */
  readonly anonymity_note: string
  /** Longest tunnels that this network allows just now. */
  readonly hops: number
  readonly peers: readonly PeerStatus[]
  readonly netdb: { readonly routers: number; readonly floodfills: number; readonly lease_sets: number }
  readonly tunnels: {
    readonly exploratory: number
    readonly client: number
    readonly transit: number
    readonly build_success: number
  }
  readonly bandwidth: {
    readonly in_bps: number
    readonly out_bps: number
    readonly transit_bps: number
    /** Tunnel messages carried for others since the start. */
    readonly transit_bytes: number
    readonly limit_bps: number
  }
  readonly reachability: { readonly ipv4: string; readonly ipv6: string }
  /** Why it is not ready, if it is not. */
  readonly waiting_for: string | null
}

export interface DestinationStatus {
  readonly name: string
  readonly b32: string
  readonly face: 'mesh' | 'public'
  readonly kind: 'server' | 'client'
}

/** Whom the tunnels of this node's destinations run through. For its owner: other routers are not told. */
export interface PathStatus {
  readonly inbound: readonly {
    readonly gateway: string
    readonly tunnel_id: number
    readonly hops: readonly string[]
  }[]
  readonly conversations: readonly {
    readonly remote: string
    readonly hops: readonly string[]
    /** The lease in use. */
    readonly gateway: string
    readonly tunnel_id: number
  }[]
}

export interface NodeStatus {
  readonly version: string
  readonly uptime_s: number
  readonly ready: boolean
  readonly waiting_for: string | null
  readonly power: {
    readonly profile: 'mains' | 'high' | 'half' | 'low'
    readonly percent: number | null
    readonly source: string
  }
  readonly faces: {
    readonly mesh: FaceStatus | { readonly enabled: false }
    readonly public: FaceStatus | { readonly enabled: false }
  }
  readonly destinations: readonly DestinationStatus[]
  /** Where the services of this machine listen: name to host:port. */
  readonly services: Readonly<Record<string, string>>
}

/** The same for people. */
export function statusText(status: NodeStatus): string {
  const lines = [
    `ramsons ${status.version}, up ${duration(status.uptime_s)}: ${status.ready ? 'ready' : `waiting for ${status.waiting_for ?? '?'}`}`,
    `power    ${status.power.profile}${status.power.percent === null ? '' : `, ${status.power.percent} %`} (${status.power.source})`,
  ]
  for (const name of ['mesh', 'public'] as const) {
    const face = status.faces[name]
    if (!face.enabled) lines.push(`${name.padEnd(8)} off`)
    else lines.push(...faceLines(name, face))
  }
  for (const [name, where] of Object.entries(status.services)) lines.push(`${name.padEnd(16)} ${where}`)
  for (const d of status.destinations)
    if (d.kind === 'server') lines.push(`${d.name.padEnd(16)} http://${d.b32}/ (${d.face})`)
  return lines.join('\n')
}

function faceLines(name: string, face: FaceStatus): string[] {
  const t = face.tunnels
  const clock = face.clock.offset_ms === 0 ? '' : `, clock ${signed(face.clock.offset_ms)} ms`
  const lines = [
    `${name.padEnd(8)} net ${face.net_id}, router ${face.router.slice(0, 8)}${clock}`,
    `         ${plural(face.peers.length, 'peer')}, knows ${plural(face.netdb.routers, 'router')} and ${plural(face.netdb.lease_sets, 'lease set')}`,
    `         tunnels: ${t.exploratory} exploratory, ${t.client} client, ${t.transit} carried for others; ${Math.round(100 * t.build_success)} % of builds succeed`,
    `         ${rate(face.bandwidth.in_bps)} in, ${rate(face.bandwidth.out_bps)} out, ${rate(face.bandwidth.transit_bps)} for others`,
    `         ${face.anonymity_note}`,
  ]
  if (face.waiting_for !== null) lines.push(`         waiting for ${face.waiting_for}`)
  for (const p of face.peers) lines.push(`         - ${peerLine(p)}`)
  return lines
}

function peerLine(p: PeerStatus): string {
  const words = [p.router.slice(0, 8), p.transport, p.link, p.rtt_ms === null ? '' : `${p.rtt_ms} ms`]
  if (p.packets_sent > 0) words.push(`${((100 * p.packets_lost) / p.packets_sent).toFixed(1)} % lost`)
  return words.filter((w) => w !== '').join(' ')
}

function plural(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function signed(n: number): string {
  return n > 0 ? `+${n}` : `${n}`
}

function rate(bps: number): string {
  if (bps < 1000) return `${Math.round(bps)} bit/s`
  return bps < 1e6 ? `${(bps / 1000).toFixed(1)} kbit/s` : `${(bps / 1e6).toFixed(1)} Mbit/s`
}

function duration(s: number): string {
  if (s < 120) return `${Math.floor(s)} s`
  if (s < 7200) return `${Math.floor(s / 60)} min`
  return s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} days`
}
