/** Where a tunnel's endpoint takes a message (tunnel-message, "Tunnel Message Delivery Instructions"). */
import type { Hash } from '../structures/hash.ts'

// Specification constants
export const DELIVER_LOCAL = 0
export const DELIVER_TUNNEL = 1
export const DELIVER_ROUTER = 2
/** Flag bits. */
export const FOLLOW_ON = 0x80
export const DELIVERY_SHIFT = 5
export const DELAY = 0x10
export const FRAGMENTED = 0x08
export const EXTENDED_OPTIONS = 0x04
export const LAST_FRAGMENT = 0x01
/** Fragment numbers 0 to 63. */
export const MAX_FRAGMENTS = 64
/** Flag, message id, size. */
export const FOLLOW_ON_HEADER = 7

/** The gateway's order to the endpoint. Only inbound tunnels deliver locally; outbound ones never do. */
export type TunnelDelivery =
  | { readonly kind: 'local' }
  | { readonly kind: 'tunnel'; readonly gateway: Hash; readonly tunnelId: number }
  | { readonly kind: 'router'; readonly hash: Hash }

export const LOCAL: TunnelDelivery = { kind: 'local' }

/** Bytes of first-fragment instructions for a message that is whole; a fragmented one needs 4 more. */
export function instructionsLength(d: TunnelDelivery): number {
  if (d.kind === 'local') return 3
  return d.kind === 'tunnel' ? 39 : 35
}
