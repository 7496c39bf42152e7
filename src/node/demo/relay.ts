/** A way into a namespace's loopback: a Unix socket outside, a TCP port inside. */
import { rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { pipeline } from 'node:stream'

/** Runs inside the namespace until killed. */
export function relayInside(socketPath: string, port: number): Promise<never> {
  rmSync(socketPath, { force: true })
  return new Promise((_, reject) => {
    const server = forwarder(() => connect(port, '127.0.0.1'))
    server.on('error', reject)
    server.listen(socketPath)
  })
}

export interface Relay {
  readonly port: number
  close(): void
}

/** Outside: a loopback port for the browser. */
export function relayOutside(socketPath: string): Promise<Relay> {
  const open = new Set<Socket>()
  const server = forwarder(() => connect(socketPath))
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  const close = (): void => {
    server.close()
    for (const socket of open) socket.destroy()
  }
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => resolve({ port: (server.address() as { port: number }).port, close }))
  })
}

function forwarder(open: () => Socket): Server {
  return createServer((near) => {
    const far = open()
    // An error on either side ends both; there is nobody to tell.
    pipeline(near, far, () => {})
    pipeline(far, near, () => {})
  })
}
