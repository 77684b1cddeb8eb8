/**
 * What needs a restart of PostgreSQL, what only a reload, and whose turn it is (D-45, D-46, D-55,
 * D-73, T11).
 */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import { lsn } from "#base/lsn.ts"
import { emptyMemory } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import { desire } from "#keeper/desire.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { dbUID, generation, infoUID, keeperUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { DBState } from "#model/local.ts"
import { keeperInfo } from "#keeper/info.ts"
import { boot, db, followsOther, me, other, settings, view } from "./build.ts"
import { type Machine, dir, emptyMachine, observe } from "./model.ts"
import { kinds, settle } from "./run.ts"

const state = (uid: string, gen = 1): DBState => ({
  uid: dbUID(uid),
  generation: generation(gen),
  initializing: false,
  initPGParameters: null,
})
const stopped: Machine = { ...emptyMachine, db: state("db1"), data: dir("old") }
const standbyData = dir("old", {
  timeline: 2,
  end: lsn(1500n),
  history: emptyMachine.source.history,
  state: "shut down in recovery",
  files: { conf: "", hba: "", signal: "standby" },
})
const stoppedStandby: Machine = { ...stopped, data: standbyData }
const primaryView = (change: Partial<DB["spec"]> = {}): ClusterData =>
  view({ dbs: [db("db1", change), other()] })
const standbyView = (change: Partial<DB["spec"]> = {}, followed: DB = other()): ClusterData =>
  view({ master: "db2", dbs: [db("db1", { ...followsOther, ...change }), followed] })
const parameters = (entries: Record<string, string>): Partial<DB["spec"]> => ({
  pgParameters: new Map(Object.entries(entries)),
})
const up = settle(stopped, primaryView()).machine
const upStandby = settle(stoppedStandby, standbyView()).machine
const conf = (machine: Machine): ReadonlyMap<string, string> => machine.server?.conf ?? new Map()

