import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { MessageType } from '../../src/protocol/i2np/message.ts'
import { I2pdNetwork } from './i2pd.ts'
import type { I2pdVersion } from './i2pd-program.ts'
import type { PeerCommand, PeerEvent, PeerSettings } from './ntcp2-peer.ts'

/** A bare transport inside the network, driven from here. */
class BarePeer {
  readonly events: PeerEvent[] = []
  readonly #child: ChildProcess
  #wake: () => void = () => {}

  constructor(network: I2pdNetwork, program: string, settings: PeerSettings) {
    this.#child = network.exec([process.execPath, program, JSON.stringify(settings)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line) as PeerEvent)
      this.#wake()
    })
    this.#child.stdin!.on('error', () => {})
  }

  tell(command: PeerCommand): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`)
  }

  of<K extends PeerEvent['is']>(is: K): Extract<PeerEvent, { is: K }>[] {
    return this.events.filter((e): e is Extract<PeerEvent, { is: K }> => e.is === is)
  }

  /** Tokens of the DeliveryStatus messages that came. */
  get tokens(): Set<number> {
    return new Set(this.of('message').flatMap((e) => e.token ?? []))
  }

  async until(what: string, seconds: number, holds: () => boolean): Promise<void> {
    const end = Date.now() + seconds * 1000
    while (!holds()) {
      if (Date.now() > end) throw new Error(`no ${what} after ${seconds} s:\n${this.tail()}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        setTimeout(resolve, 200)
      })
    }
  }

  tail(): string {
    return this.events
      .slice(-20)
      .map((e) => JSON.stringify(e))
      .join('\n')
  }

  quit(): void {
    if (this.#child.exitCode === null) this.tell({ do: 'quit' })
  }
}

const VERSIONS: readonly I2pdVersion[] = ['2.45.1', 'sid']
/** Lines in i2pd's log that say our bytes were not what it expects. */
const COMPLAINTS = /NTCP2: .*(AEAD|MAC|verification fail|[Uu]nexpected|too long|Wrong|wrong)/

for (const version of VERSIONS) {
  describe(`NTCP2 with i2pd ${version}`, () => {
    let network: I2pdNetwork
    let program: string
    const peers: BarePeer[] = []
    let guest = 0

    beforeAll(async () => {
      network = await I2pdNetwork.up({
        routers: 2,
        version,
        floodfills: 2,
        guests: 8,
        wantTunnels: 0,
        logLevel: 'debug',
        settings: { 'ssu2.enabled': 'false' },
      })
      program = join(network.dir, 'ntcp2-peer.mjs')
      await build({
        entryPoints: [fileURLToPath(new URL('ntcp2-peer.ts', import.meta.url))],
        bundle: true,
        platform: 'node',
        format: 'esm',
        outfile: program,
        logLevel: 'warning',
      })
    })
    afterEach(() => {
      for (const peer of peers.splice(0)) peer.quit()
    })
    afterAll(() => network?.stop())

    /** Each with an address of its own: i2pd takes one handshake at a time from one source. */
    async function bare(settings: Partial<PeerSettings> = {}): Promise<BarePeer> {
      const [router] = network.routers
      const target = join(network.dir, 'target.info')
      writeFileSync(target, (network.routerInfo(router!) ?? router!.routerInfo).bytes)
      const address = network.guestIps[guest++]!
      const { netId } = network
      const peer = new BarePeer(network, program, {
        address,
        port: 9000,
        netId,
        target,
        ahead: 0,
        wrongKey: false,
        ...settings,
      })
      peers.push(peer)
      await peer.until('start', 20, () => peer.of('ready').length > 0)
      return peer
    }

    test('we dial: 1000 messages each way and one of the largest size', async () => {
      const peer = await bare()
      peer.tell({ do: 'store', count: 500, firstToken: 1 })
      await peer.until('500 acknowledgements', 60, () => peer.tokens.size >= 500)
      peer.tell({ do: 'largest' })
      peer.tell({ do: 'store', count: 500, firstToken: 501 })
      await peer.until('1000 acknowledgements', 60, () => peer.tokens.size >= 1000)
      expect(peer.of('open')[0]).toEqual({ is: 'open', initiator: true })
      expect(peer.of('closed')).toEqual([])
      expect(Math.abs(peer.of('clock')[0]!.offset)).toBeLessThan(3000)
      expect(network.logLines(network.routers[0]!, COMPLAINTS)).toEqual([])
    })

    test('i2pd dials us, and messages pass both ways', async () => {
      const peer = await bare()
      peer.tell({ do: 'store', count: 1, firstToken: 1 })
      await peer.until('acknowledgement', 20, () => peer.tokens.has(1))
      peer.tell({ do: 'disconnect' })
      // It knows us now and builds tunnels through us.
      const incoming = (): boolean => peer.of('open').some((e) => !e.initiator)
      await peer.until('session that i2pd dialled', 120, incoming)
      const builds = (): boolean => peer.of('message').some((e) => e.type === MessageType.ShortTunnelBuild)
      await peer.until('tunnel build', 120, builds)
      // Asked again every 5 s: I2NP promises no delivery, and of twenty answers i2pd now and then leaves one out.
      const ask = (): void => peer.tell({ do: 'store', count: 20, firstToken: 100 })
      ask()
      const asking = setInterval(ask, 5_000)
      await peer
        .until('acknowledgements', 20, () => peer.tokens.has(119))
        .finally(() => clearInterval(asking))
      expect(network.logLines(network.routers[0]!, COMPLAINTS)).toEqual([])
    })

    test('a clock two minutes ahead: i2pd tells us the time and hangs up', async () => {
      const peer = await bare({ ahead: 120_000 })
      // 2.45.1 cannot be read when we sent padding, and takes no second connection from us while the first is pending.
      await peer.until('time', 120, () => {
        peer.tell({ do: 'store', count: 1, firstToken: 1 })
        return peer.of('clock').length > 0
      })
      await peer.until('failed dial', 40, () => peer.of('dial-failed').length > 0)
      expect(peer.of('open')).toEqual([])
      expect(Math.abs(peer.of('clock')[0]!.offset + 120_000)).toBeLessThan(3000)
    })

    test('another network: no session', async () => {
      const peer = await bare({ netId: network.netId + 1 })
      peer.tell({ do: 'store', count: 1, firstToken: 1 })
      await peer.until('failed dial', 60, () => peer.of('dial-failed').length > 0)
      expect(peer.of('open')).toEqual([])
    })

    test('a RouterInfo with another static key: i2pd ends the session', async () => {
      const peer = await bare({ wrongKey: true })
      peer.tell({ do: 'store', count: 1, firstToken: 1 })
      await peer.until('end', 30, () => peer.of('closed').length > 0)
      expect(peer.tokens.size).toBe(0)
    })

    test('i2pd stops: the session ends and can be had again when it is back', async () => {
      const peer = await bare()
      const [router] = network.routers
      peer.tell({ do: 'store', count: 1, firstToken: 1 })
      await peer.until('acknowledgement', 20, () => peer.tokens.has(1))
      await network.stopRouter(router!)
      await peer.until('end', 20, () => peer.of('closed').length > 0)
      network.startRouter(router!)
      let token = 10
      await peer.until('acknowledgement after the restart', 60, () => {
        peer.tell({ do: 'store', count: 1, firstToken: token++ })
        return [...peer.tokens].some((t) => t >= 10)
      })
    })
  })
}
