/** The mesh that `ramsons demo` shows. */

export interface DemoOptions {
  readonly nodes: number
  /** Leaves it running when the page was read. */
  readonly keep: boolean
}

/** Resolves to the exit status. */
export async function runDemo(_options: DemoOptions): Promise<number> {
  throw new Error('the demo is not wired yet')
}
