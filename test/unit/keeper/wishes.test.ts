/**
 * What operators ask of one keeper: a restart and a reload are done once, whenever the keeper dies;
 * a paused keeper leaves PostgreSQL as it is; a fresh copy is one, whatever could be followed.
 */
import { describe, expect, test } from "bun:test"
import { millis, type Time } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import { emptyMemory, failed } from "#keeper/memory.ts"
import { stop } from "#keeper/outline.ts"
import { plan } from "#keeper/plan.ts"
import type { ClusterData, KeeperStatus } from "#model/cluster.ts"
import { type Nonce, bootUUID, dbUID, generation, nonce } from "#model/ids.ts"
import type { Wishes } from "#model/wish.ts"
import { db, followsOther, me, other, settings, view } from "./build.ts"
import { type Machine, apply, dir, emptyMachine, observe, stopped } from "./model.ts"
import { type Run, crashes, kinds, settle } from "./run.ts"

const since = "2026-01-01T00:00:00Z" as Time
const pause = { since, by: "ann@db1", reason: "kernel update" }
const wish = (name: string) => ({ nonce: nonce(name), by: "ann@db1", since })

function withStatus(data: ClusterData, change: Partial<KeeperStatus>): ClusterData {
  const keeper = data.keepers.get(me)!
  const changed = { ...keeper, status: { ...keeper.status, ...change } }
  return { ...data, keepers: new Map(data.keepers).set(me, changed) }
}
const wishing = (data: ClusterData, wishes: Wishes): ClusterData => withStatus(data, { wishes })
const pausing = (data: ClusterData): ClusterData => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, paused: pause } },
})

const state = (uid: string) => ({
  uid: dbUID(uid),
  generation: generation(1),
  initializing: false,
  initPGParameters: null,
})
const primaryView = view({ dbs: [db("db1"), other()] })
const standbyView = view({ master: "db2", dbs: [db("db1", followsOther), other()] })
const start: Machine = { ...emptyMachine, db: state("db1"), data: dir("old") }
const standbyStart: Machine = {
  ...start,
  data: dir("old", {
    timeline: 2,
    end: lsn(1500n),
    history: emptyMachine.source.history,
    state: "shut down in recovery",
    files: { conf: "", hba: "", signal: "standby" },
  }),
}
const running = settle(start, primaryView).machine
const runningStandby = settle(standbyStart, standbyView).machine
/** A new process looks at the roles first, once. */
const withoutLooks = (run: Run): readonly string[] =>
  kinds(run).filter((kind) => kind !== "check-roles")
const restarts = (machine: Machine, from: Machine): number =>
  machine.trace.slice(from.trace.length).filter((kind) => kind === "start").length

describe("a wish to restart", () => {
  test.each([
    ["a primary", running, primaryView],
    ["a standby", runningStandby, standbyView],
  ] as const)("restarts %s once", (_, machine, seen) => {
    const run = settle(machine, wishing(seen, { restart: wish("n1") }))
    expect(withoutLooks(run).slice(0, 3)).toEqual(["stop", "save-handled", "start"])
    expect(run.machine.handled).toEqual([nonce("n1")])
    expect(restarts(run.machine, machine)).toBe(1)
    // the wish is still in the view: nothing more happens
    expect(withoutLooks(settle(run.machine, wishing(seen, { restart: wish("n1") })))).toEqual([])
  })

  test("ends in one restart wherever the keeper dies: never none, never two of its own", () => {
    const seen = wishing(primaryView, { restart: wish("n1") })
    const run = settle(running, seen)
    for (const { name, machine } of crashes(run)) {
      const after = settle(machine, seen)
      expect([name, after.machine.server?.ready]).toEqual([name, true])
      expect([name, after.machine.handled]).toEqual([name, [nonce("n1")]])
      // done and said before the crash: PostgreSQL goes on
      const was = machine.handled.length > 0 && machine.server !== null
      if (was) expect([name, kinds(after).includes("stop")]).toEqual([name, false])
      const begun = machine.trace.slice(running.trace.length).filter((kind) => kind === "stop")
      const all = after.machine.trace.slice(running.trace.length)
      // a crash that ended PostgreSQL itself is the stop that was asked for
      expect(all.filter((kind) => kind === "stop").length).toBeLessThanOrEqual(
        Math.max(1, begun.length),
      )
    }
  })

  test("waits while PostgreSQL is promoted or copied", () => {
    const seen = wishing(primaryView, { restart: wish("n1") })
    const promoting = settle(standbyStart, standbyView).machine
    const run = settle({ ...promoting, db: state("db1") }, seen)
    const order = kinds(run)
    expect(order.indexOf("promote")).toBeLessThan(order.indexOf("stop"))
    expect(run.machine.handled).toEqual([nonce("n1")])
  })

  test("that cannot be noted as done keeps PostgreSQL neither down nor restarting", () => {
    let fails = 6
    const run = settle(running, wishing(primaryView, { restart: wish("n1") }), {
      failing: ({ kind }) => kind === "save-handled" && fails-- > 0,
    })
    const order = withoutLooks(run).filter((kind) => kind !== "wait-ready")
    const three = Array.from({ length: 3 }, () => "save-handled")
    expect(order).toEqual([
      ...["stop", ...three, "start"],
      // up again, and it is done once it can be noted
      ...[...three, "save-handled"],
      ...["stop", "save-handled", "start"],
    ])
    expect(run.machine.handled).toEqual([nonce("n1")])
  })

  test("remembers the last ones only", () => {
    let machine = running
    for (let i = 0; i < 12; i++)
      machine = settle(machine, wishing(primaryView, { restart: wish(`n${i}`) })).machine
    expect(machine.handled).toEqual([4, 5, 6, 7, 8, 9, 10, 11].map((i) => nonce(`n${i}`)))
  })
})

