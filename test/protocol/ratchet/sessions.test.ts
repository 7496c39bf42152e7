import { describe, expect, it } from 'vitest'
import { hex, Writer } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { generateX25519 } from '../../../src/crypto/x25519.ts'
import {
  readPayload,
  writeAcks,
  writeCloves,
  writeDateTime,
  writePadding,
  writeTermination,
} from '../../../src/protocol/ratchet/blocks.ts'
import { writeNewSession } from '../../../src/protocol/ratchet/handshake.ts'
import { MAX_TAGS } from '../../../src/protocol/ratchet/tag-set.ts'
import { blockLength, clove, ids, kind, restart, side, Talk, WALL } from './talk.ts'

const MINUTE = 60_000

function kinds(talk: Talk, cloveBytes = blockLength()): string[] {
  return talk.sent.map((s) => kind(s.message, cloveBytes))
}

describe('a conversation', () => {
  const random = seededRandom(2)

  it('goes New Session, New Session Reply, Existing Session', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(150)
    expect(talk.received[0]!.decrypted.remoteKey).toEqual(a.keys.publicKey)
    talk.send(b, [clove(2)])
    talk.run(300)
    talk.send(a, [clove(3)])
    talk.run(450)
    talk.send(b, [clove(4)])
    talk.run(600)
    expect(kinds(talk)).toEqual(['NS', 'NSR', 'ES', 'ES'])
    expect(talk.ids(b)).toEqual([1, 3])
    expect(talk.ids(a)).toEqual([2, 4])
    expect(talk.undecrypted).toBe(0)
  })

  it('completes its handshake within two seconds when only one side has anything to say', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    // NS, empty NSR, empty ES; then both may send ES
    expect(kinds(talk, 0).length).toBe(3)
    expect(talk.sent[1]!.at - talk.received[0]!.at).toBeLessThanOrEqual(1000)
    talk.send(b, [clove(2)])
    talk.send(a, [clove(3)])
    talk.run(2200)
    expect(kinds(talk).slice(3)).toEqual(['ES', 'ES'])
    expect(talk.ids(a)).toEqual([2])
  })

  it('lets the responder send nothing but replies until the initiator has used the session', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1, { latency: 200 })
    talk.send(a, [clove(1)])
    talk.run(210)
    for (let i = 0; i < 30; i++) talk.send(b, [clove(10 + i)])
    const fromB = talk.sent.filter((s) => s.from === b).map((s) => kind(s.message, blockLength()))
    expect(fromB).not.toContain('ES')
    expect(fromB.filter((k) => k === 'NSR').length).toBe(12)
    talk.run(3000)
    expect(talk.ids(a).filter((n) => n < 22)).toEqual(Array.from({ length: 12 }, (_, i) => 10 + i))
    talk.send(b, [clove(99)])
    expect(kind(talk.sent.at(-1)!.message, blockLength())).toBe('ES')
  })

  it('has the initiator send a New Session message each time until a reply comes, but not without bound', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    for (let i = 0; i < 20; i++) talk.send(a, [clove(i)])
    expect(kinds(talk)).toEqual(Array(12).fill('NS'))
    expect(new Set(talk.sent.map((s) => hex(s.message.subarray(0, 32)))).size).toBe(12)
    expect(a.store.established(b.keys.publicKey, 0)).toBe(false)
    talk.run(2000)
    expect(talk.ids(b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(a.store.established(b.keys.publicKey, 2000)).toBe(true)
    talk.send(a, [clove(20)])
    talk.run(2200)
    expect(talk.ids(b).at(-1)).toBe(20)
    expect(kind(talk.sent.at(-1)!.message, blockLength())).toBe('ES')
  })

  it('ends up on the same session when both sides begin at once', () => {
    for (let seed = 0; seed < 6; seed++) {
      const [a, b] = [side(random), side(random)]
      const talk = new Talk(a, b, seed, { jitter: 80 })
      for (let i = 0; i < 100; i++) {
        talk.send(a, [clove(1000 + i)])
        talk.send(b, [clove(2000 + i)])
        talk.run(talk.now + 20 + seed * 30)
      }
      talk.run(talk.now + 2000)
      expect(talk.undecrypted).toBe(0)
      expect(new Set(talk.ids(a)).size).toBeGreaterThan(80)
      const late = talk.sent.slice(-40).map((s) => kind(s.message, blockLength()))
      expect(late).not.toContain('NS')
      expect(late).not.toContain('NSR')
      // One session each way: all tags but those of the session in use and its replies go within some minutes.
      talk.run(talk.now + 4 * MINUTE)
      talk.send(a, [clove(1)])
      talk.send(b, [clove(2)])
      talk.run(talk.now + 4 * MINUTE)
      expect(a.store.tagCount).toBeLessThan(200)
      expect(b.store.tagCount).toBeLessThan(200)
      expect(a.store.tagCount).toBeGreaterThan(20)
    }
  })

  it('works with oneself', () => {
    const a = side(random)
    const talk = new Talk(a, a, 1)
    for (let i = 0; i < 50; i++) {
      talk.send(a, [clove(i)])
      talk.run(talk.now + 150)
    }
    talk.run(talk.now + 2000)
    expect(new Set(talk.ids(a)).size).toBe(50)
  })

  it('carries several cloves, large ones, and none', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    for (let i = 0; i < 3; i++) {
      talk.send(a, [clove(1, 30_000), clove(2, 4), clove(3, 30_000)].slice(i))
      talk.run(talk.now + 1500)
    }
    talk.send(a, [])
    talk.run(talk.now + 1500)
    expect(talk.ids(b)).toEqual([1, 2, 3, 2, 3, 3])
    expect(a.store.encrypt(b.keys.publicKey, [clove(1, 40_000), clove(2, 30_000)], {}, 0)).toBeUndefined()
    expect(a.store.encrypt(new Uint8Array(32), [clove(1)], {}, 0)).toBeUndefined()
    expect(a.store.size).toBe(1)
  })
})

