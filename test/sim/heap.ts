/**
 * The event queue of the simulated world: a binary heap ordered by time, then by the order in which
 * tasks were put in, so that one seed gives one run. A hot path: plain arrays, mutation, no
 * allocation besides the task itself.
 */
import type { Process } from "./world.ts"

export interface Task {
  at: number
  readonly seq: number
  /**
   * Whose work it is: a dead owner's tasks vanish, a frozen owner's wait. Null: the world's own.
   */
  readonly owner: Process | null
  run: (() => void) | null // null: cancelled
}

export interface Heap {
  push(task: Task): void
  /** The earliest task, taken out. */
  pop(): Task | undefined
  peek(): Task | undefined
}

const before = (a: Task, b: Task): boolean => a.at < b.at || (a.at === b.at && a.seq < b.seq)

export function createHeap(): Heap {
  const tasks: Task[] = []
  return {
    peek: () => tasks[0],
    push(task) {
      let i = tasks.push(task) - 1
      while (i > 0) {
        const parent = (i - 1) >> 1
        const above = tasks[parent]
        if (above === undefined || !before(task, above)) break
        tasks[i] = above
        i = parent
      }
      tasks[i] = task
    },
    pop() {
      const top = tasks[0]
      const last = tasks.pop()
      if (last === undefined || tasks.length === 0) return top
      sink(tasks, last)
      return top
    },
  }
}

/** Puts `task` where the root was and lets it sink to its place. */
function sink(tasks: Task[], task: Task): void {
  let i = 0
  for (;;) {
    let child = 2 * i + 1
    let least = tasks[child]
    if (least === undefined) break
    const right = tasks[child + 1]
    if (right !== undefined && before(right, least)) {
      child++
      least = right
    }
    if (!before(least, task)) break
    tasks[i] = least
    i = child
  }
  tasks[i] = task
}
