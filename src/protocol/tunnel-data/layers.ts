/**
 * Layers over a block, in place (tunnel-implementation, "Participant Processing", "Endpoint Processing"). What a hop adds, the
 * creator takes off: before sending through an outbound tunnel, after receiving from an inbound one.
 */
import { MAX_LAYER_BLOCKS, TunnelLayerCipher } from '../../crypto/aes.ts'

export interface LayerKeys {
  readonly layerKey: Uint8Array
  readonly ivKey: Uint8Array
}

/** Blocks that `Layers` take at once. */
export const MAX_BATCH: number = MAX_LAYER_BLOCKS

/** What is done to every block of a tunnel. */
export interface Layers {
  apply(blocks: readonly Uint8Array[]): void
}

/** One hop's layer. */
export class HopLayer implements Layers {
  readonly #cipher: TunnelLayerCipher

  constructor(keys: LayerKeys) {
    this.#cipher = new TunnelLayerCipher(keys.layerKey, keys.ivKey)
  }

  apply(blocks: readonly Uint8Array[]): void {
    this.#cipher.encrypt(blocks)
  }
}

/** The inverse of all hops' layers. */
export class CreatorLayers implements Layers {
  /** Last hop first: the order in which layers come off. */
  readonly #ciphers: readonly TunnelLayerCipher[]

  /** `hops` in path order. */
  constructor(hops: readonly LayerKeys[]) {
    this.#ciphers = hops.map((hop) => new TunnelLayerCipher(hop.layerKey, hop.ivKey)).reverse()
  }

  apply(blocks: readonly Uint8Array[]): void {
    for (const cipher of this.#ciphers) cipher.decrypt(blocks)
  }
}
