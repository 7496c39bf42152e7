/** Where the mesh's secret is kept: the configuration, else DIR/mesh/secret, made at first start. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text, utf8 } from '../base/bytes.ts'
import type { Random } from '../base/random.ts'
import {
  type Invitation,
  newSecret,
  parseInvitation,
  parseName,
  parseSecret,
  toLink,
} from '../mesh/secret.ts'
import type { Config } from './config/schema.ts'
import type { DataFolder } from './data-folder.ts'
import { writeWholeSync } from './files.ts'

/** The file's name in DIR/mesh. */
export const SECRET_FILE = 'secret'

/** What the names of key files in DIR/destinations begin with that belong to the site in one mesh. */
export const MESH_SITE_KEYS = 'site-mesh-'

/** @throws {ConfigError} when the configured or kept secret is no good. */
export function meshInvitation(mesh: Config['mesh'], folder: DataFolder, random: Random): Invitation {
  if (mesh.secret !== '') return { name: parseName(mesh.name), secret: parseSecret(mesh.secret) }
  const kept = keptInvitation(folder)
  if (kept !== undefined && (mesh.name === '' || parseName(mesh.name) === kept.name)) return kept
  const invitation = { name: parseName(mesh.name), secret: kept?.secret ?? newSecret(random) }
  if (kept === undefined) keepInvitation(folder, invitation)
  return invitation
}

/** What `mesh new` or `mesh join` left, if anything. */
export function keptInvitation(folder: DataFolder): Invitation | undefined {
  const path = join(folder.face('mesh').dir, SECRET_FILE)
  return existsSync(path) ? parseInvitation(text(readFileSync(path)).trim()) : undefined
}

export function keepInvitation(folder: DataFolder, invitation: Invitation): void {
  writeWholeSync(join(folder.face('mesh').dir, SECRET_FILE), utf8(`${toLink(invitation)}\n`))
}
