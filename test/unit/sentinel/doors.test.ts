/** Which doors are watched, and what a look at them says (protocol D2, D4). */
import { describe, expect, test } from "bun:test"
import { decodeJson } from "#model/codec.ts"
import { infoUID, keeperUID } from "#model/ids.ts"
import { SentinelInfo, capabilities } from "#model/info.ts"
import { type Doors, doorsOf, foundAt, isAbout, isSuspicious, mayUnseat } from "#sentinel/doors.ts"
import { type World, world } from "./world.ts"

function watched(): World {
  const w = world({ failureDetection: "evidence" }).keeper("k1", "k2", "k3").settled()
  for (const k of ["k1", "k2", "k3"]) w.set(k, { says: { peerAddress: `${k}:9` } })
  w.tick()
  return w
}
const at = (w: World): Doors => {
  const doors = doorsOf(w.data, w.infos())
  if (doors === null) throw new Error("nothing is watched")
  return doors
}

describe("doorsOf()", () => {
  test("names those of the primary's keeper and of its PostgreSQL, and whom to ask", () => {
    expect(at(watched())).toMatchObject({
      keeper: "k1",
      peer: "k1:9",
      postgres: "10.0.0.1:5432",
      others: ["k2:9", "k3:9"],
      streaming: ["k2", "k3"],
    })
  })
  test("puts an IPv6 address in brackets", () => {
    const w = watched().set("k1", { reports: { listenAddress: "fd00::1" } })
    expect(at(w).postgres).toBe("[fd00::1]:5432")
  })
  test("is nothing while nobody asks for evidence", () => {
    const w = watched().spec({ failureDetection: "silence" })
    expect(doorsOf(w.data, w.infos())).toBeNull()
  })
})

test("a standby that loses its stream is suspicious, one that never had one is not", () => {
  const w = watched()
  const before = at(w)
  const now = at(w.set("k3", { streaming: false }))
  expect([isSuspicious(before, now), isSuspicious(now, now)]).toEqual([true, false])
})

test("what was found is about one word of the keeper", () => {
  const w = watched().set("k1", { mute: true })
  const doors = at(w)
  const found = foundAt(doors, "refused", "open")
  expect(found).toEqual({
    keeper: keeperUID("k1"),
    infoUID: doors.infoUID,
    peer: "refused",
    postgres: "open",
  })
  expect(found !== null && isAbout(found, at(w))).toBe(true)
  expect(found !== null && isAbout(found, at(w.set("k1", { mute: false })))).toBe(false)
  expect(foundAt(doors, "open", "open")).toBeNull()
})

test("only a leader that knows of it may lose its office to who finds its door closed (D4)", () => {
  const w = watched()
  const info = { ...decodeJson(SentinelInfo, {}), UID: "s1" as never, infoUID: infoUID("1") }
  const ours = { ...info, peerAddress: "s1:9", capabilities: [capabilities.evidence] }
  const infos = (one: SentinelInfo) => ({ ...w.infos(), sentinels: new Map([[one.UID, one]]) })
  expect(mayUnseat(infos(ours), "s1")).toBe("s1:9")
  expect(mayUnseat(infos({ ...ours, capabilities: [] }), "s1")).toBeNull()
  expect(mayUnseat(infos({ ...ours, peerAddress: "" }), "s1")).toBeNull()
  expect(mayUnseat(infos(ours), "s2")).toBeNull()
})
