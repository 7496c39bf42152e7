/** IP addresses as text and as bytes. */

/**
 * 4 bytes of IPv4 or 16 of IPv6; undefined for any other text. A zone (`%wlan0`) is left out. IPv4 in IPv6 (`::ffff:1.2.3.4`), as
 * sockets for both report it, is IPv4.
 */
export function ipBytes(address: string): Uint8Array | undefined {
  const zone = address.indexOf('%')
  const bare = zone < 0 ? address : address.slice(0, zone)
  return bare.includes(':') ? parseV6(bare) : parseV4(bare)
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

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const bytes = new Uint8Array(4)
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    bytes[i] = Number(part)
  }
  return bytes
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groups(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? groups(halves[1]!, true) : []
  if (head === undefined || tail === undefined) return undefined
  const count = head.length + tail.length
  if (halves.length === 2 ? count > 7 : count !== 8) return undefined
  const bytes = new Uint8Array(16)
  const put = (group: number, index: number): void => {
    bytes[2 * index] = group >>> 8
    bytes[2 * index + 1] = group
  }
  head.forEach(put)
  tail.forEach((group, i) => {
    put(group, 8 - tail.length + i)
  })
  const mapped = bytes.every((b, i) => i > 11 || b === (i < 10 ? 0 : 0xff))
  return mapped ? bytes.subarray(12) : bytes
}

/** 16-bit groups; at the end of an address the last may be a dotted IPv4 address. */
function groups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return []
  const found: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      found.push(Number.parseInt(part, 16))
      continue
    }
    const v4 = atEnd && i === parts.length - 1 ? parseV4(part) : undefined
    if (v4 === undefined) return undefined
    found.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!)
  }
  return found
}
