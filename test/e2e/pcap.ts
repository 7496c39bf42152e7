/** Reads what tcpdump wrote, as far as the tests ask: Ethernet frames, IPv6 addresses, UDP payloads. */
import { readFileSync } from 'node:fs'

const GLOBAL_HEADER = 24
const RECORD_HEADER = 16
const ETHERNET_HEADER = 14
const IPV6_HEADER = 40
const ETHERTYPE_IPV6 = 0x86dd
const UDP = 17

export interface Frame {
  readonly at: number
  readonly etherType: number
  readonly bytes: Buffer
}

export interface Ipv6Packet {
  readonly at: number
  readonly source: string
  readonly destination: string
  readonly nextHeader: number
  readonly payload: Buffer
}

export function readFrames(file: string): Frame[] {
  const all = readFileSync(file)
  if (all.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error(`${file}: not a little-endian pcap file`)
  const frames: Frame[] = []
  for (let at = GLOBAL_HEADER; at + RECORD_HEADER <= all.length; ) {
    const length = all.readUInt32LE(at + 8)
    const bytes = all.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length)
    const time = all.readUInt32LE(at) + all.readUInt32LE(at + 4) / 1e6
    frames.push({ at: time, etherType: bytes.readUInt16BE(12), bytes })
    at += RECORD_HEADER + length
  }
  return frames
}

export function ipv6(frames: readonly Frame[]): Ipv6Packet[] {
  return frames
    .filter((f) => f.etherType === ETHERTYPE_IPV6)
    .map(({ at, bytes }) => {
      const ip = bytes.subarray(ETHERNET_HEADER)
      return {
        at,
        source: address(ip.subarray(8, 24)),
        destination: address(ip.subarray(24, 40)),
        nextHeader: ip[6]!,
        payload: ip.subarray(IPV6_HEADER),
      }
    })
}

/** Payloads of mDNS packets. */
export function mdns(packets: readonly Ipv6Packet[]): { packet: Ipv6Packet; data: Buffer }[] {
  return packets
    .filter((p) => p.nextHeader === UDP && p.payload.readUInt16BE(2) === 5353)
    .map((packet) => ({ packet, data: packet.payload.subarray(8) }))
}

/** Eight groups of hex, none left out. */
function address(bytes: Buffer): string {
  return bytes.toString('hex').replace(/(.{4})(?!$)/g, '$1:')
}