test("a wish to reload loads the configuration once more and does not restart", () => {
  const run = settle(running, wishing(primaryView, { reload: wish("n1") }))
  expect(withoutLooks(run)).toEqual(["reload", "save-handled"])
  expect(run.machine.handled).toEqual([nonce("n1")])
})

test("a restart and a reload that are asked for together are both done", () => {
  const wishes = { restart: wish("n1"), reload: wish("n2") }
  const run = settle(running, wishing(primaryView, wishes))
  expect(run.machine.handled.toSorted()).toEqual([nonce("n1"), nonce("n2")] as Nonce[])
  expect(restarts(run.machine, running)).toBe(1)
})

describe("a paused keeper", () => {
  const ended = (machine: Machine): Machine => stopped(machine, false)
  /** Seen up in this process, then gone by itself. */
  const seenThenGone = (machine: Machine, seen: ClusterData) => {
    const up = settle(machine, seen)
    return settle(ended(up.machine), pausing(seen), { memory: up.plan.memory })
  }

  test("does not start PostgreSQL that ended by itself, says so, and does after the pause", () => {
    const run = seenThenGone(running, primaryView)
    expect(run.machine.server).toBeNull()
    expect(run.plan.blocked).toEqual({
      why: "paused by ann@db1 since 2026-01-01T00:00:00Z (kernel update); not done: start",
      resolve: "stolon ctl resume",
    })
    const after = settle(run.machine, primaryView, { memory: run.plan.memory })
    expect(after.machine.server?.ready).toBe(true)
  })

  test("still does not start it when there was configuration to write in between", () => {
    const up = settle(running, primaryView)
    const changed = { ...db("db1", { pgParameters: new Map([["work_mem", "9MB"]]) }) }
    const seen = view({ dbs: [{ ...changed, generation: generation(2) }, other()] })
    const run = settle(ended(up.machine), pausing(seen), { memory: up.plan.memory })
    expect(kinds(run)).toContain("write-config")
    expect(run.machine.server).toBeNull()
  })

  test("starts PostgreSQL with itself: who starts a keeper asks for that", () => {
    expect(settle(start, pausing(primaryView)).machine.server?.ready).toBe(true)
  })

  test("is told by its own pause as by the cluster's", () => {
    const up = settle(running, primaryView)
    const run = settle(ended(up.machine), withStatus(primaryView, { paused: pause }), {
      memory: up.plan.memory,
    })
    expect(run.machine.server).toBeNull()
  })

  test("does not restart for a parameter, but loads the rest and reports it as applied", () => {
    const changed = {
      ...db("db1", { pgParameters: new Map([["max_connections", "333"]]) }),
      generation: generation(2),
    }
    const seen = view({ spec: { automaticPgRestart: true }, dbs: [changed, other()] })
    const up = settle(
      running,
      view({ spec: { automaticPgRestart: true }, dbs: [db("db1"), other()] }),
    )
    const run = settle(up.machine, pausing(seen), { memory: up.plan.memory })
    expect(kinds(run)).toContain("reload")
    expect(kinds(run)).not.toContain("stop")
    expect(run.machine.db.generation).toBe(generation(2))
    const after = settle(run.machine, seen, { memory: run.plan.memory })
    expect(kinds(after)).toContain("stop")
    expect(after.machine.server?.conf.get("max_connections")).toBe("333")
  })

  test("stops a revoked primary and certifies: safety is never paused", () => {
    const revoked = view({ dbs: [db("db1"), other()], epoch: "e1", revoked: true })
    const up = settle(running, view({ dbs: [db("db1"), other()], epoch: "e1" }))
    const run = settle(up.machine, pausing(revoked), { memory: up.plan.memory })
    expect(kinds(run)).toEqual(["stop", "certify"])
  })

  test("promotes when an operator moved the role to it", () => {
    const up = settle(runningStandby, standbyView)
    const run = settle(up.machine, pausing(primaryView), { memory: up.plan.memory })
    expect(kinds(run)).toContain("promote")
    expect(run.machine.server?.inRecovery).toBe(false)
  })

  test("finishes a restart that was asked for when the pause came in between", () => {
    const seen = wishing(primaryView, { restart: wish("n1") })
    const run = settle(running, seen)
    for (const { machine, step, memory, now } of run.points) {
      const after = apply(machine, step)
      const made = plan(
        { view: pausing(seen), local: observe(after), settings },
        { ...memory, wasUp: step.kind === "stop" ? false : memory.wasUp },
        millis(now),
      )
      const end = settle(after, pausing(seen), { memory: made.memory })
      expect([step.kind, end.machine.server?.ready]).toEqual([step.kind, true])
    }
  })

  test("starts PostgreSQL again whose stop it began, even if it did not see it end", () => {
    const up = settle(running, primaryView)
    const tried = failed(up.plan.memory, stop("an operator asked for a restart", true), millis(1))
    const run = settle(ended(up.machine), pausing(primaryView), { memory: tried })
    expect(run.machine.server?.ready).toBe(true)
  })

  test("keeps to what it began: a long step is not given up because of a pause", () => {
    const seen = wishing(primaryView, { restart: wish("n1") })
    const local = observe(running)
    const memory = { ...settle(running, primaryView).plan.memory, working: "stop" } as const
    const made = plan({ view: pausing(seen), local, settings }, memory, millis(5_000))
    expect(made.steps[0]?.kind).toBe("stop")
  })

  test("finishes a temporary start, also one that an earlier process began: it keeps clients out", () => {
    const run = settle({ ...running, refusing: true }, primaryView)
    const within = run.points.filter(
      ({ machine }) => machine.server?.conf.get("stolon.revision") === "temporary",
    )
    expect(within.length).toBeGreaterThan(0)
    for (const { machine, memory } of within)
      for (const known of [memory, emptyMemory]) {
        const after = settle(machine, pausing(primaryView), { memory: known })
        expect(after.plan.blocked).toBeNull()
        expect(after.machine.server?.conf.get("listen_addresses")).not.toBe("")
        expect(after.machine.refusing).toBe(false)
      }
  })

  test("does not restart a PostgreSQL that was running when it came for the sake of roles", () => {
    const found = { ...running, refusing: true }
    const run = settle(found, pausing(primaryView))
    expect(kinds(run)).toEqual([])
    expect(run.plan.blocked?.why).toContain("not done: restart")
    const after = settle(run.machine, primaryView, { memory: run.plan.memory })
    expect(after.machine.refusing).toBe(false)
  })

  test("obeys the handshake of its own start", () => {
    const unseen = withStatus(primaryView, { bootUUID: bootUUID("older") })
    const run = settle(running, pausing(unseen))
    expect(kinds(run)).toEqual(["stop"])
  })
})

