import { expect, test } from 'vitest'
import { message, pair, send } from './link.ts'

test('messages of all sizes arrive as they were sent', () => {
  const { net, alice, bob } = pair({ delay: 10 })
  const sizes = [0, 1, 5, 500, 1024, 1400, 1416, 1428, 1429, 1430, 3000, 20_000, 62_000, 62_692]
  const sent = sizes.map((size, i) => message(i + 1, size, net.now))
  send(alice, ...sent)
  send(bob, ...sent)
  net.runFor(5000)
  const byId = (a: { id: number }, b: { id: number }): number => a.id - b.id
  expect(bob.messages().sort(byId)).toEqual(sent)
  expect(alice.messages().sort(byId)).toEqual(sent)
  expect(alice.session.packetsLost + bob.session.packetsLost).toBe(0)
})
