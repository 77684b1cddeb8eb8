/** What `status` says of fencing, promises and requests. */
import { describe, expect, test } from "bun:test"
import { decodeJson } from "#model/codec.ts"
import { sentinelUID } from "#model/ids.ts"
import { KeeperInfo } from "#model/info.ts"
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { safetyLines } from "#ctl/safety.ts"
import { facts } from "#ctl/status.ts"
import { statusJson, statusText } from "#ctl/status-text.ts"
import { keeper, noInfos, threeKeepers } from "./golden.ts"

/** Three keepers, led by s1; `spec` and `status` of the cluster, and what keepers publish. */
function look(spec: object, status: object = {}, infos: Readonly<Record<string, object>> = {}) {
  const document = JSON.parse(encodeClusterData(threeKeepers(status)))
  document.cluster.spec = { ...document.cluster.spec, ...spec }
  const keepers = Object.entries(infos).map(
    ([uid, info]) => [keeper(uid), decodeJson(KeeperInfo, { uid, ...info })] as const,
  )
  const data = decodeClusterData(JSON.stringify(document))
  const leader = sentinelUID("s1")
  return facts("prod", { data, leader, infos: { ...noInfos, keepers: new Map(keepers) } })
}
const lines = (...it: Parameters<typeof look>): readonly string[] => safetyLines(look(...it).safety)

describe("safetyLines()", () => {
  test("says whether fencing is on, and under which lease the primary runs", () => {
    expect(lines({})).toEqual(["Fencing: off, as in Go stolon"])
    expect(lines({ selfFencing: false })).toEqual(["Fencing: off, by the specification"])
    expect(lines({ selfFencing: true })).toEqual(["Fencing: on, no primary runs under a lease yet"])
    expect(lines({ selfFencing: true }, {}, { pg1: { fencing: { lease: "2.5s" } } })).toEqual([
      "Fencing: on, the primary runs under a lease of 2.5 s",
    ])
  })
  test("L6 says that the specification lost the setting while keepers keep to it", () => {
    expect(lines({}, {}, { pg1: { fencing: { lease: "2.5s" } } })[0]).toContain(
      "the specification has lost the setting",
    )
  })
  test("says who has no endpoint for peers, and who has promised", () => {
    const infos = {
      pg1: { capabilities: ["promise"], peerAddress: "h:1" },
      pg2: { capabilities: ["promise"] },
      pg3: { capabilities: ["promise"], peerAddress: "h:3", promise: { keeper: "pg1" } },
    }
    expect(lines({ selfFencing: true }, {}, infos).slice(1)).toEqual([
      "Peers: off on pg2; without them the primary stops when the store is gone (no replication password?)",
      "Promise: pg3 promotes nobody while pg1 cannot reach the store",
    ])
  })
  test("tells a switchover under way and a request that was refused, not one that was done", () => {
    const switchover = { nonce: "n1", keeper: "pg2", drain: "5s", phase: "hold" }
    const refused = { nonce: "n0", done: false, why: "pg2 lags 1 GB" }
    expect(lines({}, { switchover, answered: refused }).slice(1)).toEqual([
      "Switchover: to pg2, hold (request n1)",
      "Last request: not as asked: pg2 lags 1 GB",
    ])
    expect(lines({}, { answered: { nonce: "n0", done: true } })).toHaveLength(1)
  })
})

test("status in the hold of a switchover waits for that, and not for the primary to be ready", () => {
  const switchover = { nonce: "n1", keeper: "pg2", drain: "5s", phase: "hold" }
  const held = look({}, { switchover })
  const closed = { ...held, primary: held.primary && { ...held.primary, gateOpen: false } }
  expect(statusText(closed)).toContain("Primary: pg1, clients are held for a switchover")
  expect(held.waiting).toContainEqual({
    code: "switchover",
    text: "the leader to finish the switchover to pg2 (hold)",
  })
  expect(JSON.parse(statusJson(held)).safety.switchover).toEqual({
    request: "n1",
    keeper: "pg2",
    phase: "hold",
    waiting: null,
  })
})
