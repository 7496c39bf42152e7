/** One node a data folder: a lock that names the process that holds it. A lock whose process is gone is taken over. */
import { readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from './files.ts'

/** Takes the lock of `dir` and returns what gives it back. @throws {Error} while a living process has it. */
export function lockFolder(dir: string): () => void {
  const path = join(dir, 'lock')
  const owner = `${process.pid}-${startOf(process.pid) ?? ''}`
  // Twice: the second try follows the removal of a stale lock. A third would mean that others are starting too.
  for (let attempt = 0; ; attempt++) {
    try {
      // A link to nowhere: it is made whole or not at all, only when there is none, and takes no room on a full disk.
      symlinkSync(owner, path)
      return () => {
        if (read(path) === owner) rmSync(path, { force: true })
      }
    } catch (e) {
      if (errorCode(e) !== 'EEXIST') throw e
    }
    const found = read(path)
    if (found !== undefined && (attempt > 0 || isAlive(found)))
      throw new Error(`${dir} is in use by another node (process ${found.split('-')[0]})`)
    if (found !== undefined) removeStale(path, `${path}.${process.pid}`, found)
  }
}

/** Renaming takes exactly one lock away; when it was not the stale one after all, it goes back. */
function removeStale(path: string, aside: string, stale: string): void {
  try {
    renameSync(path, aside)
    const taken = read(aside)
    if (taken !== undefined && taken !== stale) symlinkSync(taken, path)
  } catch (e) {
    const code = errorCode(e)
    if (code !== 'ENOENT' && code !== 'EEXIST') throw e
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Who has the lock; empty when it is something else than a lock. */
function read(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (e) {
    if (errorCode(e) === 'ENOENT') return undefined
    if (errorCode(e) === 'EINVAL') return ''
    throw e
  }
}

/** Whether the process that wrote `lock` still runs: the same number may be another's by now, but not with the same start. */
function isAlive(lock: string): boolean {
  const [pid = '', start = ''] = lock.split('-')
  if (!/^\d{1,10}$/.test(pid)) return false
  try {
    process.kill(Number(pid), 0)
  } catch (e) {
    return errorCode(e) === 'EPERM' && start === (startOf(Number(pid)) ?? start)
  }
  return start === '' || start === (startOf(Number(pid)) ?? start)
}

/** When a process started, in ticks since boot; undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    // Field 22; the second field is the program's name in parentheses and may hold anything.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
