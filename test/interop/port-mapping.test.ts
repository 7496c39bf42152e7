/**
 * A public face behind a real home gateway: nftables and miniupnpd (PCP, NAT-PMP, UPnP) in one namespace, our machine in a second, the
 * internet in a third. The built bundle asks for its port, others reach it, and it gives it back.
 */
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Namespace, stopProcess } from './namespace.ts'

const BUNDLE = resolve('dist/ramsons.mjs')
const PORT = 21_000
const OUTSIDE = '61.11.7.1'
const GATEWAY = '192.168.77.1'
const OURS = '192.168.77.9'

/** A home router's rules; miniupnpd fills its own chains. */
const RULES = `table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; oifname "wan" masquerade; jump postrouting_miniupnpd; }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}`

const SETTINGS = `ext_ifname=wan
listening_ip=lan
http_port=0
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 192.168.77.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535`

let dir: string
let gateway: Namespace
let machine: Namespace
let internet: Namespace
let daemon: ChildProcess | undefined
let node: ChildProcess | undefined
let runs = 0

const ip = (...argv: string[]): string => execFileSync('ip', argv, { encoding: 'utf8' })
const inside = (namespace: Namespace, ...argv: string[]): string =>
  ip('netns', 'exec', namespace.name, ...argv)

/** `name` in the gateway, `eth0` in the other. */
function cable(name: string, gatewayAddress: string, to: Namespace, address: string): void {
  ip('-n', gateway.name, 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', to.name)
  ip('-n', gateway.name, 'addr', 'add', `${gatewayAddress}/24`, 'dev', name)
  ip('-n', to.name, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
  ip('-n', gateway.name, 'link', 'set', name, 'up')
  ip('-n', to.name, 'link', 'set', 'eth0', 'up')
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-nat-'))
  gateway = new Namespace()
  machine = new Namespace()
  internet = new Namespace()
  cable('lan', GATEWAY, machine, OURS)
  cable('wan', OUTSIDE, internet, '61.11.7.2')
  ip('-n', machine.name, 'route', 'add', 'default', 'via', GATEWAY)
  inside(gateway, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
  writeFileSync(join(dir, 'rules'), RULES)
  inside(gateway, 'nft', '-f', join(dir, 'rules'))
})
afterAll(async () => {
  for (const namespace of [machine, gateway, internet]) await namespace?.close()
  rmSync(dir, { recursive: true, force: true })
})
afterEach(async () => {
  if (node !== undefined) await stopProcess(node)
  if (daemon !== undefined) await stopProcess(daemon)
  inside(gateway, 'nft', 'flush', 'ruleset')
  inside(gateway, 'nft', '-f', join(dir, 'rules'))
})

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !condition(); await sleep(50))
    if (Date.now() > end) throw new Error(`${what}: not within 30 s; ${log()}`)
}

async function startDaemon(...protocols: string[]): Promise<void> {
  const path = join(dir, 'miniupnpd')
  writeFileSync(`${path}.conf`, [SETTINGS, ...protocols.map((p) => `enable_${p}=yes`)].join('\n'))
  const out = openSync(`${path}.log`, 'w')
  const argv = ['miniupnpd', '-d', '-f', `${path}.conf`, '-P', `${path}.pid`]
  daemon = gateway.exec(argv, { stdio: ['ignore', out, out] })
  daemon.once('error', (e) => writeFileSync(`${path}.log`, `${e}`))
  await until('miniupnpd', () =>
    /Listening for NAT-PMP|HTTP listening/.test(readFileSync(`${path}.log`, 'utf8')),
  )
}

const log = (): string => (runs === 0 ? '' : readFileSync(join(dir, `${runs}.log`), 'utf8'))
const data = (): string => join(dir, 'data')

