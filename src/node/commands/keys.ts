/** `ramsons keys new|show FILE`: destination keys in the form that i2pd reads. */
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { toBase64 } from '../../base/base64.ts'
import { MalformedError } from '../../base/errors.ts'
import { systemRandom } from '../../crypto/random.ts'
import { type LocalIdentity, newDestination, toB32 } from '../../protocol/structures/identity.ts'
import { readPrivateKeys, writePrivateKeys } from '../../protocol/structures/private-keys.ts'
import { errorCode, expandHome, fileProblem, writeWholeSync } from '../files.ts'
import { UsageError } from '../usage-error.ts'

export async function keys(args: readonly string[]): Promise<number> {
  const { positionals } = parseArgs({ args: [...args], options: {}, allowPositionals: true })
  const [word, file, ...rest] = positionals
  if (file === undefined || rest.length > 0 || (word !== 'new' && word !== 'show'))
    throw new UsageError('use: ramsons keys new FILE, or ramsons keys show FILE')
  const path = expandHome(file)
  console.log(shown(word === 'new' ? create(path) : load(path)))
  return 0
}

function create(path: string): LocalIdentity {
  if (existsSync(path)) throw new UsageError(`${path} exists: keys are not overwritten`)
  const made = newDestination(systemRandom)
  try {
    writeWholeSync(path, writePrivateKeys(made))
  } catch (e) {
    throw errorCode(e) === undefined ? e : new Error(fileProblem(e, path))
  }
  return made
}

function load(path: string): LocalIdentity {
  try {
    return readPrivateKeys(readFileSync(path))
  } catch (e) {
    if (e instanceof MalformedError) throw new UsageError(`${path}: ${e.message}`)
    throw errorCode(e) === undefined ? e : new UsageError(fileProblem(e, path))
  }
}

/** The public half: name and destination. */
function shown({ identity }: LocalIdentity): string {
  return `${toB32(identity.hash)}\n${toBase64(identity.bytes)}`
}
