/** IP addresses as text and as bytes. */

/**
 * 4 bytes of IPv4 or 16 of IPv6; undefined for any other text. A zone (`%wlan0`) is left out. IPv4 in IPv6 (`::ffff:1.2.3.4`), as
 * sockets for both report it, is IPv4.
 */
export function ipBytes(address: string): Uint8Array | undefined {
  if (!address.includes(':')) return ipv4Bytes(address)
  let text = address.split('%', 1)[0]!
  const dotted = /^::ffff:(.*\..*)$/i.exec(text)
  if (dotted !== null) return ipv4Bytes(dotted[1]!)
  text = text.toLowerCase()
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':'))) as [
    string[],
    string[] | undefined,
  ]
  const missing = 8 - head.length - (tail?.length ?? 0)
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const groups = [...head, ...new Array<string>(missing).fill('0'), ...(tail ?? [])]
  const bytes = new Uint8Array(16)
  for (const [i, group] of groups.entries()) {
    if (!/^[0-9a-f]{1,4}$/.test(group)) return undefined
    const value = Number.parseInt(group, 16)
    bytes[2 * i] = value >>> 8
    bytes[2 * i + 1] = value
  }
  return bytes
}

/** The shortest text of 4 or 16 bytes (RFC 5952). */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16))
  const text = groups.join(':')
  const zeros = [...text.matchAll(/(?:^|:)(0(?::0)+)(?=:|$)/g)].map((m) => m[1]!)
  const longest = zeros.reduce((a, b) => (b.length > a.length ? b : a), '')
  if (longest === '') return text
  const at = `:${text}:`.indexOf(`:${longest}:`)
  return `${text.slice(0, Math.max(0, at - 1))}::${text.slice(at + longest.length + 1)}`
}

function ipv4Bytes(address: string): Uint8Array | undefined {
  const parts = address.split('.')
  if (parts.length !== 4 || !parts.every((p) => /^\d{1,3}$/.test(p) && Number(p) <= 255)) return undefined
  return Uint8Array.from(parts, Number)
}
