/**
 * What is owed to whoever runs a component: to systemd a word that it is well, to the kernel, as
 * process 1 of a container, that orphans are collected. One call for all long-running commands;
 * nothing of it changes what they do.
 */
import { notifySystemd } from "#system/notify.ts"
import { startReaper } from "#system/reaper.ts"

/** While the stack lives. `unwell` is what `/healthz` says, too. */
export function supervised(stack: AsyncDisposableStack, unwell: () => readonly string[]): void {
  // in a container nobody else collects orphans (D-77)
  if (process.pid === 1) stack.use(startReaper())
  stack.use(notifySystemd(unwell))
}
