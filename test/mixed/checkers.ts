/**
 * What must hold in a mixed cluster, told apart by who leads: our writes keep the order of the
 * protocol whoever obeys them; nobody of ours ever does to a Go component what it cannot take (G8,
 * G13, G14).
 */
import { type ClusterData, encodeClusterData } from "#model/cluster.ts"
import { encode } from "#model/codec.ts"
import { KeeperInfo, ProxyInfo } from "#model/info.ts"
import type { Published } from "#port/store.ts"
import { unmarshal } from "#test/peers/codec.ts"
import { GoKeeperInfo, GoProxyInfo, readGo } from "#test/peers/documents.ts"
import { checkGateOrder } from "#test/sim/checkers/gate-order.ts"
import { checkNoLostCommit } from "#test/sim/checkers/no-lost-commit.ts"
import { checkOneWriter } from "#test/sim/checkers/one-writer.ts"
import { checkTruth } from "#test/sim/checkers/truth.ts"
import type { Sim } from "#test/sim/sim.ts"
import type { Maker } from "./mixed.ts"

type Written = Sim["store"]["core"]["listeners"]["written"][number]

export function watchMixed(sim: Sim, makerOf: (keeper: string) => Maker): void {
  const ours: Written[] = []
  checkGateOrder({
    ...sim,
    store: {
      ...sim.store,
      core: { ...sim.store.core, listeners: { ...sim.store.core.listeners, written: ours } },
    },
  })
  let led = false
  sim.store.core.listeners.written.push((before, after) => {
    const mine = after.cluster.status.writer !== ""
    led ||= !mine && after.cluster.status.phase === "normal"
    readGo(encodeClusterData(after)) // a Go component can read everything that is ever written
    if (before === null) return
    if (mine) for (const judge of ours) judge(before, after)
    demotion(sim, before, after, makerOf)
    generations(sim, before, after)
  })
  sim.store.core.listeners.published.push((what) => readable(sim, what))
  checkTruth(sim)
  // Where a Go leader had a hand in it, a promotion may overtake the old primary (D-78).
  checkOneWriter({ ...sim, fail: (promise, what) => (led ? undefined : sim.fail(promise, what)) })
  // Nor does a Go keeper always wait for its standby (D-03); one of ours does, whoever leads.
  const waits = (what: string): boolean =>
    what.includes("(synchronous)") && [...sim.hosts.keys()].every((k) => makerOf(k) === "ours")
  checkNoLostCommit({
    ...sim,
    fail: (promise, what) => (led && !waits(what) ? undefined : sim.fail(promise, what)),
  })
}

/** A Go leader can read whatever is published; a proxy without a timeout it would drop. */
function readable(sim: Sim, what: Published): void {
  if (what.kind === "keeper") unmarshal(GoKeeperInfo, encode(KeeperInfo, what.info))
  if (what.kind !== "proxy") return
  const { ProxyTimeout } = unmarshal(GoProxyInfo, encode(ProxyInfo, what.info))
  if (ProxyTimeout === 0) sim.fail("3.4", `proxy ${what.info.UID} published no timeout`)
}

/** G8: a Go keeper's primary is never made a standby in place. */
function demotion(
  sim: Sim,
  before: ClusterData,
  after: ClusterData,
  makerOf: (keeper: string) => Maker,
): void {
  for (const [uid, db] of after.dbs) {
    const old = before.dbs.get(uid)
    if (old?.spec.role !== "master" || db.spec.role === "master") continue
    if (makerOf(db.spec.keeperUID) === "go")
      sim.fail("G8", `DB ${uid} of the Go keeper ${db.spec.keeperUID} was demoted in place`)
  }
}

/** G5: a generation counts changes of the spec, one by one. */
function generations(sim: Sim, before: ClusterData, after: ClusterData): void {
  for (const [uid, { generation }] of after.dbs) {
    const old = before.dbs.get(uid)?.generation ?? generation
    if (generation < old || generation > old + 1)
      sim.fail("G5", `generation of DB ${uid} went from ${old} to ${generation}`)
  }
}
