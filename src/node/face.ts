/** One face of the node: a router on one network, what feeds it, and the services that stand on it. */
import type { Budget } from '../base/budget.ts'
import type { Log } from '../base/log.ts'
import type { Pump } from '../host/pump.ts'
import type { Config } from './config/schema.ts'
import type { DataFolder } from './data-folder.ts'
import type { DestinationStatus, FaceStatus, PathStatus } from './status.ts'

export interface FaceContext {
  readonly config: Config
  /** Keys that the user gave. */
  readonly given: ReadonlySet<string>
  readonly folder: DataFolder
  readonly log: Log
  readonly pump: Pump
}

export interface Face {
  status(): FaceStatus
  destinations(): readonly DestinationStatus[]
  /** Whom its tunnels run through. */
  paths(): PathStatus
  /** Where this machine's programs reach it: name to host:port. */
  services(): Readonly<Record<string, string>>
  /** What the machine can afford has changed, or the configuration by which it is followed. */
  follow(budget: Budget): void
  /** The configuration was read again: what can change without dropping sessions changes. `follow` comes next. */
  reload(config: Config): void
  close(): Promise<void>
}
