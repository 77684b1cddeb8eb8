/**
 * Collects orphans. Process 1 of a container, and a subreaper like the guardian, inherit the
 * children of processes that died; nobody else collects them, and a table full of zombies stops the
 * machine from starting anything (D-77).
 *
 * Bun collects what it started, and must be left to: stealing a child loses its exit code. So a
 * zombie is collected only when it is not on the list of our own children and was already there at
 * the look before: Bun takes milliseconds.
 */
import { isOurChild } from "./children.ts"
import { peekZombie, reap } from "./libc.ts"
import { zombieChildren } from "./process.ts"

export interface Reaper extends Disposable {
  /** A look round now, apart from the regular ones. */
  look(): void
}

/** Looks every `everyMs`. To be called by process 1 and by subreapers; harmless elsewhere. */
export function startReaper(everyMs = 500): Reaper {
  let before: ReadonlySet<string> = new Set()
  const look = (): void => {
    // One cheap call decides whether to search at all; it shows only one zombie, maybe one of
    // Bun's.
    const found =
      peekZombie() === null ? [] : zombieChildren().filter(({ pid }) => !isOurChild(pid))
    for (const { pid, start } of found) if (before.has(`${pid} ${start}`)) reap(pid)
    before = new Set(found.map(({ pid, start }) => `${pid} ${start}`))
  }
  const timer = setInterval(look, everyMs)
  timer.unref()
  return { look, [Symbol.dispose]: () => clearInterval(timer) }
}
