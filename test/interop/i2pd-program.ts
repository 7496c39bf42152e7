/** Gets i2pd: Debian's package, or a newer suite's unpacked beside the system, never installed into it. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** 2.45.1 is Debian 12's; `sid` is whatever Debian's newest suite has. */
export type I2pdVersion = '2.45.1' | 'sid'

export interface I2pd {
  readonly version: I2pdVersion
  /** What comes before its own arguments. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The first line of `--version`. */
  readonly banner: string
}

/** The suite to unpack when the system's own package is another version. */
const SUITES: Readonly<Record<I2pdVersion, string>> = { '2.45.1': 'bookworm', sid: 'sid' }
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/ramsons-interop', import.meta.url))
/** Downloads and unpacks about 75 MB. */
const UNPACK_MS = 10 * 60_000

/** Installs or unpacks when needed, which takes a minute and says so. @throws {Error} when it cannot be had. */
export async function ensureI2pd(version: I2pdVersion): Promise<I2pd> {
  if (version !== 'sid') {
    const own = await systemI2pd(version)
    if (own !== undefined) return own
  }
  return unpackedI2pd(version)
}

/** Debian's own package, if it is this version. */
async function systemI2pd(version: I2pdVersion): Promise<I2pd | undefined> {
  const path = '/usr/sbin/i2pd'
  if (!existsSync(path)) {
    const candidate = await output('apt-cache', ['policy', 'i2pd'])
    if (!candidate.includes(`Candidate: ${version}`)) return undefined
    say(`installing Debian's i2pd ${version}`)
    await install('i2pd')
    // The package starts a router on the real network, which nobody asked for.
    await stopService()
  }
  const banner = bannerOf([path], {})
  return banner.includes(version) ? { version, command: [path], env: {}, banner } : undefined
}

async function unpackedI2pd(version: I2pdVersion): Promise<I2pd> {
  const suite = SUITES[version]
  const root = join(CACHE, `i2pd-${suite}`)
  if (!existsSync(root)) await unpack(suite, root)
  const libraries = readdirSync(join(root, 'usr/lib')).find((name) => /-linux-gnu/.test(name))
  if (libraries === undefined)
    throw new Error(`interop: no libraries under ${root}; remove it to unpack again`)
  const lib = join(root, 'usr/lib', libraries)
  // /lib64 of another system would be the wrong loader for these libraries: theirs is called by name.
  const loader = readdirSync(lib).find((name) => name.startsWith('ld-linux-'))
  const program = ['usr/bin/i2pd', 'usr/sbin/i2pd']
    .map((path) => join(root, path))
    .find((path) => existsSync(path))
  if (loader === undefined || program === undefined)
    throw new Error(`interop: no i2pd under ${root}; remove it to unpack again`)
  const search = [lib, join(root, 'lib', libraries), join(root, 'usr/lib')].join(':')
  const command = [join(lib, loader), '--library-path', search, program]
  const env = { OPENSSL_MODULES: join(lib, 'ossl-modules'), OPENSSL_CONF: '/dev/null' }
  return { version, command, env, banner: bannerOf(command, env) }
}

async function unpack(suite: string, root: string): Promise<void> {
  if (!hasProgram('mmdebstrap')) {
    say('installing mmdebstrap')
    await install('mmdebstrap')
  }
  mkdirSync(CACHE, { recursive: true })
  const scratch = mkdtempSync(join(CACHE, 'unpacking-'))
  const target = join(scratch, 'root')
  say(`unpacking i2pd of Debian ${suite}`)
  try {
    await output('mmdebstrap', [
      '--variant=extract',
      // A mirror that is frozen at some day has an expired Release file; its signature is checked all the same.
      '--aptopt=Acquire::Check-Valid-Until "false"',
      '--include=i2pd',
      suite,
      target,
      await configuredMirror(),
    ])
    // Whole or not at all, also when two runs do this at once.
    if (!existsSync(root)) renameSync(target, root)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Where this machine's apt gets its packages from. */
async function configuredMirror(): Promise<string> {
  const format = ['indextargets', '--format', '$(SITE)', 'Created-By: Packages']
  const sites = (await output('apt-get', format)).split('\n').filter((line) => line !== '')
  const mirror = sites.find((site) => !site.includes('security')) ?? sites[0]
  if (mirror === undefined) throw new Error('interop: apt has no package source; run `apt-get update`')
  return mirror
}

async function install(name: string): Promise<void> {
  await output('apt-get', ['install', '--yes', '--no-install-recommends', name], {
    DEBIAN_FRONTEND: 'noninteractive',
  })
}

async function stopService(): Promise<void> {
  if (existsSync('/run/systemd/system')) await output('systemctl', ['disable', '--now', 'i2pd'])
  else if (existsSync('/etc/init.d/i2pd')) await output('/etc/init.d/i2pd', ['stop'])
}

function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, name)))
}

function bannerOf(command: readonly string[], env: Readonly<Record<string, string>>): string {
  const [program, ...rest] = command
  const text = execFileSync(program!, [...rest, '--version'], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return text.split('\n')[0]!
}

/** Standard output. @throws {Error} with the end of what the program said. */
function output(program: string, argv: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...env }, timeout: UNPACK_MS, maxBuffer: 64 << 20 }
    execFile(program, argv, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`interop: ${program} ${argv.join(' ')}: ${stderr.slice(-2000) || error.message}`))
    })
  })
}

function say(text: string): void {
  console.log(`interop: ${text}`)
}
