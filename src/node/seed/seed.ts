/** First routers to know, from what a user brings: a folder, a zip or an su3 ("reseed", `public.reseed.file`). */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Millis, WallMillis } from '../../base/clock.ts'
import { MalformedError } from '../../base/errors.ts'
import { errorCode, fileProblem } from '../files.ts'
import { isRouterInfoName, MAX_ENTRY, unzipRouterInfos } from './archive.ts'
import { ContentType, FileType, readSu3, type Su3, su3Problem } from './su3.ts'

// Implementation constants
/** Reseeds are about 60 KB; a whole netDb in a zip stays below this. */
const MAX_FILE = 64 * 1024 * 1024
/** netDb folders are one or two deep. */
const MAX_DEPTH = 4
const MAX_FOLDER_FILES = 20_000
/** A reseed is made every day or two. What is older knows routers that are gone and says nothing about today's network. */
const MAX_AGE: Millis = 90 * 24 * 3_600_000
/** A signer's clock and ours may differ by time zone mistakes. */
const MAX_FUTURE: Millis = 24 * 3_600_000

export interface SeedOptions {
  /** Whether an su3 must be signed by one of `certificates`. Folders and zips carry no signature but each RouterInfo's own. */
  readonly verify: boolean
  /** Folder of signers' certificates, `user_at_mail.i2p.crt`. */
  readonly certificates: string
  readonly wall: WallMillis
}

/** RouterInfos as bytes: neither they nor their dates are verified yet. @throws {Error} with one line for the user. */
export function readSeed(path: string, options: SeedOptions): Uint8Array[] {
  try {
    const stat = statSync(path)
    if (stat.isDirectory()) return readFolder(path)
    if (stat.size > MAX_FILE) throw new MalformedError('too large')
    const bytes = readFileSync(path)
    return isZip(bytes) ? unzipRouterInfos(bytes) : readReseed(bytes, options)
  } catch (e) {
    if (e instanceof MalformedError) throw new Error(`${path}: ${e.message}`)
    throw errorCode(e) === undefined ? e : new Error(fileProblem(e, path))
  }
}

/** By its first bytes: an su3 ends with a zip too, and must not be taken for one when its head is damaged. */
function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b
}

function readReseed(bytes: Uint8Array, options: SeedOptions): Uint8Array[] {
  const su3 = readSu3(bytes)
  if (su3.contentType !== ContentType.Reseed)
    throw new MalformedError(`su3: content type ${su3.contentType}, not a reseed`)
  if (su3.fileType !== FileType.Zip) throw new MalformedError(`su3: file type ${su3.fileType}, not a zip`)
  if (options.verify) {
    const problem = signerProblem(su3, options)
    if (problem !== undefined) throw new MalformedError(`su3: ${problem}`)
    if (!/^\d{1,12}$/.test(su3.version)) throw new MalformedError('su3: no date')
    const made = Number(su3.version) * 1000
    if (made > options.wall + MAX_FUTURE) throw new MalformedError('su3: made in the future')
    if (made < options.wall - MAX_AGE)
      throw new MalformedError(`su3: made ${new Date(made).toISOString().slice(0, 10)}, too old`)
  }
  return unzipRouterInfos(su3.content)
}

function signerProblem(su3: Su3, options: SeedOptions): string | undefined {
  // The signer's name becomes part of a path.
  if (!/^[\w.-]+@[\w.-]+$/.test(su3.signer)) return 'the signer has no usable name'
  const path = join(options.certificates, `${su3.signer.replace('@', '_at_')}.crt`)
  if (!existsSync(path)) return `signed by ${su3.signer}, who is not known here (no ${path})`
  return su3Problem(su3, readFileSync(path), options.wall)
}

function readFolder(path: string): Uint8Array[] {
  const found: Uint8Array[] = []
  const walk = (dir: string, depth: number): void => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (found.length >= MAX_FOLDER_FILES) return
      const inner = join(dir, entry.name)
      if (entry.isDirectory() && depth < MAX_DEPTH) walk(inner, depth + 1)
      else if (entry.isFile() && isRouterInfoName(entry.name) && statSync(inner).size <= MAX_ENTRY)
        found.push(readFileSync(inner))
    }
  }
  walk(path, 1)
  return found
}
