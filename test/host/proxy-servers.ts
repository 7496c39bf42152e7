/** Proxies that work, on loopback. */
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, connect as netConnect, type Server, type Socket } from 'node:net'
import { expect } from 'vitest'

const servers: Server[] = []
const sockets = new Set<Socket>()

/** Those that `listening` made, and their connections. */
export function closeServers(): void {
  for (const socket of sockets) socket.destroy()
  for (const server of servers.splice(0)) server.close()
}

/** Resolves to its port. */
export async function listening(server: Server, host = '127.0.0.1'): Promise<number> {
  servers.push(server)
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => {})
  })
  await new Promise<void>((done) => server.listen(0, host, done))
  return (server.address() as AddressInfo).port
}

/** What a working proxy was asked for, and the ports that it dialled from. */
export interface Served {
  readonly port: number
  readonly asked: string[]
  readonly from: number[]
}

/** A tunnel as both proxies make it: `agree` is called before anything is passed on. */
function passOn(
  served: Served,
  host: string,
  port: number,
  client: Socket,
  agree: (ok: boolean) => void,
): void {
  served.asked.push(`${host} ${port}`)
  const out = netConnect(port, host)
  sockets.add(out)
  out.once('error', () => {
    agree(false)
    client.end()
  })
  out.once('connect', () => {
    served.from.push(out.localPort!)
    agree(true)
    client.pipe(out).pipe(client)
    client.once('close', () => out.destroy())
  })
}

export async function httpProxy(authorization?: string): Promise<Served> {
  const served = { port: 0, asked: [], from: [] }
  const server = createHttpServer()
  server.on('connect', (request, socket: Socket) => {
    if (request.headers['proxy-authorization'] !== authorization) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n')
      return
    }
    expect(request.headers.host).toBe(request.url)
    const { hostname, port } = new URL(`tcp://${request.url}`)
    passOn(served, hostname.replace(/[[\]]/g, ''), Number(port), socket, (ok) => {
      socket.write(ok ? 'HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n' : 'HTTP/1.1 502 No\r\n\r\n')
    })
  })
  served.port = await listening(server)
  return served
}

export async function socksProxy(login?: string): Promise<Served> {
  const served = { port: 0, asked: [], from: [] }
  const serve = async (socket: Socket): Promise<void> => {
    const read = async (n: number): Promise<Buffer> => {
      for (;;) {
        const piece = socket.read(n) as Buffer | null
        if (piece !== null) return piece
        await new Promise((next) => socket.once('readable', next))
      }
    }
    const [version, count] = await read(2)
    expect(version).toBe(5)
    const method = login === undefined ? 0 : 2
    if (!(await read(count!)).includes(method)) {
      socket.end(Buffer.of(5, 255))
      return
    }
    socket.write(Buffer.of(5, method))
    if (login !== undefined) {
      expect((await read(1))[0]).toBe(1)
      const user = (await read((await read(1))[0]!)).toString()
      const password = (await read((await read(1))[0]!)).toString()
      const good = `${user}:${password}` === login
      socket.write(Buffer.of(1, good ? 0 : 1))
      if (!good) return void socket.end()
    }
    const [v, command, reserved, form] = await read(4)
    expect([v, command, reserved]).toEqual([5, 1, 0])
    const bytes = await read(form === 1 ? 4 : 16)
    const host = form === 1 ? bytes.join('.') : ipv6(bytes)
    const port = (await read(2)).readUInt16BE()
    passOn(served, host, port, socket, (ok) => {
      // With a name as the address bound, which is allowed too.
      socket.write(
        ok ? Buffer.from([5, 0, 0, 3, 2, 0x61, 0x62, 0, 80]) : Buffer.of(5, 5, 0, 1, 0, 0, 0, 0, 0, 0),
      )
    })
  }
  served.port = await listening(createServer((socket) => void serve(socket)))
  return served
}

function ipv6(bytes: Buffer): string {
  const text = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':')
  return new URL(`tcp://[${text}]`).hostname.slice(1, -1)
}
