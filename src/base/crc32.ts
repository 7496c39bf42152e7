/** CRC-32 of RFC 1952 (gzip), four tables deep: Node 20's zlib has no function for it. */

const POLYNOMIAL = 0xedb88320

/** Tables for the first to the fourth byte of a word, 256 entries each. */
const TABLES = makeTables()

export function crc32(bytes: Uint8Array): number {
  const t = TABLES
  let c = 0xffffffff
  let i = 0
  for (const words = bytes.length & ~3; i < words; i += 4) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    c = t[768 + (c & 0xff)]! ^ t[512 + ((c >>> 8) & 0xff)]! ^ t[256 + ((c >>> 16) & 0xff)]! ^ t[c >>> 24]!
  }
  for (; i < bytes.length; i++) c = t[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}

function makeTables(): Int32Array {
  const t = new Int32Array(1024)
  for (let n = 0; n < 256; n++) {
    let c = n
    for (let k = 0; k < 8; k++) c = (c & 1) !== 0 ? POLYNOMIAL ^ (c >>> 1) : c >>> 1
    t[n] = c
  }
  for (let n = 256; n < 1024; n++) t[n] = t[t[n - 256]! & 0xff]! ^ (t[n - 256]! >>> 8)
  return t
}