describe("what needs a restart", () => {
  test("D-45 a changed address of the followed DB is loaded, since PostgreSQL 13", () => {
    const moved = standbyView({}, other({}, { listenAddress: "10.0.0.99" }))
    expect(kinds(settle(upStandby, moved))).toEqual(["write-config", "reload"])
    const old = { ...upStandby, binary: 12, major: 12 }
    expect(kinds(settle(settle({ ...old, server: null }, standbyView()).machine, moved))).toContain(
      "stop",
    )
  })
  test("D-45 the first start of a standby cluster's primary is the last", () => {
    const external = {
      role: "standby",
      followConfig: {
        type: "external",
        dbuid: dbUID(""),
        standbySettings: {
          primaryConninfo: "host=h",
          primarySlotName: "",
          recoveryMinApplyDelay: "",
        },
        archiveRecoverySettings: { restoreCommand: "cp /archive/%f %p" },
      },
    } as const
    const done = settle(stoppedStandby, view({ dbs: [db("db1", external)] }))
    expect(kinds(done).filter((kind) => kind === "start")).toHaveLength(1)
    expect(conf(done.machine).get("restore_command")).toBe("cp /archive/%f %p")
  })
  test("D-73 recovery settings are loaded where the version can, restarted for where it cannot", () => {
    const from = (restoreCommand: string): ClusterData =>
      view({
        dbs: [
          db("db1", {
            role: "standby",
            followConfig: {
              type: "external",
              dbuid: dbUID(""),
              archiveRecoverySettings: { restoreCommand },
            },
          }),
        ],
      })
    for (const [binary, restarts] of [
      [13, true],
      [14, false],
    ] as const) {
      const running = settle({ ...stoppedStandby, binary, major: binary }, from("old")).machine
      expect(kinds(settle(running, from("new"))).includes("stop")).toBe(restarts)
    }
  })
  test("D-55 a pending restart counts for the configuration that is known to be loaded", () => {
    const seen = view({
      spec: { automaticPgRestart: true },
      dbs: [db("db1", parameters({ max_connections: "50" }))],
    })
    expect(kinds(settle(up, seen)).slice(0, 4)).toEqual(["write-config", "reload", "stop", "start"])
    // pending from before, and another file is to be loaded first
    const pending = { ...up, server: up.server && { ...up.server, restartNeeded: true } }
    expect(kinds(settle(pending, seen))[0]).toBe("write-config")
  })
  test("D-46 a dead connection does not hold the primary's restart up for failInterval", () => {
    const spec = { automaticPgRestart: true, failInterval: duration(8_000) }
    const more = parameters({ max_connections: "300" })
    const stops = (machine: Machine, seen: ClusterData): readonly number[] =>
      settle(machine, seen).points.flatMap(({ step }) =>
        step.kind === "stop" ? [step.escalateAfter] : [],
      )
    expect(stops(up, view({ spec, dbs: [db("db1", more)] }))).toEqual([4_000])
    const follows = db("db1", { ...followsOther, ...more })
    const standby = view({ spec, master: "db2", dbs: [follows, other()] })
    expect(stops(upStandby, standby)).toEqual([60_000]) // nobody is deposed for its absence
  })
  test("D-46 a restart that has to wait for another step is not forgotten", () => {
    const seen = view({
      spec: { automaticPgRestart: true },
      dbs: [db("db1", { ...parameters({ max_connections: "50" }), followers: [dbUID("db2")] })],
    })
    const run = settle(up, seen)
    const order = kinds(run).filter((kind) => ["create-slot", "stop"].includes(kind))
    expect(order).toEqual(["create-slot", "stop"])
    expect(conf(run.machine).get("max_connections")).toBe("50")
    expect(run.machine.server?.restartNeeded).toBe(false)
  })
  test("D-46 a configuration that comes back is restarted for again", () => {
    const asking = (value: string): ClusterData =>
      view({
        spec: { automaticPgRestart: true },
        dbs: [db("db1", parameters({ max_connections: value }))],
      })
    let run = settle(up, asking("50"))
    for (const value of ["60", "50", "60"]) {
      run = settle(run.machine, asking(value), { memory: run.plan.memory })
      expect(kinds(run).filter((kind) => kind === "stop")).toHaveLength(1)
    }
  })
  test("T11 a server that listens where an earlier keeper said is restarted once", () => {
    const place = { listenAddress: "10.0.0.11", port: "5499", socketDirectory: "/tmp" }
    const elsewhere = { ...up, place }
    const asked = plan(
      { view: primaryView(), local: observe(elsewhere), settings },
      emptyMemory,
      millis(1_000),
    )
    expect(asked.steps[0]?.kind).toBe("stop")
    expect(asked.steps[0]).toMatchObject({ checkpoint: true })
    // a place that never fits is no reason to go on restarting
    const again = plan(
      { view: primaryView(), local: observe(elsewhere), settings },
      asked.memory,
      millis(9_000),
    )
    expect(again.steps.map(({ kind }) => kind)).not.toContain("stop")
  })
})

