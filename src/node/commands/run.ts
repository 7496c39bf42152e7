/** `ramsons run`: a node in the foreground until SIGTERM or SIGINT. */
import { parseArgs } from 'node:util'
import { useAccelerator } from '../../crypto/provider.ts'
import { startControl } from '../control.ts'
import { DataFolder } from '../data-folder.ts'
import { stderrLog } from '../log.ts'
import { RunningNode } from '../node.ts'
import { CONFIG_OPTIONS, type ConfigOptions, loadConfig } from './options.ts'

// Implementation constants
/** Peers are told goodbye and the netDb is saved within this; then the process ends anyway. */
const STOP_MS = 10_000

export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { ...CONFIG_OPTIONS, public: { type: 'boolean' } },
  })
  const options = values.public ? { ...values, set: [...(values.set ?? []), 'public.enabled=true'] } : values
  const { config, given } = loadConfig(options)
  // Every program of this machine can read the command line of another.
  if (values.set?.some((s) => /^\s*(mesh\.secret|public\.ntcp2\.proxy)/.test(s))) process.title = 'ramsons'
  const log = stderrLog(config.node.log)
  // For measurements, and for machines where the package is installed but broken.
  if (process.env['RAMSONS_ACCELERATOR'] === 'none') useAccelerator(false)
  process.on('uncaughtException', (e) => {
    log.write('error', e.stack ?? e.message)
    process.exit(1)
  })

  const folder = new DataFolder(config.node.data, log)
  folder.make()
  const unlock = folder.lock()
  try {
    const stopped = signalled()
    const node = await RunningNode.start({ config, given, folder, log })
    const control = await startControl(folder.controlSocket, {
      status: () => node.status(),
      paths: () => node.paths(),
      stop: () => {
        process.kill(process.pid, 'SIGTERM')
        return true
      },
    })
    const reload = (): void => reread(options, log, node)
    process.on('SIGHUP', reload)
    await stopped
    log.write('info', 'stopping')
    setTimeout(() => process.exit(1), STOP_MS).unref()
    process.off('SIGHUP', reload)
    await control.close()
    await node.close()
    return 0
  } finally {
    unlock()
  }
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    let seen = false
    const stop = (): void => {
      if (seen) process.exit(1)
      seen = true
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

/** A file that became wrong changes nothing. */
function reread(options: ConfigOptions, log: ReturnType<typeof stderrLog>, node: RunningNode): void {
  try {
    const { config } = loadConfig(options)
    log.level = config.node.log
    const later = node.reload(config)
    log.write('info', 'configuration read again')
    if (later.length > 0) log.write('warn', `at the next start only: ${later.join(', ')}`)
  } catch (e) {
    log.write('warn', `configuration not read again: ${e instanceof Error ? e.message : String(e)}`)
  }
}
