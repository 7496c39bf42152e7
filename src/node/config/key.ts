/** What one configuration key takes: its default, what is allowed, and how a TOML value becomes ours. */

export interface Key<T> {
  readonly default: T
  /** What is accepted, in words that finish "must be ...". */
  readonly allowed: string
  /** One line for `config example`. */
  readonly doc: string
  /** Messages leave the value out. */
  readonly secret: boolean
  /** Takes text, so `--set` may leave the quotes out. */
  readonly text: boolean
  /** Undefined when not allowed. */
  read(value: unknown): T | undefined
}

export function bool(value: boolean, doc: string): Key<boolean> {
  return key(value, 'true or false', doc, (v) => (typeof v === 'boolean' ? v : undefined))
}

export function integer(value: number, min: number, max: number, doc: string): Key<number> {
  return key(value, `a whole number from ${min} to ${max}`, doc, (v) => whole(v, min, max))
}

export function oneOf<T extends string>(value: T, allowed: readonly T[], doc: string): Key<T> {
  const words = allowed.map((a) => `"${a}"`).join(', ')
  return { ...key(value, `one of ${words}`, doc, (v) => allowed.find((a) => a === v)), text: true }
}

/** Text that `pattern` matches whole. */
export function text(value: string, allowed: string, pattern: RegExp, doc: string): Key<string> {
  const read = (v: unknown): string | undefined => (typeof v === 'string' && pattern.test(v) ? v : undefined)
  return { ...key(value, allowed, doc, read), text: true }
}

/** A file or folder; `~` stands for the home folder. */
export function path(value: string, doc: string): Key<string> {
  return text(value, 'a path', /^[^\0]*$/, doc)
}

export function secret(doc: string): Key<string> {
  return { ...text('', 'text', /^[^\0]*$/, doc), secret: true }
}

/** A port; 0 has a meaning that `doc` gives. */
export function port(value: number, doc: string): Key<number> {
  return key(value, 'a port from 1 to 65535, or 0', doc, (v) => whole(v, 0, 65535))
}

export function list(
  value: readonly string[],
  pattern: RegExp,
  of: string,
  doc: string,
): Key<readonly string[]> {
  const good = (v: unknown): v is string => typeof v === 'string' && pattern.test(v)
  const read = (v: unknown): readonly string[] | undefined => {
    const items = Array.isArray(v) ? (v as unknown[]) : [v]
    return items.length <= 64 && items.every(good) ? items : undefined
  }
  return { ...key(value, `a list of ${of}`, doc, read), text: true }
}

/** What `of` allows, or "auto". */
export function auto<T>(value: T | 'auto', of: Key<T>): Key<T | 'auto'> {
  const read = (v: unknown): T | 'auto' | undefined => (v === 'auto' ? 'auto' : of.read(v))
  return { ...key<T | 'auto'>(value, `${of.allowed}, or "auto"`, of.doc, read), text: of.text }
}

function key<T>(value: T, allowed: string, doc: string, read: (v: unknown) => T | undefined): Key<T> {
  return { default: value, allowed, doc, secret: false, text: false, read }
}

function whole(v: unknown, min: number, max: number): number | undefined {
  return typeof v === 'number' && Number.isInteger(v) && v >= min && v <= max ? v : undefined
}
