/** The only error classes: whoever catches one knows whose fault it is. Anything else thrown is our bug. */

/** Bytes from a peer or a file that do not follow the spec. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'
}

/** The user's mistake in a config file or flag. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly key: string
  readonly value: unknown
  /** What would have been accepted, in words. */
  readonly allowed: string

  constructor(key: string, value: unknown, allowed: string) {
    super(`${key} = ${JSON.stringify(value)}: must be ${allowed}`)
    this.key = key
    this.value = value
    this.allowed = allowed
  }
}

/** A local client asked for what cannot be had; `code` is that client protocol's own result code. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** What `read` makes of a peer's bytes, or undefined when they are malformed. */
export function unlessMalformed<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
