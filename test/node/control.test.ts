import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { askControl, type ControlHandlers, startControl } from '../../src/node/control.ts'

let dir: string
const handlers: ControlHandlers = {
  status: () => ({ ready: true }),
  paths: () => {
    throw new Error('no paths')
  },
  stop: () => undefined,
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ramsons-control-'))
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

it('answers the owner of the folder', async () => {
  const path = join(dir, 'control.sock')
  expect(await askControl(path, 'status')).toBeUndefined()
  writeFileSync(path, 'left by a crash')
  const server = await startControl(path, handlers)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(await askControl(path, 'status')).toEqual({ ready: true })
  expect(await askControl(path, 'stop')).toBeNull()
  await expect(askControl(path, 'paths')).rejects.toThrow('failed: no paths')
  await server.close()
  expect(await askControl(path, 'status')).toBeUndefined()
})

it('works where the path is too long for a socket', async () => {
  const deep = join(dir, 'd'.repeat(100), 'e'.repeat(100))
  mkdirSync(deep, { recursive: true })
  const path = join(deep, 'control.sock')
  const server = await startControl(path, handlers)
  expect(await askControl(path, 'status')).toEqual({ ready: true })
  await server.close()
  expect(await askControl(path, 'status')).toBeUndefined()
})

it.each([
  ['not JSON', '{"command":\n', 'not JSON'],
  ['no object', 'null\n', 'unknown command'],
  ['an unknown command', '{"command":"constructor"}\n', 'unknown command'],
  ['a request without end', 'x'.repeat(2000), 'not JSON'],
])('refuses %s', async (_, request, error) => {
  const path = join(dir, 'control.sock')
  const server = await startControl(path, handlers)
  const reply = await new Promise<string>((resolve) => {
    const socket = connect(path)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      text += part
    })
    socket.on('close', () => resolve(text))
    socket.on('error', () => {})
    socket.write(request)
  })
  expect(JSON.parse(reply)).toEqual({ error })
  await server.close()
})
