import { describe, expect, it } from 'vitest'
import { describe as describeProblem, readConfig } from '../../src/node/config/config.ts'
import { exampleConfig } from '../../src/node/config/example.ts'
import { keyLines, lineOf } from '../../src/node/config/lines.ts'
import { nearest } from '../../src/node/config/nearest.ts'
import { LATER, SCHEMA } from '../../src/node/config/schema.ts'

const problemsOf = (source: string, sets: string[] = []): string[] =>
  readConfig(source, sets).problems.map((p) => describeProblem(p, 'f.toml'))

describe('reading a configuration', () => {
  it('has a default for every key, and every default is allowed', () => {
    const { config, problems, given } = readConfig('')
    expect(problems).toEqual([])
    expect(given.size).toBe(0)
    expect(config.mesh.http_proxy).toEqual({ enabled: true, port: 5444, host: '127.0.0.1' })
    expect(config.public.enabled).toBe(false)
    expect(config.site.enabled).toBe('auto')
    for (const [name, key] of Object.entries(SCHEMA)) expect(key.read(key.default), name).toEqual(key.default)
  })

  it('takes values from sections, dotted keys and inline tables', () => {
    const { config, problems, given } = readConfig(
      'mesh.length = 3\nsite = { title = "Kräuter" }\n[public]\nnet_id = 99\nexploratory.inbound.length = 1\n[public.ntcp2]\nport = 1234\n',
    )
    expect(problems).toEqual([])
    expect(config.mesh.length).toBe(3)
    expect(config.site.title).toBe('Kräuter')
    expect(config.public.net_id).toBe(99)
    expect(config.public.exploratory.inbound).toEqual({ length: 1, quantity: 2 })
    expect(config.public.ntcp2.port).toBe(1234)
    expect([...given].sort()).toEqual([
      'mesh.length',
      'public.exploratory.inbound.length',
      'public.net_id',
      'public.ntcp2.port',
      'site.title',
    ])
  })

  it('names every problem with its line, what is allowed and the nearest key', () => {
    const source = [
      '# a comment',
      '[mesh]',
      'lenght = 2',
      'length = 9',
      'text = """',
      '[public]',
      'net_id = 7',
      '"""',
      '[public] # all of it',
      "'net_id' = 7",
      'enabled = "yes"',
      '[public.http_proxy]',
      'prot = 1',
      'port = 70000',
      '[unheard.of]',
      'x = 1',
    ].join('\n')
    expect(problemsOf(source)).toEqual([
      'f.toml:3: mesh.lenght: unknown key; did you mean mesh.length?',
      'f.toml:4: mesh.length = 9: must be a whole number from 0 to 8',
      'f.toml:5: mesh.text: unknown key',
      'f.toml:10: public.net_id = 7: must be 2, or a whole number from 16 to 254',
      'f.toml:11: public.enabled = "yes": must be true or false',
      'f.toml:13: public.http_proxy.prot: unknown key; did you mean public.http_proxy.port?',
      'f.toml:14: public.http_proxy.port = 70000: must be a port from 1 to 65535, or 0',
      'f.toml:15: unheard: unknown key',
    ])
  })

  it('says where a text stops being TOML', () => {
    const [problem] = problemsOf('[mesh]\nname = \n')
    expect(problem).toMatch(/^f\.toml:2: not TOML: /)
    expect(problem).not.toContain('\n')
  })

  it('tells a section from a key', () => {
    expect(problemsOf('mesh = 3')).toEqual(['f.toml:1: mesh is a section: write [mesh]'])
    expect(problemsOf('[mesh.length]\na = 1')).toEqual([
      'f.toml:1: mesh.length = {"a":1}: must be a whole number from 0 to 8',
    ])
    expect(problemsOf('[[mesh]]\nlength = 1')).toEqual(['f.toml:1: mesh is a section: write [mesh]'])
  })

  it('never repeats a secret', () => {
    const all = problemsOf('[mesh]\nsecret = ["correct horse"]\n')
    expect(all).toEqual(['f.toml:2: mesh.secret: must be text'])
  })

  it('takes a proxy by its IP address only, and repeats neither it nor its password', () => {
    const key = 'public.ntcp2.proxy'
    for (const good of ['socks://127.0.0.1:9050', 'socks5://[::1]:9050', 'http://me:pass@10.0.0.1:8118', ''])
      expect(readConfig('', [`${key}=${good}`]).config.public.ntcp2.proxy).toBe(good)
    for (const bad of ['socks://localhost:9050', 'http://me:pass@proxy.example:80', '127.0.0.1:9050', '7']) {
      const [problem, ...others] = problemsOf('', [`${key}=${bad}`])
      expect(problem).toMatch(/^--set: public\.ntcp2\.proxy: must be http:\/\/USER/)
      expect(problem).not.toMatch(/me:|localhost|example/)
      expect(others).toEqual([])
    }
  })

  it('warns of what comes later, and does not fail', () => {
    const { problems } = readConfig(
      '[public]\npq = false\n[public.sam]\nport = 7656\n[wifi]\nbackend = "ibss"\n',
    )
    expect(problems.map((p) => p.level)).toEqual(['warning', 'warning', 'warning'])
    expect(problems.map((p) => p.line)).toEqual([2, 4, 6])
    for (const later of LATER) expect(Object.keys(SCHEMA)).not.toContain(later)
  })

  it('checks keys against each other', () => {
    expect(problemsOf('mesh.enabled = false')).toEqual([
      'f.toml:1: mesh.enabled and public.enabled are both false: there is nothing to run',
    ])
    expect(problemsOf('mesh.length = 1\nmesh.min_length = 2')[0]).toContain('at most mesh.length (1)')
    expect(problemsOf('[site]\nenabled = true\nface = "public"')[0]).toContain(
      'f.toml:3: site.face = "public"',
    )
  })
})