function startNode(...set: string[]): ChildProcess {
  mkdirSync(data(), { recursive: true })
  const out = openSync(join(dir, `${++runs}.log`), 'w')
  const settings = [
    'node.log=debug',
    'mesh.enabled=false',
    'public.enabled=true',
    'public.net_id=99',
    `public.port=${PORT}`,
    ...set,
  ]
  const argv = [process.execPath, BUNDLE, 'run', '--data', data(), ...settings.flatMap((s) => ['--set', s])]
  node = machine.exec(argv, { stdio: ['ignore', out, out] })
  return node
}

/** The gateway's rules that pass something on: `tcp` and `udp`, in that order. */
function passedOn(): string[] {
  const rules = inside(gateway, 'nft', 'list', 'chain', 'inet', 'filter', 'prerouting_miniupnpd').split('\n')
  const ours = rules.filter(
    (rule) => rule.includes(`dport ${PORT}`) && rule.includes(`dnat ip to ${OURS}:${PORT}`),
  )
  return [/0x6 /, /0x11 /].flatMap((protocol, i) =>
    ours.some((rule) => protocol.test(rule)) ? [['tcp', 'udp'][i]!] : [],
  )
}

/** Whether the router answers to whoever dials its address outside. */
function reached(): boolean {
  const program = `require('net').connect(${PORT}, '${OUTSIDE}')
    .once('connect', () => process.exit(0)).once('error', () => process.exit(1)).setTimeout(3000, () => process.exit(2))`
  try {
    inside(internet, process.execPath, '-e', program)
    return true
  } catch {
    return false
  }
}

test.each([
  ['PCP', ['natpmp', 'upnp']],
  ['UPnP', ['upnp']],
])('%s: others reach us, until we stop', async (name, protocols) => {
  await startDaemon(...protocols)
  expect(reached()).toBe(false)
  const child = startNode()
  await until('mapped', () => log().includes(`the gateway passes on what comes for us (${name})`))
  expect(passedOn()).toEqual(['tcp', 'udp'])
  expect(reached()).toBe(true)
  // The gateway's owner is not told what for.
  const told = readFileSync(join(dir, 'miniupnpd.log'), 'utf8') + inside(gateway, 'nft', 'list', 'ruleset')
  expect(told).not.toMatch(/ramsons|i2p/i)
  for (const line of log()
    .split('\n')
    .filter((l) => !/^\S+ (debug|trace) /.test(l)))
    expect(line).not.toMatch(/\d+\.\d+\.\d+\.\d+/)

  await stopProcess(child)
  expect(passedOn()).toEqual([])
  expect(reached()).toBe(false)
})

test('killed and started again: it gets the port back, and gives it back', async () => {
  await startDaemon('natpmp', 'upnp')
  const first = startNode()
  await until('mapped', () => log().includes('passes on'))
  first.kill('SIGKILL')
  await once(first, 'exit')
  expect(passedOn()).toEqual(['tcp', 'udp'])
  const second = startNode()
  await until('mapped again', () => log().includes('passes on'))
  expect(reached()).toBe(true)
  await stopProcess(second)
  expect(passedOn()).toEqual([])
})

test.each([
  ['off', 'public.upnp=false'],
  ['hidden', 'public.hidden=true'],
  ['behind a proxy', 'public.ntcp2.proxy=socks://127.0.0.1:9050'],
  ['with an address of its own', `public.host=${OUTSIDE}`],
])('nothing is asked when it is %s', async (_what, setting) => {
  await startDaemon('natpmp', 'upnp')
  const heard = readFileSync(join(dir, 'miniupnpd.log'), 'utf8')
  const child = startNode(setting)
  await until('started', () => log().includes('HTTP proxy on port'))
  await stopProcess(child)
  expect(readFileSync(join(dir, 'miniupnpd.log'), 'utf8').slice(heard.length)).not.toMatch(
    /PCP|NAT-PMP|SSDP|HTTP REQUEST/,
  )
  expect(log()).not.toContain('port mapping')
  expect(passedOn()).toEqual([])
})
