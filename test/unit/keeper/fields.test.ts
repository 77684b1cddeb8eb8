/**
 * What each field of the specification makes a keeper do (reference 2.1), as far as it is a keeper
 * that does it: files, steps and their bounds. What leaders and proxies make of the others is shown
 * in their own folders.
 */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { dbUID, generation } from "#model/ids.ts"
import type { DBState } from "#model/local.ts"
import type { Spec } from "#model/spec.ts"
import type { Step } from "#model/step.ts"
import { db, followsOther, other, view } from "./build.ts"
import { type Machine, dir, emptyMachine } from "./model.ts"
import { type Run, kinds, settle } from "./run.ts"

const applied: DBState = {
  uid: dbUID("db1"),
  generation: generation(1),
  initializing: false,
  initPGParameters: null,
}
const stopped: Machine = { ...emptyMachine, db: applied, data: dir("old") }
const primary = (change: Partial<DB["spec"]> = {}, spec: Partial<Spec> = {}): ClusterData =>
  view({ spec, dbs: [db("db1", change), other()] })
const conf = ({ machine }: Run): ReadonlyMap<string, string> => machine.server?.conf ?? new Map()
const hba = ({ machine }: Run): readonly string[] =>
  (machine.server?.hba ?? "").split("\n").filter((line) => line !== "")

function step<K extends Step["kind"]>(run: Run, kind: K): Extract<Step, { kind: K }> {
  for (const point of run.points)
    if (point.step.kind === kind) return point.step as Extract<Step, { kind: K }> // by its kind
  throw new Error(`no ${kind} in ${kinds(run).join(", ")}`)
}

describe("bounds", () => {
  const spec = {
    requestTimeout: duration(7_000),
    dbWaitReadyTimeout: duration(8_000),
    syncTimeout: duration(9_000),
  }
  test("dbWaitReadyTimeout is how long a started PostgreSQL may take", () => {
    expect(step(settle(stopped, primary({}, spec)), "wait-ready").timeout).toBe(millis(8_000))
    expect(step(settle(stopped, primary()), "wait-ready").timeout).toBe(millis(60_000))
  })
  test("requestTimeout bounds a reload and the proof of synchronous names", () => {
    const sync = { synchronousReplication: true, synchronousStandbys: [dbUID("db2")] }
    const run = settle({ ...stopped, inSync: [dbUID("db2")] }, primary(sync, spec))
    expect(step(run, "reload").timeout).toBe(millis(7_000))
    expect(step(run, "prove-sync").timeout).toBe(millis(7_000))
  })
  test("syncTimeout bounds the restore command and the recovery after it; 0 does not", () => {
    const pitr = {
      initMode: "pitr",
      pitrConfig: { dataRestoreCommand: "restore %d" },
    } as const
    for (const [given, bound] of [
      [spec, 9_000],
      [{}, 0],
    ] as const) {
      const run = settle(emptyMachine, primary(pitr, given))
      expect(step(run, "restore")).toMatchObject({ command: "restore %d", timeout: bound })
      expect(step(run, "wait-recovered").timeout).toBe(millis(bound))
    }
  })
})

