/** Whose timelines a copy has, and what its keeper does about them (W9). */
import { describe, expect, test } from "bun:test"
import { parseConf } from "#keeper/conf.ts"
import { keeperInfo } from "#keeper/info.ts"
import { kinship, lineageHere, lineageName } from "#keeper/lineage.ts"
import { dbUID, generation, infoUID } from "#model/ids.ts"
import { db, followsOther, other, settings, view } from "./build.ts"
import { type Machine, dir, emptyMachine, observe, stopped } from "./model.ts"
import { kinds, settle } from "./run.ts"

const conf = (lineage: string): string => `${lineageName} = '${lineage}'\n`
/** A standby as DB db1, stopped, on a timeline, whose file says `lineage`. */
const standby = (
  timeline: number,
  lineage: string | null,
  change: Partial<Machine> = {},
): Machine => ({
  ...emptyMachine,
  db: { uid: dbUID("db1"), generation: generation(1), initializing: false, initPGParameters: null },
  data: dir("old", {
    timeline,
    state: "shut down in recovery",
    files: { conf: lineage === null ? "" : conf(lineage), hba: "", signal: "standby" },
  }),
  ...change,
})
const said = (machine: Machine): string => {
  const text = parseConf(machine.data?.files?.conf ?? "").get(lineageName)
  return text ?? ""
}
const follow = (status: Parameters<typeof other>[1] = {}) =>
  view({ master: "db2", dbs: [db("db1", followsOther), other({}, status)] })

describe("the lineage in the configuration", () => {
  test("a primary of timeline 1 names itself; nobody is named for timeline 1", () => {
    const fresh = { ...standby(1, null), data: dir("old") }
    const run = settle(fresh, view({ dbs: [db("db1"), other()] }))
    expect(said(run.machine)).toBe("db1")
  })
  test("a standby names whom it followed before, and whom it follows now, in one write", () => {
    const run = settle(standby(1, "dbx"), follow())
    expect(said(run.machine)).toBe("db2")
    const later = settle(standby(2, "dbx"), follow({ timelineID: 3 }))
    expect(said(later.machine)).toBe("2:dbx db2")
    // and says the same for as long as it follows the same
    expect(said(settle(later.machine, follow({ timelineID: 4 })).machine)).toBe("2:dbx db2")
  })
  test("a directory that does not tell has timelines of nobody knows whom", () => {
    expect(said(settle(standby(2, null), follow()).machine)).toBe("2:? db2")
    expect(lineageHere(observe(standby(2, null)))).toEqual([{ timeline: 2, db: null }])
    expect(lineageHere(observe(standby(2, "2:a:b")))).toEqual([{ timeline: 2, db: null }])
  })
  test("a promotion says before it promotes that what comes is its own", () => {
    const primary = view({ dbs: [db("db1"), other()] })
    const run = settle(standby(2, "dbx"), primary)
    const at = run.points.find(({ step }) => step.kind === "promote")?.machine
    expect(at === undefined ? "" : said(at)).toBe("2:dbx db1")
    const local = observe(run.machine)
    expect(lineageHere(local).at(-1)).toEqual({ timeline: 3, db: dbUID("db1") })
    const report = { local, settings, desired: null, work: "", ledByUs: true }
    expect(
      keeperInfo({ ...report, local: { ...local, keeper: { ...local.keeper } } }, infoUID("i"))
        ?.postgresState?.lineage,
    ).toBe("2:dbx 3:db1")
  })
})

describe("kinship()", () => {
  const of = (timeline: number, lineage: string | null, status = {}, spec = {}): string =>
    kinship(observe(standby(timeline, lineage)), other(spec, { lineage: "2:db2", ...status }))
  test("a timeline that another DB began is a stranger's, under whatever number it stands", () => {
    expect(of(2, "dbx")).toBe("stranger")
    expect(of(2, "2:dbx db2")).toBe("stranger")
    expect(of(2, "2:dbx dby", { lineage: "2:dby 3:db2", timelineID: 3 })).toBe("stranger")
    expect(of(2, "db2")).toBe("kin")
    expect(of(1, "dbx")).toBe("kin")
  })
  test("what nobody knows is not judged", () => {
    expect(of(2, null)).toBe("kin")
    expect(of(2, "2:? dbx")).toBe("kin")
    expect(of(2, "2:dbx db2", { lineage: "2:?" })).toBe("kin")
  })
  test("the primary of a Go keeper is judged by the timeline on which it serves", () => {
    expect(of(2, "dbx", { lineage: "" })).toBe("stranger")
    expect(of(2, "dbx", { lineage: "", currentGeneration: generation(2) })).toBe("kin")
  })
  test("who is further than the elected one waits for its promotion", () => {
    const elected = { lineage: "2:dby", timelineID: 2, currentGeneration: generation(2) }
    expect(of(3, "dbx", elected)).toBe("unsure")
    expect(of(2, "dby", elected)).toBe("kin")
    expect(of(3, "2:dby dbx", { lineage: "2:dby 3:db2", timelineID: 3 })).toBe("stranger")
    expect(of(3, "dbx", { lineage: "2:dby 4:db2", timelineID: 4 })).toBe("kin")
  })
})

test("what left the history of a primary that was put back may be rewound: numbers tell (W7)", () => {
  const first = other({}, { lineage: "", timelineID: 1, timelinesHistory: [] })
  expect(kinship(observe(standby(2, "dbx")), first)).toBe("kin")
})

describe("a standby of another DB's timeline", () => {
  const twin = follow({ lineage: "2:db2" })
  test("is copied afresh, never followed with, never rewound, and its old directory is kept", () => {
    for (const running of [false, true]) {
      const before = standby(2, "2:dbx dbx")
      const start = running
        ? settle(before, follow({ lineage: "2:dbx", currentGeneration: generation(2) })).machine
        : before
      const run = settle(start, twin)
      expect(kinds(run)).toContain("clone")
      expect(kinds(run)).not.toContain("rewind")
      for (const { machine, step } of run.points)
        if (machine.data?.origin === "old" && step.kind === "start")
          expect(parseConf(machine.data.files?.conf ?? "").has("primary_conninfo")).toBeFalse()
      expect(run.machine.data?.origin).toBe("copy")
      // set aside, until the copy has streamed
      expect(kinds(run)).not.toContain("discard-data")
      expect(kinds(run).indexOf("remove-asides")).toBeGreaterThan(kinds(run).lastIndexOf("start"))
    }
  })
  test("stays as it is while its primary is not well", () => {
    const run = settle(standby(2, "2:dbx dbx"), follow({ lineage: "2:db2", healthy: false }))
    expect(kinds(run)).not.toContain("clone")
    expect(run.machine.data?.origin).toBe("old")
  })
  test("is not rewound when it is assigned anew either", () => {
    const assigned = view({
      master: "db2",
      dbs: [
        db("db3", { initMode: "resync", usePgrewind: true, ...followsOther }),
        other({ followers: [dbUID("db3")] }, { lineage: "2:db2" }),
      ],
    })
    const run = settle(stopped(standby(2, "2:dbx dbx"), true), assigned)
    expect(kinds(run)).toContain("clone")
    expect(kinds(run)).not.toContain("rewind")
  })
})
