/** Where entries live: routing keys change with the UTC day, closeness is XOR (netDb page, "Kademlia Closeness Metric"). */
import { utf8 } from '../../base/bytes.ts'
import type { Millis, WallMillis } from '../../base/clock.ts'
import { sha256 } from '../../crypto/sha256.ts'
import type { Hash } from '../../protocol/structures/hash.ts'

// Specification constants
const DAY: Millis = 86_400_000

/** Days since 1970-01-01, UTC. */
export type Day = number

export function utcDay(wall: WallMillis): Day {
  return Math.floor(wall / DAY)
}

export function untilMidnight(wall: WallMillis): Millis {
  return (utcDay(wall) + 1) * DAY - wall
}

/** SHA-256 of the hash and "yyyyMMdd" in ASCII. */
export function routingKey(hash: Hash, day: Day): Hash {
  return sha256(hash, utf8(yyyymmdd(day)))
}

/** Below zero when `a` is closer to `target` than `b`. All three are routing keys. */
export function compareDistance(target: Hash, a: Hash, b: Hash): number {
  for (let i = 0; i < target.length; i++) {
    const d = (a[i]! ^ target[i]!) - (b[i]! ^ target[i]!)
    if (d !== 0) return d
  }
  return 0
}

/** The Gregorian date of a day, reckoned in years that begin in March so that the leap day comes last. */
function yyyymmdd(day: Day): string {
  const z = day + 719_468 // days since 0000-03-01
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const date = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return `${year}`.padStart(4, '0') + `${month}`.padStart(2, '0') + `${date}`.padStart(2, '0')
}
