/** What an authenticated peer tells over either transport: the same blocks, so the same events. */
import type { Millis } from '../../base/clock.ts'
import type { I2npMessage } from '../i2np/message.ts'
import type { Hash } from '../structures/hash.ts'

export type PeerEvent =
  | { readonly kind: 'message'; readonly from: Hash; readonly message: I2npMessage }
  /** Not yet verified; `flood` asks a floodfill to pass it on. */
  | {
      readonly kind: 'router-info'
      readonly from: Hash
      readonly routerInfo: Uint8Array
      readonly flood: boolean
    }
  /** Its clock minus ours. */
  | { readonly kind: 'clock'; readonly peer: Hash; readonly offset: Millis }
