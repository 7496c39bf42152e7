/**
 * The mesh's own parts as a process: interface driver, mDNS driver, neighbourhood and plain TCP; no router. Prints one JSON line for each
 * thing that happens. A session is the stream after its hello.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { WallClock } from '../../src/base/clock.ts'
import type { LinkId, Sink } from '../../src/base/core.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import type { NeighbourhoodEvent } from '../../src/mesh/events.ts'
import { Neighbourhood } from '../../src/mesh/neighbourhood.ts'
import { meshKeys } from '../../src/mesh/secret.ts'
import { Interfaces } from '../../src/node/drivers/interfaces.ts'
import { Mdns } from '../../src/node/drivers/mdns.ts'
import { newRouterIdentity } from '../../src/protocol/structures/identity.ts'
import { signRouterInfo } from '../../src/protocol/structures/router-info.ts'

const say = (what: string, more: object = {}): void => {
  console.log(JSON.stringify({ what, at: Date.now(), ...more }))
}
const now = (): number => performance.now()
const log = {
  enabled: () => true,
  write: (level: string, message: string): void => say('log', { level, message }),
}

const keys = meshKeys({ name: 'test', secret: process.argv[2]! })
const clock = new WallClock(Date.now(), now())
const content = { published: Date.now(), addresses: [], options: new Map([['netId', `${keys.netId}`]]) }
const routerInfo = signRouterInfo(content, newRouterIdentity(systemRandom))
const core = new Neighbourhood({
  keys,
  policy: { announce: 'auto', interfaces: ['auto'], open: false, allowed: new Set() },
  port: 0,
  own: { routerInfo, ntcp2Iv: systemRandom.bytes(16), udpPort: 0, introKey: new Uint8Array(32) },
  clock,
  clockQuality: 3,
  random: systemRandom,
  log,
})

const sockets = new Map<LinkId, Socket>()
const sessions = new Map<LinkId, Uint8Array>()
const servers = new Map<string, Server>()
let links = 0
let timer: NodeJS.Timeout | undefined

/** Every way into the core goes through here, so that its timer is always right. */
function turn(f: () => void): void {
  f()
  clearTimeout(timer)
  const next = core.nextTimeout()
  if (next === undefined) return
  timer = setTimeout(() => turn(() => core.timeout(now(), out)), Math.max(0, Math.ceil(next - now())))
}

function adopt(socket: Socket): LinkId {
  const id = ++links
  sockets.set(id, socket)
  socket.on('data', (bytes) => turn(() => core.owns(id) && core.received(id, bytes, now(), out)))
  socket.on('error', () => {})
  socket.on('close', () =>
    turn(() => {
      sockets.delete(id)
      const hash = sessions.get(id)
      sessions.delete(id)
      if (core.owns(id)) core.closed(id, now(), out)
      if (hash === undefined) return
      say('lost')
      core.peerDisconnected(hash, now())
    }),
  )
  return id
}

const out: Sink<NeighbourhoodEvent> = {
  udp: () => {},
  tcpOpen: ({ address, port }) => {
    const socket = connect({ host: address, port })
    const id = adopt(socket)
    socket.on('connect', () => turn(() => core.connected(id, now(), out)))
    return id
  },
  tcpData: (id, bytes) => void sockets.get(id)?.write(bytes),
  tcpEnd: (id, reset) => void (reset === true ? sockets.get(id)?.destroy() : sockets.get(id)?.end()),
  event: (e) => {
    mdns.handle(e as Parameters<typeof mdns.handle>[0])
    if (e.kind === 'join') say('join', { link: e.interface.name })
    else if (e.kind === 'leave') {
      say('leave', { link: e.linkName })
      for (const socket of sockets.values()) socket.destroy()
    } else if (e.kind === 'listen') {
      const server = createServer((socket) =>
        turn(() => {
          const id = adopt(socket)
          core.accepted(id, { address: socket.remoteAddress!, port: socket.remotePort! }, now(), out)
        }),
      )
      server.on('error', (error) =>
        turn(() => core.listenFailed(e.linkName, e.port, error.message, now(), out)),
      )
      server.listen(e.port, e.address)
      servers.set(`${e.address} ${e.port}`, server)
    } else if (e.kind === 'unlisten') servers.get(`${e.address} ${e.port}`)?.close()
    else if (e.kind === 'neighbour') {
      sessions.set(e.link, e.hello.routerInfo.hash)
      core.peerConnected(e.hello.routerInfo.hash, now())
      say('neighbour', { role: e.role, link: e.linkName })
    }
  },
}

const mdns = new Mdns({
  onRecords: (link, from, records) => turn(() => core.heardRecords(link, from, records, now())),
  onQuery: (link, from) => turn(() => core.heardQuery(link, from, now())),
  onProblem: (link, problem) => turn(() => core.linkFailed(link, problem, now())),
  log,
})
const interfaces = new Interfaces({
  onChange: (all) => turn(() => core.interfacesChanged(all, now(), out)),
  log,
})
interfaces.start()

process.on('SIGTERM', () => {
  interfaces.stop()
  turn(() => core.shutdown(out))
  for (const socket of sockets.values()) socket.destroy()
  void mdns.close().then(() => process.exit(0))
})
