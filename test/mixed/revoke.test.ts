/**
 * Between the write that deposes a primary (W1), the fence, and the write that promotes another
 * (W2), a Go leader may take over. What it reads and what it makes of it:
 *
 * | field of W1             | we write     | a Go leader                                         |
 * |-------------------------|--------------|-----------------------------------------------------|
 * | proxy.spec.masterDbUid  | empty        | waits for every active proxy, then sets it to       |
 * | proxy.generation        | one more     | cluster.status.master again, one generation more    |
 * | cluster.status.master   | as it was    | its primary; judged by its own timers from zero     |
 * | cluster.status.primary* | revoked      | does not know it, drops it with its first write     |
 * | dbs, their generations  | as they were | no convergence info is missing, nothing to panic of |
 * | keepers, dbs: healthy   | false if so  | believes it in its first round and elects at once   |
 *
 * So it either reopens the gate to the old primary, when that is well, or elects by its own rules
 * (D-78: without waiting for the proxies). The first is safe because its first write has dropped
 * the revocation before a later one opens the gate: a keeper of ours whose primary had stopped
 * reads that it is the primary again, under no epoch, and starts it.
 */
import { describe, expect, test, setDefaultTimeout } from "bun:test"
import { encodeClusterData } from "#model/cluster.ts"
import { keeperUID } from "#model/ids.ts"
import { type GoData, readGo } from "#test/peers/documents.ts"
import { failKeeper, failover } from "#test/sim/operator.ts"
import { type Maker, type Mixed, mixed } from "./mixed.ts"

setDefaultTimeout(60_000) // a busy machine; each takes a second

const makers: readonly Maker[] = ["ours", "go"]
type Moment = "depose" | "fence" | "promotion"
const moments: readonly Moment[] = ["depose", "fence", "promotion"]
type Reason = "is dead" | "was failed by an operator" | "is to be moved"
const reasons: readonly Reason[] = ["is dead", "was failed by an operator", "is to be moved"]

/** A cluster led by ours (s1), whose primary and standbys and proxies are made as the row says. */
function row(primary: Maker, standby: Maker, proxy: Maker, sync: boolean): Mixed {
  const go = [
    ...(primary === "go" ? ["k1"] : []),
    ...(standby === "go" ? ["k2", "k3"] : []),
    ...(proxy === "go" ? ["p1", "p2"] : []),
    "s2",
  ]
  const m = mixed({
    go,
    keepers: 3,
    sentinels: 2,
    proxies: 2,
    late: ["k2", "k3", "s2"], // so that k1 is the first primary, and ours the first to lead
    spec: { synchronousReplication: sync },
  })
  m.until("k1 to be there", () => m.primary() === "k1")
  m.start("k2")
  m.start("k3")
  m.rest()
  m.start("s2") // waits behind s1 for its turn
  m.run(2)
  return m
}

/** Kills our leader in the very moment of a write, or when the fence is there and unread. */
function stopAt(m: Mixed, moment: Moment, old: string): void {
  let stopped = false
  const stop = (due: boolean): void => {
    if (stopped || !due) return
    stopped = true
    m.kill("s1")
  }
  const { listeners } = m.sim.store.core
  listeners.written.push((_, { cluster: { status } }) => {
    if (moment === "depose") stop(status.primaryRevoked)
    if (moment === "promotion") stop(status.master !== old)
  })
  listeners.published.push(() => stop(moment === "fence" && fenced(m)))
  m.until(`our leader to stop at the ${moment}`, () => stopped)
}

/**
 * A primary of ours has certified, its standbys have let go of it, or, where neither is to come,
 * every proxy has acknowledged.
 */
function fenced(m: Mixed): boolean {
  const { cluster, proxy } = m.data()
  const { primaryRevoked, primaryEpoch } = cluster.status
  if (!primaryRevoked) return false
  const { keepers, proxies } = m.sim.store.core.infos()
  const info = keepers.get(keeperUID("k1"))
  if (info?.certificate?.epoch === primaryEpoch) return true
  if ([...keepers.values()].some((one) => one.postgresState?.detached === primaryEpoch)) return true
  const certifies = info?.capabilities.includes("certificate") === true
  if (certifies && m.sim.nodes.get("k1")?.wanted === true) return false
  return [...proxies.values()].every(({ Generation }) => Generation === proxy.generation)
}

const specs = (data: GoData): unknown =>
  [...data.dbs.values()].map(({ uid, generation, spec }) => [uid, generation, spec])

describe("W1 what a Go leader finds", () => {
  test("is a closed gate and nothing else: no spec and no generation has moved", () => {
    using m = row("ours", "ours", "ours", true)
    m.operator.change("failkeeper", failKeeper(keeperUID(m.primary())))
    m.until("the primary to be deposed", () => m.data().cluster.status.primaryRevoked)
    const at = m.writes.findIndex(({ data }) => data.cluster.status.primaryRevoked)
    const [before, after] = [m.writes[at - 1], m.writes[at]].map((write) =>
      write === undefined ? null : readGo(encodeClusterData(write.data)),
    )
    if (before === null || before === undefined || after === null || after === undefined)
      throw new Error("no such write")
    expect(specs(after)).toEqual(specs(before))
    expect(after.cluster.status).toEqual(before.cluster.status)
    expect(after.proxy).toEqual({
      ...before.proxy,
      generation: before.proxy.generation + 1,
      changeTime: after.proxy.changeTime,
      spec: { ...before.proxy.spec, masterDbUid: "" },
    })
  })
})

for (const moment of moments)
  describe(`W1 W2 a Go leader that takes over at the ${moment}`, () => {
    for (const primary of makers)
      for (const standby of makers)
        for (const proxy of makers)
          for (const reason of reasons) {
            const words = `primary ${primary}, standbys ${standby}, proxies ${proxy}, the primary ${reason}`
            test(words, () => {
              using m = row(primary, standby, proxy, standby === "ours" && primary === "ours")
              const old = m.data().cluster.status.master
              depose(m, reason)
              stopAt(m, moment, old)
              m.until("Go to lead", () => m.writes.at(-1)?.by === "go", 60)
              reopenedToTheTold(m, old)
              if (reason !== "is dead") m.rest()
              if (reason === "is to be moved" && moment !== "promotion")
                expect(m.primary()).toBe("k1")
              m.start("k1")
              m.start("s1")
              m.rest()
            })
          }
  })

function depose(m: Mixed, reason: Reason): void {
  if (reason === "is dead") return m.crash("k1")
  m.sim.troubles.begin("k1", reason, m.sim.world.now())()
  const change =
    reason === "is to be moved" ? failover(m.sim, keeperUID("")) : failKeeper(keeperUID("k1"))
  m.operator.change(reason, change)
}

/**
 * A gate that opens to the old primary opens in a view that no longer calls it revoked, and never
 * in the write that dropped the word: proxies and keeper have read the latter first.
 */
function reopenedToTheTold(m: Mixed, old: string): void {
  const open = (): boolean => m.data().proxy.spec.masterDbUid !== ""
  m.until("the gate to open", open, 120)
  const at = m.writes.findLastIndex(({ data }) => data.proxy.spec.masterDbUid === "")
  const [closed, opened] = [m.writes[at], m.writes[at + 1]]
  if (closed === undefined || opened === undefined) throw new Error("the gate was never closed")
  if (opened.data.proxy.spec.masterDbUid !== old) return
  expect(opened.data.cluster.status.primaryRevoked).toBe(false)
}
