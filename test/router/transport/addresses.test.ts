import { describe, expect, it } from 'vitest'
import { hex } from '../../../src/base/bytes.ts'
import { ipBytes } from '../../../src/base/ip.ts'
import { isReserved, sameHost } from '../../../src/router/ip-ranges.ts'
import { mayComeFrom, sourceKey } from '../../../src/router/transport/addresses.ts'
import { party } from '../../protocol/ntcp2/parties.ts'

describe('addresses', () => {
  it('parse as IPv4, IPv6 and nothing else', () => {
    const good: readonly (readonly [string, string])[] = [
      ['1.2.3.4', '01020304'],
      ['255.255.255.255', 'ffffffff'],
      ['::', '00000000000000000000000000000000'],
      ['::1', '00000000000000000000000000000001'],
      ['2001:db8::ff00:42:8329', '20010db8000000000000ff0000428329'],
      ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
      ['fe80::1%wlan0', 'fe800000000000000000000000000001'],
      ['::ffff:9.8.7.6', '09080706'],
      ['64:ff9b::1.2.3.4', '0064ff9b000000000000000001020304'],
    ]
    for (const [text, bytes] of good) expect(hex(ipBytes(text)!), text).toBe(bytes)
    for (const text of [
      '',
      'example.com',
      '1.2.3',
      '1.2.3.256',
      '1.2.3.04',
      '1.2.3.4.5',
      ':1',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7::8:9',
      '12345::',
      '1.2.3.4::',
      ':::',
    ]) {
      expect(ipBytes(text), text).toBeUndefined()
    }
  })

  it('are reserved when no public router can have them', () => {
    const reserved = (text: string): boolean => isReserved(ipBytes(text)!)
    for (const text of [
      '0.1.2.3',
      '10.0.0.1',
      '100.64.0.1',
      '100.127.255.255',
      '127.0.0.1',
      '169.254.3.4',
      '172.16.0.1',
      '172.31.255.255',
      '192.0.0.8',
      '192.0.2.1',
      '192.168.1.1',
      '198.18.0.1',
      '198.19.255.255',
      '198.51.100.7',
      '203.0.113.9',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      '::ffff:10.0.0.1',
      'fe80::1',
      'fc00::1',
      'ff02::fb',
      '2001:db8::1',
      '2002:1::1',
    ]) {
      expect(reserved(text), text).toBe(true)
    }
    for (const text of [
      '1.1.1.1',
      '21.101.0.1',
      '100.63.0.1',
      '100.128.0.1',
      '172.32.0.1',
      '192.0.1.1',
      '2a00::1',
    ]) {
      expect(reserved(text), text).toBe(false)
    }
  })

  it('compare by host: IPv6 by its /64', () => {
    const same = (a: string, b: string): boolean => sameHost(ipBytes(a)!, ipBytes(b)!)
    expect([same('1.2.3.4', '1.2.3.4'), same('1.2.3.4', '1.2.3.5'), same('1.2.3.4', '::1')]).toEqual([
      true,
      false,
      false,
    ])
    expect([same('2a00::1:2', '2a00::7'), same('2a00:0:0:1::1', '2a00:0:0:2::1')]).toEqual([true, false])
    expect(sourceKey('2a00::1')).toBe(sourceKey('2a00::2'))
    expect(sourceKey('1.2.3.4')).not.toBe(sourceKey('1.2.3.5'))
    expect(sourceKey('fe80::1%a')).not.toBe(sourceKey('fe80::2%a'))
  })

  it('of a router that publishes none of this family may be anything', () => {
    const ri = party(1, { host: '21.0.0.1' }).routerInfo
    expect(mayComeFrom(ri, ipBytes('21.0.0.1')!)).toBe(true)
    expect(mayComeFrom(ri, ipBytes('21.0.0.2')!)).toBe(false)
    expect(mayComeFrom(ri, ipBytes('2a00::2')!)).toBe(true)
    expect(mayComeFrom(party(1).routerInfo, ipBytes('21.0.0.2')!)).toBe(true)
  })
})
