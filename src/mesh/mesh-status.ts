/** What a person is told about discovery: on which links, how, and why nobody is found. */
import type { AnnounceMode, LinkKind } from './link.ts'
import type { Links } from './links.ts'

export interface LinkStatus {
  readonly name: string
  readonly kind: LinkKind
  readonly mode: AnnounceMode
  /** The reason for the mode, or what is wrong. */
  readonly why: string
  readonly usable: boolean
}

export interface MeshStatus {
  readonly links: readonly LinkStatus[]
  /** Announcements that are current. */
  readonly heard: number
  readonly connected: number
  /** Undefined once there is a neighbour. */
  readonly waitingFor: string | undefined
}

export function meshStatus(links: Links, heard: number, connected: number): MeshStatus {
  const all = [...links.interfaces()].map((i): LinkStatus => {
    const { mode, why } = links.decision(i)
    const { name, kind } = i
    const problem = links.get(name)?.problem
    if (mode === 'off') return { name, kind, mode, why, usable: false }
    if (i.address === undefined)
      return { name, kind, mode, why: 'no link-local IPv6 address yet', usable: false }
    return { name, kind, mode, why: problem ?? why, usable: problem === undefined }
  })
  const waitingFor = connected > 0 ? undefined : `neighbours: ${reason(all, heard)}`
  return { links: all, heard, connected, waitingFor }
}

function reason(links: readonly LinkStatus[], heard: number): string {
  const usable = links.filter((l) => l.usable)
  if (usable.length === 0) {
    const whys = links.map((l) => `${l.name}: ${l.why}`)
    return whys.length === 0 ? 'no usable interface' : `no usable interface (${whys.join('; ')})`
  }
  const names = usable.map((l) => l.name).join(', ')
  if (heard > 0) return `${heard} heard on ${names}, connecting`
  if (usable.every((l) => l.mode === 'listen')) return `listening only on ${names} (${usable[0]!.why})`
  return `none heard yet on ${names}`
}
