/**
 * In a pause nobody loses the role of the primary unless an operator asks for it, whatever is wrong
 * with it.
 */
import { dbUID, keeperUID } from "#model/ids.ts"
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
    // a succession under way is finished: who never served gives way to its predecessor (W7)
    const closed = before.proxy.spec.masterDbUid === ""
    const heir = before.dbs.get(dbUID(was.predecessor ?? ""))?.spec.keeperUID ?? keeperUID("")
    if (closed && before.keepers.get(heir)?.status.paused === undefined && heir !== "") return
    // who has certified its end can go on only in a new epoch, and does (W7)
    const { certificate } = sim.store.core.infos().keepers.get(uid) ?? {}
    if (certificate !== undefined && certificate.epoch === was.primaryEpoch) return
    if (pauseOf(before, uid) !== null) sim.fail("pause", `${uid} was deposed in a pause`)
  })
}
