/** The user's mistake on the command line or in a file named there: one line, exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