describe('a long conversation', () => {
  it('passes four DH ratchets each way under loss, reordering and duplication, without a new handshake', () => {
    const random = seededRandom(3)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 4, { latency: 80, jitter: 60, loss: 0.2, duplicates: 0.05 })
    const total = 20_000
    let lastHandshake = 0
    for (let i = 0; i < total; i++) {
      if (!a.store.established(b.keys.publicKey, talk.now)) lastHandshake = talk.now
      talk.send(a, [clove(i)])
      talk.send(b, [clove(total + i)])
      talk.sent.length = 0
      talk.run(talk.now + 5)
    }
    talk.run(talk.now + 1000)
    expect(lastHandshake).toBeLessThan(5_000)
    for (const to of [a, b]) {
      const got = talk.ids(to)
      expect(new Set(got).size).toBe(got.length) // duplicates are not delivered
      expect(got.length).toBeGreaterThan(total * 0.78)
      expect(got.length).toBeLessThan(total * 0.86)
    }
    expect(a.store.tagCount).toBeLessThan(3000)
  }, 120_000)

  it('goes on after idle minutes, begins anew after eight, and forgets all after more', () => {
    const random = seededRandom(4)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    const exchange = (n: number): string[] => {
      talk.sent.length = 0
      talk.send(a, [clove(n)])
      talk.run(talk.now + 300)
      talk.send(b, [clove(n)])
      talk.run(talk.now + 300)
      return kinds(talk)
    }
    exchange(1)
    exchange(2)
    expect(exchange(3)).toEqual(['ES', 'ES'])
    talk.run(talk.now + 7 * MINUTE)
    expect(exchange(4)[0]).toBe('ES')
    talk.run(talk.now + 9 * MINUTE)
    expect(exchange(5)).toEqual(['NS', 'NSR'])
    talk.run(talk.now + 25 * MINUTE)
    for (const s of [a, b]) {
      expect(s.store.size).toBe(0)
      expect(s.store.tagCount).toBe(0)
      expect(s.store.nextTimeout()).toBeUndefined()
    }
    expect(talk.undecrypted).toBe(0)
  })

  it('recovers when one side starts anew with the same key', () => {
    for (const who of [0, 1]) {
      const random = seededRandom(5)
      const sides = [side(random), side(random)] as const
      const [a, b] = sides
      const talk = new Talk(a, b, 1)
      for (let i = 0; i < 20; i++) {
        talk.send(a, [clove(i)])
        talk.run(talk.now + 150)
        talk.send(b, [clove(100 + i)])
        talk.run(talk.now + 150)
      }
      restart(sides[who]!, random)
      const from = talk.now
      while (talk.now < from + 60_000) {
        talk.send(a, [clove(1000)])
        talk.run(talk.now + 1000)
      }
      const back = talk.received.find((r) => r.to === b && r.at > from && ids(r.decrypted)[0] === 1000)
      // Bob gone: Alice notices by silence. Alice gone: at once.
      expect(back!.at - from).toBeLessThan(who === 0 ? 500 : 50_000)
      expect(kind(talk.sent.at(-1)!.message, blockLength())).toBe('ES')
      talk.send(b, [clove(2000)])
      talk.run(talk.now + 1000)
      expect(talk.ids(a).at(-1)).toBe(2000)
    }
  })

  it('tries anew at once when the caller says that messages were lost', () => {
    const random = seededRandom(6)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    restart(b, random)
    a.store.restart(b.keys.publicKey, talk.now)
    talk.send(a, [clove(2)])
    talk.run(talk.now + 2000)
    expect(talk.ids(b)).toEqual([1, 2])
  })

  it('ends with a Termination block when asked to', () => {
    const random = seededRandom(7)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    talk.fly(a, a.store.terminate(b.keys.publicKey, talk.now)!)
    talk.run(2500)
    expect(b.store.established(a.keys.publicKey, talk.now)).toBe(false)
    expect(a.store.established(b.keys.publicKey, talk.now)).toBe(false)
    talk.send(b, [clove(2)])
    talk.run(5000)
    expect(talk.ids(a)).toEqual([2])
    expect(a.store.terminate(generateX25519(random).publicKey, 0)).toBeUndefined()
  })
})

