/**
 * The data folder: what a node keeps between runs.
 *
 * DIR/mesh, DIR/public   router.keys, router.info, netdb, state.json, and mesh/secret
 * DIR/destinations       key files of services, readable by i2pd
 * DIR/site               the user's files
 * DIR/control.sock       see control.ts
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { text, utf8 } from '../base/bytes.ts'
import { MalformedError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { type LocalIdentity, newDestination, newRouterIdentity } from '../protocol/structures/identity.ts'
import { readPrivateKeys, writePrivateKeys } from '../protocol/structures/private-keys.ts'
import { errorCode, expandHome, fileProblem, PRIVATE_FOLDER, writeWhole, writeWholeSync } from './files.ts'
import { lockFolder } from './folder-lock.ts'
import { type OpenedJournal, openJournal } from './journal.ts'

export type FaceName = 'mesh' | 'public'

/** Small facts of a face: ports, transport keys, when it last ran. JSON values only. */
export type FaceState = Readonly<Record<string, unknown>>

export class DataFolder {
  readonly dir: string
  readonly log: Log

  /** `dir` as the user wrote it. Touches nothing. */
  constructor(dir: string, log: Log) {
    this.dir = resolve(expandHome(dir))
    this.log = log
  }

  /** Makes the folders that are missing. @throws {Error} of the file system. */
  make(): void {
    for (const sub of ['', 'mesh', 'public', 'destinations', 'site'])
      mkdirSync(join(this.dir, sub), { recursive: true, mode: PRIVATE_FOLDER })
    for (const sub of ['mesh', 'public', 'destinations']) makePrivate(join(this.dir, sub))
  }

  get controlSocket(): string {
    return join(this.dir, 'control.sock')
  }

  /** Returns what gives the lock back. @throws {Error} while another node has it. */
  lock(): () => void {
    return lockFolder(this.dir)
  }

  /** Forgets the keys of destinations by their names. */
  wipeDestinations(which: (name: string) => boolean): void {
    const folder = join(this.dir, 'destinations')
    for (const file of readdirSync(folder)) if (which(file)) rmSync(join(folder, file), { force: true })
  }

  face(name: FaceName): FaceFolder {
    return new FaceFolder(join(this.dir, name), this.log)
  }

  /** A path of the configuration, relative to the data folder. */
  path(configured: string): string {
    return resolve(this.dir, expandHome(configured))
  }

  /**
   * The keys of destination `name`, made at first use. @throws {Error} when the file is damaged: a destination's name is its keys,
   * so it is never replaced.
   */
  destination(name: string, random: Random): LocalIdentity {
    const path = join(this.dir, 'destinations', `${name}.dat`)
    if (existsSync(path)) {
      try {
        return readPrivateKeys(readFileSync(path))
      } catch (e) {
        throw e instanceof MalformedError ? new Error(`${path}: ${e.message}`) : e
      }
    }
    const keys = newDestination(random)
    writeWholeSync(path, writePrivateKeys(keys))
    return keys
  }
}

export class FaceFolder {
  readonly dir: string
  readonly #log: Log
  #writing: Promise<void> = Promise.resolve()

  constructor(dir: string, log: Log) {
    this.dir = dir
    this.#log = log
  }

  /** The router's keys, made at first use. A damaged file is set aside: a router may change its identity. */
  routerKeys(random: Random): LocalIdentity {
    const path = join(this.dir, 'router.keys')
    if (existsSync(path)) {
      try {
        return readPrivateKeys(readFileSync(path))
      } catch (e) {
        if (!(e instanceof MalformedError)) throw e
        this.#setAside(path, e.message)
      }
    }
    return this.newRouterKeys(random)
  }

  /** Replaces the router's identity. */
  newRouterKeys(random: Random): LocalIdentity {
    const keys = newRouterIdentity(random)
    writeWholeSync(join(this.dir, 'router.keys'), writePrivateKeys(keys))
    return keys
  }

  /** The signed RouterInfo as it is sent, so that it can be copied into another router's netDb. A failure is a warning. */
  saveRouterInfo(bytes: Uint8Array): Promise<void> {
    const path = join(this.dir, 'router.info')
    this.#writing = this.#writing
      .then(() => writeWhole(path, bytes, 0o644))
      .catch((e: unknown) => this.#log.write('warn', fileProblem(e, `${path} is not saved`)))
    return this.#writing
  }

  openNetDb(): OpenedJournal {
    return openJournal(join(this.dir, 'netdb'), this.#log)
  }

  /** Empty at first, and when the file is damaged. */
  readState(): FaceState {
    const path = join(this.dir, 'state.json')
    if (!existsSync(path)) return {}
    try {
      const state: unknown = JSON.parse(text(readFileSync(path)))
      if (typeof state === 'object' && state !== null && !Array.isArray(state)) return state as FaceState
    } catch (e) {
      if (!(e instanceof SyntaxError || e instanceof MalformedError)) throw e
    }
    this.#setAside(path, 'damaged')
    return {}
  }

  /** Replaces the whole. A failure is a warning. */
  writeState(state: FaceState): void {
    const path = join(this.dir, 'state.json')
    try {
      writeWholeSync(path, utf8(`${JSON.stringify(state, undefined, 2)}\n`))
    } catch (e) {
      this.#log.write('warn', fileProblem(e, `${path} is not saved`))
    }
  }

  /** Forgets who this router was and whom it knew; `keep` names files that stay. */
  wipe(keep: readonly string[] = []): void {
    for (const name of readdirSync(this.dir))
      if (!keep.includes(name)) rmSync(join(this.dir, name), { recursive: true, force: true })
  }

  #setAside(path: string, why: string): void {
    renameSync(path, `${path}.damaged`)
    this.#log.write('warn', `${path}: ${why}; set aside as ${path}.damaged`)
  }
}

/** One that was there before, or came from a copy, may be open to all. A file system without modes is left as it is. */
function makePrivate(folder: string): void {
  try {
    if ((statSync(folder).mode & 0o077) !== 0) chmodSync(folder, PRIVATE_FOLDER)
  } catch (e) {
    if (errorCode(e) === undefined) throw e
  }
}
