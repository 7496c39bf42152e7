/**
 * Ports from a gateway that is a UPnP Internet Gateway Device (UPnP Device Architecture 1.1; WANIPConnection:1 and :2, WANPPPConnection:1):
 * it is searched by SSDP, describes itself in XML, and takes SOAP. Nobody but the gateway is listened to, and nothing is fetched from elsewhere.
 */
import { createSocket } from 'node:dgram'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { isIPv4 } from 'node:net'
import type { Endpoint } from '../../base/core.ts'
import type { Gateway, Granted, Mapper, Wish } from './gateway.ts'

// Specification constants
export const SSDP: Endpoint = { address: '239.255.255.250', port: 1900 }
const SEARCH_TARGETS = [1, 2].map((v) => `urn:schemas-upnp-org:device:InternetGatewayDevice:${v}`)
const SERVICE = /^urn:schemas-upnp-org:service:(WANIPConnection:[12]|WANPPPConnection:1)$/
const CONFLICT_IN_MAPPING_ENTRY = 718
const ONLY_PERMANENT_LEASES_SUPPORTED = 725
/** UDA 1.1, "Search": seconds in which devices choose when to answer, and the TTL of questions. */
const MX = 1
const TTL = 2

// Implementation constants
/** SSDP is not reliable: the question is put twice, half way through this. */
const SEARCH_MS = 2_500
const HTTP_TIMEOUT_MS = 5_000
/** Descriptions have some KB. */
const MAX_BODY = 256 << 10
/** Services of one gateway that are tried; one uplink has one or two. */
const MAX_SERVICES = 4
/** Of a description, each with a service: few have ten. */
const MAX_BLOCKS = 64
/** When a port is taken, others are tried. */
const MAX_PORTS = 4
const FIRST_OTHER_PORT = 20_000
const OTHER_PORTS = 40_000

interface Service {
  readonly type: string
  readonly control: URL
}

/** Undefined when the gateway is none. `random` chooses other ports: below its argument. */
export async function upnpMapper(
  gateway: Gateway,
  random: (n: number) => number,
  ssdp: Endpoint,
  signal: AbortSignal,
): Promise<Mapper | undefined> {
  const location = await search(gateway, ssdp, signal)
  if (location === undefined) return undefined
  const { status, body } = await http(location, gateway, signal)
  if (status !== 200) return undefined
  for (const service of services(body, location)) {
    const address = await externalAddress(service, gateway, signal)
    if (address !== undefined) return new UpnpMapper(gateway, service, random)
  }
  return undefined
}

class UpnpMapper implements Mapper {
  readonly name = 'UPnP'
  readonly #gateway: Gateway
  readonly #service: Service
  readonly #random: (n: number) => number

  constructor(gateway: Gateway, service: Service, random: (n: number) => number) {
    this.#gateway = gateway
    this.#service = service
    this.#random = random
  }

  async map(wish: Wish, suggested: number, lifetime: number, signal: AbortSignal): Promise<Granted | string> {
    let code = 0
    for (let i = 0, external = suggested; i < MAX_PORTS; i++) {
      let lease = lifetime
      code = await this.#add(wish, external, lease, signal)
      if (code === ONLY_PERMANENT_LEASES_SUPPORTED) {
        lease = 0
        code = await this.#add(wish, external, lease, signal)
      }
      if (code === 0) {
        const address = await externalAddress(this.#service, this.#gateway, signal)
        return { ...wish, external, address: address ?? '0.0.0.0', lifetime: lease }
      }
      if (code !== CONFLICT_IN_MAPPING_ENTRY) break
      external = FIRST_OTHER_PORT + this.#random(OTHER_PORTS)
    }
    return `UPnP refused, code ${code}`
  }

  async unmap({ protocol, external }: Granted, signal: AbortSignal): Promise<void> {
    const entry = { NewRemoteHost: '', NewExternalPort: external, NewProtocol: protocol.toUpperCase() }
    await call(this.#service, 'DeletePortMapping', entry, this.#gateway, signal)
  }

  close(): void {}

  /** 0 when it was added, else the error code. */
  async #add(
    { protocol, port }: Wish,
    external: number,
    lease: number,
    signal: AbortSignal,
  ): Promise<number> {
    const name = protocol.toUpperCase()
    const entry = {
      NewRemoteHost: '',
      NewExternalPort: external,
      NewProtocol: name,
      NewInternalPort: port,
      NewInternalClient: this.#gateway.local,
      NewEnabled: 1,
      // Shown to whoever administers the gateway. It names no program; some gateways refuse an empty one.
      NewPortMappingDescription: `${name} ${port}`,
      NewLeaseDuration: lease,
    }
    const { status, body } = await call(this.#service, 'AddPortMapping', entry, this.#gateway, signal)
    return status === 200 ? 0 : Number(textOf(body, 'errorCode') ?? status)
  }
}

/** Where the gateway describes itself. Others on the link may answer too: they are not believed. */
function search(gateway: Gateway, ssdp: Endpoint, signal: AbortSignal): Promise<URL | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    const done = (location?: URL): void => {
      clearTimeout(again)
      clearTimeout(end)
      signal.removeEventListener('abort', abort)
      socket.close()
      resolve(location)
    }
    const abort = (): void => done()
    const ask = (): void => {
      for (const target of SEARCH_TARGETS)
        socket.send(searchRequest(target, ssdp), ssdp.port, ssdp.address, () => {})
    }
    const again = setTimeout(ask, SEARCH_MS / 2)
    const end = setTimeout(done, SEARCH_MS)
    signal.addEventListener('abort', abort)
    socket.on('error', abort)
    socket.on('message', (bytes, from) => {
      const location =
        from.address === gateway.address ? locationOf(bytes.toString('latin1'), gateway) : undefined
      if (location !== undefined) done(location)
    })
    socket.bind(0, gateway.local, () => {
      try {
        socket.setMulticastInterface(gateway.local)
        socket.setMulticastTTL(TTL)
        ask()
      } catch {
        done() // the address is gone
      }
    })
  })
}