describe('acknowledgements', () => {
  it('come for New Session messages, replies and Existing Session messages, by the id that was given', () => {
    const random = seededRandom(8)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    const acked = (to: typeof a): number[] =>
      talk.received.filter((r) => r.to === to).flatMap((r) => [...r.decrypted.acked])
    const first = talk.send(a, [clove(1)], true)!
    talk.run(150)
    const second = talk.send(b, [clove(2)], true)!
    talk.run(300)
    expect(acked(a)).toEqual([first])
    talk.send(a, [clove(3)])
    talk.run(450)
    expect(acked(b)).toEqual([second])
    const third = talk.send(a, [clove(4)], true)!
    const fourth = talk.send(a, [clove(5)], true)!
    const at = talk.now
    talk.run(at + 2500)
    expect(acked(a)).toEqual([first, third, fourth])
    // by an empty message, as Bob had nothing to say
    expect(talk.received.at(-1)!.at - at).toBeLessThan(1300)
    expect(talk.sent.at(-1)!.message.length).toBeLessThan(60)
  })

  it('are not given for what was lost', () => {
    const random = seededRandom(9)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    const lost = talk.send(a, [clove(2)], true)!
    talk.cut()
    talk.send(a, [clove(3)])
    talk.run(5000)
    expect(talk.received.flatMap((r) => [...r.decrypted.acked])).not.toContain(lost)
  })
})

describe('New Session messages', () => {
  const random = seededRandom(10)

  function newSession(
    to: ReturnType<typeof side>,
    wall: number,
    more: (w: Writer) => void = () => {},
  ): Uint8Array {
    const w = new Writer(500)
    writeDateTime(w, Math.floor(wall / 1000))
    writeCloves(w, [clove(7)])
    more(w)
    return writeNewSession(generateX25519(random), to.keys.publicKey, w.bytes.subarray(0, w.pos), random)!
      .message
  }

  it('without binding are delivered, start nothing and are not answered', () => {
    const [a, b] = [side(random), side(random)]
    const { message } = a.store.encrypt(b.keys.publicKey, [clove(1)], { bindReply: false }, 0)!
    const got = b.store.decrypt(message, 0)!
    expect(ids(got)).toEqual([1])
    expect(got.remoteKey).toBeUndefined()
    for (const s of [a, b]) {
      expect(s.store.size).toBe(0)
      expect(s.store.tagCount).toBe(0)
      expect(s.store.nextTimeout()).toBeUndefined()
    }
  })

  it('are read once, however their free bits are set', () => {
    const b = side(random)
    const message = newSession(b, WALL)
    expect(ids(b.store.decrypt(message, 0))).toEqual([7])
    expect(b.store.decrypt(message, 1)).toBeUndefined()
    for (const bits of [0x40, 0x80, 0xc0]) {
      const other = new Uint8Array(message)
      other[31]! ^= bits
      expect(b.store.decrypt(other, 2)).toBeUndefined()
    }
    expect(b.store.decrypt(message, 4 * MINUTE)).toBeUndefined()
  })

  it('count from five minutes ago to two minutes ahead', () => {
    const b = side(random)
    const read = (minutes: number): boolean =>
      b.store.decrypt(newSession(b, WALL + minutes * MINUTE), 0) !== undefined
    expect(read(-4)).toBe(true)
    expect(read(-5)).toBe(true)
    expect(read(-6)).toBe(false)
    expect(read(2)).toBe(true)
    expect(read(3)).toBe(false)
  })

  it('need a DateTime in the first place, once', () => {
    const b = side(random)
    expect(
      b.store.decrypt(
        newSession(b, WALL, (w) => writeDateTime(w, 5)),
        0,
      ),
    ).toBeUndefined()
    const w = new Writer(500)
    writeCloves(w, [clove(7)])
    const message = writeNewSession(
      generateX25519(random),
      b.keys.publicKey,
      w.bytes.subarray(0, w.pos),
      random,
    )!
    expect(b.store.decrypt(message.message, 0)).toBeUndefined()
  })

  it('from strangers displace strangers only', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    let now = 2000
    for (let i = 0; i < 400; i++) {
      now += 20
      b.store.decrypt(newSession(b, WALL), now)
    }
    expect(b.store.size).toBeLessThanOrEqual(257)
    talk.now = now
    talk.send(b, [clove(9)])
    talk.run(now + 200)
    expect(talk.ids(a)).toEqual([9])
    talk.run(now + 2 * MINUTE)
    expect(b.store.size).toBe(1)
  })

  it('from one key beyond what can be answered are still delivered', () => {
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    for (let i = 0; i < 100; i++) {
      const { message } = a.store.encrypt(b.keys.publicKey, [clove(i)], {}, talk.now)!
      expect(ids(b.store.decrypt(message, talk.now))).toEqual([i])
      talk.now += 200
    }
    expect(b.store.size).toBe(1)
    expect(b.store.tagCount).toBeLessThan(8 * 12 * 24)
    talk.run(talk.now + 3000)
    talk.send(a, [clove(500)])
    talk.run(talk.now + 200)
    expect(talk.ids(b)).toContain(500)
  })
})