describe("freshCopy", () => {
  const resync = (freshCopy: "" | "keep" | "discard", healthy = true): ClusterData =>
    view({
      master: "db2",
      dbs: [
        db("db3", { initMode: "resync", ...followsOther, freshCopy }),
        other({ followers: [dbUID("db3")] }, { healthy }),
      ],
    })
  const old = runningStandby

  test("copies although the data could be followed as they are", () => {
    expect(kinds(settle(old, resync("")))).not.toContain("clone")
    const run = settle(old, resync("keep"))
    expect(kinds(run)).toContain("clone")
    expect(run.machine.data?.origin).toBe("copy")
    expect(kinds(run).indexOf("clone")).toBeLessThan(kinds(run).indexOf("set-aside"))
  })

  test("discard frees the old copy's space before the new one is made", () => {
    const run = settle(old, resync("discard"))
    const order = kinds(run)
    expect(order.indexOf("discard-data")).toBeLessThan(order.indexOf("clone"))
    expect(order).not.toContain("set-aside")
    expect(run.machine.data?.origin).toBe("copy")
    expect(run.machine.destroyed).toEqual(["old"])
  })

  test("discard touches nothing while there is nothing healthy to copy from", () => {
    const run = settle(old, resync("discard", false))
    expect(kinds(run)).not.toContain("discard-data")
    expect(run.machine.data?.origin).toBe("old")
    expect(run.machine.destroyed).toEqual([])
  })

  test("ends in a whole copy wherever the keeper dies", () => {
    for (const freshCopy of ["keep", "discard"] as const) {
      const seen = resync(freshCopy)
      for (const { name, machine } of crashes(settle(old, seen))) {
        const after = settle(machine, seen, { memory: emptyMemory })
        expect([name, after.machine.data?.origin]).toEqual([name, "copy"])
        expect([name, after.machine.mark, after.machine.db.uid]).toEqual([name, null, dbUID("db3")])
      }
    }
  })
})
