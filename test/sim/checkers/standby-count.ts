/**
 * Nobody is given a DB while there are enough standbys, copies in the making included (D-21, D-24):
 * each costs a copy of the whole database.
 */
import type { ClusterData, DB } from "#model/cluster.ts"
import { withDefaults } from "#model/spec.ts"
import type { Sim } from "../sim.ts"

export function checkStandbyCount(sim: Sim): void {
  sim.store.core.listeners.written.push((before, after) => {
    if (before === null || before.cluster.uid !== after.cluster.uid) return
    if (before.cluster.status.master !== after.cluster.status.master) return
    const added = [...after.dbs.keys()].filter((uid) => !before.dbs.has(uid))
    const wanted = withDefaults(after.cluster.spec).maxStandbysPerSender
    const there = [...after.dbs.values()].filter(
      (db) => db.uid !== after.cluster.status.master && before.dbs.has(db.uid) && counts(after, db),
    )
    if (added.length > 0 && there.length + added.length > wanted)
      sim.fail(
        "D-21 no more than wanted",
        `${added.length} standbys added to ${there.length}; ${wanted} are wanted`,
      )
  })
}

/** It works, or is being made: nothing that the view tells speaks against it. */
function counts({ keepers }: ClusterData, db: DB): boolean {
  const { healthy, currentGeneration } = db.status
  if (db.spec.role !== "standby" || keepers.get(db.spec.keeperUID)?.status.healthy !== true)
    return false
  const making = currentGeneration === 0 && db.generation === 1
  return making || (healthy && currentGeneration === db.generation)
}
