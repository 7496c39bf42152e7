/** What a router costs that nobody uses: with tunnels of its own only, and with others' tunnels through it. */
import type { I2pdNetwork } from '../interop/i2pd.ts'
import { type Guest, networkOf, pause, say, startGuest } from './network.ts'
import type { Goal, Result } from './result.ts'
import { ACCELERATED, I2PD, nameOf, SUBJECTS, type Subject } from './subject.ts'
import { type Arrived, arrived, spent, type Usage, usage } from './usage.ts'

const WINDOWS = 3
const WINDOW_S = 30
/** Until the pools are full and what starting has left is gone. */
const SETTLE_S = 60
/** With the exploratory ones some fifteen tunnels: 3 each way for the proxy, and for the site what it has (2 or 3). */
const QUANTITY = 3

interface Look {
  readonly usage: Usage
  readonly arrived: Arrived
}

/** One window of one router. */
interface Window {
  readonly switchesPerSecond: number
  readonly messagesPerSecond: number
  readonly cpuPerMinute: number
  readonly rssMiB: number
}

export async function idle(): Promise<Result[]> {
  const subjects = [...SUBJECTS, ACCELERATED, I2PD]
  const network = await networkOf(8, subjects.length, QUANTITY)
  try {
    const guests = subjects.map((subject, guest) => {
      const transit = guest >= SUBJECTS.length
      return startGuest(network, { subject, guest, transit, quantity: QUANTITY, siteBytes: 1 })
    })
    for (const guest of guests) await guest.ready()
    await pause(SETTLE_S)
    const windows = guests.map((): Window[] => [])
    let from = guests.map((guest) => look(network, guest))
    for (let i = 0; i < WINDOWS; i++) {
      await pause(WINDOW_S)
      const to = guests.map((guest) => look(network, guest))
      for (const [g, list] of windows.entries()) list.push(windowOf(from[g]!, to[g]!))
      from = to
    }
    for (const guest of guests) {
      const [own, transit] = [await guest.tunnels(), await guest.transitTunnels()]
      say(`idle: ${nameOf(guest.subject)}: ${own} tunnels of its own, ${transit} of others`)
    }
    return guests.flatMap((guest, g) => resultsOf(guest.subject, g >= SUBJECTS.length, windows[g]!))
  } finally {
    await network.stop()
  }
}

function look(network: I2pdNetwork, guest: Guest): Look {
  return { usage: usage(guest.pid), arrived: arrived(network.namespace, guest.address) }
}

function windowOf(from: Look, to: Look): Window {
  const { seconds, cpuSeconds, voluntarySwitches } = spent(from.usage, to.usage)
  return {
    switchesPerSecond: voluntarySwitches / seconds,
    // Idle, each message is a segment of its own.
    messagesPerSecond: (to.arrived.segments - from.arrived.segments) / seconds,
    cpuPerMinute: (60 * cpuSeconds) / seconds,
    rssMiB: to.usage.rssMiB,
  }
}

function resultsOf(subject: Subject, transit: boolean, windows: readonly Window[]): Result[] {
  const how = transit ? 'idle with transit' : 'idle, no transit'
  const row = (what: string, unit: string, of: (w: Window) => number, goal?: Goal): Result => ({
    figure: 'idle',
    what: `${how}: ${what}`,
    unit,
    who: subject.who,
    variant: subject.variant,
    runs: windows.map(of),
    ...(goal !== undefined && subject.who === 'ramsons' ? { goal } : {}),
  })
  const received = row('messages received', '1/s', (w) => w.messagesPerSecond)
  // Beyond 1.5 for each message received.
  const beyond = (w: Window): number => w.switchesPerSecond - 1.5 * w.messagesPerSecond
  return [
    row('voluntary switches', '1/s', (w) => w.switchesPerSecond, transit ? undefined : { atMost: 5 }),
    received,
    ...(transit ? [row('switches beyond 1.5 a message', '1/s', beyond, { atMost: 2 })] : []),
    row('CPU', 's/min', (w) => w.cpuPerMinute, transit ? undefined : { atMost: 0.15 }),
    row('RSS', 'MiB', (w) => w.rssMiB, transit ? undefined : { atMost: 90 }),
  ]
}
