/** Publishing our own RouterInfo: straight to the closest floodfill, which floods it (netDb page, "Floodfill", "Publishing"). */
import type { Millis } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { writeDatabaseStore } from '../../protocol/i2np/database-store.ts'
import { MessageType } from '../../protocol/i2np/message.ts'
import { type HashKey, hashKey, shortHash } from '../../protocol/structures/hash.ts'
import { StoreType } from '../../protocol/structures/lease-set.ts'
import type { RouterInfo } from '../../protocol/structures/router-info.ts'
import { type NetDbOptions, type NetDbSink, newMessage } from './events.ts'
import type { RouterStore } from './router-store.ts'

// Implementation constants
/** For an acknowledgement from a floodfill we have a session with, and from one we must dial first. */
const ACK_TIMEOUT: Millis = 1_600
const DIAL_ACK_TIMEOUT: Millis = 5_000
/** Floodfills tried in one go: i2pd's figure. */
const MAX_TRIES = 15
/** Pause after nobody acknowledged. */
const RETRY: Millis = 60_000

export class RouterPublisher {
  readonly #options: NetDbOptions
  readonly #routers: RouterStore
  #own: RouterInfo | undefined
  /** Not zero while an acknowledgement is awaited. */
  #token = 0
  readonly #tried = new Set<HashKey>()
  #waitsForFloodfill = false
  #deadline: Millis | undefined

  constructor(options: NetDbOptions, routers: RouterStore) {
    this.#options = options
    this.#routers = routers
  }

  get own(): RouterInfo | undefined {
    return this.#own
  }

  /** A newer RouterInfo: floodfills keep none that they have already. */
  publish(ri: RouterInfo, now: Millis, out: NetDbSink): void {
    this.#own = ri
    this.#tried.clear()
    this.#send(now, out)
  }

  /** Tells the new day's floodfills, at a random moment of the next minute. */
  dayChanged(now: Millis): void {
    if (this.#own === undefined) return
    this.#token = 0
    this.#tried.clear()
    this.#deadline = now + this.#options.random.below(60_000)
  }

  /** A router was not known before: perhaps the floodfill that we wait for. */
  routerAdded(now: Millis): void {
    if (this.#waitsForFloodfill) this.#deadline = now
  }

  /** A DeliveryStatus came; true when it was for us. */
  acknowledged(token: number): boolean {
    if (token === 0 || token !== this.#token) return false
    this.#token = 0
    this.#tried.clear()
    this.#deadline = undefined
    return true
  }

  timeout(now: Millis, out: NetDbSink): void {
    if (this.#deadline === undefined || now < this.#deadline) return
    this.#send(now, out)
  }

  nextTimeout(): Millis | undefined {
    return this.#deadline
  }

  #send(now: Millis, out: NetDbSink): void {
    const { local, random, clock, log } = this.#options
    const own = this.#own!
    this.#token = 0
    const excluded = new Set([hashKey(local), ...this.#tried])
    const floodfill = this.#routers.closestFloodfills(local, 1, excluded, clock.wall(now), now)[0]
    if (floodfill === undefined || this.#tried.size >= MAX_TRIES) {
      this.#waitsForFloodfill = this.#tried.size === 0
      this.#deadline = now + RETRY
      this.#tried.clear()
      return
    }
    this.#waitsForFloodfill = false
    this.#token = replyToken(random)
    this.#tried.add(hashKey(floodfill.hash))
    const reply = { token: this.#token, tunnelId: 0, gateway: local }
    const payload = writeDatabaseStore({ key: local, type: StoreType.RouterInfo, reply, data: own.bytes })
    const message = newMessage(this.#options, MessageType.DatabaseStore, payload, now)
    out.event({ kind: 'send', to: floodfill.hash, message, traffic: 'own' })
    this.#deadline = now + (this.#options.connected(floodfill.hash) ? ACK_TIMEOUT : DIAL_ACK_TIMEOUT)
    if (log.enabled('debug')) log.write('debug', `publish our RouterInfo to ${shortHash(floodfill.hash)}`)
  }
}

/** Not zero, and not the one that i2pd takes for "no reply". */
export function replyToken(random: Random): number {
  return 1 + random.below(0xfffffffe)
}
