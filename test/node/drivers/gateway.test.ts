import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultGateway } from '../../../src/node/drivers/gateway.ts'

const proc = mkdtempSync(join(tmpdir(), 'gateway-'))
beforeAll(() => mkdirSync(join(proc, 'net')))
afterAll(() => rmSync(proc, { recursive: true }))

const HEADING = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'
/** 127.0.0.0/8 is a gateway's address that every machine can reach. */
const WIFI = 'wlan0\t00000000\t0200007F\t0003\t0\t0\t600\t00000000\t0\t0\t0'
const CABLE = 'eth0\t00000000\t0100007F\t0003\t0\t0\t100\t00000000\t0\t0\t0'
const LINK = 'wlan0\t0000007F\t00000000\t0001\t0\t0\t600\t000000FF\t0\t0\t0'
const VPN = 'wg0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0'
const DOWN = 'eth1\t00000000\t0300007F\t0002\t0\t0\t1\t00000000\t0\t0\t0'

function routes(...lines: string[]): ReturnType<typeof defaultGateway> {
  writeFileSync(join(proc, 'net/route'), `${[HEADING, ...lines].join('\n')}\n`)
  return defaultGateway(proc)
}

test('the default route with the lowest metric that is up, and our address on the way', async () => {
  expect(await routes(LINK, WIFI)).toEqual({ address: '127.0.0.2', local: '127.0.0.1' })
  expect(await routes(WIFI, CABLE, DOWN, LINK)).toEqual({ address: '127.0.0.1', local: '127.0.0.1' })
})

test('none: no route, a VPN first, nonsense, no /proc', async () => {
  expect(await routes(LINK)).toBeUndefined()
  expect(await routes(WIFI, VPN)).toBeUndefined()
  expect(await routes('', 'x', 'wlan0\t00000000\tzz\t0003\t0\t0\t1\t00000000')).toBeUndefined()
  expect(await defaultGateway('/nowhere')).toBeUndefined()
})
