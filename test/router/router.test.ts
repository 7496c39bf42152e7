import { describe, expect, it } from 'vitest'
import { WallClock } from '../../src/base/clock.ts'
import { SILENT } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { generateX25519 } from '../../src/crypto/x25519.ts'
import { newDestination, newRouterIdentity } from '../../src/protocol/structures/identity.ts'
import { Router } from '../../src/router/router.ts'
import type { RouterEvent } from '../../src/router/switchboard.ts'

describe('a router with several destinations', () => {
  it('signs their lease sets at different times after its clock was set', () => {
    const random = seededRandom(3)
    const clock = new WallClock(1_760_000_000_000, 0)
    const side = { length: 0, quantity: 1 }
    const sides = { inbound: side, outbound: side }
    const router = new Router(
      {
        local: newRouterIdentity(random),
        ntcp2: { staticKeys: generateX25519(random), iv: random.bytes(16) },
        self: {
          netId: 5,
          bandwidth: 'X',
          floodfill: true,
          hidden: false,
          congestion: '',
          ntcp2: undefined,
        },
        exploratory: sides,
        meshRule: false,
        allowReservedRanges: false,
        maxPeers: 10,
        transit: {
          maxTransit: 0,
          transitBytesPerSecond: 0,
          peerBuildsPerSecond: 1,
          peerBuildBurst: 1,
          buildsPerSecond: 1,
        },
        random,
        clock,
        log: SILENT,
      },
      0,
    )
    let now = 0
    const signed: { destination: number; at: number }[] = []
    const out = {
      udp: () => {},
      tcpOpen: () => 1,
      tcpData: () => {},
      tcpEnd: () => {},
      event: (e: RouterEvent) => {
        if (e.kind === 'leases') signed.push({ destination: e.destination, at: now })
      },
    }
    const run = (until: number): void => {
      for (; now < until; now += 50) if ((router.nextTimeout() ?? Infinity) <= now) router.timeout(now, out)
    }
    router.start(now, out)
    for (const name of ['one', 'two', 'three'])
      router.addDestination(
        { name, local: newDestination(random), published: true, minLength: 0, ...sides },
        now,
        out,
      )
    run(1_000)
    signed.length = 0
    clock.step(3_600_000)
    router.clockStepped(now, out)
    run(12_000)
    expect(signed.map((s) => s.destination).sort()).toEqual([1, 2, 3])
    expect(new Set(signed.map((s) => Math.floor(s.at / 1000))).size).toBe(3)
  })
})
