/** Whether the site's folder has something to show: asked once, and told when it changes. */
import { type Dirent, readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../base/log.ts'

// Implementation constants
/** A copied folder makes many events. */
const SETTLE_MS = 500
/** How deep and how much is looked at before a folder counts as empty. */
const MAX_DEPTH = 4
const MAX_ENTRIES = 1000

/** True once there is a file that a reader could get. Dot files do not count. */
export function hasFiles(root: string): boolean {
  let seen = 0
  const search = (dir: string, depth: number): boolean => {
    for (const entry of list(dir)) {
      if (entry.name.startsWith('.')) continue
      if (++seen > MAX_ENTRIES) return false
      if (entry.isFile() || entry.isSymbolicLink()) return true
      if (entry.isDirectory() && depth < MAX_DEPTH && search(join(dir, entry.name), depth + 1)) return true
    }
    return false
  }
  return search(root, 1)
}

function list(dir: string): Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
  } catch {
    return []
  }
}

export interface FolderWatch {
  close(): void
}

/** Calls `changed` when `hasFiles` changes. The kernel tells; nothing is polled. */
export function watchFiles(root: string, changed: (has: boolean) => void, log: Log): FolderWatch {
  let had = hasFiles(root)
  let timer: NodeJS.Timeout | undefined
  const look = (): void => {
    const has = hasFiles(root)
    if (has !== had) changed(has)
    had = has
  }
  try {
    const watcher = watch(root, { persistent: false }, () => {
      clearTimeout(timer)
      timer = setTimeout(look, SETTLE_MS)
    })
    watcher.on('error', () => watcher.close())
    return {
      close: () => {
        clearTimeout(timer)
        watcher.close()
      },
    }
  } catch (e) {
    const why = e instanceof Error ? e.message : String(e)
    log.write('warn', `site: new files are seen at the next start only (${why})`)
    return { close: () => {} }
  }
}