describe('what a store receives', () => {
  it('may be anything', () => {
    const random = seededRandom(11)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    const { message } = a.store.encrypt(b.keys.publicKey, [clove(2)], {}, 2000)!
    for (let n = 0; n < 24; n++) expect(b.store.decrypt(message.subarray(0, n), 2000)).toBeUndefined()
    for (let i = 0; i < 300; i++)
      expect(b.store.decrypt(random.bytes(random.below(400)), 2000)).toBeUndefined()
    expect(ids(b.store.decrypt(message, 2000))).toEqual([2])
    expect(b.store.decrypt(message, 2000)).toBeUndefined()
    // one whose payload is damaged uses its tag up and harms nothing else
    const damaged = a.store.encrypt(b.keys.publicKey, [clove(3)], {}, 2000)!.message
    damaged[20]! ^= 1
    expect(b.store.decrypt(damaged, 2000)).toBeUndefined()
    expect(
      ids(b.store.decrypt(a.store.encrypt(b.keys.publicKey, [clove(4)], {}, 2000)!.message, 2000)),
    ).toEqual([4])
  })

  it('may be a flood of unknown tags: memory and time stay flat, sessions are served', () => {
    const random = seededRandom(12)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    const [size, tags] = [b.store.size, b.store.tagCount]
    const started = performance.now()
    for (let i = 0; i < 20_000; i++) {
      const junk = new Uint8Array(400)
      new DataView(junk.buffer).setUint32(0, i * 0x9e3779b1)
      expect(b.store.decrypt(junk, 2000 + (i >> 4))).toBeUndefined()
      if (i % 1000 === 0) {
        const { message } = a.store.encrypt(b.keys.publicKey, [clove(i)], {}, 2000 + (i >> 4))!
        expect(ids(b.store.decrypt(message, 2000 + (i >> 4)))).toEqual([i])
      }
    }
    expect(performance.now() - started).toBeLessThan(10_000)
    expect(b.store.size).toBe(size)
    expect(b.store.tagCount).toBeLessThan(tags + 50)
  })

  it('never makes it hold more tags than it may', () => {
    const random = seededRandom(13)
    const b = side(random)
    let now = 0
    for (let i = 0; i < 900; i++) {
      const a = side(random)
      const talk = new Talk(a, b, i)
      talk.now = now
      talk.send(a, [clove(1)])
      talk.run(now + 210)
      talk.send(b, [clove(2)])
      talk.run(now + 420)
      for (let k = 0; k < 120; k++) {
        const { message } = a.store.encrypt(b.keys.publicKey, [clove(k)], {}, talk.now)!
        b.store.decrypt(message, talk.now)
      }
      now = talk.now
    }
    expect(b.store.tagCount).toBeLessThanOrEqual(MAX_TAGS)
    expect(b.store.tagCount).toBeGreaterThan(MAX_TAGS / 2)
  }, 120_000)
})

