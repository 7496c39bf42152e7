/**
 * A set of records in one file with few writes: new records are appended, and the file is rewritten once half of it is stale.
 * Whatever moment the process dies at, the records of the last finished save are there.
 *
 * File: 8 bytes "RAMSONS" and the format's version; then records of length (4 bytes), CRC-32 of the payload (4 bytes), payload.
 */
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { Reader, utf8, Writer } from '../base/bytes.ts'
import { MalformedError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { sha256 } from '../crypto/sha256.ts'
import { errorCode, fileProblem, writeAll, writeWhole } from './files.ts'

// Specification constants
const FORMAT_VERSION = 1
const MAGIC = utf8('RAMSONS')
const HEADER = MAGIC.length + 1
const RECORD_HEADER = 8

// Implementation constants
/** Larger than any RouterInfo or profile; a length beyond it is damage. */
const MAX_RECORD = 64 * 1024
/** A netDb of 10,000 routers is 10 MB. A file beyond this is not ours. */
const MAX_FILE = 64 * 1024 * 1024
/** Rewriting a smaller file gains nothing. */
const MIN_COMPACTION = 256 * 1024

export interface OpenedJournal {
  readonly journal: Journal
  readonly records: readonly Uint8Array[]
}

/** Reads `path`; a damaged file is set aside, reported in the log, and what could be read of it is kept. */
export function openJournal(path: string, log: Log): OpenedJournal {
  let bytes: Uint8Array | undefined
  try {
    if (existsSync(path) && statSync(path).size <= MAX_FILE) bytes = readFileSync(path)
    else if (existsSync(path)) setAside(path, 'too large', 0, log)
  } catch (e) {
    setAside(path, fileProblem(e, 'not readable'), 0, log)
  }
  if (bytes === undefined) return { journal: new Journal(path, log, 0, []), records: [] }
  const { records, good, damage } = readRecords(bytes)
  if (damage === undefined) return { journal: new Journal(path, log, good, records), records }
  setAside(path, damage, records.length, log)
  return { journal: new Journal(path, log, 0, []), records }
}

interface Records {
  readonly records: readonly Uint8Array[]
  /** Bytes from the start that are whole. */
  readonly good: number
  /** What is wrong, when it is more than an append that was cut short. */
  readonly damage: string | undefined
}

function readRecords(bytes: Uint8Array): Records {
  const records: Uint8Array[] = []
  const r = new Reader(bytes)
  if (bytes.length < HEADER || MAGIC.some((b, i) => b !== bytes[i]))
    return { records, good: 0, damage: 'not a journal' }
  r.take(MAGIC.length)
  const version = r.u8()
  if (version !== FORMAT_VERSION) return { records, good: 0, damage: `format ${version} of another version` }
  for (;;) {
    const start = r.pos
    try {
      if (r.left === 0) return { records, good: start, damage: undefined }
      const length = r.u32()
      const check = r.u32()
      if (length > MAX_RECORD) return { records, good: start, damage: `damaged at byte ${start}` }
      const payload = r.take(length)
      if (crc32(payload) !== check) return { records, good: start, damage: `damaged at byte ${start}` }
      records.push(payload)
    } catch (e) {
      if (!(e instanceof MalformedError)) throw e
      return { records, good: start, damage: undefined }
    }
  }
}

function setAside(path: string, why: string, kept: number, log: Log): void {
  const aside = `${path}.damaged`
  try {
    renameSync(path, aside)
    log.write('warn', `${path}: ${why}; set aside as ${aside}, ${kept} records kept`)
  } catch (e) {
    log.write('warn', fileProblem(e, `${path}: ${why}, and cannot be set aside`))
  }
}

export class Journal {
  readonly path: string
  readonly #log: Log
  /** Whole bytes in the file; 0 when there is none. */
  #size: number
  /** What the file holds, by digest. */
  #held: Set<string>
  #busy: Promise<void> = Promise.resolve()
  #failing = false

  constructor(path: string, log: Log, size: number, records: readonly Uint8Array[]) {
    this.path = path
    this.#log = log
    this.#size = size
    this.#held = new Set(records.map(digest))
  }

  /**
   * Makes the file hold `records`: those it lacks are appended, and when most of it is stale it is written anew. Never
   * rejects: a full disk is one warning, and the next save tries again.
   */
  save(records: Iterable<Uint8Array>): Promise<void> {
    const wanted = [...records].filter((r) => r.length <= MAX_RECORD)
    this.#busy = this.#busy.then(async () => {
      try {
        await this.#save(wanted)
        if (this.#failing) this.#log.write('info', `${this.path}: saved again`)
        this.#failing = false
      } catch (e) {
        if (errorCode(e) === 'ENOENT') this.#size = 0
        if (!this.#failing) this.#log.write('warn', fileProblem(e, `${this.path} is not saved`))
        this.#failing = true
      }
    })
    return this.#busy
  }

  async #save(wanted: readonly Uint8Array[]): Promise<void> {
    const added = wanted.filter((r) => !this.#held.has(digest(r)))
    const live = HEADER + wanted.reduce((sum, r) => sum + RECORD_HEADER + r.length, 0)
    const appended = this.#size + added.reduce((sum, r) => sum + RECORD_HEADER + r.length, 0)
    if (this.#size === 0 || (appended > 2 * live && appended > MIN_COMPACTION)) {
      await writeWhole(this.path, fileOf(wanted))
      this.#held = new Set(wanted.map(digest))
      this.#size = live
    } else if (added.length > 0) {
      await this.#append(framed(added))
      for (const r of added) this.#held.add(digest(r))
    }
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const file = await open(this.path, 'r+')
    try {
      // Also takes away what an earlier process or a full disk left unfinished.
      await file.truncate(this.#size)
      await writeAll(file, bytes, this.#size)
      await file.datasync()
      this.#size += bytes.length
    } finally {
      await file.close()
    }
  }
}

function fileOf(records: readonly Uint8Array[]): Uint8Array {
  const body = framed(records)
  return new Writer(HEADER + body.length).put(MAGIC).u8(FORMAT_VERSION).put(body).bytes
}

function framed(records: readonly Uint8Array[]): Uint8Array {
  const w = new Writer(records.reduce((sum, r) => sum + RECORD_HEADER + r.length, 0))
  for (const r of records) w.u32(r.length).u32(crc32(r)).put(r)
  return w.bytes
}

function digest(record: Uint8Array): string {
  return Buffer.from(sha256(record)).toString('latin1', 0, 16)
}
