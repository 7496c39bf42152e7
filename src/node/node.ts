/** A node: one or two faces on one data folder. */
import { named } from '../base/log.ts'
import type { Config } from './config/schema.ts'
import type { DataFolder, FaceName } from './data-folder.ts'
import { type Face, startFace } from './face.ts'
import type { ProcessLog } from './log.ts'
import type { NodeStatus, PathStatus } from './status.ts'
import { VERSION } from './version.ts'

export interface NodeContext {
  readonly config: Config
  readonly given: ReadonlySet<string>
  readonly folder: DataFolder
  readonly log: ProcessLog
}

export class RunningNode {
  readonly #started = performance.now()
  readonly #faces: ReadonlyMap<FaceName, Face>

  private constructor(faces: ReadonlyMap<FaceName, Face>) {
    this.#faces = faces
  }

  static async start(context: NodeContext): Promise<RunningNode> {
    const { config, log } = context
    const faces = new Map<FaceName, Face>()
    try {
      for (const name of ['mesh', 'public'] as const)
        if (config[name].enabled)
          faces.set(name, await startFace({ ...context, name, log: named(log, name) }))
    } catch (e) {
      for (const face of faces.values()) await face.close()
      throw e
    }
    return new RunningNode(faces)
  }

  status(): NodeStatus {
    const faces = [...this.#faces.values()]
    const of = (name: FaceName): NodeStatus['faces']['mesh'] =>
      this.#faces.get(name)?.status() ?? { enabled: false }
    const [mesh, pub] = [of('mesh'), of('public')]
    const waiting = [mesh, pub].flatMap((f) => (f.enabled && f.waiting_for !== null ? [f.waiting_for] : []))
    return {
      version: VERSION,
      uptime_s: Math.floor((performance.now() - this.#started) / 1000),
      ready: waiting.length === 0,
      waiting_for: waiting[0] ?? null,
      power: { profile: 'mains', percent: null, source: 'none' },
      faces: { mesh, public: pub },
      destinations: faces.flatMap((f) => f.destinations()),
      services: Object.assign({}, ...faces.map((f) => f.services())) as Record<string, string>,
    }
  }

  paths(): PathStatus {
    const all = [...this.#faces.values()].map((f) => f.paths())
    return { conversations: all.flatMap((p) => p.conversations), inbound: all.flatMap((p) => p.inbound) }
  }

  reload(config: Config): void {
    for (const face of this.#faces.values()) face.reload(config)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#faces.values()].map((f) => f.close()))
  }
}
