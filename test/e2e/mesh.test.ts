/**
 * The mesh face as its users meet it: the built bundle, network namespaces with only link-local IPv6 and no route, curl as the
 * browser, tcpdump as the neighbour who listens. Needs root.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemRandom } from '../../src/crypto/random.ts'
import { newSecret } from '../../src/mesh/secret.ts'
import { LAB_INTERFACE, Lab } from '../../src/node/demo/lab.ts'
import { Capture, HOST_NAME, MeshNode, run, type Status, until } from './node.ts'
import { ipv6, mdns, readFrames } from './pcap.ts'

const PAGE = '<!doctype html><title>ramsons</title><p>Read over the mesh.</p>\n'
const FILE = randomBytes(10_000_000)
const SHA256 = createHash('sha256').update(FILE).digest('hex')

interface Mesh {
  readonly lab: Lab
  readonly nodes: MeshNode[]
  readonly capture: Capture
  readonly dir: string
}

async function open(size: number): Promise<Mesh> {
  const dir = mkdtempSync(join(tmpdir(), 'ramsons-e2e-'))
  const lab = Lab.open(size)
  const capture = await Capture.start(lab, join(dir, 'link.pcap'))
  const secret = newSecret(systemRandom)
  const config = `[mesh]\nname = "village"\nsecret = "${secret}"\n[node]\nlog = "debug"\n`
  const nodes = Array.from({ length: size }, (_, i) => new MeshNode(lab, i, dir, config))
  writeFileSync(join(nodes[0]!.data, 'site', 'index.html'), PAGE)
  writeFileSync(join(nodes[0]!.data, 'site', 'file.bin'), FILE)
  await usable(lab)
  return { lab, nodes, capture, dir }
}

/** Duplicate address detection takes a second or two; figures count from its end. */
async function usable(lab: Lab): Promise<void> {
  for (let i = 0; i < lab.size; i++) {
    await until('usable link-local address', 10, async () => {
      const { stdout } = await run('ip', [
        '-n',
        lab.namespace(i),
        '-6',
        'addr',
        'show',
        'dev',
        LAB_INTERFACE,
        'scope',
        'link',
      ])
      return stdout.includes('fe80') && !stdout.includes('tentative')
    })
  }
}

async function close(mesh: Mesh): Promise<void> {
  for (const node of mesh.nodes) await node.stop()
  mesh.lab.close()
  rmSync(mesh.dir, { recursive: true, force: true })
}

/** All see all, and the site's lease set is out. */
async function formed(
  mesh: Mesh,
  hops: number,
): Promise<{ statuses: Status[]; discovery: number; ready: number }> {
  const others = mesh.nodes.length - 1
  const all = async (well: (s: Status) => boolean): Promise<Status[] | undefined> => {
    const statuses = await Promise.all(mesh.nodes.map((n) => n.status()))
    return statuses.every((s) => s !== undefined && well(s)) ? (statuses as Status[]) : undefined
  }
  // Six processes that start on two cores take their time; what counts is the time from there.
  await until('every node runs', 60, () => all(() => true))
  const found = await until('every node sees every other', 30, () =>
    all((s) => s.faces.mesh.peers.length === others),
  )
  const ready = await until('every node is ready', 40, () =>
    all((s) => s.ready && s.faces.mesh.hops === hops),
  )
  return { statuses: ready.value, discovery: found.seconds, ready: ready.seconds }
}

const site = (statuses: readonly Status[]): string =>
  statuses[0]!.destinations.find((d) => d.name === 'site')!.b32

describe('two machines', () => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await open(2)
    for (const n of mesh.nodes) n.start()
  })
  afterAll(() => close(mesh))

  test('find each other within 5 s and say that they are only encrypted', async () => {
    const { statuses, discovery } = await formed(mesh, 0)
    console.log(`two machines: discovery ${discovery.toFixed(1)} s after the start`)
    expect(discovery).toBeLessThan(5)
    for (const s of statuses) {
      expect(s.faces.mesh.anonymity).toBe('none')
      expect(s.faces.mesh.anonymity_note).toContain('encrypted only')
    }
  })

  test('one reads the site of the other', async () => {
    const b32 = site([(await mesh.nodes[0]!.status())!])
    const page = await mesh.nodes[1]!.curl(`http://${b32}/`)
    expect(page.stdout.toString()).toBe(PAGE)
    const file = await mesh.nodes[1]!.curl(`http://${b32}/file.bin`)
    expect(createHash('sha256').update(file.stdout).digest('hex')).toBe(SHA256)
  })
})

