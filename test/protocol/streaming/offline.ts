/** A destination whose own signing key is kept offline. */
import { concat, Writer } from '../../../src/base/bytes.ts'
import type { Ed25519KeyPair } from '../../../src/crypto/ed25519.ts'
import type { PacketSigner } from '../../../src/protocol/streaming/signing.ts'
import type { LocalIdentity } from '../../../src/protocol/structures/identity.ts'

export function offlineSigner(
  local: LocalIdentity,
  transient: Ed25519KeyPair,
  expires: number,
): PacketSigner {
  const signed = new Writer(38)
    .u32(expires / 1000)
    .u16(7)
    .put(transient.publicKey).bytes
  return {
    identity: local.identity,
    signatureLength: 64,
    offline: concat(signed, local.signing.sign(signed)),
    sign: (message) => transient.sign(message),
  }
}
