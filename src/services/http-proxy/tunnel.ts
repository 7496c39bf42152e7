/** CONNECT: bytes between a program and a destination, as they are. */
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'
import type { Log } from '../../base/log.ts'
import { errorResponse } from './error-page.ts'
import { failure, refusalPage } from './pages.ts'
import type { StreamHost } from './stream-agent.ts'
import { connectTarget } from './target.ts'

/** `head` is what came after the request. Ends `client` in any case. */
export async function tunnel(
  authority: string,
  client: Duplex,
  head: Uint8Array,
  host: StreamHost,
  log: Log,
): Promise<void> {
  client.on('error', () => {}) // until the pipeline takes over
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
  if (client.destroyed) {
    stream.destroy()
    return
  }
  client.write('HTTP/1.1 200 Connection established\r\n\r\n')
  if (head.length > 0) client.unshift(head)
  // Each direction ends by itself; a failure of one ends both.
  const failed = (e: Error | null | undefined): void => {
    if (!e) return
    client.destroy()
    stream.destroy()
  }
  pipeline(client, stream, failed)
  pipeline(stream, client, failed)
}