describe("what is asked of PostgreSQL", () => {
  test("newConfig is what initdb is told", () => {
    const newConfig = { locale: "C", encoding: "UTF8", dataChecksums: true }
    const run = settle(emptyMachine, primary({ initMode: "new", newConfig }))
    expect(step(run, "initdb").config).toEqual(newConfig)
    expect(step(settle(emptyMachine, primary({ initMode: "new" })), "initdb").config).toBeNull()
  })
  test("maxStandbys and additionalWalSenders make room for slots and senders", () => {
    const run = settle(stopped, primary({ maxStandbys: 6, additionalWalSenders: 3 }))
    expect(conf(run).get("max_replication_slots")).toBe("6")
    expect(conf(run).get("max_wal_senders")).toBe(String(2 * 6 + 2 + 3))
  })
  test("usePgrewind writes hint bits to the WAL", () => {
    expect(conf(settle(stopped, primary({ usePgrewind: true }))).get("wal_log_hints")).toBe("on")
    expect(conf(settle(stopped, primary())).get("wal_log_hints")).not.toBe("on")
  })
  test("additionalReplicationSlots are made with the prefix, and dropped when they go", () => {
    const first = settle(stopped, primary({ additionalReplicationSlots: ["audit"] }))
    expect(first.machine.data?.slots).toEqual(["stolon_audit"])
    expect(settle(first.machine, primary()).machine.data?.slots).toEqual([])
  })
  test("pgParameters that are changed are loaded, and those that are removed are gone", () => {
    const asked = (...entries: readonly (readonly [string, string])[]): ClusterData =>
      primary({ pgParameters: new Map(entries) })
    const first = settle(stopped, asked(["work_mem", "8MB"], ["log_statement", "ddl"]))
    expect(conf(first).get("work_mem")).toBe("8MB")
    const then = settle(first.machine, asked(["work_mem", "9MB"]))
    expect(conf(then).get("work_mem")).toBe("9MB")
    expect(conf(then).has("log_statement")).toBeFalse()
    expect(kinds(then).slice(0, 2)).toEqual(["write-config", "reload"])
    expect(kinds(then)).not.toContain("stop")
  })
  test("a parameter that needs a restart waits for one, unless automaticPgRestart is set", () => {
    const up = settle(stopped, primary()).machine
    const change = { pgParameters: new Map([["max_connections", "50"]]) }
    const waits = settle(up, primary(change))
    expect(kinds(waits)).not.toContain("stop")
    expect(waits.machine.server?.restartNeeded).toBeTrue()
    const restarts = settle(waits.machine, primary(change, { automaticPgRestart: true }))
    expect(kinds(restarts).slice(0, 2)).toEqual(["stop", "start"])
    expect(restarts.machine.server?.restartNeeded).toBeFalse()
  })
})

describe("who may connect", () => {
  const rules = (change: Partial<DB["spec"]>): readonly string[] =>
    hba(settle(stopped, primary(change)))
  const everybody = ["host all all 0.0.0.0/0 md5", "host all all ::0/0 md5"]
  const own = rules({ pgHBA: [] })

  test("pgHBA null lets everybody in with a password, an empty one only stolon itself", () => {
    expect(rules({ pgHBA: null })).toEqual([...own, ...everybody])
    expect(own).toContain("local replication repluser md5")
    expect(own.filter((rule) => !/ (postgres|repluser) /.test(rule))).toEqual([])
  })
  test("pgHBA given follows our own rules, in its order, as it was typed", () => {
    const given = ["hostssl  b u2 ::/0 cert", "host a u1 10.0.0.0/8 md5"]
    expect(rules({ pgHBA: given })).toEqual([...own, ...given])
  })
  test("defaultSUReplAccessMode strict names the addresses of the peers, all names none", () => {
    const strict = hba(settle(stopped, primary({}, { defaultSUReplAccessMode: "strict" })))
    expect(strict).toContain("host all postgres 10.0.0.12/32 md5")
    expect(strict).not.toContain("host all postgres 0.0.0.0/0 md5")
    expect(hba(settle(stopped, primary()))).toContain("host all postgres 0.0.0.0/0 md5")
  })
})

test("a standby follows the DB that it is told to by its address, name and slot", () => {
  const data = dir("old", { files: { conf: "", hba: "", signal: "standby" } })
  const seen = view({ master: "db2", dbs: [db("db1", followsOther), other()] })
  const run = settle({ ...stopped, data }, seen)
  expect(conf(run).get("primary_conninfo")).toBe(
    "application_name=stolon_db1 host=10.0.0.12 password=replpw port=5433 sslmode=prefer user=repluser",
  )
  expect(conf(run).get("primary_slot_name")).toBe("stolon_db1")
})
