/** `ramsons version`. */
import { parseArgs } from 'node:util'
import { VERSION } from '../version.ts'

export async function version(args: readonly string[]): Promise<number> {
  parseArgs({ args: [...args], options: {} })
  console.log(`ramsons ${VERSION}`)
  return 0
}