describe('--set', () => {
  it('reads TOML, else literal text, and wins over the file', () => {
    const { config, problems } = readConfig('[mesh]\nlength = 1\n', [
      'mesh.length=3',
      'mesh.name=my-mesh',
      'site.title=123',
      'public.enabled=true',
      'mesh.interfaces=["wlan0", "eth1"]',
      'node.data=/tmp/a b=c',
      'public.host="61.11.7.1"',
      'public.bandwidth=256',
    ])
    expect(problems).toEqual([])
    expect(config.mesh.length).toBe(3)
    expect(config.mesh.name).toBe('my-mesh')
    expect(config.site.title).toBe('123')
    expect(config.public.enabled).toBe(true)
    expect(config.mesh.interfaces).toEqual(['wlan0', 'eth1'])
    expect(config.node.data).toBe('/tmp/a b=c')
    expect(config.public.host).toBe('61.11.7.1')
    expect(config.public.bandwidth).toBe('256')
  })

  it('takes one name for a list', () => {
    expect(readConfig('', ['mesh.interfaces=wlan0']).config.mesh.interfaces).toEqual(['wlan0'])
  })

  it('says what is wrong without a line', () => {
    expect(problemsOf('', ['mesh.length=many', 'mesh', 'a b=1', 'mesh.lenth=1'])).toEqual([
      '--set: mesh.length = "many": must be a whole number from 0 to 8',
      '--set: "mesh" needs a value: --set KEY=VALUE',
      '--set: "a b" is not a key: --set KEY=VALUE',
      '--set: mesh.lenth: unknown key; did you mean mesh.length?',
    ])
  })
})

describe('config example', () => {
  it('is the defaults, as it stands and with every line brought to life', () => {
    const example = exampleConfig()
    expect(readConfig(example)).toEqual(readConfig(''))
    const live = readConfig(example.replaceAll(/^#(?=[a-z0-9_.]+ = )/gm, ''))
    expect(live.problems).toEqual([])
    expect(live.config).toEqual(readConfig('').config)
    expect([...live.given].sort()).toEqual(Object.keys(SCHEMA).sort())
  })
})

describe('finding lines and names', () => {
  it('finds the line of quoted keys, and of what is around an inline table', () => {
    const lines = keyLines('a = 1\n["x y".z]\n"k" = { in = 2 }\n[[list]]\nb=2\n')
    expect(lines.get('a')).toBe(1)
    expect(lineOf(lines, 'x y.z.k.in')).toBe(3)
    expect(lineOf(lines, 'list.b')).toBe(5)
    expect(lineOf(lines, 'nowhere')).toBeUndefined()
  })

  it('names the likely key and nothing when nothing is likely', () => {
    const known = Object.keys(SCHEMA)
    expect(nearest('public.netid', known)).toBe('public.net_id')
    expect(nearest('mesh.net_id', known)).toBe('public.net_id')
    expect(nearest('reseed.file', known)).toBe('public.reseed.file')
    expect(nearest('completely.different', known)).toBeUndefined()
  })
})
