/** A stream as a Duplex with what node:http and others expect of a net.Socket. */
import { Duplex } from 'node:stream'
import { RefusedError } from '../base/errors.ts'
import type { CloseReason } from '../protocol/streaming/events.ts'
import type { StreamListener, StreamPort } from './stream-port.ts'

export interface I2pSocketOptions {
  readonly port: StreamPort
  /** 'xxxx.b32.i2p' of the far side, and of ours. */
  readonly remoteAddress: string
  readonly localAddress: string
  readonly remotePort: number
  readonly localPort: number
  /** True until the far side has answered. What is written before goes with the first packet. */
  readonly connecting: boolean
  /** Keeps our half open when the far side has ended its own. */
  readonly allowHalfOpen?: boolean
}

interface Unwritten {
  bytes: Uint8Array
  readonly done: (e?: Error | null) => void
}

/** What an open stream fails with, as net.Socket would say it. */
const FAILURES: Readonly<Record<Exclude<CloseReason, 'closed'>, readonly [code: string, message: string]>> = {
  reset: ['ECONNRESET', 'the far side broke off the stream'],
  refused: ['ECONNREFUSED', 'the far side refused the stream'],
  aborted: ['ECONNABORTED', 'the stream was broken off'],
  timeout: ['ETIMEDOUT', 'the far side does not answer'],
  unreachable: ['EHOSTUNREACH', 'the destination cannot be found'],
}

export class I2pSocket extends Duplex implements StreamListener {
  readonly remoteAddress: string
  readonly localAddress: string
  readonly remotePort: number
  readonly localPort: number
  readonly remoteFamily: string = 'I2P'
  readonly localFamily: string = 'I2P'
  connecting: boolean
  bytesRead = 0
  bytesWritten = 0
  readonly #port: StreamPort
  /** Arrived and not asked for yet. Bounded: the stream chokes its far side. */
  #arrived: Uint8Array[] = []
  #wanted = false
  #giving = false
  /** The far side has ended, and the reader knows. */
  #ended = false
  #endGiven = false
  #closed = false
  #unwritten: Unwritten | undefined
  #idleMs = 0
  #idle: NodeJS.Timeout | undefined
  #activeAt = 0

  constructor(options: I2pSocketOptions) {
    super({ allowHalfOpen: options.allowHalfOpen === true })
    this.#port = options.port
    this.remoteAddress = options.remoteAddress
    this.localAddress = options.localAddress
    this.remotePort = options.remotePort
    this.localPort = options.localPort
    this.connecting = options.connecting
  }

  get pending(): boolean {
    return this.connecting
  }

  get readyState(): string {
    if (this.connecting) return 'opening'
    if (this.readable && this.writable) return 'open'
    if (this.readable) return 'readOnly'
    return this.writable ? 'writeOnly' : 'closed'
  }

  /** Ours. */
  address(): { readonly address: string; readonly port: number; readonly family: string } {
    return { address: this.localAddress, port: this.localPort, family: this.localFamily }
  }

  /** 'timeout' after `ms` without anything read or written; 0 for never. As net.Socket, it ends nothing by itself. */
  setTimeout(ms: number, listener?: () => void): this {
    this.#idleMs = ms
    clearTimeout(this.#idle)
    this.#idle = undefined
    if (ms === 0) {
      if (listener !== undefined) this.removeListener('timeout', listener)
      return this
    }
    if (listener !== undefined) this.once('timeout', listener)
    this.#active()
    if (!this.destroyed) this.#watchIdle(ms)
    return this
  }

  get timeout(): number | undefined {
    return this.#idleMs === 0 ? undefined : this.#idleMs
  }

  // A stream coalesces small writes within milliseconds, probes an idle far side and has no file descriptor: nothing to set.

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  /** Breaks it off whatever has been written. */
  resetAndDestroy(): this {
    if (!this.#closed) this.#port.reset()
    this.#closed = true
    return this.destroy()
  }

  // StreamListener

  streamOpen(): void {
    this.connecting = false
    this.emit('connect')
    this.emit('ready')
  }

  streamData(bytes: Uint8Array): void {
    if (this.destroyed || this.#ended) return
    this.bytesRead += bytes.length
    this.#active()
    this.#arrived.push(bytes)
    if (this.#wanted) this.#give()
  }

  streamDrain(): void {
    const unwritten = this.#unwritten
    if (unwritten === undefined) return
    this.#unwritten = undefined
    this.#put(unwritten.bytes, unwritten.done)
  }

  streamEnd(): void {
    this.#ended = true
    if (this.#wanted || this.#arrived.length === 0) this.#give()
  }

  streamClosed(reason: CloseReason): void {
    this.#closed = true
    if (this.destroyed) return
    if (reason === 'closed') {
      if (!this.#ended) this.streamEnd()
      return
    }
    const [code, message] = FAILURES[reason]
    // Before it was open this is the answer to whoever asked for it, and is told as every refusal is.
    const e = this.connecting
      ? new RefusedError(reason, message)
      : Object.assign(new Error(message), { code })
    this.destroy(e)
  }

  // Duplex

  override _read(): void {
    this.#wanted = true
    this.#give()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (e?: Error | null) => void): void {
    this.#put(chunk, done)
  }

  override _final(done: (e?: Error | null) => void): void {
    if (!this.#closed) this.#port.end()
    done()
  }

  override _destroy(e: Error | null, done: (e?: Error | null) => void): void {
    clearTimeout(this.#idle)
    this.connecting = false
    this.#arrived = []
    if (!this.#closed) {
      this.#closed = true
      // After a proper end the rest is the stream's own business, as with a kernel's socket.
      if (e === null && this.writableFinished) this.#port.release()
      else this.#port.reset()
    }
    const unwritten = this.#unwritten
    this.#unwritten = undefined
    unwritten?.done(e ?? new Error('destroyed'))
    done(e)
  }

  #put(bytes: Uint8Array, done: (e?: Error | null) => void): void {
    if (this.#closed) {
      done(Object.assign(new Error('the stream is closed'), { code: 'EPIPE' }))
      return
    }
    this.#active()
    const taken = this.#port.write(bytes)
    this.bytesWritten += taken
    if (taken >= bytes.length) done()
    else this.#unwritten = { bytes: bytes.subarray(taken), done }
  }

  /** Passes on what has arrived while the reader wants it; only what it has taken counts as consumed. */
  #give(): void {
    // A reader may ask for more while it is being given something.
    if (this.#giving) return
    this.#giving = true
    let consumed = 0
    let at = 0
    const arrived = this.#arrived
    while (at < arrived.length && this.#wanted) {
      const bytes = arrived[at++]!
      consumed += bytes.length
      this.#wanted = false
      if (this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))) this.#wanted = true
    }
    if (this.#arrived === arrived) arrived.splice(0, at)
    this.#giving = false
    if (consumed > 0 && !this.#closed) this.#port.consumed(consumed)
    if (this.#ended && this.#arrived.length === 0 && !this.#endGiven && !this.destroyed) {
      this.#endGiven = true
      this.push(null)
    }
  }

  #active(): void {
    if (this.#idleMs > 0) this.#activeAt = performance.now()
  }

  /** One timer that looks, when it fires, whether anything happened since. */
  #watchIdle(ms: number): void {
    this.#idle = setTimeout(() => {
      const left = this.#activeAt + this.#idleMs - performance.now()
      if (left > 1) {
        this.#watchIdle(left)
        return
      }
      this.#idle = undefined
      this.emit('timeout')
    }, Math.ceil(ms)).unref()
  }
}
