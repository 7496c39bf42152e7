/** The router that this machine reaches the internet by: where it is, and what it may be asked for, by whichever protocol. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

// Specification constants
/** linux/route.h */
const RTF_UP = 1
const RTF_GATEWAY = 2
/** Any port: nothing is sent to it. */
const DISCARD_PORT = 9

/** IPv4: IPv6 knows no address translation. */
export interface Gateway {
  readonly address: string
  /** Ours on the link to it. */
  readonly local: string
}

/** A port of ours that others should reach. */
export interface Wish {
  readonly protocol: 'tcp' | 'udp'
  readonly port: number
}

export interface Granted extends Wish {
  /** What others dial. */
  readonly external: number
  readonly address: string
  /** Seconds; 0 when it has no end. */
  readonly lifetime: number
}

/** One protocol, spoken with one gateway. */
export interface Mapper {
  readonly name: 'PCP' | 'NAT-PMP' | 'UPnP'
  /** Asks for `suggested` outside; also renews. Resolves to the reason, without addresses, when it is not granted. */
  map(wish: Wish, suggested: number, lifetime: number, signal: AbortSignal): Promise<Granted | string>
  unmap(granted: Granted, signal: AbortSignal): Promise<void>
  close(): void
}

/**
 * Of the default route with the lowest metric; undefined without one, when it has no gateway (a VPN), and elsewhere than on Linux. `proc`
 * is the kernel's folder: /proc.
 */
export async function defaultGateway(proc = '/proc'): Promise<Gateway | undefined> {
  const address = gatewayAddress(proc)
  if (address === undefined) return undefined
  const socket = createSocket('udp4')
  try {
    // Chooses our address and sends nothing.
    const connected = once(socket, 'connect')
    socket.connect(DISCARD_PORT, address)
    await connected
    return { address, local: socket.address().address }
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}

function gatewayAddress(proc: string): string | undefined {
  let text: string
  try {
    text = readFileSync(join(proc, 'net/route'), 'utf8')
  } catch {
    return undefined
  }
  let best: { readonly metric: number; readonly flags: number; readonly gateway: string } | undefined
  // Iface Destination Gateway Flags RefCnt Use Metric Mask ...
  for (const line of text.split('\n').slice(1)) {
    const [, destination, gateway, flagsHex, , , metricText, mask] = line.trim().split(/\s+/)
    if (mask === undefined || destination !== '00000000' || mask !== '00000000') continue
    const [flags, metric] = [Number.parseInt(flagsHex!, 16), Number(metricText)]
    if ((flags & RTF_UP) !== 0 && (best === undefined || metric < best.metric))
      best = { metric, flags, gateway: gateway! }
  }
  if (best === undefined || (best.flags & RTF_GATEWAY) === 0 || !/^[0-9A-F]{8}$/i.test(best.gateway))
    return undefined
  // As the machine has it in memory, last byte first: both Raspberry Pi and PC do.
  return best.gateway
    .match(/../g)!
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.')
}
