/**
 * Levels: `trace` per packet, `debug` a decision, `info` a change the user sees, `warn` something the user should look at,
 * `error` a bug of ours (any one fails a simulation). Addresses, hashes and host names at debug or below; keys and payload never.
 */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

export interface Log {
  /** True when a line of this level would be written: guards costly messages. */
  enabled(level: LogLevel): boolean
  write(level: LogLevel, message: string): void
}

/** A log whose lines begin with `name`. */
export function named(log: Log, name: string): Log {
  return {
    enabled: (level) => log.enabled(level),
    write: (level, message) => log.write(level, `${name}: ${message}`),
  }
}

export const SILENT: Log = { enabled: () => false, write: () => {} }
