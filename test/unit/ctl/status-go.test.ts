/** Go's `status`, byte for byte, in every recorded state. */
import { describe, expect, test } from "bun:test"
import { goStatusJson, goStatusText } from "#ctl/status-go.ts"
import { document, golden, noInfos, recorded } from "./golden.ts"

const states = [
  "initializing-no-keepers",
  "initializing",
  "healthy",
  "healthy-3",
  "keeper-dead",
  "sync",
  "no-db-assigned",
  "after-failkeeper",
]

describe.each(states)("in state %s", (name) => {
  test("goStatusText() prints the recorded bytes", () => {
    expect(goStatusText(recorded(name))).toBe(golden(`status-${name}.txt`))
  })
  test("goStatusJson() prints the recorded bytes", () => {
    expect(`${goStatusJson(recorded(name))}\n`).toBe(golden(`status-${name}.json`))
  })
})

describe.each(["synthetic-tree", "synthetic-no-master"])("on the hand-made document %s", (name) => {
  const found = {
    data: document(JSON.parse(golden(`status-${name}.input.json`))),
    infos: noInfos,
    leader: null,
  }
  test("goStatusText() prints the recorded bytes", () => {
    expect(goStatusText(found)).toBe(golden(`status-${name}.txt`))
  })
  test("goStatusJson() prints the recorded bytes", () => {
    expect(`${goStatusJson(found)}\n`).toBe(golden(`status-${name}.json`))
  })
})

test("goStatusText() ends on followers that go round in a circle", () => {
  const db = (uid: string, follower: string) => ({
    uid,
    spec: { keeperUID: `k${uid}`, followers: [follower] },
  })
  const data = document({
    cluster: { spec: { initMode: "new" }, status: { master: "a" } },
    keepers: {},
    dbs: { a: db("a", "b"), b: db("b", "a") },
  })
  const text = goStatusText({ data, infos: noInfos, leader: null })
  expect(text).toEndWith("===== Keepers/DB tree =====\n\nka (master)\n└─kb\n\n")
})
