/** One face of the node: a router on one network, what feeds it, and the services that stand on it. */
import type { Log } from '../base/log.ts'
import type { Config } from './config/schema.ts'
import type { DataFolder, FaceName } from './data-folder.ts'
import type { DestinationStatus, FaceStatus, PathStatus } from './status.ts'

export interface FaceContext {
  readonly name: FaceName
  readonly config: Config
  /** Keys that the user gave. */
  readonly given: ReadonlySet<string>
  readonly folder: DataFolder
  readonly log: Log
}

export interface Face {
  status(): FaceStatus
  destinations(): readonly DestinationStatus[]
  paths(): PathStatus
  /** Where this machine's programs reach it: name to host:port. */
  services(): Readonly<Record<string, string>>
  /** The configuration was read again: what can change without dropping sessions changes. */
  reload(config: Config): void
  close(): Promise<void>
}

export async function startFace(context: FaceContext): Promise<Face> {
  throw new Error(`the ${context.name} face is not wired yet`)
}
