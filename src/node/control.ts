/**
 * The running node's local socket, DIR/control.sock: one line of JSON asked, one answered. Only the folder's owner can connect.
 */
import { chmodSync, closeSync, existsSync, openSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { basename, dirname } from 'node:path'
import { errorCode } from './files.ts'

// Specification constants
/** Longest path of a Unix socket: sun_path of 108 bytes with its terminating zero. */
const MAX_SOCKET_PATH = 107

// Implementation constants
const MAX_REQUEST = 1024
/** A status with 10,000 peers is 1 MB. */
const MAX_ANSWER = 16 * 1024 * 1024
const MAX_CLIENTS = 16
const TIMEOUT_MS = 10_000

export type ControlCommand = 'status' | 'paths' | 'stop'
export type ControlHandlers = Readonly<Record<ControlCommand, () => unknown>>

export interface ControlServer {
  close(): Promise<void>
}

/** Listens on `path`; the caller holds the folder's lock, so a socket file that exists is left over. */
export function startControl(path: string, handlers: ControlHandlers): Promise<ControlServer> {
  rmSync(path, { force: true })
  const server = createServer((socket) => answer(socket, handlers))
  server.maxConnections = MAX_CLIENTS
  return new Promise((resolve, reject) => {
    const near = shortPath(path)
    // Whoever may enter the folder could otherwise connect before the mode is set.
    const mask = process.umask(0o177)
    server.once('error', (e) => {
      near.done()
      reject(e)
    })
    server.listen(near.path, () => {
      chmodSync(path, 0o600)
      server.on('error', () => {}) // a failed accept concerns one client
      server.on('close', near.done) // not before: closing removes the file by this path
      resolve({ close: () => new Promise((closed) => server.close(() => closed())) })
    })
    process.umask(mask)
  })
}

function answer(socket: Socket, handlers: ControlHandlers): void {
  let request = ''
  socket.setEncoding('utf8')
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy())
  socket.on('error', () => {})
  socket.on('data', (chunk: string) => {
    request += chunk
    const end = request.indexOf('\n')
    if (end < 0 && request.length <= MAX_REQUEST) return
    socket.removeAllListeners('data')
    socket.end(`${JSON.stringify(respond(request.slice(0, Math.max(0, end)), handlers))}\n`)
  })
}

function respond(request: string, handlers: ControlHandlers): unknown {
  try {
    const command = (JSON.parse(request) as { command?: unknown } | null)?.command
    if (command === 'status' || command === 'paths' || command === 'stop')
      return { result: handlers[command]() ?? null }
    return { error: 'unknown command' }
  } catch (e) {
    return {
      error: e instanceof SyntaxError ? 'not JSON' : `failed: ${e instanceof Error ? e.message : String(e)}`,
    }
  }
}

/** Resolves to undefined when no node listens on `path`. */
export function askControl(path: string, command: ControlCommand): Promise<unknown> {
  return new Promise((resolve, reject) => {
    if (!existsSync(path)) {
      resolve(undefined)
      return
    }
    const near = shortPath(path)
    let text = ''
    const socket = connect(near.path)
    const fail = (e: Error): void => {
      const code = errorCode(e)
      if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(undefined)
      else reject(e)
      socket.destroy()
    }
    socket.setEncoding('utf8')
    socket.setTimeout(TIMEOUT_MS, () => fail(new Error('the node does not answer')))
    socket.on('error', fail)
    socket.on('close', near.done)
    socket.on('connect', () => socket.write(`${JSON.stringify({ command })}\n`))
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_ANSWER) fail(new Error('the answer is too long'))
    })
    socket.on('end', () => {
      try {
        const reply = JSON.parse(text) as { result?: unknown; error?: string }
        if (reply.error === undefined) resolve(reply.result)
        else reject(new Error(reply.error))
      } catch {
        reject(new Error('the node closed the connection'))
      }
    })
  })
}

/** The path itself, or one of a few bytes to the same place through a descriptor of its folder. */
function shortPath(path: string): { readonly path: string; readonly done: () => void } {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { path, done: () => {} }
  const fd = openSync(dirname(path), 'r')
  let open = true
  const done = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  return { path: `/proc/self/fd/${fd}/${basename(path)}`, done }
}
