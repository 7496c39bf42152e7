/** Ports from a gateway that speaks PCP or NAT-PMP: datagrams, repeated until it says something. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Endpoint } from '../../base/core.ts'
import type { Gateway, Granted, Mapper, Wish } from './gateway.ts'
import {
  type Answer,
  type Assigned,
  readAddressResponse,
  readMapResponse,
  readNatPmpResponse,
  writeAddressRequest,
  writeMapRequest,
  writeNatPmpRequest,
} from './pcp.ts'

// Implementation constants
/**
 * How long each repetition waits, ms. NAT-PMP would go on for a minute, but a gateway on the same link answers at once or never, and UPnP
 * waits for its turn.
 */
const PATIENCE = [250, 500, 1_000] as const

/** `nonce` of NONCE_SIZE; `port` is where the gateway answers. */
export async function pcpMapper(gateway: Gateway, nonce: Uint8Array, port: number): Promise<Mapper> {
  const local = Uint8Array.from(gateway.local.split('.'), Number)
  return new PcpMapper(await Exchange.open({ address: gateway.address, port }), local, nonce)
}

class PcpMapper implements Mapper {
  name: 'PCP' | 'NAT-PMP' = 'PCP'
  readonly #exchange: Exchange
  readonly #local: Uint8Array
  readonly #nonce: Uint8Array

  constructor(exchange: Exchange, local: Uint8Array, nonce: Uint8Array) {
    this.#exchange = exchange
    this.#local = local
    this.#nonce = nonce
  }

  async map(wish: Wish, suggested: number, lifetime: number, signal: AbortSignal): Promise<Granted | string> {
    let refusal = ''
    if (this.name === 'PCP') {
      const answer = await this.#pcp(wish, suggested, lifetime, signal)
      if (answer?.kind === 'granted') return granted(wish, answer.what, answer.what.address)
      if (signal.aborted) return 'given up'
      if (answer !== undefined) refusal = `PCP refused, code ${answer.code}`
      // An older gateway may also have been silent. One that refuses may mind the nonce only: a mapping of our last run is still there.
      this.name = 'NAT-PMP'
    }
    const answer = await this.#natPmp(wish, suggested, lifetime, signal)
    const outside =
      answer?.kind === 'granted'
        ? await this.#exchange.ask(writeAddressRequest(), readAddressResponse, signal)
        : answer
    if (answer?.kind === 'granted' && outside?.kind === 'granted')
      return granted(wish, answer.what, outside.what)
    if (outside?.kind === 'refused') return `NAT-PMP refused, code ${outside.code}`
    return refusal === '' ? 'neither PCP nor NAT-PMP' : refusal
  }

  async unmap(wish: Granted, signal: AbortSignal): Promise<void> {
    if (this.name === 'PCP') await this.#pcp(wish, 0, 0, signal)
    else await this.#natPmp(wish, 0, 0, signal)
  }

  close(): void {
    this.#exchange.close()
  }

  #pcp(
    wish: Wish,
    suggested: number,
    lifetime: number,
    signal: AbortSignal,
  ): Promise<ReturnType<typeof readMapResponse>> {
    const request = writeMapRequest(wish, this.#local, this.#nonce, suggested, lifetime)
    return this.#exchange.ask(request, (bytes) => readMapResponse(bytes, wish, this.#nonce), signal)
  }

  #natPmp(
    wish: Wish,
    suggested: number,
    lifetime: number,
    signal: AbortSignal,
  ): Promise<Answer<Assigned> | undefined> {
    const request = writeNatPmpRequest(wish, suggested, lifetime)
    return this.#exchange.ask(request, (bytes) => readNatPmpResponse(bytes, wish), signal)
  }
}

function granted(wish: Wish, { port, lifetime }: Assigned, address: string): Granted {
  return { ...wish, external: port, address, lifetime }
}

/** One question at a time. The system passes on what comes from the gateway only, since the socket is connected to it. */
class Exchange {
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
    // A gateway without the service says so by ICMP: the same as silence, but sooner.
    socket.on('error', () => {})
  }

  static async open({ address, port }: Endpoint): Promise<Exchange> {
    const socket = createSocket('udp4')
    try {
      const connected = once(socket, 'connect')
      socket.connect(port, address)
      await connected
    } catch (e) {
      socket.close()
      throw e
    }
    return new Exchange(socket)
  }

  /** Undefined when nothing is said that `read` takes. */
  async ask<T>(
    request: Uint8Array,
    read: (bytes: Uint8Array) => T | undefined,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    for (const patience of PATIENCE) {
      if (signal.aborted) return undefined
      const answer = await this.#try(request, read, patience, signal)
      if (answer !== undefined) return answer === 'nobody' ? undefined : answer
    }
    return undefined
  }

  #try<T>(
    request: Uint8Array,
    read: (bytes: Uint8Array) => T | undefined,
    patience: number,
    signal: AbortSignal,
  ): Promise<T | 'nobody' | undefined> {
    return new Promise((resolve) => {
      const done = (answer: T | 'nobody' | undefined): void => {
        clearTimeout(timer)
        this.#socket.off('message', heard).off('error', failed)
        signal.removeEventListener('abort', failed)
        resolve(answer)
      }
      const heard = (bytes: Buffer): void => {
        const answer = read(bytes)
        if (answer !== undefined) done(answer)
      }
      const failed = (): void => done('nobody')
      const timer = setTimeout(() => done(undefined), patience)
      this.#socket.on('message', heard).on('error', failed)
      signal.addEventListener('abort', failed)
      this.#socket.send(request, (e) => e !== null && e !== undefined && failed())
    })
  }

  close(): void {
    this.#socket.close()
  }
}
