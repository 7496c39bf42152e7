/** A web site behind an i2pd server tunnel, and a client tunnel to one: what i2pd's own users run. */
import type { I2pdNetwork, I2pdRouter } from './i2pd.ts'

const PORT = 8080
const CLIENT_PORT = 8081
const SERVER = `
const http = require('node:http'), fs = require('node:fs'), path = require('node:path')
const [host, port, root] = process.argv.slice(1)
http.createServer((q, a) => {
  const file = path.join(root, path.basename(q.url) || 'index.html')
  fs.stat(file, (e, s) => {
    if (e) { a.statusCode = 404; a.end(); return }
    a.setHeader('content-length', s.size)
    fs.createReadStream(file).pipe(a)
  })
}).listen(Number(port), host)
`

/** Serves `root` on `router`; resolves to the site's b32 name. */
export async function startI2pdSite(network: I2pdNetwork, router: I2pdRouter, root: string): Promise<string> {
  network.exec([process.execPath, '-e', SERVER, router.address, `${PORT}`, root], { stdio: 'ignore' })
  network.tunnels(
    router,
    `[site]\ntype = server\nhost = ${router.address}\nport = ${PORT}\nkeys = site.dat\ninbound.length = 2\noutbound.length = 2\n`,
  )
  const end = performance.now() + 30_000
  for (;;) {
    const name = /\bsite\s*=>\s*([a-z2-7]{52})/.exec(await network.page(router, '?page=i2p_tunnels'))
    if (name !== null) return `${name[1]}.b32.i2p`
    if (performance.now() > end) throw new Error('the site is not on the console of i2pd')
    await new Promise((next) => setTimeout(next, 200))
  }
}

/**
 * Where `site` is read without a proxy, `host:port`. Its tunnels, both ways, run through `hops` (base64 hashes) and no others.
 * A server tunnel would not do: i2pd 2.45.1 never publishes its lease set when the inbound ones of its tunnels are built first.
 */
export function startI2pdClient(
  network: I2pdNetwork,
  router: I2pdRouter,
  site: string,
  hops: readonly string[],
): string {
  const { length } = hops
  network.tunnels(
    router,
    `[client]\ntype = client\naddress = ${router.address}\nport = ${CLIENT_PORT}\ndestination = ${site}\nkeys = client.dat\n` +
      `inbound.length = ${length}\noutbound.length = ${length}\nexplicitPeers = ${hops.join(',')}\n`,
  )
  return `${router.address}:${CLIENT_PORT}`
}
