/**
 * The accelerator: `sodium-native` (libsodium behind Node-API) when it can be loaded, else nothing, and `node:crypto` does
 * the work. Loaded once, at first use, so that the process can forbid it before it is touched.
 */
import { createCipheriv } from 'node:crypto'
import { createRequire } from 'node:module'

/** What ramsons uses of sodium-native. Every call writes into its first argument and throws when libsodium refuses. */
export interface Sodium {
  crypto_aead_chacha20poly1305_ietf_encrypt(
    ciphertext: Uint8Array,
    plaintext: Uint8Array,
    ad: Uint8Array | null,
    secretNonce: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_aead_chacha20poly1305_ietf_decrypt(
    plaintext: Uint8Array,
    secretNonce: null,
    ciphertext: Uint8Array,
    ad: Uint8Array | null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_stream_chacha20_ietf_xor_ic(
    out: Uint8Array,
    data: Uint8Array,
    nonce: Uint8Array,
    counter: number,
    key: Uint8Array,
  ): void
  crypto_scalarmult(shared: Uint8Array, privateKey: Uint8Array, publicKey: Uint8Array): void
  crypto_scalarmult_base(publicKey: Uint8Array, privateKey: Uint8Array): void
  crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
}

let loaded: Sodium | undefined
let tried = false
let wanted = true

/** The accelerator, or undefined when it is absent or turned off. */
export function sodium(): Sodium | undefined {
  if (!wanted) return undefined
  if (!tried) load()
  return loaded
}

/** What does the AEAD work now. */
export function accelerator(): 'sodium-native' | 'none' {
  return sodium() === undefined ? 'none' : 'sodium-native'
}

/** Turns the accelerator on (the state at start) or off; results are the same either way. */
export function useAccelerator(on: boolean): void {
  wanted = on
}

function load(): void {
  tried = true
  try {
    // A name that a bundler cannot follow: the package stays outside the bundle and may be missing.
    const candidate = createRequire(import.meta.url)('sodium-native') as Sodium
    if (agreesWithNode(candidate)) loaded = candidate
  } catch {
    // Not installed, or built for another machine.
  }
}

/** One AEAD call answered alike by both: a library built for another machine is not used. */
function agreesWithNode(candidate: Sodium): boolean {
  const key = new Uint8Array(32).fill(1)
  const nonce = new Uint8Array(12).fill(2)
  const text = new Uint8Array(80).fill(3)
  const theirs = new Uint8Array(text.length + 16)
  candidate.crypto_aead_chacha20poly1305_ietf_encrypt(theirs, text, nonce, null, nonce, key)
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
  cipher.setAAD(nonce, { plaintextLength: text.length })
  const body = cipher.update(text)
  cipher.final()
  return Buffer.concat([body, cipher.getAuthTag()]).equals(theirs)
}