describe('strangers who get many replies', () => {
  it('cost each other their tags, and nobody who has a session', () => {
    const random = seededRandom(15)
    const [a, b] = [side(random), side(random)]
    const talk = new Talk(a, b, 1)
    talk.send(a, [clove(1)])
    talk.run(2000)
    expect(b.store.established(a.keys.publicKey, 2000)).toBe(true)
    for (let i = 0; i < 235; i++) {
      const stranger = side(random)
      const now = 2000 + 20 * i
      b.store.decrypt(stranger.store.encrypt(b.keys.publicKey, [clove(i)], {}, now)!.message, now)
      for (let k = 0; k < 12; k++) b.store.encrypt(stranger.keys.publicKey, [clove(k)], {}, now)
    }
    expect(b.store.tagCount).toBeGreaterThan(MAX_TAGS / 2)
    expect(b.store.established(a.keys.publicKey, 7000)).toBe(true)
  }, 60_000)
})

describe('payload blocks', () => {
  const random = seededRandom(14)

  function payload(write: (w: Writer) => void): Uint8Array {
    const w = new Writer(2000)
    write(w)
    return w.bytes.subarray(0, w.pos)
  }

  it('hold no more cloves than anyone sends', () => {
    const cloves = (n: number): Uint8Array =>
      payload((w) =>
        writeCloves(
          w,
          Array.from({ length: n }, (_, i) => clove(i, 4)),
        ),
      )
    expect(readPayload(cloves(32)).cloves).toHaveLength(32)
    expect(() => readPayload(cloves(33))).toThrow('too many cloves')
  })

  it('are read in any order; unknown ones are skipped', () => {
    const got = readPayload(
      payload((w) => {
        w.u8(200).u16(2).u16(0)
        writeAcks(w, [
          { tagSet: 1, n: 2 },
          { tagSet: 65535, n: 65535 },
        ])
        w.u8(5).u16(21)
        w.pos += 21
        w.u8(6).u16(2).u16(77)
        writeCloves(w, [clove(1), clove(2)])
        writeTermination(w, 1)
        writePadding(w, random)
      }),
    )
    expect(got.cloves.map((c) => c.message.id)).toEqual([1, 2])
    expect(got.acks).toEqual([
      { tagSet: 1, n: 2 },
      { tagSet: 65535, n: 65535 },
    ])
    expect(got.termination).toBe(1)
  })

  it.each([
    ['a block past the end', (w: Writer) => w.u8(11).u16(50)],
    ['padding not last', (w: Writer) => w.u8(254).u16(0).u8(9).u16(1).u8(0)],
    ['a block after Termination', (w: Writer) => w.u8(4).u16(1).u8(0).u8(9).u16(1).u8(0)],
    ['two DateTimes', (w: Writer) => w.u8(0).u16(4).u32(1).u8(0).u16(4).u32(1)],
    ['half a header', (w: Writer) => w.u8(254).u8(0)],
    ['a NextKey that is too short', (w: Writer) => w.u8(7).u16(3).u8(1).u16(0)],
    ['a NextKey that is too long', (w: Writer) => w.u8(7).u16(4).u8(4).u16(0).u8(0)],
    ['a key id above 32767', (w: Writer) => w.u8(7).u16(3).u8(4).u16(32768)],
    ['an empty Ack', (w: Writer) => w.u8(8).u16(0)],
    ['half an Ack', (w: Writer) => w.u8(8).u16(6).u16(0).u32(0)],
    ['an empty clove', (w: Writer) => w.u8(11).u16(0)],
  ])('are refused: %s', (_, write) => {
    expect(() => readPayload(payload(write))).toThrow()
  })

  it('never throw anything but MalformedError on random bytes', () => {
    for (let i = 0; i < 2000; i++) {
      const bytes = random.bytes(random.below(80))
      if (bytes.length > 3) {
        bytes[0] = [0, 4, 7, 8, 9, 11, 254][random.below(7)]!
        bytes[1] = 0
        bytes[2] = random.below(40)
      }
      try {
        readPayload(bytes)
      } catch (e) {
        expect((e as Error).name).toBe('MalformedError')
      }
    }
  })

  it('end with padding that costs no tunnel message', () => {
    for (const edge of [920, 1912]) {
      for (let length = edge - 25; length <= edge; length++) {
        const w = new Writer(3000)
        w.pos = length
        writePadding(w, random)
        expect(w.pos).toBeLessThanOrEqual(edge)
      }
    }
  })
})
