/**
 * What is said to a gateway to have a port: PCP (RFC 6887, "MAP Opcode"), and NAT-PMP (RFC 6886), which it grew out of. Wire formats only.
 * An answer that is too short or belongs to another question is none: undefined.
 */
import { Reader, sameBytes, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import type { Wish } from './gateway.ts'

// Specification constants

const PCP_VERSION = 2
const NAT_PMP_VERSION = 0
const MAP = 1
const RESPONSE = 0x80
const SUCCESS = 0
const UNSUPPORTED_VERSION = 1
/** PCP has the numbers of IP, NAT-PMP an opcode for each. */
const IP_PROTOCOLS = { tcp: 6, udp: 17 } as const
const NAT_PMP_OPCODES = { udp: 1, tcp: 2 } as const
const EXTERNAL_ADDRESS = 0
export const NONCE_SIZE = 12
/** ::ffff:0:0/96: how PCP writes IPv4. */
const MAPPED_PREFIX: Uint8Array = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

export type Answer<T> = { readonly kind: 'granted'; readonly what: T } | Refusal

/** Code 1: it does not speak this version. */
export interface Refusal {
  readonly kind: 'refused'
  readonly code: number
}

export interface Assigned {
  readonly port: number
  /** Seconds. */
  readonly lifetime: number
}

/** `lifetime` 0 takes the mapping back. Only who repeats `nonce` may change it later. */
export function writeMapRequest(
  wish: Wish,
  local: Uint8Array,
  nonce: Uint8Array,
  suggested: number,
  lifetime: number,
): Uint8Array {
  const w = new Writer(60).u8(PCP_VERSION).u8(MAP).u16(0).u32(lifetime)
  w.put(MAPPED_PREFIX).put(local).put(nonce).u8(IP_PROTOCOLS[wish.protocol]).u8(0).u16(0)
  return w.u16(wish.port).u16(suggested).put(MAPPED_PREFIX).u32(0).bytes
}

export function readMapResponse(
  bytes: Uint8Array,
  wish: Wish,
  nonce: Uint8Array,
): Answer<Assigned & { readonly address: string }> | undefined {
  return unlessMalformed(() => {
    const r = new Reader(bytes)
    const version = r.u8()
    const opcode = r.u8()
    if ((opcode & RESPONSE) === 0) return undefined
    r.u8()
    const code = r.u8()
    if (version !== PCP_VERSION || code === UNSUPPORTED_VERSION) return refused(UNSUPPORTED_VERSION)
    const lifetime = r.u32()
    r.take(16) // since when the gateway runs; reserved
    const same = sameBytes(r.take(NONCE_SIZE), nonce)
    const protocol = r.u8()
    r.take(3)
    const internal = r.u16()
    if (opcode !== (RESPONSE | MAP) || !same) return undefined
    if (protocol !== IP_PROTOCOLS[wish.protocol] || internal !== wish.port) return undefined
    const port = r.u16()
    const prefix = r.take(MAPPED_PREFIX.length)
    const address = r.take(4).join('.')
    if (code !== SUCCESS) return refused(code)
    return sameBytes(prefix, MAPPED_PREFIX)
      ? { kind: 'granted', what: { port, lifetime, address } }
      : undefined
  })
}

export function writeNatPmpRequest(wish: Wish, suggested: number, lifetime: number): Uint8Array {
  const w = new Writer(12).u8(NAT_PMP_VERSION).u8(NAT_PMP_OPCODES[wish.protocol]).u16(0)
  return w.u16(wish.port).u16(suggested).u32(lifetime).bytes
}

export function readNatPmpResponse(bytes: Uint8Array, wish: Wish): Answer<Assigned> | undefined {
  return readNatPmp(bytes, NAT_PMP_OPCODES[wish.protocol], (r) =>
    r.u16() === wish.port ? { port: r.u16(), lifetime: r.u32() } : undefined,
  )
}

export function writeAddressRequest(): Uint8Array {
  return Uint8Array.of(NAT_PMP_VERSION, EXTERNAL_ADDRESS)
}

export function readAddressResponse(bytes: Uint8Array): Answer<string> | undefined {
  return readNatPmp(bytes, EXTERNAL_ADDRESS, (r) => r.take(4).join('.'))
}

function readNatPmp<T>(
  bytes: Uint8Array,
  opcode: number,
  body: (r: Reader) => T | undefined,
): Answer<T> | undefined {
  return unlessMalformed(() => {
    const r = new Reader(bytes)
    if (r.u8() !== NAT_PMP_VERSION || r.u8() !== (RESPONSE | opcode)) return undefined
    const code = r.u16()
    if (code !== SUCCESS) return refused(code)
    r.u32() // since when the gateway runs
    const what = body(r)
    return what === undefined ? undefined : { kind: 'granted', what }
  })
}

function refused(code: number): Refusal {
  return { kind: 'refused', code }
}

function unlessMalformed<T>(read: () => T | undefined): T | undefined {
  try {
    return read()
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
