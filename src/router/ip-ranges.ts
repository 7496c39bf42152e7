/** Ranges of IP addresses: what is not on the public internet, what is one host, what may be one owner's. */

// Specification constants

/** First address and prefix length of what is not routed on the public internet (RFC 6890 and its registry). */
const RESERVED_V4: readonly (readonly [number, number])[] = [
  [0x00000000, 8], // 0/8
  [0x0a000000, 8], // 10/8
  [0x64400000, 10], // 100.64/10
  [0x7f000000, 8], // 127/8
  [0xa9fe0000, 16], // 169.254/16
  [0xac100000, 12], // 172.16/12
  [0xc0000000, 24], // 192.0.0/24
  [0xc0000200, 24], // 192.0.2/24
  [0xc0586300, 24], // 192.88.99/24
  [0xc0a80000, 16], // 192.168/16
  [0xc6120000, 15], // 198.18/15
  [0xc6336400, 24], // 198.51.100/24
  [0xcb007100, 24], // 203.0.113/24
  [0xe0000000, 3], // 224/4 and 240/4
]

/** True for what must not be dialled on, or come from, the public network. */
export function isReserved(address: Uint8Array): boolean {
  if (address.length === 4) {
    const a = word(address, 0)
    return RESERVED_V4.some(([net, bits]) => a >>> (32 - bits) === net >>> (32 - bits))
  }
  // Only 2000::/3 is global unicast; in it, 2001:db8::/32 is documentation, 2001::/32 Teredo and 2002::/16 6to4.
  if ((address[0]! & 0xe0) !== 0x20) return true
  const head = word(address, 0)
  return head === 0x20010db8 || head === 0x20010000 || head >>> 16 === 0x2002
}

/** Same host as far as a router can tell: IPv6 privacy addresses change within their /64. */
export function sameHost(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  const n = a.length === 4 ? 4 : 8
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return false
  return true
}

/** The same for all addresses of one host, as `sameHost` has it: a key for maps. */
export function hostKey(address: Uint8Array): string {
  return String.fromCharCode(...(address.length === 4 ? address : address.subarray(0, 8)))
}

/**
 * What one owner may well have all of, a key for maps: an IPv4 /16, an IPv6 /32. In a test network's ranges every address counts.
 */
export function networkOf(address: Uint8Array): string {
  if (isReserved(address)) return address.join('.')
  return address.subarray(0, address.length === 4 ? 2 : 4).join('.')
}

function word(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
}
