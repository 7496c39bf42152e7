/** Node's HTTP client over I2P streams: kept connections to each destination, none of them anything but I2P. */
import { Agent, type ClientRequest, type ClientRequestArgs, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Hash } from '../../protocol/structures/hash.ts'
import { fromB32 } from '../../protocol/structures/identity.ts'

// Implementation constants
/** As browsers do for one host, so that one slow site cannot use up the streams of the face. */
const MAX_STREAMS_PER_DESTINATION = 10
const MAX_IDLE_PER_DESTINATION = 3
/** Shorter than the 60 s after which many servers close: the one who closes first cannot be caught by surprise. */
const IDLE_MS = 45_000
/** What a request may take to get there: a server that closes in a second must not be asked again. */
const KEEP_MARGIN_MS = 2000

/** What the proxy needs of a Host. */
export interface StreamHost {
  /** A stream to a name, once it is open. Rejects with a RefusedError. */
  connect(name: string, port: number, options?: { readonly allowHalfOpen?: boolean }): Promise<Duplex>
  /** The same at once: a request written before the answer travels with the first packet. Fails by an 'error' event. */
  open(to: Hash, port: number): Duplex
}

/** What node:http calls on a socket beyond Duplex; a stream without a file descriptor has nothing to do there. */
interface SocketLike extends Duplex {
  setTimeout?: unknown
  setKeepAlive?: unknown
  setNoDelay?: unknown
  ref?: unknown
  unref?: unknown
}

export class StreamAgent extends Agent {
  readonly #host: StreamHost
  /** What undoes the watch over an idle stream. */
  readonly #idle = new WeakMap<Duplex, () => void>()
  /** For how long the server keeps it, where it said so. */
  readonly #kept = new WeakMap<Duplex, number>()

  /** `keepAlive` false: each request has a stream of its own. */
  constructor(host: StreamHost, keepAlive: boolean) {
    super({
      keepAlive,
      maxSockets: MAX_STREAMS_PER_DESTINATION,
      maxFreeSockets: MAX_IDLE_PER_DESTINATION,
      scheduling: 'lifo',
    })
    this.#host = host
  }

  /** Tells the agent of a response, whose server may say how long it keeps the stream. */
  responded(response: IncomingMessage): void {
    const seconds = /(?:^|[\s,])timeout=(\d{1,6})/.exec(String(response.headers['keep-alive'] ?? ''))?.[1]
    if (seconds !== undefined) this.#kept.set(response.socket, Number(seconds) * 1000 - KEEP_MARGIN_MS)
  }

  // Node's own connects with TCP and asks the DNS; nothing of it must be reached.
  override createConnection(
    { host, port }: ClientRequestArgs,
    done?: (e: Error | null, stream: Duplex) => void,
  ): undefined {
    const failed = (e: unknown): void => {
      // Node's types have no way to say that there is no stream.
      done?.(e instanceof Error ? e : new Error(String(e)), undefined as unknown as Duplex)
    }
    const name = host ?? ''
    const hash = fromB32(name)
    if (hash === undefined) {
      this.#host.connect(name, Number(port)).then((stream) => done?.(null, asSocket(stream)), failed)
      return
    }
    try {
      done?.(null, asSocket(this.#host.open(hash, Number(port))))
    } catch (e) {
      failed(e)
    }
  }

  /** An idle stream ends when its time is up, when the peer ends it, and when it says something nobody asked for. */
  override keepSocketAlive(stream: Duplex): boolean {
    const ms = Math.min(IDLE_MS, this.#kept.get(stream) ?? IDLE_MS)
    if (ms <= 0) return false
    const end = (): void => void stream.destroy()
    const timer = setTimeout(end, ms).unref()
    stream.once('end', end)
    stream.once('data', end)
    this.#idle.set(stream, () => {
      clearTimeout(timer)
      stream.off('end', end)
      stream.off('data', end)
    })
    stream.once('close', () => clearTimeout(timer))
    return true
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    this.#idle.get(stream)?.()
    super.reuseSocket(stream, request)
  }
}

function asSocket(stream: Duplex): Duplex {
  const socket = stream as SocketLike
  for (const name of ['setTimeout', 'setKeepAlive', 'setNoDelay', 'ref', 'unref'] as const)
    socket[name] ??= () => stream
  return stream
}
