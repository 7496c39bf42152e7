import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import type { Log, LogLevel } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { OPEN } from '../../src/mesh/secret.ts'
import { readConfig } from '../../src/node/config/config.ts'
import { DataFolder } from '../../src/node/data-folder.ts'
import { writeWhole, writeWholeSync } from '../../src/node/files.ts'
import { lockFolder } from '../../src/node/folder-lock.ts'
import { type Journal, openJournal } from '../../src/node/journal.ts'
import { keepInvitation, keptInvitation, meshInvitation } from '../../src/node/mesh-secret.ts'

let dir: string
let lines: string[]
const log: Log = {
  enabled: () => true,
  write: (level: LogLevel, line) => void lines.push(`${level} ${line}`),
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-data-'))
  lines = []
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

const mode = (path: string): number => statSync(path).mode & 0o777

describe('the lock of a data folder', () => {
  it('keeps a second node out, and is given back', () => {
    const unlock = lockFolder(dir)
    expect(() => lockFolder(dir)).toThrow(`${dir} is in use by another node (process ${process.pid})`)
    unlock()
    lockFolder(dir)()
    expect(readdirSync(dir)).toEqual([])
  })

  it('is taken over from a process that was killed', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'])
    const start = readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ').pop()!.split(' ')[19]!
    symlinkSync(`${child.pid}-${start}`, join(dir, 'lock'))
    expect(() => lockFolder(dir)).toThrow(`process ${child.pid}`)
    child.kill('SIGKILL')
    await once(child, 'exit')
    lockFolder(dir)()
  })

  it.each([
    ['whose number another process has by now', `${process.pid}-1`],
    ['that names nobody', 'x'],
  ])('is taken over when it is one %s', (_, owner) => {
    symlinkSync(owner, join(dir, 'lock'))
    lockFolder(dir)()
    expect(readdirSync(dir)).toEqual([])
  })

  it('is taken over when it is no lock at all', () => {
    writeFileSync(join(dir, 'lock'), 'garbage')
    lockFolder(dir)()
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('files', () => {
  it('are whole or absent, private, and leave nothing behind', async () => {
    const path = join(dir, 'keys')
    writeWholeSync(path, utf8('old'))
    writeFileSync(`${path}.new`, 'left by a crash')
    await writeWhole(path, utf8('new'))
    expect(readFileSync(path, 'utf8')).toBe('new')
    expect(mode(path)).toBe(0o600)
    expect(readdirSync(dir)).toEqual(['keys'])
  })

  it('that cannot be written keep their old content', async () => {
    const path = join(dir, 'sub')
    mkdirSync(path)
    await expect(writeWhole(path, utf8('x'))).rejects.toThrow()
    expect(() => writeWholeSync(join(dir, 'missing', 'x'), utf8('x'))).toThrow()
  })
})

describe('the folder of a node', () => {
  it('has the layout that scripts rely on, for its owner only', async () => {
    const folder = new DataFolder(join(dir, 'node'), log)
    folder.make()
    expect(readdirSync(folder.dir).sort()).toEqual(['destinations', 'mesh', 'public', 'site'])
    expect(mode(folder.dir)).toBe(0o700)
    const face = folder.face('public')
    const keys = face.routerKeys(seededRandom(1))
    await face.saveRouterInfo(utf8('signed'))
    face.writeState({ port: 1234 })
    const { journal } = face.openNetDb()
    await journal.save([utf8('a router')])
    expect(readdirSync(face.dir).sort()).toEqual(['netdb', 'router.info', 'router.keys', 'state.json'])
    for (const name of ['netdb', 'router.keys', 'state.json'])
      expect(mode(join(face.dir, name)), name).toBe(0o600)
    expect(readFileSync(join(face.dir, 'router.info'), 'utf8')).toBe('signed')
    expect(face.routerKeys(seededRandom(2)).identity.hash).toEqual(keys.identity.hash)
    expect(face.readState()).toEqual({ port: 1234 })
    expect(folder.face('mesh').routerKeys(seededRandom(3)).identity.hash).not.toEqual(keys.identity.hash)
  })

  it('is closed to others when it was open', () => {
    const folder = new DataFolder(join(dir, 'node'), log)
    folder.make()
    for (const sub of ['mesh', 'public', 'destinations']) chmodSync(join(folder.dir, sub), 0o755)
    folder.make()
    for (const sub of ['mesh', 'public', 'destinations']) expect(mode(join(folder.dir, sub)), sub).toBe(0o700)
  })

  it('sets damaged router keys and state aside, says so, and goes on', () => {
    const folder = new DataFolder(dir, log)
    folder.make()
    const face = folder.face('mesh')
    const old = face.routerKeys(seededRandom(1))
    truncateSync(join(face.dir, 'router.keys'), 100)
    writeFileSync(join(face.dir, 'state.json'), '{"port":')
    expect(face.routerKeys(seededRandom(2)).identity.hash).not.toEqual(old.identity.hash)
    expect(face.readState()).toEqual({})
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/^warn .*router\.keys: .*set aside as .*router\.keys\.damaged$/)
    expect(existsSync(join(face.dir, 'router.keys.damaged'))).toBe(true)
    expect(existsSync(join(face.dir, 'state.json.damaged'))).toBe(true)
  })

  it('never replaces the keys of a destination', () => {
    const folder = new DataFolder(dir, log)
    folder.make()
    const made = folder.destination('site', seededRandom(1))
    const path = join(dir, 'destinations', 'site.dat')
    expect(mode(path)).toBe(0o600)
    expect(folder.destination('site', seededRandom(2)).identity.hash).toEqual(made.identity.hash)
    truncateSync(path, 200)
    expect(() => folder.destination('site', seededRandom(3))).toThrow(/site\.dat: /)
    expect(statSync(path).size).toBe(200)
  })

  it('forgets a router but what it is told to keep', () => {
    const folder = new DataFolder(dir, log)
    folder.make()
    const face = folder.face('mesh')
    face.routerKeys(seededRandom(1))
    keepInvitation(folder, { name: 'ramsons', secret: OPEN })
    face.wipe(['secret'])
    expect(readdirSync(face.dir)).toEqual(['secret'])
  })
})

describe("the mesh's secret", () => {
  const mesh = (...sets: string[]): ReturnType<typeof readConfig>['config']['mesh'] =>
    readConfig('', sets).config.mesh
  let folder: DataFolder

  beforeEach(() => {
    folder = new DataFolder(dir, log)
    folder.make()
  })

  it('is made at first start and kept', () => {
    const made = meshInvitation(mesh(), folder, seededRandom(1))
    expect(made.secret.split(' ')).toHaveLength(6)
    expect(meshInvitation(mesh(), folder, seededRandom(2))).toEqual(made)
    expect(keptInvitation(folder)).toEqual(made)
    expect(mode(join(dir, 'mesh', 'secret'))).toBe(0o600)
  })

  it('is the configured one when there is one, and that is not written down', () => {
    const words = meshInvitation(mesh(), folder, seededRandom(1)).secret
    const given = meshInvitation(mesh('mesh.secret=open', 'mesh.name=home'), folder, seededRandom(2))
    expect(given).toEqual({ name: 'home', secret: OPEN })
    expect(keptInvitation(folder)?.secret).toBe(words)
  })
})

describe('a journal', () => {
  const path = (): string => join(dir, 'netdb')
  const record = (n: number, size = 100): Uint8Array => seededRandom(n).bytes(size)
  const texts = (records: readonly Uint8Array[]): string[] =>
    records.map((r) => Buffer.from(r).toString('hex'))
  const fill = async (...ns: number[]): Promise<Journal> => {
    const { journal } = openJournal(path(), log)
    await journal.save(ns.map((n) => record(n)))
    return journal
  }

  it('gives back what was saved, and appends only what is new', async () => {
    const journal = await fill(1, 2)
    const size = statSync(path()).size
    await journal.save([record(1), record(2)])
    expect(statSync(path()).size).toBe(size)
    await journal.save([record(2), record(3)])
    expect(statSync(path()).size).toBe(size + 108)
    expect(texts(openJournal(path(), log).records)).toEqual(texts([record(1), record(2), record(3)]))
    expect(lines).toEqual([])
  })

  it('is written anew when most of it is stale', async () => {
    const { journal } = openJournal(path(), log)
    let n = 0
    for (let i = 0; i < 40; i++) await journal.save(Array.from({ length: 10 }, () => record(n++, 3000)))
    expect(statSync(path()).size).toBeLessThan(400_000)
    const { records } = openJournal(path(), log)
    const last = texts(records).slice(-10)
    expect(last).toEqual(texts(Array.from({ length: 10 }, (_, i) => record(n - 10 + i, 3000))))
  })

  it('cut at any byte keeps the records before the cut, and takes more', async () => {
    await fill(1, 2, 3)
    const whole = readFileSync(path())
    for (let cut = 8; cut < whole.length; cut++) {
      writeFileSync(path(), whole.subarray(0, cut))
      const { journal, records } = openJournal(path(), log)
      const kept = Math.floor((cut - 8) / 108)
      expect(records).toHaveLength(kept)
      if (cut % 37 === 0) {
        await journal.save([...records, record(9)])
        expect(texts(openJournal(path(), log).records)).toEqual(texts([...records, record(9)]))
      }
    }
    expect(lines).toEqual([])
  })

  it.each([
    ['of another kind', () => utf8('SQLite format 3\0 and so on')],
    ['of another version', (b: Buffer) => b.fill(9, 7, 8)],
    ['with a flipped bit', (b: Buffer) => b.fill(b[130]! ^ 1, 130, 131)],
    ['with a length beyond all records', (b: Buffer) => b.fill(0xff, 8, 10)],
    ['cut within its first bytes', (b: Buffer) => b.subarray(0, 5)],
    ['that is empty', () => new Uint8Array(0)],
  ])('%s is set aside and reported, and the node has a new one', async (_, damage) => {
    await fill(1, 2, 3)
    writeFileSync(path(), damage(readFileSync(path())))
    const { journal, records } = openJournal(path(), log)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^warn .*netdb: .*; set aside as .*netdb\.damaged, \d records kept$/)
    expect(existsSync(`${path()}.damaged`)).toBe(true)
    await journal.save([...records, record(7)])
    expect(texts(openJournal(path(), log).records)).toEqual(texts([...records, record(7)]))
  })

  it('of random bytes never throws', () => {
    for (let n = 0; n < 200; n++) {
      const bytes = seededRandom(n).bytes(n)
      writeFileSync(path(), n % 2 === 0 ? bytes : Buffer.concat([utf8('RAMSONS\x01'), bytes]))
      openJournal(path(), log)
    }
  })

  it('survives kill -9 in the middle of its saves', async () => {
    const { journal } = openJournal(path(), log)
    await journal.save([record(1)])
    // What a crash between writing and renaming leaves.
    writeFileSync(`${path()}.new`, 'half')
    const again = openJournal(path(), log)
    expect(texts(again.records)).toEqual(texts([record(1)]))
    await again.journal.save([record(1), record(2)])
    expect(texts(openJournal(path(), log).records)).toEqual(texts([record(1), record(2)]))
  })

  it('that cannot be written warns once, and says when it can again', async () => {
    const journal = await fill(1)
    rmSync(dir, { recursive: true })
    await journal.save([record(2)])
    await journal.save([record(3)])
    mkdirSync(dir)
    await journal.save([record(3)])
    expect(lines).toEqual([
      `warn ${path()} is not saved: no such file or folder`,
      `info ${path()}: saved again`,
    ])
    expect(texts(openJournal(path(), log).records)).toEqual(texts([record(3)]))
  })

  it('on a full disk warns once, loses nothing, and goes on when there is room', async ({ skip }) => {
    const small = join(dir, 'small')
    mkdirSync(small)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small], { stdio: 'ignore' })
    } catch {
      skip('needs the right to mount a small disk')
    }
    try {
      const { journal } = openJournal(join(small, 'netdb'), log)
      await journal.save([record(1)])
      writeFileSync(join(small, 'other'), new Uint8Array(40_000))
      const many = Array.from({ length: 10 }, (_, i) => record(i + 2, 4000))
      await journal.save([record(1), ...many])
      await journal.save([record(1), ...many])
      expect(lines).toEqual([`warn ${small}/netdb is not saved: the disk is full`])
      expect(texts(openJournal(join(small, 'netdb'), log).records)[0]).toBe(texts([record(1)])[0])
      rmSync(join(small, 'other'))
      await journal.save([record(1), ...many])
      expect(lines.slice(1)).toEqual([`info ${small}/netdb: saved again`])
      expect(texts(openJournal(join(small, 'netdb'), log).records)).toEqual(texts([record(1), ...many]))
    } finally {
      execFileSync('umount', [small])
    }
  })
})