function searchRequest(target: string, { address, port }: Endpoint): string {
  const lines = [
    'M-SEARCH * HTTP/1.1',
    `HOST: ${address}:${port}`,
    'MAN: "ssdp:discover"',
    `MX: ${MX}`,
    `ST: ${target}`,
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

function locationOf(answer: string, gateway: Gateway): URL | undefined {
  if (!/^HTTP\/1\.[01] 200[ \r\n]/.test(answer)) return undefined
  return ofGateway(/^location:[ \t]*(\S+)[ \t]*\r?$/im.exec(answer)?.[1], undefined, gateway.address)
}

/** What of a description can map ports. */
function services(description: string, location: URL): Service[] {
  const found: Service[] = []
  const base = ofGateway(textOf(description, 'URLBase'), undefined, location.hostname) ?? location
  for (const block of description.split(/<service>/i, MAX_BLOCKS).slice(1)) {
    const type = textOf(block, 'serviceType')
    const control = ofGateway(textOf(block, 'controlURL'), base, location.hostname)
    if (type !== undefined && SERVICE.test(type) && control !== undefined) found.push({ type, control })
  }
  return found.slice(0, MAX_SERVICES)
}

/** Never a name, never another host. */
function ofGateway(url: string | undefined, base: URL | undefined, address: string): URL | undefined {
  if (url === undefined || !URL.canParse(url, base?.href)) return undefined
  const parsed = new URL(url, base)
  return parsed.protocol === 'http:' && parsed.hostname === address ? parsed : undefined
}

/** What stands in the first element with that name. */
function textOf(xml: string, element: string): string | undefined {
  const inner = new RegExp(`<${element}>([^<]*)</${element}>`, 'i').exec(xml)?.[1]
  return inner?.trim().replaceAll('&amp;', '&')
}

async function externalAddress(
  service: Service,
  gateway: Gateway,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { body } = await call(service, 'GetExternalIPAddress', {}, gateway, signal)
  const address = textOf(body, 'NewExternalIPAddress') ?? ''
  return isIPv4(address) && address !== '0.0.0.0' ? address : undefined
}

function call(
  { type, control }: Service,
  action: string,
  args: Readonly<Record<string, string | number>>,
  gateway: Gateway,
  signal: AbortSignal,
): Promise<Response> {
  const elements = Object.entries(args).map(([name, value]) => `<${name}>${value}</${name}>`)
  const envelope = `<?xml version="1.0"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:${action} xmlns:u="${type}">${elements.join('')}</u:${action}></s:Body></s:Envelope>
`
  return http(control, gateway, signal, envelope, `"${type}#${action}"`)
}

interface Response {
  readonly status: number
  readonly body: string
}

/** Status 0 when there is no answer, or one that is too long or too late. */
function http(
  url: URL,
  { local }: Gateway,
  signal: AbortSignal,
  body?: string,
  action?: string,
): Promise<Response> {
  const headers =
    body === undefined
      ? {}
      : {
          'Content-Type': 'text/xml; charset="utf-8"',
          'Content-Length': Buffer.byteLength(body),
          SOAPAction: action,
        }
  return new Promise((resolve) => {
    const none = (): void => resolve({ status: 0, body: '' })
    const within = AbortSignal.any([signal, AbortSignal.timeout(HTTP_TIMEOUT_MS)])
    const options = {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      agent: false,
      localAddress: local,
      signal: within,
    } as const
    httpRequest(url, options, (response: IncomingMessage) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > MAX_BODY) response.destroy()
        else chunks.push(chunk)
      })
      response.on('error', none).on('close', none)
      response.on('end', () =>
        resolve({ status: response.statusCode!, body: Buffer.concat(chunks).toString('utf8') }),
      )
    })
      .on('error', none)
      .end(body)
  })
}
