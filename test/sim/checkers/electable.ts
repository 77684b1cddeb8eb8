/**
 * O3: who is elected is in the view's electable set, and in the one that the old primary knows: it
 * may have prolonged its lease by the promises of all others. D4: an office is taken only from a
 * sentinel that has ended.
 */
import type { ClusterData, Electable } from "#model/cluster.ts"
import type { Sim } from "../sim.ts"

export function checkElectable(sim: Sim): void {
  const told = new Map<string, Electable | undefined>()
  // one that is revoked says nothing of sets any more, and what was under way comes late
  const words = new Set<string>()
  const { listeners } = sim.store.core
  listeners.published.push((what) => {
    if (what.kind !== "keeper") return
    const { uid, electable } = what.info
    told.set(uid, electable)
    if (electable !== undefined) words.add(electable.word)
  })
  listeners.written.push((before, after) => {
    if (before === null || before.cluster.uid !== after.cluster.uid) return
    const from = before.cluster.status.master
    const to = after.cluster.status.master
    if (from === "" || to === "" || from === to) return
    const last = told.get(before.dbs.get(from)?.spec.keeperUID ?? "")
    const why = outside(before, after, last, (word) => words.has(word))
    if (why !== null) sim.fail("O3 electable", why)
  })
  listeners.unseated.push((uid) => {
    const state = sim.sentinels.get(uid)?.state
    if (state !== undefined && state !== "dead")
      sim.fail("D4 unseated", `${uid} lost its office and is ${state}`)
  })
}

function outside(
  before: ClusterData,
  after: ClusterData,
  told: Electable | undefined,
  /** The primary has published that it took this set in. */
  isTaken: (word: string) => boolean,
): string | null {
  const { electable } = before.cluster.status
  const { master } = after.cluster.status
  const { keeperUID = "" } = after.dbs.get(master)?.spec ?? {}
  if (electable === undefined && told === undefined) return null
  if (electable !== undefined && !electable.dbs.includes(master))
    return `${keeperUID} was elected and is not in the electable set`
  const known =
    electable === undefined
      ? told === undefined || told.ended || told.dbs.includes(master)
      : isTaken(electable.word) || !electable.joining.includes(master)
  return known ? null : `${keeperUID} was elected, whom the primary would not ask for a promise`
}
