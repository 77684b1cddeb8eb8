/**
 * The children that Bun started for us and has not reported the end of. Process 1 and subreapers
 * need to tell them from orphans that they inherited (`reaper.ts`); whoever calls `Bun.spawn` in
 * this project says so here.
 */
const pids = new Set<number>()

/** Remembers a child until Bun has collected it. */
export function track<Child extends Bun.Subprocess>(child: Child): Child {
  pids.add(child.pid)
  void child.exited.finally(() => pids.delete(child.pid))
  return child
}

export const isOurChild = (pid: number): boolean => pids.has(pid)
