/** Bytes from test/vectors. */
import { readFileSync } from 'node:fs'

export function vector(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../vectors/${path}`, import.meta.url)))
}
