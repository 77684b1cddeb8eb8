/**
 * The order in which the view may change (protocol part 3): depose before promote, promote only
 * what is fenced and best, open the gate only to a primary that is one. Judged at every write of
 * the cluster data, against what is true and not only what is known.
 */
import type { ClusterData } from "#model/cluster.ts"
import { isLedByUs } from "#model/cluster.ts"
import { withDefaults } from "#model/spec.ts"
import type { Sim } from "../sim.ts"
import { checkElection } from "./election.ts"
import { mayAcknowledge } from "./fenced.ts"

export function checkGateOrder(sim: Sim): void {
  const election = checkElection(sim)
  sim.store.core.listeners.written.push((before, after) => {
    consistent(sim, after)
    if (before === null || before.cluster.uid !== after.cluster.uid) return
    const from = before.cluster.status.master
    const to = after.cluster.status.master
    if (before.proxy.spec.masterDbUid === "" && after.proxy.spec.masterDbUid !== "")
      opened(sim, before, after)
    if (from !== "" && to !== "" && from !== to) {
      promotedInOrder(sim, before, after)
      fenced(sim, before, after)
      election.judge(before, after)
    }
    const closes = before.proxy.spec.masterDbUid !== "" && after.proxy.spec.masterDbUid === ""
    if (closes && after.proxy.generation <= before.proxy.generation)
      sim.fail("W1", "the gate was closed without a new proxy generation")
  })
}

/** What must hold of every view. */
function consistent(sim: Sim, { cluster, proxy }: ClusterData): void {
  const { masterDbUid } = proxy.spec
  if (masterDbUid === "") return
  if (masterDbUid !== cluster.status.master)
    sim.fail("W1", `the gate is open to ${masterDbUid}, which is not the primary`)
  if (cluster.status.primaryRevoked) sim.fail("W1", "the gate is open to a revoked primary")
}

/** The gate opens on healthy, converged, not in recovery (W3). */
function opened(sim: Sim, before: ClusterData, after: ClusterData): void {
  const db = after.dbs.get(after.proxy.spec.masterDbUid)
  if (db === undefined) return sim.fail("W3", "the gate was opened to a DB that does not exist")
  // `failkeeper` makes a healthy primary look unhealthy for one write, whoever could take over.
  const forced = before.keepers.get(db.spec.keeperUID)?.status.forceFail === true
  if (!db.status.healthy && !forced) sim.fail("W3", "the gate was opened to an unhealthy primary")
  const instance = sim.hosts.get(db.spec.keeperUID)?.instance ?? null
  if (instance === null) return // it may have died since it was seen
  const standbyCluster = withDefaults(after.cluster.spec).role === "standby"
  if (instance.phase === "up" && instance.inRecovery && !standbyCluster)
    sim.fail("W3", `the gate was opened to ${db.spec.keeperUID}, which is in recovery`)
}

function promotedInOrder(sim: Sim, before: ClusterData, after: ClusterData): void {
  const words = `${before.cluster.status.master} to ${after.cluster.status.master}`
  if (before.proxy.spec.masterDbUid !== "")
    sim.fail("W1 before W2", `promoted from ${words} with the gate open`)
  if (isLedByUs(before) && !before.cluster.status.primaryRevoked)
    sim.fail("W1 before W2", `promoted from ${words} without revoking first`)
  if (after.proxy.spec.masterDbUid !== "")
    sim.fail("W2", `the gate was opened in the write that promoted ${words}`)
}

/**
 * Behind the fence that the write names, the old primary acknowledges nothing any more; where
 * proxies are all there is, none that runs may still send clients to it.
 */
function fenced(sim: Sim, before: ClusterData, after: ClusterData): void {
  const old = before.dbs.get(before.cluster.status.master)
  if (old === undefined) return
  const { fencedBy } = after.cluster.status
  if (fencedBy !== "" && fencedBy !== "proxies") {
    const why = mayAcknowledge(sim, old, after)
    if (why !== null) sim.fail("L3 fenced", `promoted behind ${fencedBy}, and ${why}`)
    return
  }
  for (const [name, { process, route }] of sim.relays) {
    if (process.state !== "running" || route.kind !== "forward") continue
    if (route.host === old.status.listenAddress)
      sim.fail("W2 fenced", `${name} still forwards to the old primary ${route.host}`)
  }
  for (const [name, { relay, spread }] of sim.readers) {
    if (relay.process.state !== "running") continue
    const places = [...spread.to.flat(), ...spread.leaving]
    if (places.some(({ host }) => host === old.status.listenAddress))
      sim.fail("W2 fenced", `${name} still leads reads to the old primary of ${old.spec.keeperUID}`)
  }
}
