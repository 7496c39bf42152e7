/** `ramsons status`: what the running node says about itself. */
import { parseArgs } from 'node:util'
import { askControl } from '../control.ts'
import { DataFolder } from '../data-folder.ts'
import { stderrLog } from '../log.ts'
import { type NodeStatus, statusText } from '../status.ts'
import { CONFIG_OPTIONS, loadConfig } from './options.ts'

// Implementation constants
const WATCH_MS = 2000
const CLEAR_SCREEN = '\x1b[H\x1b[2J'

export async function status(args: readonly string[]): Promise<number> {
  const options = { ...CONFIG_OPTIONS, json: { type: 'boolean' }, watch: { type: 'boolean' } } as const
  const { values } = parseArgs({ args: [...args], options })
  const folder = new DataFolder(loadConfig(values).config.node.data, stderrLog('warn'))
  for (;;) {
    const answer = (await askControl(folder.controlSocket, 'status')) as NodeStatus | undefined
    if (answer === undefined) {
      console.error(`ramsons status: no node runs on ${folder.dir}`)
      return 1
    }
    if (values.watch && process.stdout.isTTY && !values.json) process.stdout.write(CLEAR_SCREEN)
    console.log(values.json ? JSON.stringify(answer, undefined, values.watch ? 0 : 2) : statusText(answer))
    if (!values.watch) return 0
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS))
  }
}
