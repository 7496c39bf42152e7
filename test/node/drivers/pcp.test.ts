import { expect, test } from 'vitest'
import { fromHex } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import {
  readAddressResponse,
  readMapResponse,
  readNatPmpResponse,
  writeAddressRequest,
  writeMapRequest,
  writeNatPmpRequest,
} from '../../../src/node/drivers/pcp.ts'

const bytes = (hex: string): Uint8Array => fromHex(hex.replaceAll(/\s/g, ''))
const TCP = { protocol: 'tcp', port: 9111 } as const
const UDP = { protocol: 'udp', port: 9111 } as const
const NONCE = bytes('000102030405060708090a0b')

/** RFC 6887, figures 3 and 9: header, then the MAP opcode's data. */
const MAP_REQUEST = bytes(`02 01 0000 000004b0 00000000000000000000ffffc0a84d09
  000102030405060708090a0b 06 000000 2397 1f90 00000000000000000000ffff00000000`)
const MAP_RESPONSE = bytes(`02 81 00 00 000004b0 00000d5c 000000000000000000000000
  000102030405060708090a0b 06 000000 2397 1f91 00000000000000000000ffff3d0b0701`)
/** RFC 6886, 3.2 and 3.3. */
const ADDRESS_RESPONSE = bytes('00 80 0000 00000d5c 3d0b0701')
const UDP_RESPONSE = bytes('00 81 0000 00000d5c 2397 1f91 00000e10')
const TCP_RESPONSE = bytes('00 82 0000 00000d5c 2397 1f91 00000e10')

/** With the byte at `at` set to `value`. */
function changed(original: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(original)
  copy[at] = value
  return copy
}

test('requests', () => {
  expect(writeMapRequest(TCP, bytes('c0a84d09'), NONCE, 8080, 1200)).toEqual(MAP_REQUEST)
  expect(writeMapRequest(UDP, bytes('c0a84d09'), NONCE, 8080, 1200)).toEqual(changed(MAP_REQUEST, 36, 17))
  expect(writeAddressRequest()).toEqual(bytes('0000'))
  expect(writeNatPmpRequest(UDP, 8080, 3600)).toEqual(bytes('00 01 0000 2397 1f90 00000e10'))
  expect(writeNatPmpRequest(TCP, 0, 0)).toEqual(bytes('00 02 0000 2397 0000 00000000'))
})

test('answers', () => {
  const mapped = { port: 8081, lifetime: 1200, address: '61.11.7.1' }
  expect(readMapResponse(MAP_RESPONSE, TCP, NONCE)).toEqual({ kind: 'granted', what: mapped })
  expect(readAddressResponse(ADDRESS_RESPONSE)).toEqual({ kind: 'granted', what: '61.11.7.1' })
  const assigned = { kind: 'granted', what: { port: 8081, lifetime: 3600 } }
  expect(readNatPmpResponse(UDP_RESPONSE, UDP)).toEqual(assigned)
  expect(readNatPmpResponse(TCP_RESPONSE, TCP)).toEqual(assigned)
})

test('refusals, and gateways of another version', () => {
  const refused = (code: number): object => ({ kind: 'refused', code })
  expect(readMapResponse(changed(MAP_RESPONSE, 3, 2), TCP, NONCE)).toEqual(refused(2))
  // Whoever speaks another version sends its header only; NAT-PMP answers in its own form.
  expect(readMapResponse(changed(MAP_RESPONSE, 3, 1).subarray(0, 24), TCP, NONCE)).toEqual(refused(1))
  expect(readMapResponse(bytes('00 81 0001 00000d5c'), TCP, NONCE)).toEqual(refused(1))
  expect(readNatPmpResponse(changed(UDP_RESPONSE, 3, 3), UDP)).toEqual(refused(3))
  expect(readAddressResponse(changed(ADDRESS_RESPONSE, 3, 3))).toEqual(refused(3))
})

test('what answers another question is no answer', () => {
  expect(readMapResponse(MAP_REQUEST, TCP, NONCE)).toBeUndefined()
  expect(readMapResponse(MAP_RESPONSE, UDP, NONCE)).toBeUndefined()
  expect(readMapResponse(MAP_RESPONSE, { ...TCP, port: 9112 }, NONCE)).toBeUndefined()
  expect(readMapResponse(MAP_RESPONSE, TCP, changed(NONCE, 11, 0))).toBeUndefined()
  expect(readMapResponse(changed(MAP_RESPONSE, 1, 0x82), TCP, NONCE)).toBeUndefined()
  // An IPv6 address outside.
  expect(readMapResponse(changed(MAP_RESPONSE, 44, 0x20), TCP, NONCE)).toBeUndefined()
  expect(readNatPmpResponse(UDP_RESPONSE, TCP)).toBeUndefined()
  expect(readNatPmpResponse(UDP_RESPONSE, { ...UDP, port: 9112 })).toBeUndefined()
  expect(readNatPmpResponse(ADDRESS_RESPONSE, UDP)).toBeUndefined()
  expect(readAddressResponse(writeAddressRequest())).toBeUndefined()
})

test('every truncation, more than there should be, and noise', () => {
  const readers: [Uint8Array, (b: Uint8Array) => unknown][] = [
    [MAP_RESPONSE, (b) => readMapResponse(b, TCP, NONCE)],
    [UDP_RESPONSE, (b) => readNatPmpResponse(b, UDP)],
    [ADDRESS_RESPONSE, (b) => readAddressResponse(b)],
  ]
  const random = seededRandom(1)
  for (const [whole, read] of readers) {
    for (let n = 0; n < whole.length; n++) expect(read(whole.subarray(0, n)), `${n}`).toBeUndefined()
    // Later versions may add options.
    expect(read(Uint8Array.of(...whole, 0))).toEqual(read(whole))
    for (let i = 0; i < 500; i++) {
      const noise = random.bytes(random.below(80))
      const answer = read(noise) as { kind: string } | undefined
      expect(answer === undefined || answer.kind === 'refused').toBe(true)
    }
  }
})
