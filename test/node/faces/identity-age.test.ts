import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SILENT } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { DataFolder, type FaceFolder } from '../../../src/node/data-folder.ts'
import { endOldIdentity, noteRun } from '../../../src/node/faces/identity-age.ts'
import { transportKeys } from '../../../src/node/faces/transport-keys.ts'
import { keepInvitation } from '../../../src/node/mesh-secret.ts'
import { toB32 } from '../../../src/protocol/structures/identity.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = Date.UTC(2026, 10, 1)

let dir: string
let folder: DataFolder
let face: FaceFolder
let seed = 1

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-age-'))
  folder = new DataFolder(dir, SILENT)
  folder.make()
  face = folder.face('mesh')
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** Who the node is when it starts at `wall`, by all that neighbours can know it by. */
function start(wall: number): string {
  endOldIdentity(face, wall)
  const { iv, staticKeys } = transportKeys(face, seededRandom(seed++))
  const router = toB32(face.routerKeys(seededRandom(seed++)).identity.hash)
  return [router, Buffer.from(staticKeys.publicKey).toString('hex'), Buffer.from(iv).toString('hex')].join()
}

/** No part of it is as it was. */
function expectOther(a: string, b: string): void {
  const parts = new Set([...a.split(','), ...b.split(',')])
  expect(parts.size).toBe(6)
}

describe('a mesh identity', () => {
  it('stays over a short pause, and a short pause after a long run', () => {
    const first = start(NOW)
    expect(start(NOW + HOUR)).toBe(first)
    for (let t = HOUR; t <= 30 * HOUR; t += HOUR / 6) noteRun(face, NOW + t)
    expect(start(NOW + 31.9 * HOUR)).toBe(first)
  })

  it('ends after two hours off, and nothing of it is left but the secret', async () => {
    keepInvitation(folder, { name: 'ramsons', secret: 'open' })
    const first = start(NOW)
    await face.saveRouterInfo(new Uint8Array(1))
    noteRun(face, NOW + HOUR)
    expect(endOldIdentity(face, NOW + 3 * HOUR)).toBe(true)
    expect(readdirSync(face.dir).sort()).toEqual(['secret', 'state.json'])
    expectOther(start(NOW + 3 * HOUR), first)
  })

  it('ends at the first start after seven days, however short the pauses', () => {
    const first = start(NOW)
    let other = first
    for (let t = 0; t <= 7 * DAY; t += HOUR) {
      expect(other).toBe(first)
      other = start(NOW + t)
    }
    expectOther(other, first)
    expect(start(NOW + 7 * DAY + HOUR)).toBe(other)
  })

  it.each([
    ['1970', 0],
    ['2025', Date.UTC(2025, 5, 1)],
  ])('stays while the clock says %s, and that is not written down', (_, wrong) => {
    const first = start(NOW)
    expect(start(wrong)).toBe(first)
    noteRun(face, wrong + DAY)
    expect(start(NOW + HOUR)).toBe(first)
  })

  it('made under such a clock has its age from the first date that is known', () => {
    const first = start(0)
    expect(existsSync(join(face.dir, 'state.json'))).toBe(true)
    noteRun(face, NOW)
    expect(start(NOW + HOUR)).toBe(first)
    for (let t = HOUR; t < 7 * DAY; t += HOUR) noteRun(face, NOW + t)
    expectOther(start(NOW + 7 * DAY), first)
  })

  it('survives a clock that was ahead, and does not live longer for it', () => {
    const first = start(NOW + 1000 * DAY)
    expect(start(NOW)).toBe(first)
    for (let t = 0; t < 7 * DAY; t += HOUR) noteRun(face, NOW + t)
    expectOther(start(NOW + 7 * DAY), first)
  })

  it('does not depend on a state that someone wrote', () => {
    for (const value of ['x', null, -1, 1e300, {}, []]) {
      face.writeState({ identity_created: value, last_run: value })
      expect(endOldIdentity(face, NOW)).toBe(false)
    }
  })
})
