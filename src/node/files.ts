/** Files that must be whole after kill -9 or a power cut, and private when they hold keys. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** Owner only: keys, and what tells who we talk to. */
const PRIVATE_FILE = 0o600
export const PRIVATE_FOLDER = 0o700

/** Whoever reads `path` sees the old bytes or the new ones. */
export function writeWholeSync(path: string, bytes: Uint8Array, mode: number = PRIVATE_FILE): void {
  const temporary = `${path}.new`
  rmSync(temporary, { force: true })
  const fd = openSync(temporary, 'wx', mode)
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
  } catch (e) {
    rmSync(temporary, { force: true })
    throw e
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** As `writeWholeSync`, without holding up the process. Two of them must not run at once for one path. */
export async function writeWhole(
  path: string,
  bytes: Uint8Array,
  mode: number = PRIVATE_FILE,
): Promise<void> {
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  const file = await open(temporary, 'wx', mode)
  try {
    await writeAll(file, bytes, 0)
    await file.sync()
  } catch (e) {
    await rm(temporary, { force: true })
    throw e
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** All of `bytes`, from `position` of the file on: one write may take less. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten
}

/** `~` and `~/...` in a path that a user wrote. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}

/** One line about a failed file operation, without the system call's name. */
export function fileProblem(e: unknown, what: string): string {
  const code = errorCode(e)
  const known = code === undefined ? undefined : PROBLEMS[code]
  return `${what}: ${known ?? (e instanceof Error ? e.message : String(e))}`
}

/** Node's code of a system error: ENOENT, EADDRINUSE. */
export function errorCode(e: unknown): string | undefined {
  const code: unknown = e instanceof Error && 'code' in e ? e.code : undefined
  return typeof code === 'string' ? code : undefined
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the disk is read-only',
  EACCES: 'not permitted',
  EPERM: 'not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'not a folder',
  EISDIR: 'is a folder',
}
