import { type AddressInfo, createServer, connect as netConnect, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { Log } from '../../src/base/log.ts'
import { Pump, tick } from '../../src/host/pump.ts'
import { type Event, Probe } from './probe.ts'

const errors: string[] = []
const log: Log = {
  enabled: () => true,
  write: (level, message) => void (level === 'error' && errors.push(message)),
}

const pumps: Pump[] = []

function newPump(): Pump {
  const pump = new Pump({ log })
  pumps.push(pump)
  return pump
}

afterEach(() => {
  for (const pump of pumps.splice(0)) pump.close()
  expect(errors.splice(0)).toEqual([])
})

async function linked() {
  const pump = newPump()
  const [a, b] = [new Probe(), new Probe()]
  const da = pump.drive({ core: a, onEvent: () => {} })
  const db = pump.drive({ core: b, onEvent: () => {} })
  const where = await db.listen('127.0.0.1', 0)
  const accepted = b.next('accepted')
  const connected = a.next('connected')
  const id = da.run((_now, out) => out.tcpOpen(where))
  await connected
  const other = (await accepted).id!
  return { pump, a, b, da, db, id, other, where }
}

describe('links', () => {
  test('opened, written both ways, ended', async () => {
    const { pump, a, b, da, db, id, other } = await linked()
    expect(b.seen[0]!.from!.address).toBe('127.0.0.1')
    const [toB, writable] = [b.next('received'), a.next('writable')]
    da.run((_now, out) => {
      out.tcpData(id, Buffer.from('one '))
      out.tcpData(id, Buffer.from('two'))
    })
    // One turn, one write, one packet.
    expect(Buffer.from((await toB).bytes!).toString()).toBe('one two')
    await writable
    const toA = a.next('received')
    db.run((_now, out) => out.tcpData(other, Buffer.from('back')))
    expect(Buffer.from((await toA).bytes!).toString()).toBe('back')
    const closed = Promise.all([a.next('closed'), b.next('closed')])
    da.run((_now, out) => {
      out.tcpData(id, Buffer.from('last'))
      out.tcpEnd(id)
      out.tcpData(id, Buffer.from('too late'))
    })
    await closed
    const got = b.seen.filter((e) => e.kind === 'received').map((e) => Buffer.from(e.bytes!).toString())
    expect(got.at(-1)).toBe('last')
    expect(pump.links).toBe(0)
  })

  test('reset', async () => {
    const { a, b, da, id } = await linked()
    const closed = Promise.all([a.next('closed'), b.next('closed')])
    da.run((_now, out) => out.tcpEnd(id, true))
    await closed
  })

  test('a refused attempt, a name, a bad port, a zone that does not exist', async () => {
    const pump = newPump()
    const a = new Probe()
    const da = pump.drive({ core: a, onEvent: () => {} })
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    await new Promise((done) => server.close(done))
    for (const to of [
      { address: '127.0.0.1', port },
      { address: 'localhost', port },
      { address: '127.0.0.1', port: 70_000 },
      { address: 'fe80::1%nosuch0', port: 5 },
    ]) {
      const closed = a.next('closed')
      const id = da.run((_now, out) => out.tcpOpen(to))
      expect((await closed).id).toBe(id)
    }
    expect(pump.links).toBe(0)
  })

  test('leave from the address asked for, IPv6 too', async () => {
    const pump = newPump()
    const [a, b] = [new Probe(), new Probe()]
    const da = pump.drive({
      core: a,
      onEvent: () => {},
      localAddress: (to) => (to.address === '::1' ? '::1' : '127.0.0.9'),
    })
    const db = pump.drive({ core: b, onEvent: () => {} })
    for (const [host, expected] of [
      ['127.0.0.1', '127.0.0.9'],
      ['::1', '::1'],
    ] as const) {
      const where = await db.listen(host, 0)
      const accepted = b.next('accepted')
      da.run((_now, out) => out.tcpOpen(where))
      expect((await accepted).from!.address).toBe(expected)
    }
  })

  test('writable comes after everything is out, however much it was', async () => {
    const { a, b, da, id } = await linked()
    let got = 0
    b.on = (e) => {
      if (e.kind === 'received') got += e.bytes!.length
    }
    const writable = a.next('writable')
    da.run((_now, out) => {
      for (let i = 0; i < 50; i++) out.tcpData(id, new Uint8Array(100_000))
    })
    await writable
    while (got < 5_000_000) await b.next('received')
    expect(got).toBe(5_000_000)
    expect(a.seen.filter((e) => e.kind === 'writable').length).toBe(1)
  })

  test('a far side that takes nothing loses the link', async () => {
    const pump = newPump()
    const a = new Probe()
    const da = pump.drive({ core: a, onEvent: () => {} })
    const sockets: Socket[] = []
    const server = createServer((s) => sockets.push(s.pause()))
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const connected = a.next('connected')
    const id = da.run((_now, out) =>
      out.tcpOpen({ address: '127.0.0.1', port: (server.address() as AddressInfo).port }),
    )
    await connected
    const closed = a.next('closed')
    for (let i = 0; i < 40 && pump.links > 0; i++) {
      da.run((_now, out) => out.tcpData(id, new Uint8Array(1 << 20)))
      await new Promise((done) => setImmediate(done))
    }
    await closed
    for (const s of sockets) s.destroy()
    server.close()
  })

  test('handed over to another core', async () => {
    const { pump, a, b, da, db, id } = await linked()
    const c = new Probe()
    const dc = pump.drive({ core: c, onEvent: () => {} })
    const other = b.seen[0]!.id!
    dc.adopt(other)
    const [toC, closed] = [c.next('received'), c.next('closed')]
    da.run((_now, out) => out.tcpData(id, Buffer.from('x')))
    await toC
    db.close()
    dc.run((_now, out) => out.tcpData(other, Buffer.from('y')))
    await a.next('received')
    da.run((_now, out) => out.tcpEnd(id))
    await closed
  })

  test('a port in use is an error, and unlisten gives it free', async () => {
    const { db, where } = await linked()
    await expect(db.listen(where.address, where.port)).rejects.toMatchObject({ code: 'EADDRINUSE' })
    db.unlisten(where.address, where.port)
    const refused = await new Promise((done) => {
      netConnect(where.port, where.address).once('error', done)
    })
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('what is given up before it listens never does', async () => {
    const { db, where } = await linked()
    db.unlisten(where.address, where.port)
    const listening = db.listen(where.address, where.port)
    db.unlisten(where.address, where.port)
    await listening.catch(() => {})
    const again = db.listen(where.address, where.port)
    db.close()
    await again.catch(() => {})
    const refused = await new Promise((done) => {
      netConnect(where.port, where.address).once('error', done).once('connect', done)
    })
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('turns', () => {
  test('events come after the turn, and may run others', () => {
    const pump = newPump()
    const order: string[] = []
    const a = new Probe()
    const da = pump.drive<Event>({
      core: a,
      onEvent: (e) => {
        order.push(`event ${e.kind}`)
        if (e.kind === 'first')
          da.run((_now, out) => {
            out.event({ kind: 'third' })
            order.push('inner turn')
          })
      },
    })
    const result = da.run((_now, out) => {
      out.event({ kind: 'first' })
      out.event({ kind: 'second' })
      order.push('turn')
      return 5
    })
    expect(result).toBe(5)
    expect(order).toEqual(['turn', 'event first', 'inner turn', 'event second', 'event third'])
  })

  test('what a command throws reaches its caller; what a core throws by itself is logged', async () => {
    const pump = newPump()
    const a = new Probe()
    const da = pump.drive({ core: a, onEvent: () => {} })
    expect(() =>
      da.run(() => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
    a.on = () => {
      a.working = false
      throw new Error('bug')
    }
    da.run((now) => {
      a.deadline = now
    })
    while (errors.length === 0) await new Promise((done) => setImmediate(done))
    expect(errors.splice(0)[0]).toContain('bug')
  })
})

describe('time', () => {
  test('near deadlines are kept exactly, far ones fall on a grid', () => {
    expect(tick(1500.3, 1000)).toBe(1500.3)
    expect(tick(2100, 1000)).toBe(2250)
    expect(tick(5250, 1000)).toBe(5250)
    expect(tick(900, 1000)).toBe(900)
  })

  test('one timer for several cores, each woken when due and not before', async () => {
    const pump = newPump()
    const cores = [new Probe(), new Probe(), new Probe()]
    const driven = cores.map((core) => pump.drive({ core, onEvent: () => {} }))
    const start = pump.now()
    const late: number[] = []
    const done = cores.map((core, i) => {
      core.on = (_e, now) => {
        late[i] = now - (start + 10 * (i + 1))
        expect(late[i]).toBeGreaterThanOrEqual(0)
      }
      return core.next('timeout')
    })
    for (const [i, d] of driven.entries())
      d.run(() => {
        cores[i]!.deadline = start + 10 * (i + 1)
      })
    await Promise.all(done)
    expect(cores.map((c) => c.seen.length)).toEqual([1, 1, 1])
  })
})
