/** What one peer test says of us (ssu2, "Results State Machine"). */
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import type { Hash } from '../../protocol/structures/hash.ts'
import type { Family, Verdict } from './events.ts'

export interface TestOutcome {
  readonly family: Family
  readonly bob: Hash
  /** Message 4: Bob found a Charlie, who is who he says and was willing. */
  readonly answered: boolean
  /** Message 5, from a host that no packet of ours had gone to. */
  readonly reached: boolean
  /** Where message 6 came from, as message 7 has it. */
  readonly seen: IpPort | undefined
  /** Where Bob sees us, or what we asked to be tested. */
  readonly expected: IpPort
}

/** `unknown` when it says nothing, which is no reason to believe less than before. */
export function judge(outcome: TestOutcome, current: Verdict): Verdict {
  const { answered, reached, seen, expected } = outcome
  if (reached) {
    // "OK unless currently SYMNAT, else UNKNOWN"; with all three, whatever port Charlie saw, it is his NAT's doing or harmless.
    return (answered && seen !== undefined) || current !== 'symmetric' ? 'ok' : 'unknown'
  }
  if (!answered) return 'unknown'
  // Message 4 alone: Charlie may be out of reach himself, so it does not take back what only message 7 can tell.
  if (seen === undefined) return current === 'symmetric' ? 'symmetric' : 'firewalled'
  return seen.port === expected.port ? 'firewalled' : 'symmetric'
}
