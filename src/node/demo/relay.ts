/** A way into a namespace's loopback: a Unix socket outside, a TCP port inside. */
import { rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
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

/** Outside: a loopback port for the browser. Resolves to the port. */
export function relayOutside(socketPath: string): Promise<number> {
  const server = forwarder(() => connect(socketPath))
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
}

function forwarder(open: () => ReturnType<typeof connect>): Server {
  return createServer((near) => {
    const far = open()
    // An error on either side ends both; there is nobody to tell.
    pipeline(near, far, () => {})
    pipeline(far, near, () => {})
  })
}
