/** Listening for programs of this machine: what to say, or do, when the port is taken. */
import type { Server } from 'node:net'
import type { Log } from '../base/log.ts'

// Implementation constants
/** How many ports after a default are tried. */
const NEXT_PORTS = 20

export interface ListenAt {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** The configuration key when the user chose the port: then no other is taken. */
  readonly key: string | undefined
}

/** Resolves to the port. @throws {Error} that names port and key when it is taken, or the host cannot be listened on. */
export async function listen(server: Server, at: ListenAt, log: Log): Promise<number> {
  for (let tried = 0; ; tried++) {
    const port = at.port === 0 ? 0 : at.port + tried
    const code = await attempt(server, at.host, port)
    if (code === undefined) {
      const bound = server.address()
      const actual = typeof bound === 'object' && bound !== null ? bound.port : port
      if (tried > 0) log.write('info', `port ${at.port} is in use, listening on ${actual}`)
      return actual
    }
    const name = at.key === undefined ? '' : ` (${at.key})`
    if (code !== 'EADDRINUSE') throw new Error(`cannot listen on ${at.host} port ${port}${name}: ${code}`)
    if (at.key !== undefined || tried >= NEXT_PORTS || port === 65535)
      throw new Error(`port ${port}${name} is in use by another program`)
  }
}

/** Undefined when it listens, else the error's code. */
function attempt(server: Server, host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const failed = (e: NodeJS.ErrnoException): void => {
      server.off('listening', listening)
      if (e.code === undefined) reject(e)
      else resolve(e.code)
    }
    const listening = (): void => {
      server.off('error', failed)
      resolve(undefined)
    }
    server.once('error', failed)
    server.once('listening', listening)
    server.listen({ host, port, exclusive: true })
  })
}
