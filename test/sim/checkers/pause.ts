/**
 * In a pause nobody loses the role of the primary unless an operator asks for it, whatever is wrong
 * with it.
 */
import { keeperUID } from "#model/ids.ts"
import { pauseOf } from "#model/wish.ts"
import type { Sim } from "../sim.ts"

export function checkPause(sim: Sim): void {
  sim.store.core.listeners.written.push((before, after) => {
    const was = before?.cluster.status
    if (before === null || was === undefined || was.primaryRevoked) return
    if (!after.cluster.status.primaryRevoked || was.failoverRequest !== undefined) return
    const uid = before.dbs.get(was.master)?.spec.keeperUID ?? keeperUID("")
    if (before.keepers.get(uid)?.status.forceFail === true) return
    if (pauseOf(before, uid) !== null) sim.fail("pause", `${uid} was deposed in a pause`)
  })
}
