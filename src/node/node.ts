/** A node: one or two faces on one data folder, one pump under them, one tuner over them. */
import type { Budget } from '../base/budget.ts'
import { named } from '../base/log.ts'
import { systemRandom } from '../crypto/random.ts'
import { type Driven, Pump } from '../host/pump.ts'
import { Tuner, type TunerEvent } from '../power/tuner.ts'
import { changedKeys } from './config/config.ts'
import type { Config, ConfigKey } from './config/schema.ts'
import type { DataFolder, FaceName } from './data-folder.ts'
import { readPowerSupply } from './drivers/power-supply.ts'
import type { Face } from './face.ts'
import { startMeshFace } from './faces/mesh-face.ts'
import { startPublicFace } from './faces/public-face.ts'
import type { ProcessLog } from './log.ts'
import type { NodeStatus, PathStatus } from './status.ts'
import { VERSION } from './version.ts'

export interface NodeContext {
  readonly config: Config
  readonly given: ReadonlySet<string>
  readonly folder: DataFolder
  readonly log: ProcessLog
}

/** Keys whose change needs no new start. */
const CHANGEABLE: ReadonlySet<string> = new Set<ConfigKey>([
  'node.log',
  'mesh.interfaces',
  'mesh.announce',
  'public.share',
  'public.transit_tunnels',
  'site.enabled',
  'power.pin.tunnels',
  'power.pin.transit',
  'limits.transit_bps',
])

const START = { mesh: startMeshFace, public: startPublicFace } as const

export class RunningNode {
  readonly #started = performance.now()
  readonly #faces: ReadonlyMap<FaceName, Face>
  readonly #pump: Pump
  #config: Config
  readonly #log: ProcessLog
  readonly #tuner: Tuner
  readonly #tuning: Driven<TunerEvent>
  /** What each face was last told. */
  readonly #budgets = new Map<string, Budget>()

  private constructor(faces: ReadonlyMap<FaceName, Face>, pump: Pump, { config, log }: NodeContext) {
    this.#faces = faces
    this.#pump = pump
    this.#config = config
    this.#log = log
    const { profile } = config.power
    this.#tuner = new Tuner({ faces: [...faces.keys()], profile, random: systemRandom, log })
    this.#tuning = pump.drive({ core: this.#tuner, onEvent: (e) => this.#tune(e) })
    this.#tuning.run((now, out) => this.#tuner.start(now, out))
  }

  static async start(context: NodeContext): Promise<RunningNode> {
    const { config, log } = context
    const pump = new Pump({ log })
    const faces = new Map<FaceName, Face>()
    try {
      for (const name of ['mesh', 'public'] as const)
        if (config[name].enabled)
          faces.set(name, await START[name]({ ...context, pump, log: named(log, name) }))
    } catch (e) {
      for (const face of faces.values()) await face.close()
      await pump.close()
      throw e
    }
    return new RunningNode(faces, pump, context)
  }

  status(): NodeStatus {
    const faces = [...this.#faces.values()]
    const of = (name: FaceName): NodeStatus['faces']['mesh'] =>
      this.#faces.get(name)?.status() ?? { enabled: false }
    const [mesh, pub] = [of('mesh'), of('public')]
    const waiting = [mesh, pub].flatMap((f) => (f.enabled && f.waiting_for !== null ? [f.waiting_for] : []))
    const reading = this.#tuner.reading
    return {
      version: VERSION,
      uptime_s: Math.floor((performance.now() - this.#started) / 1000),
      ready: waiting.length === 0,
      waiting_for: waiting[0] ?? null,
      power: {
        profile: this.#tuner.profile,
        percent: reading?.percent ?? null,
        source: reading?.source ?? 'none',
      },
      faces: { mesh, public: pub },
      destinations: faces.flatMap((f) => f.destinations()),
      services: Object.assign({}, ...faces.map((f) => f.services())) as Record<string, string>,
    }
  }

  paths(): PathStatus {
    const all = [...this.#faces.values()].map((f) => f.paths())
    return { inbound: all.flatMap((p) => p.inbound), conversations: all.flatMap((p) => p.conversations) }
  }

  /** Takes on of a new configuration what can change while the node runs. Returns the keys that cannot. */
  reload(config: Config): readonly string[] {
    const before = this.#config
    this.#config = config
    for (const face of this.#faces.values()) face.reload(config)
    for (const [face, budget] of this.#budgets) this.#follow(face, budget)
    return changedKeys(before, config).filter((key) => !CHANGEABLE.has(key))
  }

  async close(): Promise<void> {
    await this.#tuning.close()
    await Promise.all([...this.#faces.values()].map((f) => f.close()))
    await this.#pump.close()
  }

  #follow(face: string, budget: Budget): void {
    const { tunnels, transit } = this.#config.power.pin
    const clientTunnels = tunnels === 'auto' ? budget.clientTunnels : tunnels
    const transitShare = transit === 'auto' ? budget.transitShare : Number(transit)
    this.#faces.get(face as FaceName)?.follow({ ...budget, clientTunnels, transitShare })
  }

  #tune(e: TunerEvent): void {
    if (e.kind === 'budget') {
      this.#budgets.set(e.face, e.budget)
      this.#follow(e.face, e.budget)
      return
    }
    const { source, sysfs } = this.#config.power
    if (source === 'none') {
      const mains = { percent: undefined, external: undefined, source: 'none' }
      this.#tuning.run((now, out) => this.#tuner.measured(mains, now, out))
      return
    }
    readPowerSupply(sysfs).then(
      (reading) => this.#tuning.run((now, out) => this.#tuner.measured(reading, now, out)),
      (error: Error) => this.#log.write('debug', `power supply: ${error.message}`),
    )
  }
}
