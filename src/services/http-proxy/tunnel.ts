/** CONNECT: bytes between a program and a destination, as they are, unless they are plain HTTP. */
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'
import type { Log } from '../../base/log.ts'
import { errorResponse } from './error-page.ts'
import { failure, refusalPage } from './pages.ts'
import type { StreamHost } from './stream-agent.ts'
import { connectTarget, type Target } from './target.ts'

/** A request line as browsers begin it; no other protocol has a method and a path so. */
const HTTP_REQUEST = /^[A-Z]{3,8} \//

/**
 * `head` is what came after the request. Ends `client` in any case, or hands it to `plain`: browsers open WebSockets with CONNECT, and
 * what a request in it says of its user must not pass.
 */
export async function tunnel(
  authority: string,
  client: Duplex,
  head: Uint8Array,
  host: StreamHost,
  log: Log,
  plain: (target: Target) => void,
): Promise<void> {
  client.on('error', () => {}) // until the pipelines take over
  const target = connectTarget(authority)
  if (typeof target === 'string') {
    client.end(errorResponse(refusalPage(target)))
    return
  }
  let stream: Duplex
  try {
    stream = await host.connect(target.host, target.port, { allowHalfOpen: true })
  } catch (e) {
    log.write('debug', `CONNECT ${target.host}: ${e instanceof Error ? e.message : String(e)}`)
    client.end(errorResponse(failure(e)))
    return
  }
  stream.on('error', () => {})
  if (client.destroyed) {
    stream.destroy()
    return
  }
  client.write('HTTP/1.1 200 Connection established\r\n\r\n')
  if (head.length > 0) client.unshift(head)
  const first = await beginning(client, stream)
  if (HTTP_REQUEST.test(Buffer.from(first).toString('latin1'))) {
    stream.destroy()
    plain(target)
    return
  }
  // Each direction ends by itself; a failure of one ends both.
  const failed = (e: Error | null | undefined): void => {
    if (!e) return
    client.destroy()
    stream.destroy()
  }
  pipeline(client, stream, failed)
  pipeline(stream, client, failed)
}

/** What the program says first; nothing when the far side begins, or either ends. The bytes stay to be read. */
function beginning(client: Duplex, stream: Duplex): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const begun = (): void => {
      client.off('readable', begun).off('close', begun)
      stream.off('readable', begun).off('close', begun)
      const bytes = client.read() as Uint8Array | null
      if (bytes !== null) client.unshift(bytes)
      resolve(bytes ?? new Uint8Array(0))
    }
    client.on('readable', begun).on('close', begun)
    stream.on('readable', begun).on('close', begun)
  })
}
