/** Whose uid it is: the keeper that is there stays, its own leavings hold nobody up (D-16, T11). */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { type Claim, type Claimant, claim } from "#keeper/claim.ts"
import { desire } from "#keeper/desire.ts"
import { keeperInfo } from "#keeper/info.ts"
import { bootUUID, dbUID, infoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import { boot, db, me, settings, view } from "./build.ts"
import { emptyMachine, observe } from "./model.ts"

const own: Claimant = { boot, db: dbUID("db1"), sleepInterval: millis(5_000) }
const open: Claim = { kind: "open" }

/** What another process published under the same uid. */
function published(infoUid: string, dbUid = "db7", by = "boot-9"): KeeperInfo {
  const seen = view({ dbs: [db(dbUid)] })
  const desired = desire(seen, { uid: me, boot, certificate: null })
  const who = { ...settings, boot: bootUUID(by) }
  const local = observe({ ...emptyMachine, db: { ...emptyMachine.db, uid: dbUID(dbUid) } })
  const made = keeperInfo(
    { local, settings: who, desired, work: "", ledByUs: true },
    infoUID(infoUid),
  )
  if (made === null) throw new Error("nothing published")
  return made
}

/** The states after each look, one second apart unless told otherwise. */
function looks(infos: readonly (KeeperInfo | undefined)[], who = own, every = 1_000): string {
  let state = open
  const words = infos.map((info, i) => {
    state = claim(state, info, who, millis(i * every))
    return state.kind
  })
  return words.join(" ")
}

describe("claim()", () => {
  test("D-16 takes a uid that nobody uses at once", () => {
    expect(looks([undefined])).toBe("mine")
  })
  test("D-16 leaves it to a keeper that lives, for as long as that one publishes", () => {
    const there = ["a", "b", "b", "c", "d"].map((uid) => published(uid))
    expect(looks(there, own, 5_000)).toBe("watched taken taken taken taken")
  })
  test("D-16 takes it over when the other has been silent for more than two of its beats", () => {
    const a = published("a")
    expect(
      looks([a, published("b"), ...Array.from({ length: 3 }, () => published("b"))], own, 5_000),
    ).toBe("watched taken taken taken mine")
    expect(looks([a, a, a, a], own, 5_000)).toBe("watched watched watched mine")
  })
  test("D-16 silence counts only while the store could be read (W6)", () => {
    const [a, b] = [published("a"), published("b")]
    // one look, then nothing can be read for a minute, by nobody
    let state = claim(claim(open, a, own, millis(0)), a, own, millis(60_000))
    expect(state.kind).toBe("watched")
    state = claim(state, b, own, millis(61_000))
    expect(state.kind).toBe("taken")
    // nor is it waited for ever: each look counts for something
    for (let i = 1; state.kind === "taken"; i++) {
      expect(i).toBeLessThan(4)
      state = claim(state, b, own, millis(61_000 + i * 60_000))
    }
    expect(state.kind).toBe("mine")
  })
  test("D-16 takes it over when the other's info is gone", () => {
    expect(looks([published("a"), published("b"), undefined])).toBe("watched taken mine")
  })
  test("T11 knows what an earlier life left: the same supervision, or the DB that lies here", () => {
    expect(looks([published("a", "db7", boot)])).toBe("mine")
    expect(looks([published("a", "db1", "boot-0")])).toBe("mine")
  })
  test("D-16 an empty directory is no proof: a keeper without a DB may live elsewhere", () => {
    expect(looks([published("a", "", "boot-0")], { ...own, db: dbUID("") })).toBe("watched")
  })
  test("D-16 is not taken for an earlier life once it was seen to live", () => {
    const watch = { last: infoUID("a"), looked: millis(0), quiet: millis(0) }
    const copied = { kind: "taken", ...watch } as const
    expect(claim(copied, published("b", "db1"), own, millis(1_000)).kind).toBe("taken")
  })
})
