/** The log of the process: lines on stderr. Under systemd the journal adds the time, elsewhere each line has it. */
import { LOG_LEVELS, type Log, type LogLevel } from '../base/log.ts'

// Implementation constants
/** A line from a bug or a peer must not fill a disk that holds the journal. */
const MAX_LINE = 2000

export interface LogOptions {
  /** Where lines go; standard error by default. */
  readonly write?: (line: string) => void
  /** Left out when the reader of the lines stamps them. */
  readonly time?: () => Date
}

/** A log whose level can change while the process runs. */
export class ProcessLog implements Log {
  #least: number
  readonly #write: (line: string) => void
  readonly #time: (() => Date) | undefined

  constructor(level: LogLevel, options: LogOptions = {}) {
    this.#least = LOG_LEVELS.indexOf(level)
    this.#write = options.write ?? ((line) => process.stderr.write(line))
    this.#time = options.time
  }

  set level(level: LogLevel) {
    this.#least = LOG_LEVELS.indexOf(level)
  }

  enabled(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= this.#least
  }

  write(level: LogLevel, message: string): void {
    if (!this.enabled(level)) return
    const stamp = this.#time === undefined ? '' : `${this.#time().toISOString().slice(11, 19)} `
    const clean = printable(message)
    this.#write(
      `${stamp}${level.padEnd(5)} ${clean.length > MAX_LINE ? `${clean.slice(0, MAX_LINE)}...` : clean}\n`,
    )
  }
}

/** One line whatever a peer put into it: control characters would let it forge lines or drive a terminal. */
function printable(message: string): string {
  return message.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  )
}

/** The log of a process started by a user or by systemd. */
export function stderrLog(level: LogLevel): ProcessLog {
  const journal = process.env['JOURNAL_STREAM'] !== undefined
  return new ProcessLog(level, journal ? {} : { time: () => new Date() })
}
