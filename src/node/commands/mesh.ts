/** `ramsons mesh new | join WORDS|LINK | show | qr | panic`: the mesh's secret, kept in the data folder. */
import { parseArgs } from 'node:util'
import { renderUnicodeCompact } from 'uqr'
import { systemRandom } from '../../crypto/random.ts'
import {
  type Invitation,
  newSecret,
  OPEN,
  parseInvitation,
  parseName,
  toLink,
  toWords,
} from '../../mesh/secret.ts'
import { askControl } from '../control.ts'
import { DataFolder } from '../data-folder.ts'
import { stderrLog } from '../log.ts'
import { keepInvitation, MESH_SITE_KEYS, meshInvitation, SECRET_FILE } from '../mesh-secret.ts'
import { UsageError } from '../usage-error.ts'
import { CONFIG_OPTIONS, loadConfig } from './options.ts'

// Implementation constants
/** How long a node may take to stop before its files are wiped under it. */
const STOP_MS = 15_000
const STOP_POLL_MS = 100

export async function mesh(args: readonly string[]): Promise<number> {
  const options = { ...CONFIG_OPTIONS, print: { type: 'boolean' } } as const
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  const [word, ...rest] = positionals
  if (
    word === undefined ||
    !['new', 'join', 'show', 'qr', 'panic'].includes(word) ||
    (word !== 'join' && rest.length > 0)
  )
    throw new UsageError('use: ramsons mesh new | join WORDS|LINK | show | qr | panic')
  const { config } = loadConfig(values)
  if (word === 'new' && values.print) {
    // For scripts that hand one secret to many machines: nothing is kept here.
    const secret = newSecret(systemRandom)
    console.log(`${secret}\n${toLink({ name: parseName(config.mesh.name), secret })}`)
    return 0
  }
  const folder = new DataFolder(config.node.data, stderrLog('warn'))
  folder.make()
  if (word === 'show' || word === 'qr') {
    // A node that was never started has no secret yet: showing it makes it, as starting would.
    print(meshInvitation(config.mesh, folder, systemRandom), word === 'qr')
    return 0
  }
  if (word === 'panic') return panic(folder)
  if (config.mesh.secret !== '')
    throw new UsageError('mesh.secret is set in the configuration: change it there')
  const invitation =
    word === 'new'
      ? { name: parseName(config.mesh.name), secret: newSecret(systemRandom) }
      : joined(rest.join(' '))
  const unlock = folder.lock()
  try {
    // Another mesh must not be told by the router's name that it is the same machine.
    folder.face('mesh').wipe()
    keepInvitation(folder, invitation)
  } finally {
    unlock()
  }
  print(invitation, false)
  return 0
}

function joined(text: string): Invitation {
  if (text === '') throw new UsageError('use: ramsons mesh join WORDS|LINK')
  return parseInvitation(text)
}

/** A new identity on the mesh, now: stops the node and forgets its router, whom it knew and its site's address; not the secret. */
async function panic(folder: DataFolder): Promise<number> {
  const running = (await askControl(folder.controlSocket, 'stop')) !== undefined
  const unlock = await lockWithin(folder, running ? STOP_MS : 0)
  try {
    folder.face('mesh').wipe([SECRET_FILE])
    folder.wipeDestinations((name) => name.startsWith(MESH_SITE_KEYS))
  } finally {
    unlock()
  }
  console.log(
    `${running ? 'The node is stopped; its' : 'The'} identity and site address on the mesh are gone. The next start makes others.`,
  )
  return 0
}

async function lockWithin(folder: DataFolder, ms: number): Promise<() => void> {
  for (let waited = 0; ; waited += STOP_POLL_MS) {
    try {
      return folder.lock()
    } catch (e) {
      if (waited >= ms) throw e
      await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS))
    }
  }
}

function print(invitation: Invitation, qr: boolean): void {
  const link = toLink(invitation)
  if (qr) console.log(renderUnicodeCompact(link))
  if (invitation.secret === OPEN)
    console.log('An open mesh: anyone in range can take part and find this machine.')
  else console.log(`words  ${toWords(invitation)}`)
  console.log(`link   ${link}`)
}