describe("automaticPgRestart", () => {
  const asked = (
    value: string,
    followers: readonly DB[],
    own: Partial<DB["spec"]> = {},
  ): ClusterData =>
    view({
      master: own.role === "standby" ? "db2" : "db1",
      spec: { automaticPgRestart: true },
      dbs: [
        {
          ...db("db1", { ...own, ...parameters({ max_connections: value }) }),
          generation: generation(1),
        },
        ...followers,
      ],
    })
  const follower = (uid: string, keeper: string, of: string): DB =>
    db(uid, {
      keeperUID: keeperUID(keeper),
      role: "standby",
      followConfig: { type: "internal", dbuid: dbUID(of) },
    })
  const published = (keeper: string, uid: string, change: object): KeeperInfo => {
    const desired = desire(primaryView(), { uid: me, boot, certificate: null })
    const made = keeperInfo(
      {
        local: observe(up),
        settings: { ...settings, uid: keeperUID(keeper) },
        desired,
        work: "",
        ledByUs: true,
      },
      infoUID("i"),
    )
    if (made?.postgresState === undefined) throw new Error("nothing published")
    return { ...made, postgresState: { ...made.postgresState, uid: dbUID(uid), ...change } }
  }
  const first = (seen: ClusterData, machine: Machine, others: readonly KeeperInfo[], now = 1_000) =>
    plan({ view: seen, local: observe(machine), settings, others }, emptyMemory, millis(now))
  /** Loaded, and a restart is pending. */
  const loaded = (seen: ClusterData, from: Machine): Machine => {
    const { spec } = seen.cluster
    const cluster = { ...seen.cluster, spec: { ...spec, automaticPgRestart: false } }
    return settle(from, { ...seen, cluster }).machine
  }
  const mentions = (steps: readonly { readonly kind: string }[]): boolean =>
    steps.some(({ kind }) => kind === "stop")

  test("D-46 the primary lets its standbys restart first, and is not held up by one that is gone", () => {
    const seen = asked("200", [follower("db5", "k5", "db1")])
    const waits = loaded(seen, up)
    const ready = { generation: generation(1), healthy: true, pendingRestart: false }
    expect(
      mentions(
        first(seen, waits, [published("k5", "db5", { ...ready, pendingRestart: true })]).steps,
      ),
    ).toBeFalse()
    expect(
      mentions(first(seen, waits, [published("k5", "db5", { ...ready, healthy: false })]).steps),
    ).toBeFalse()
    expect(
      mentions(
        first(seen, waits, [published("k5", "db5", { ...ready, generation: generation(0) })]).steps,
      ),
    ).toBeFalse()
    expect(mentions(first(seen, waits, [published("k5", "db5", ready)]).steps)).toBeTrue()
    expect(mentions(first(seen, waits, []).steps)).toBeTrue()
  })
  test("D-46 nobody restarts while it cannot be known what the others do, but not for ever", () => {
    const seen = asked("200", [follower("db5", "k5", "db1")])
    const local = observe(loaded(seen, up))
    const one = plan({ view: seen, local, settings }, emptyMemory, millis(1_000))
    expect(mentions(one.steps)).toBeFalse()
    expect(one.wake).not.toBeNull()
    expect(
      mentions(plan({ view: seen, local, settings }, one.memory, millis(70_000)).steps),
    ).toBeTrue()
  })
  test("D-46 standbys go one after the other, by uid", () => {
    const seen = asked(
      "200",
      [follower("db0", "k0", "db2"), follower("db8", "k8", "db2"), other()],
      followsOther,
    )
    const waits = loaded(seen, upStandby)
    const ready = { generation: generation(1), healthy: true, pendingRestart: false }
    const busy = { ...ready, pendingRestart: true }
    expect(mentions(first(seen, waits, [published("k0", "db0", busy)]).steps)).toBeFalse()
    expect(
      mentions(
        first(seen, waits, [published("k0", "db0", ready), published("k8", "db8", busy)]).steps,
      ),
    ).toBeTrue()
  })
  test("D-46 a lowered value waits on the standby until its primary's WAL allows it", () => {
    const high = { ...stoppedStandby, floors: new Map([["max_connections", 200]]) }
    const seen = asked("50", [other()], followsOther)
    const before = settle(high, seen)
    expect(conf(before.machine).get("max_connections")).toBe("200")
    const after = settle({ ...before.machine, floors: new Map([["max_connections", 50]]) }, seen)
    expect(conf(after.machine).get("max_connections")).toBe("50")
    expect(kinds(after)).toEqual(["write-config", "reload", "stop", "start", "wait-ready"])
  })
  test("D-46 what is to be promoted comes up in recovery first, with what its WAL demands", () => {
    const high = { ...stoppedStandby, floors: new Map([["max_connections", 200]]) }
    const seen = primaryView(parameters({ max_connections: "50" }))
    const run = settle(high, seen)
    const promoting = run.points.find(({ step }) => step.kind === "promote")
    expect(promoting?.machine.server?.conf.get("max_connections")).toBe("200")
    // and once it is the primary, the specification counts
    expect(run.machine.data?.files?.conf).toContain("max_connections = '50'")
  })
  test("D-46 a standby starts with what the WAL demands, whatever its file and the specification say", () => {
    const machine = { ...stoppedStandby, floors: new Map([["max_worker_processes", 32]]) }
    const done = settle(machine, standbyView(parameters({ max_worker_processes: "4" })))
    expect(conf(done.machine).get("max_worker_processes")).toBe("32")
  })
})