describe('six machines', () => {
  let mesh: Mesh
  let b32: string
  const reader = (): MeshNode => mesh.nodes[5]!
  beforeAll(async () => {
    mesh = await open(6)
    for (const n of mesh.nodes) n.start()
  })
  afterAll(() => close(mesh))

  test('form a mesh of 2-hop tunnels; a page is read', async () => {
    const { statuses, discovery, ready } = await formed(mesh, 2)
    console.log(`six machines: discovery ${discovery.toFixed(1)} s, ready ${ready.toFixed(1)} s later`)
    expect(discovery).toBeLessThan(5)
    b32 = site(statuses)
    const page = await reader().curl(`http://${b32}/`)
    expect(page.stdout.toString()).toBe(PAGE)
  })

  test('10 MB arrive whole, with a relay killed in the middle', async () => {
    const target = join(mesh.dir, 'download')
    const child = reader().curlProcess(`http://${b32}/file.bin`, '--output', target, '--limit-rate', '2M')
    const ended = new Promise<number | null>((done) => child.once('exit', done))
    await until('a tenth of the file', 60, async () => size(target) > FILE.length / 10)
    await mesh.nodes[3]!.stop('SIGKILL')
    expect(await ended).toBe(0)
    expect(createHash('sha256').update(readFileSync(target)).digest('hex')).toBe(SHA256)
    mesh.nodes[3]!.start()
  })

  test('an interface that was deleted and made anew brings its node back', async () => {
    mesh.lab.disconnect(2)
    await until(
      'the others miss it',
      60,
      async () => ((await mesh.nodes[2]!.status())?.faces.mesh.peers.length ?? 1) === 0,
    )
    mesh.lab.connect(2)
    const back = await until(
      'it is back',
      30,
      async () => (await mesh.nodes[2]!.status())?.faces.mesh.peers.length === 5,
    )
    console.log(`interface made anew: all neighbours after ${back.seconds.toFixed(1)} s`)
    const page = await mesh.nodes[2]!.curl(`http://${b32}/`, '--retry', '3', '--retry-all-errors')
    expect(page.stdout.toString()).toBe(PAGE)
  })

  test('whoever hears the link learns no name, no router, no other address', async () => {
    const statuses = await Promise.all(mesh.nodes.map((n) => n.status()))
    await mesh.capture.stop()
    const frames = readFrames(mesh.capture.file)
    expect(frames.length).toBeGreaterThan(1000)
    const packets = ipv6(frames)
    // The kernel's own neighbour discovery and multicast reports start from the unspecified address.
    const strays = packets.filter((p) => !p.source.startsWith('fe80:') && p.nextHeader === 17)
    expect(strays).toEqual([])
    expect(packets.filter((p) => p.nextHeader === 6 && !p.destination.startsWith('fe80:'))).toEqual([])
    const announcements = mdns(packets)
    expect(announcements.length).toBeGreaterThan(6)
    for (const { packet, data } of announcements) {
      expect(packet.source.startsWith('fe80:')).toBe(true)
      const own = packet.source.replaceAll(':', '')
      const addresses = [...data.toString('hex').matchAll(/fe80000000000000[0-9a-f]{16}/g)].map((m) => m[0])
      for (const a of addresses) expect(a).toBe(own)
    }
    const everything = Buffer.concat(frames.map((f) => f.bytes))
    expect(everything.includes(HOST_NAME)).toBe(false)
    for (const s of statuses) {
      const router = s!.faces.mesh.router
      expect(everything.includes(router)).toBe(false)
      expect(
        everything.includes(Buffer.from(router.replaceAll('-', '+').replaceAll('~', '/'), 'base64')),
      ).toBe(false)
    }
    expect(everything.includes(b32.slice(0, 52))).toBe(false)
  })
})

function size(file: string): number {
  try {
    return readFileSync(file).length
  } catch {
    return 0
  }
}
