/** The changes that `ctl` makes, as values. */
import { describe, expect, test } from "bun:test"
import type { ClusterData } from "#model/cluster.ts"
import type { Nonce } from "#model/ids.ts"
import { type Edited, failKeeper, promoteCluster, removeKeeper, signed } from "#ctl/edit.ts"
import { requestFailover } from "#ctl/request.ts"
import { document, keeper, threeKeepers } from "./golden.ts"

const nonce = "n1" as Nonce
const message = (edited: Edited): string => (edited.kind === "edited" ? "edited" : edited.message)
function data(edited: Edited): ClusterData {
  if (edited.kind !== "edited") throw new Error(edited.message)
  return edited.data
}

describe("failKeeper()", () => {
  test("marks the keeper and nothing else", () => {
    const before = threeKeepers()
    const after = data(failKeeper(keeper("pg1"), "strict")(before))
    expect(after.keepers.get(keeper("pg1"))?.status.forceFail).toBe(true)
    expect(after.keepers.get(keeper("pg2"))).toBe(before.keepers.get(keeper("pg2")))
    expect(before.keepers.get(keeper("pg1"))?.status.forceFail).toBe(false)
  })
  test("refuses an unknown keeper, each dialect in its words", () => {
    expect(message(failKeeper(keeper("pg9"), "go")(threeKeepers()))).toBe("keeper doesn't exist")
    expect(message(failKeeper(keeper("pg9"), "strict")(threeKeepers()))).toBe(
      "there is no keeper pg9; did you mean pg1? (keepers: pg1, pg2, pg3)",
    )
  })
})

describe("removeKeeper()", () => {
  test("takes the keeper's DB along", () => {
    const after = data(removeKeeper(keeper("pg3"), "go")(threeKeepers()))
    expect([...after.keepers.keys()]).toEqual(["pg1", "pg2"] as never)
    expect([...after.dbs.keys()]).toEqual(["db1", "db2"] as never)
  })
  test("refuses the keeper of the primary", () => {
    expect(message(removeKeeper(keeper("pg1"), "go")(threeKeepers()))).toBe(
      "keeper assigned db is the current cluster master db.",
    )
  })
})

describe("promoteCluster()", () => {
  const standby = document({
    cluster: {
      spec: {
        initMode: "existing",
        existingConfig: { keeperUID: "k" },
        role: "standby",
        standbyConfig: {},
      },
      status: {},
    },
    keepers: {},
    dbs: {},
  })
  test("turns a standby cluster into one with a primary", () => {
    expect(data(promoteCluster("go")(standby)).cluster.spec.role).toBe("master")
  })
  test("has nothing to do on any other", () => {
    expect(promoteCluster("go")(threeKeepers())).toEqual({
      kind: "unchanged",
      message: "cluster spec role already set to master",
    })
  })
})

describe("requestFailover()", () => {
  const ask = (target: string | null, it = threeKeepers()) =>
    requestFailover(nonce, target === null ? null : keeper(target))(it)
  test("writes the wish, with or without a keeper", () => {
    expect(data(ask("pg2")).cluster.status.failoverRequest).toEqual({
      nonce,
      keeper: keeper("pg2"),
    })
    expect(data(ask(null)).cluster.status.failoverRequest).toEqual({ nonce, keeper: keeper("") })
  })
  test.each([
    ["pg1", {}, "keeper pg1 already has the primary"],
    ["pg9", {}, "there is no keeper pg9; did you mean pg1? (keepers: pg1, pg2, pg3)"],
    [
      "pg2",
      { phase: "initializing", master: "" },
      "the cluster has no primary yet; see: stolon ctl status",
    ],
    [
      "pg2",
      { primaryEpoch: "" },
      "the leading sentinel does not know this request (it is Go stolon's); use: stolon ctl failkeeper",
    ],
    [
      "pg2",
      { failoverRequest: { nonce: "other" } },
      "another failover is pending (request other); see: stolon ctl status",
    ],
  ])("refuses %s with status %j", (target, status, expected) => {
    expect(message(ask(target, threeKeepers(status)))).toBe(expected)
  })
  test("is the same again after its own request was written", () => {
    const once = data(ask("pg2"))
    expect(data(ask("pg2", once))).toEqual(once)
  })
})

test("signed() leaves its mark in the status", () => {
  expect(signed(threeKeepers(), nonce).cluster.status.writer).toBe(nonce)
})
