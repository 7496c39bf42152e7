/** Gateways on loopback that do what a test wants: PCP, NAT-PMP and UPnP. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Reader, Writer } from '../../../src/base/bytes.ts'

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
const OUTSIDE = Uint8Array.of(61, 11, 7, 1)

/** One mapping request that was answered or not. */
export interface Asked {
  readonly by: 'PCP' | 'NAT-PMP'
  readonly protocol: 'tcp' | 'udp'
  readonly internal: number
  readonly suggested: number
  readonly lifetime: number
  readonly nonce?: string
}

export class DatagramGateway {
  readonly asked: Asked[] = []
  /** What it speaks, and with which result code. */
  pcp: 'silent' | 'unsupported' | number = 0
  natPmp: 'silent' | number = 0
  /** What it grants. */
  lifetime = 1_200
  externalOf: (internal: number) => number = (internal) => internal
  outside: Uint8Array = OUTSIDE
  /** Sent before each answer. */
  noise: () => Uint8Array | undefined = () => undefined
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (bytes, from) => {
      const noise = this.noise()
      if (noise !== undefined) socket.send(noise, from.port, from.address)
      this.#answer(bytes, from)
    })
  }

  static async open(address = '127.0.0.1', port = 0): Promise<DatagramGateway> {
    const socket = createSocket('udp4')
    socket.bind(port, address)
    await once(socket, 'listening')
    return new DatagramGateway(socket)
  }

  get port(): number {
    return this.#socket.address().port
  }

  close(): void {
    this.#socket.close()
  }

  #answer(bytes: Uint8Array, { port, address }: RemoteInfo): void {
    const answer = bytes[0] === 2 ? this.#answerPcp(bytes) : this.#answerNatPmp(bytes)
    if (answer !== undefined) this.#socket.send(answer, port, address)
  }

  #answerPcp(bytes: Uint8Array): Uint8Array | undefined {
    const r = new Reader(bytes)
    r.take(4)
    const lifetime = r.u32()
    r.take(16)
    const nonce = r.take(12)
    const protocol = r.u8()
    r.take(3)
    const [internal, suggested] = [r.u16(), r.u16()]
    this.asked.push({
      by: 'PCP',
      protocol: protocol === 6 ? 'tcp' : 'udp',
      internal,
      suggested,
      lifetime,
      nonce: Buffer.from(nonce).toString('hex'),
    })
    if (this.pcp === 'silent') return undefined
    if (this.pcp === 'unsupported') return new Writer(8).u8(0).u8(0x81).u16(1).u32(1).bytes
    const w = new Writer(60)
      .u8(2)
      .u8(0x81)
      .u8(0)
      .u8(this.pcp)
      .u32(lifetime === 0 ? 0 : this.lifetime)
      .u32(1)
    w.put(new Uint8Array(12)).put(nonce).u8(protocol).u8(0).u16(0).u16(internal)
    return w.u16(this.externalOf(internal)).put(MAPPED).put(this.outside).bytes
  }

  #answerNatPmp(bytes: Uint8Array): Uint8Array | undefined {
    const r = new Reader(bytes)
    r.u8()
    const opcode = r.u8()
    if (opcode === 0)
      return this.natPmp === 'silent'
        ? undefined
        : new Writer(12).u8(0).u8(0x80).u16(this.natPmp).u32(1).put(this.outside).bytes
    r.u16()
    const [internal, suggested, lifetime] = [r.u16(), r.u16(), r.u32()]
    this.asked.push({
      by: 'NAT-PMP',
      protocol: opcode === 1 ? 'udp' : 'tcp',
      internal,
      suggested,
      lifetime,
    })
    if (this.natPmp === 'silent') return undefined
    const w = new Writer(16)
      .u8(0)
      .u8(0x80 | opcode)
      .u16(this.natPmp)
      .u32(1)
      .u16(internal)
    return w.u16(lifetime === 0 ? 0 : this.externalOf(internal)).u32(lifetime === 0 ? 0 : this.lifetime).bytes
  }
}

/** A call that a UPnP gateway got. */
export interface Call {
  readonly action: string
  readonly args: Readonly<Record<string, string>>
}

export class UpnpGateway {
  readonly calls: Call[] = []
  readonly paths: string[] = []
  /** What the answer to a search names; undefined: itself. */
  location: string | undefined
  description: (type: string) => string = (type) =>
    `<?xml version="1.0"?><root><device><serviceList>
    <service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/no</controlURL></service>
    </serviceList><deviceList><device><serviceList><service>
      <serviceType> urn:schemas-upnp-org:service:${type} </serviceType><controlURL>/control?a=1&amp;b=2</controlURL>
    </service></serviceList></device></deviceList></device></root>`
  type = 'WANIPConnection:1'
  address = '61.11.7.1'
  /** The error that an AddPortMapping ends with. */
  refuse: (args: Readonly<Record<string, string>>) => number | undefined = () => undefined
  readonly #socket: Socket
  readonly #server: Server

  private constructor(socket: Socket, server: Server) {
    this.#socket = socket
    this.#server = server
    socket.on('message', (bytes, { port, address }) => this.#search(bytes.toString(), port, address))
    server.on('request', (request, response) => {
      this.paths.push(request.url!)
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        if (request.method === 'GET') response.end(this.description(this.type))
        else {
          const { status, body } = this.#call(
            `${request.headers['soapaction']}`,
            Buffer.concat(chunks).toString(),
          )
          response.writeHead(status).end(body)
        }
      })
    })
  }

  static async open(address = '127.0.0.1'): Promise<UpnpGateway> {
    const socket = createSocket('udp4')
    socket.bind(0, address)
    const server = createServer()
    server.listen(0, address)
    await Promise.all([once(socket, 'listening'), once(server, 'listening')])
    return new UpnpGateway(socket, server)
  }

  /** Where it is searched. */
  get port(): number {
    return this.#socket.address().port
  }

  /** Where it describes itself. */
  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo
    return `http://${address}:${port}/root.xml`
  }

  close(): void {
    this.#socket.close()
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #search(question: string, port: number, address: string): void {
    const target = /^ST: (.*InternetGatewayDevice:1)\r$/m.exec(question)?.[1]
    if (target === undefined || !question.startsWith('M-SEARCH * HTTP/1.1\r\n')) return
    const lines = [
      'HTTP/1.1 200 OK',
      'EXT:',
      `Location: ${this.location ?? this.url}`,
      `ST: ${target}`,
      '',
      '',
    ]
    this.#socket.send(lines.join('\r\n'), port, address)
  }

  #call(soapAction: string, body: string): { status: number; body: string } {
    const action = new RegExp(`^"urn:schemas-upnp-org:service:${this.type}#(\\w+)"$`).exec(soapAction)![1]!
    const args = Object.fromEntries(
      [...body.matchAll(/<(New\w+)>([^<]*)<\/New\w+>/g)].map(([, k, v]) => [k!, v!]),
    )
    this.calls.push({ action, args })
    const code = action === 'AddPortMapping' ? this.refuse(args) : undefined
    const inner =
      code === undefined
        ? `<u:${action}Response xmlns:u="x">${action === 'GetExternalIPAddress' ? `<NewExternalIPAddress>${this.address}</NewExternalIPAddress>` : ''}</u:${action}Response>`
        : `<s:Fault><detail><UPnPError><errorCode>${code}</errorCode></UPnPError></detail></s:Fault>`
    return {
      status: code === undefined ? 200 : 500,
      body: `<s:Envelope xmlns:s="y"><s:Body>${inner}</s:Body></s:Envelope>`,
    }
  }
}
