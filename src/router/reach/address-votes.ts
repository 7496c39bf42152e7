/**
 * Where others see us, by the Address blocks of peers that we dialled (ssu2, "Address"). Each may lie or be mistaken: one vote for each
 * network, the newest few count, and several must agree.
 */
import { sameBytes } from '../../base/bytes.ts'
import type { IpPort } from '../../protocol/ssu2/blocks.ts'
import { networkOf } from '../ip-ranges.ts'

// Implementation constants

/** Of the newest votes: an address that changes is believed after as many new ones. */
const COUNTED = 5
const QUORUM = 3

export class AddressVotes {
  readonly #quorum: number
  /** By network, oldest first. */
  readonly #votes = new Map<string, IpPort>()
  #believed: IpPort | undefined

  constructor(quorum: number = QUORUM) {
    this.#quorum = quorum
  }

  /** The address that enough peers agree on; its port is 0 while they see different ones, as a symmetric NAT has it. */
  get believed(): IpPort | undefined {
    return this.#believed
  }

  /** The peer at `voter` sees us as `ours`. True when that changes what is believed. */
  heard(voter: Uint8Array, ours: IpPort): boolean {
    const network = networkOf(voter)
    this.#votes.delete(network)
    this.#votes.set(network, ours)
    if (this.#votes.size > COUNTED) this.#votes.delete(this.#votes.keys().next().value!)
    const before = this.#believed
    const ip = agreed([...this.#votes.values()], this.#quorum, (a, b) => sameBytes(a.ip, b.ip))
    if (ip === undefined) return false
    const same = [...this.#votes.values()].filter((vote) => sameBytes(vote.ip, ip.ip))
    const withPort = agreed(same, this.#quorum, (a, b) => a.port === b.port)
    this.#believed = { ip: ip.ip, port: withPort?.port ?? 0 }
    return before === undefined || !sameBytes(before.ip, ip.ip) || before.port !== this.#believed.port
  }

  /** We are in another network. */
  forget(): void {
    this.#votes.clear()
    this.#believed = undefined
  }
}

/** What at least `quorum` have in common, and more than half. */
function agreed(
  votes: readonly IpPort[],
  quorum: number,
  same: (a: IpPort, b: IpPort) => boolean,
): IpPort | undefined {
  return votes.find((vote) => {
    const count = votes.filter((other) => same(vote, other)).length
    return count >= quorum && 2 * count > votes.length
  })
}
