import { describe, expect, it } from 'vitest'
import { sameBytes } from '../../../src/base/bytes.ts'
import { seededRandom, shuffle } from '../../../src/base/random.ts'
import { sha256 } from '../../../src/crypto/sha256.ts'
import { MAX_MESSAGE } from '../../../src/protocol/i2np/message.ts'
import {
  BLOCK_LENGTH,
  MAX_CONTENT,
  Padding,
  readBlock,
  writeBlock,
} from '../../../src/protocol/tunnel-data/block.ts'
import { LOCAL, type TunnelDelivery } from '../../../src/protocol/tunnel-data/delivery.ts'
import { Fragmenter } from '../../../src/protocol/tunnel-data/fragmenter.ts'
import { CreatorLayers, HopLayer } from '../../../src/protocol/tunnel-data/layers.ts'
import {
  FragmentBudget,
  REASSEMBLY_TIMEOUT,
  type Reassembled,
  Reassembler,
} from '../../../src/protocol/tunnel-data/reassembler.ts'

const random = seededRandom(7)
const hash = random.bytes(32)
const toTunnel: TunnelDelivery = { kind: 'tunnel', gateway: hash, tunnelId: 0x01020304 }
const toRouter: TunnelDelivery = { kind: 'router', hash }
const blockOf = (payload: Uint8Array): Uint8Array => payload.subarray(4)

function fragment(delivery: TunnelDelivery, ...messages: Uint8Array[]): Uint8Array[] {
  const blocks: Uint8Array[] = []
  const f = new Fragmenter(random)
  for (const m of messages) f.add(delivery, m, blocks)
  f.flush(blocks)
  return blocks.map(blockOf)
}

function reassemble(blocks: readonly Uint8Array[], now = 0): Reassembled[] {
  const done: Reassembled[] = []
  const r = new Reassembler(new FragmentBudget(1 << 20))
  for (const b of blocks) expect(r.receive(b, now, done)).toBe(true)
  expect(r.pending).toBe(0)
  return done
}

describe('block', () => {
  it('has the layout of the spec', () => {
    const content = random.bytes(100)
    const block = new Uint8Array(BLOCK_LENGTH)
    writeBlock(block, content, new Padding(random), random)
    const iv = block.subarray(0, 16)
    const sum = sha256(new Uint8Array([...content, ...iv])).subarray(0, 4)
    expect(sameBytes(block.subarray(16, 20), sum)).toBe(true)
    expect(block[1024 - 101]).toBe(0)
    expect(block.subarray(20, 1024 - 101).includes(0)).toBe(false)
    expect(readBlock(block)).toEqual(content)
  })

  it('never pads with zeros', () => {
    const padding = new Padding(random)
    const block = new Uint8Array(BLOCK_LENGTH)
    for (let i = 0; i < 10_000; i++) {
      const size = 1 + random.below(MAX_CONTENT)
      writeBlock(block, new Uint8Array(size), padding, random)
      expect(block.indexOf(0, 20)).toBe(1023 - size)
    }
  })

  it('refuses a wrong checksum and a missing zero', () => {
    const block = new Uint8Array(BLOCK_LENGTH)
    writeBlock(block, random.bytes(10), new Padding(random), random)
    for (const at of [0, 15, 16, 19, 1014, 1023]) {
      const bad = Uint8Array.from(block)
      bad[at] = bad[at]! ^ 1
      expect(readBlock(bad)).toBeUndefined()
    }
    expect(readBlock(new Uint8Array(BLOCK_LENGTH).fill(1))).toBeUndefined()
  })
})

