/** What `ctl failover` says while it watches. */
import { describe, expect, test } from "bun:test"
import type { ClusterData } from "#model/cluster.ts"
import type { Epoch, KeeperUID, Nonce } from "#model/ids.ts"
import { type Progress, type Watch, see } from "#ctl/failover.ts"
import { db, keeper, threeKeepers } from "./golden.ts"

const nonce = "n1" as Nonce
const pending = { failoverRequest: { nonce: "n1", keeper: "pg2" } }
const start = (target: KeeperUID | null = keeper("pg2")): Watch => ({
  nonce,
  before: db("db1"),
  epoch: "e1" as Epoch,
  target,
  begun: false,
  line: "",
})

/** pg2's DB is the primary; clients get through or not yet. */
function moved(open: boolean): ClusterData {
  const data = threeKeepers({ master: "db2" })
  const gate = db(open ? "db2" : "")
  return { ...data, proxy: { ...data.proxy, spec: { ...data.proxy.spec, masterDbUid: gate } } }
}

/** Lines and the last progress over a run of views. */
function run(
  views: readonly ClusterData[],
  watch = start(),
): { lines: string[]; progress: Progress } {
  const lines: string[] = []
  let progress: Progress = { kind: "waiting" }
  let current = watch
  for (const view of views) {
    const seen = see(current, view)
    current = seen.watch
    progress = seen.progress
    if (seen.line !== null) lines.push(seen.line)
  }
  return { lines, progress }
}

describe("see()", () => {
  test("tells each stage once and is done when clients get through", () => {
    const revoked = threeKeepers({ ...pending, primaryRevoked: true })
    const views = [threeKeepers(pending), threeKeepers(pending), revoked, moved(false), moved(true)]
    expect(run(views)).toEqual({
      lines: [
        "the request is written; waiting for the leading sentinel",
        "keeper pg1 is deposed; waiting until it is provably stopped",
        "keeper pg2 is chosen and becomes the primary",
        "keeper pg2 is the primary",
      ],
      progress: { kind: "done", keeper: keeper("pg2") },
    })
  })
  test("is done with any keeper when none was wanted", () => {
    expect(run([moved(true)], start(null)).progress).toEqual({
      kind: "done",
      keeper: keeper("pg2"),
    })
  })
  test("is not done while clients do not get through", () => {
    expect(run([moved(false)]).progress).toEqual({ kind: "waiting" })
  })
  test("is not done by another keeper's promotion", () => {
    expect(run([moved(true)], start(keeper("pg3"))).progress).toEqual({
      kind: "other",
      keeper: keeper("pg2"),
    })
  })
  test("sees a refusal: the request gone, nothing changed", () => {
    expect(run([threeKeepers(pending), threeKeepers()]).progress).toEqual({
      kind: "refused",
      why: null,
    })
  })
  test("tells the leader's reason, when the answer is to this request", () => {
    const answer = (to: string) => ({ answered: { nonce: to, why: "pg2: its keeper is silent" } })
    expect(run([threeKeepers(pending), threeKeepers(answer("n1"))]).progress).toEqual({
      kind: "refused",
      why: "pg2: its keeper is silent",
    })
    expect(run([threeKeepers(pending), threeKeepers(answer("n0"))]).progress).toEqual({
      kind: "refused",
      why: null,
    })
  })
  test("sees a reinstatement: deposed before, primary again", () => {
    const views = [threeKeepers({ primaryRevoked: true }), threeKeepers()]
    expect(run(views).progress).toEqual({ kind: "reinstated", why: null })
  })
  test("sees a reinstatement that happened between two looks by its new epoch", () => {
    const views = [threeKeepers(pending), threeKeepers({ primaryEpoch: "e2" })]
    expect(run(views).progress).toEqual({ kind: "reinstated", why: null })
  })
})
