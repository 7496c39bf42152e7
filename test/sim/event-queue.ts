/** What happens when, in order; at one instant in the order it was asked for. */

interface Entry {
  readonly at: number
  readonly order: number
  readonly action: () => void
}

export class EventQueue {
  readonly #heap: Entry[] = []
  #order = 0

  push(at: number, action: () => void): void {
    const heap = this.#heap
    const entry = { at, order: this.#order++, action }
    let i = heap.length
    heap.push(entry)
    while (i > 0) {
      const up = (i - 1) >> 1
      if (!before(entry, heap[up]!)) break
      heap[i] = heap[up]!
      i = up
    }
    heap[i] = entry
  }

  /** When the next action is due. */
  peek(): number | undefined {
    return this.#heap[0]?.at
  }

  /** Takes the next action. There must be one. */
  pop(): () => void {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
        if (!before(heap[child]!, last)) break
        heap[i] = heap[child]!
        i = child
      }
      heap[i] = last
    }
    return first.action
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