describe('fragments', () => {
  it('carries messages of every size', () => {
    const sizes = [1, 900, 964, 965, 968, 969, 1000, 1001, 1959, 1960, 1961, 5000, 61_000, MAX_MESSAGE]
    for (const delivery of [LOCAL, toTunnel, toRouter]) {
      for (const size of sizes) {
        const message = random.bytes(size)
        const done = reassemble(fragment(delivery, message))
        expect(done).toHaveLength(1)
        expect(sameBytes(done[0]!.message, message)).toBe(true)
        expect(done[0]!.delivery).toEqual(delivery)
      }
    }
  })

  it('writes the instructions of the spec', () => {
    const [block] = fragment(toTunnel, new Uint8Array([7, 7]))
    const content = readBlock(block!)!
    expect([...content]).toEqual([0x20, 1, 2, 3, 4, ...hash, 0, 2, 7, 7])
    const blocks = fragment(LOCAL, random.bytes(1200))
    const first = readBlock(blocks[0]!)!
    const second = readBlock(blocks[1]!)!
    expect([first[0], first[5], first[6]]).toEqual([0x08, 996 >> 8, 996 & 255])
    expect([second[0], second[5], second[6]]).toEqual([0x83, 0, 204])
    expect(sameBytes(first.subarray(1, 5), second.subarray(1, 5))).toBe(true)
  })

  it('packs several messages into a block', () => {
    const messages = Array.from({ length: 9 }, () => random.bytes(100))
    const blocks = fragment(LOCAL, ...messages)
    expect(blocks).toHaveLength(1)
    expect(reassemble(blocks).map((d) => d.message)).toEqual(messages)
  })

  it('uses about as few blocks as the bytes need', () => {
    const messages = Array.from({ length: 40 }, () => random.bytes(200 + random.below(3000)))
    const blocks = fragment(LOCAL, ...messages)
    const bytes = messages.reduce((n, m) => n + m.length, 0)
    expect(blocks.length).toBeLessThan((bytes / 990) * 1.15)
    expect(reassemble(blocks).map((d) => d.message)).toEqual(messages)
  })

  it('does not care about order or duplicates', () => {
    const messages = Array.from({ length: 5 }, () => random.bytes(5000))
    const blocks = fragment(toRouter, ...messages)
    shuffle(random, blocks)
    const done: Reassembled[] = []
    const r = new Reassembler(new FragmentBudget(1 << 20))
    for (const b of blocks.slice(0, 8)) r.receive(Uint8Array.from(b), 0, done)
    for (const b of blocks) r.receive(Uint8Array.from(b), 0, done)
    const key = (m: Uint8Array): number => (m[0]! << 16) | (m[1]! << 8) | m[2]!
    expect(new Set(done.map((d) => key(d.message)))).toEqual(new Set(messages.map(key)))
  })

  it('releases the memory of a message that lost a fragment', () => {
    const budget = new FragmentBudget(1 << 20)
    const r = new Reassembler(budget)
    const blocks = fragment(LOCAL, random.bytes(3000))
    r.receive(blocks[0]!, 1000, [])
    r.receive(blocks[2]!, 1000, [])
    expect(budget.used).toBeGreaterThan(0)
    expect(r.nextTimeout()).toBe(1000 + REASSEMBLY_TIMEOUT)
    r.timeout(1000 + REASSEMBLY_TIMEOUT)
    expect([budget.used, r.pending, r.nextTimeout()]).toEqual([0, 0, undefined])
  })

  it('stays within its budget and count', () => {
    const budget = new FragmentBudget(20_000)
    const r = new Reassembler(budget)
    for (let i = 0; i < 200; i++) {
      const blocks = fragment(LOCAL, random.bytes(3000))
      r.receive(blocks[0]!, i, [])
      r.receive(blocks[1]!, i, [])
      expect(budget.used).toBeLessThanOrEqual(20_000)
    }
    expect(r.pending).toBeLessThanOrEqual(32)
    r.clear()
    expect(budget.used).toBe(0)
  })

  it('drops fragments that contradict each other', () => {
    const followOn = (flag: number, data: number[]): Uint8Array => {
      const block = new Uint8Array(BLOCK_LENGTH)
      const content = new Uint8Array([flag, 0, 0, 0, 9, 0, data.length, ...data])
      writeBlock(block, content, new Padding(random), random)
      return block
    }
    const r = new Reassembler(new FragmentBudget(1 << 20))
    r.receive(followOn(0x83, [1, 2]), 0, [])
    expect(r.pending).toBe(1)
    r.receive(followOn(0x83, [1, 2]), 0, [])
    expect(r.pending).toBe(1)
    r.receive(followOn(0x83, [1, 2, 3]), 0, [])
    expect(r.pending).toBe(0)
    r.receive(followOn(0x85, [1]), 0, [])
    r.receive(followOn(0x83, [1]), 0, [])
    expect(r.pending).toBe(0)
    r.receive(followOn(0x86, [1]), 0, [])
    r.receive(followOn(0x83, [1]), 0, [])
    expect(r.pending).toBe(0)
    expect(r.receive(followOn(0x81, [1]), 0, [])).toBe(false)
  })

  it('survives malformed content', () => {
    const r = new Reassembler(new FragmentBudget(1 << 20))
    for (let i = 0; i < 3000; i++) {
      const block = new Uint8Array(BLOCK_LENGTH)
      writeBlock(block, random.bytes(1 + random.below(MAX_CONTENT)), new Padding(random), random)
      r.receive(block, i, [])
    }
    const whole = readBlock(fragment(toTunnel, random.bytes(20))[0]!)!
    for (let n = 1; n < whole.length; n++) {
      const block = new Uint8Array(BLOCK_LENGTH)
      const done: Reassembled[] = []
      writeBlock(block, whole.subarray(0, n), new Padding(random), random)
      expect(r.receive(block, 0, done)).toBe(false)
      expect(done).toEqual([])
    }
  })
})

describe('layers', () => {
  const hops = Array.from({ length: 3 }, () => ({ layerKey: random.bytes(32), ivKey: random.bytes(32) }))

  it('come off as the hops put them on', () => {
    const creator = new CreatorLayers(hops)
    const participants = hops.map((h) => new HopLayer(h))
    for (let i = 0; i < 5; i++) {
      const plain = random.bytes(BLOCK_LENGTH)
      const outbound = Uint8Array.from(plain)
      creator.apply([outbound])
      expect(sameBytes(outbound, plain)).toBe(false)
      for (const p of participants) p.apply([outbound])
      expect(sameBytes(outbound, plain)).toBe(true)
      const inbound = Uint8Array.from(plain)
      for (const p of participants) p.apply([inbound])
      creator.apply([inbound])
      expect(sameBytes(inbound, plain)).toBe(true)
    }
  })
})
