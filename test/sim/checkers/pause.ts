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
    const asked = was.failoverRequest !== undefined || was.switchover !== undefined
    if (!after.cluster.status.primaryRevoked || asked) return
    const uid = before.dbs.get(was.master)?.spec.keeperUID ?? keeperUID("")
    if (before.keepers.get(uid)?.status.forceFail === true) return
    // who has certified its end can go on only in a new epoch, and does (W7)
    const { certificate } = sim.store.core.infos().keepers.get(uid) ?? {}
    if (certificate !== undefined && certificate.epoch === was.primaryEpoch) return
    if (pauseOf(before, uid) !== null) sim.fail("pause", `${uid} was deposed in a pause`)
  })
}
