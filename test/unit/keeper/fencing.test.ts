/** What a plan does about leases, promises, evidence and switchovers (protocol parts 2 to 6). */
import { describe, expect, test } from "bun:test"
import { type Time, millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type Nonce, dbUID, epoch, generation, infoUID, keeperUID } from "#model/ids.ts"
import { keeperInfo } from "#keeper/info.ts"
import type { Fence } from "#keeper/lease.ts"
import { emptyMemory } from "#keeper/memory.ts"
import { type Plan, plan } from "#keeper/plan.ts"
import type { Step } from "#model/step.ts"
import { parseConf } from "#keeper/conf.ts"
import { db, followsOther, other, settings, view } from "./build.ts"
import { type Machine, apply, dir, emptyMachine, observe, stopped } from "./model.ts"
import { kinds, settle } from "./run.ts"

const applied = {
  uid: dbUID("db1"),
  generation: generation(1),
  initializing: false,
  initPGParameters: null,
}
const stoppedPrimary: Machine = { ...emptyMachine, db: applied, data: dir("old") }
const standby: Machine = {
  ...stoppedPrimary,
  data: dir("old", { files: { conf: "", hba: "", signal: "standby" } }),
}
const follower = db(
  "db2",
  {
    keeperUID: keeperUID("k2"),
    role: "standby",
    followConfig: { type: "internal", dbuid: dbUID("db1") },
  },
  { healthy: true },
)
const spec = { failureDetection: "evidence", failInterval: duration(20_000) } as const
const primary = view({ spec, dbs: [db("db1"), follower], epoch: "e1" })
const withStatus = (data: ClusterData, change: Partial<ClusterData["cluster"]["status"]>) => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, ...change } },
})

const at = millis
const lease = (until: number, word = "e1"): Fence => ({
  on: true,
  lease: { db: dbUID("db1"), epoch: epoch(word), until: at(until) },
  promised: null,
})
const planned = (machine: Machine, data: ClusterData, fence: Fence, now = 1_000): Plan =>
  plan({ view: data, local: observe(machine), settings, fence }, emptyMemory, at(now))
const next = (machine: Machine, data: ClusterData, fence: Fence, now = 1_000): string =>
  planned(machine, data, fence, now).steps[0]?.kind ?? "nothing"

/** Everything but the start itself. */
const ready = (machine: Machine, data: ClusterData): Machine => {
  const [step] = plan({ view: data, local: observe(machine), settings }, emptyMemory, at(0)).steps
  return step === undefined ||
    step.kind === "start" ||
    step.kind === "promote" ||
    step.kind === "wait-ready"
    ? machine
    : ready(apply(machine, step), data)
}

describe("L5 plan()", () => {
  const machine = ready(stoppedPrimary, primary)
  test("starts a primary under a lease of this DB and epoch that still runs, and else waits quietly", () => {
    expect(next(machine, primary, lease(2_000))).toBe("start")
    for (const fence of [lease(1_000), lease(2_000, "e0"), { ...lease(0), lease: null }]) {
      const made = planned(machine, primary, fence)
      expect(made.steps).toEqual([])
      expect(made.blocked?.usual).toBe(true)
      expect(made.wake).toBeGreaterThan(1_000)
    }
  })
  test("asks nobody where fencing is off", () => {
    expect(next(machine, primary, { on: false, lease: null, promised: null })).toBe("start")
  })
  test("promotes under a lease only, but starts the standby before without", () => {
    const none = { ...lease(0), lease: null }
    expect(next(ready(standby, primary), primary, none)).toBe("start")
    const up = settle(standby, view({ dbs: [db("db1", followsOther), other()], master: "db2" }))
    const promoting = ready(up.machine, primary)
    expect(next(promoting, primary, none)).toBe("nothing")
    expect(next(promoting, primary, lease(2_000))).toBe("promote")
  })
  test("O2 promotes nobody while a promise holds, lease or not", () => {
    const up = settle(standby, view({ dbs: [db("db1", followsOther), other()], master: "db2" }))
    const promoting = ready(up.machine, primary)
    const bound = { ...lease(9_000), promised: at(2_000) }
    const made = planned(promoting, primary, bound)
    expect(made.steps).toEqual([])
    expect(made.wake).toBe(at(2_000))
    expect(next(promoting, primary, bound, 2_000)).toBe("promote")
    expect(next(promoting, primary, { on: false, lease: null, promised: at(2_000) })).toBe(
      "nothing",
    )
  })
  test("initialises a cluster: its own start lets nobody in, the first regular one has a lease", () => {
    const fresh = view({
      spec: { ...spec, selfFencing: true },
      dbs: [db("db1", { initMode: "new" })],
    })
    const empty = { ...lease(0), lease: null }
    let machine: Machine = emptyMachine
    let memory = emptyMemory
    const made: string[] = []
    for (let now = 1_000; made.length < 40; now += 2_000) {
      const one = plan(
        { view: fresh, local: observe(machine), settings, fence: empty },
        memory,
        at(now),
      )
      memory = one.memory
      const [step] = one.steps
      if (step === undefined) break
      made.push(step.kind)
      machine = apply(machine, step)
      if (step.kind === "stop") memory = { ...memory, done: new Set(["set-up"]) }
      if (step.kind === "create-roles") memory = { ...memory, done: new Set(["roles"]) }
      if (step.kind === "initdb") memory = { ...memory, done: new Set(["side-complete"]) }
    }
    expect(made.filter((kind) => kind === "start")).toHaveLength(1)
    expect(made).toContain("unmark")
    expect(machine.server).toBeNull()
    expect(next(machine, fresh, lease(9e9, ""), 1e6)).toBe("start")
  })
})

test("W1 a disk that takes no data holds up no stop: what is to be noted comes after it", () => {
  const { machine } = settle(stoppedPrimary, primary)
  const data = view({
    spec: { ...spec, selfFencing: true },
    dbs: [db("db1"), follower],
    epoch: "e1",
    revoked: true,
  })
  const failing = (step: Step): boolean => step.kind === "save-fencing"
  expect(kinds(settle(machine, data))).toEqual(["stop", "save-fencing", "certify"])
  const run = (): unknown => settle(machine, data, { failing })
  expect(run).toThrow("no end")
  expect(next(machine, data, lease(9e9))).toBe("stop")
})

describe("D3 a primary whose PostgreSQL died", () => {
  const machine = ready(stoppedPrimary, primary)
  const failing = (data: ClusterData) => {
    const up = settle(machine, data)
    const { memory } = up.plan
    const failing = (step: Step): boolean => step.kind === "start"
    return settle(stopped(up.machine, false), data, { memory, failing })
  }
  test("is started again, and given up when it is not back within failInterval", () => {
    const run = failing(primary)
    expect(kinds(run).filter((kind) => kind === "start").length).toBeGreaterThan(1)
    expect(run.machine.certificate).toMatchObject({ epoch: "e1", dbuid: "db1" })
    expect(run.plan.desired.kind).toBe("stopped")
  })
  test("is given all the time it needs when it was reinstated, because nobody could take over", () => {
    const given = failing(primary)
    const again = view({ spec, dbs: [db("db1"), follower], epoch: "e2" })
    const { memory } = given.plan
    const retry = () =>
      settle(given.machine, again, { memory, failing: (step) => step.kind === "start" })
    expect(retry).toThrow("no end")
  })
  test("has the time of its own epoch: what ran out in the last one ends nothing in the next", () => {
    const up = settle(machine, primary)
    const crashed = stopped(up.machine, false)
    const look = (data: ClusterData, memory: Plan["memory"], now: number): Plan =>
      plan({ view: data, local: observe(crashed), settings, fence: lease(9e9) }, memory, at(now))
    const first = look(primary, up.plan.memory, 1e6)
    expect(look(primary, first.memory, 1e6 + 20_001).steps.map(({ kind }) => kind)).toContain(
      "certify",
    )
    // its guardian certified the end, and the leader put it back
    const again = view({ spec, dbs: [db("db1"), follower], epoch: "e2" })
    const second = look(again, first.memory, 1e6 + 20_001)
    expect(second.steps.map(({ kind }) => kind)).not.toContain("certify")
    expect(look(again, second.memory, 1e6 + 60_000).steps.map(({ kind }) => kind)).not.toContain(
      "certify",
    )
  })
  test("that its guardian ended comes back by its next lease, though the cluster is paused", () => {
    const paused = withStatus(primary, {
      paused: { by: "somebody", since: "2026-01-01T00:00:00Z" as Time, reason: "" },
    })
    const up = settle(machine, paused)
    const crashed = stopped(up.machine, false)
    const { memory } = up.plan
    expect(kinds(settle(crashed, paused, { memory }))).not.toContain("start")
    expect(kinds(settle({ ...crashed, asked: true }, paused, { memory }))).toContain("start")
  })
  test("says so, and is no evidence in another epoch", () => {
    const { machine: ended } = failing(primary)
    const words = (word: string) => ({
      epoch: epoch(word),
      detached: null,
      ending: false,
      peerAddress: "",
      fencing: undefined,
      electable: null,
      promise: null,
      promises: false,
    })
    const said = (word: string): string =>
      keeperInfo(
        {
          local: observe(ended),
          settings,
          desired: null,
          work: "",
          ledByUs: true,
          words: words(word),
        },
        infoUID("i"),
      )?.evidence ?? "nothing"
    expect(said("e1")).toBe("failed")
    expect(said("e2")).toBe("")
  })
  test("is never given up where nobody could take over, nor where the leader waits for silence", () => {
    for (const data of [
      view({ spec, dbs: [db("db1")], epoch: "e1" }),
      view({ spec: { failInterval: duration(20_000) }, dbs: [db("db1"), follower], epoch: "e1" }),
      withStatus(primary, {
        electable: { word: "w" as Nonce, dbs: [dbUID("db1")], joining: [], ended: false },
      }),
    ])
      expect(() => failing(data)).toThrow("no end") // it tries for ever
  })
  test("is left alone while it lives and does not answer (D5)", () => {
    const up = settle(machine, primary).machine
    const hung: Machine = { ...up, server: up.server && { ...up.server, ready: false } }
    let memory = emptyMemory
    for (const now of [1_000, 5_000, 60_000]) {
      const made = plan({ view: primary, local: observe(hung), settings }, memory, at(now))
      memory = made.memory
      expect(made.steps.map(({ kind }) => kind)).not.toContain("certify")
    }
  })
})

describe("L3 a standby that is to let go", () => {
  const following = view({
    dbs: [db("db1", followsOther), other()],
    master: "db2",
    epoch: "e1",
  })
  const revoked = withStatus(following, { primaryRevoked: true })
  const away = withStatus(revoked, { detach: true })
  const { machine } = settle(standby, following)
  test("loads a configuration without a primary, and says so only after it was proved", () => {
    const run = settle(machine, away)
    expect(kinds(run)).toEqual(["write-config", "reload", "detach"])
    expect(run.machine.server?.conf.has("primary_conninfo")).toBe(false)
    expect(run.plan.memory.detached as string | null).toBe("e1")
    const before = run.points.at(-1)?.memory.detached
    expect(before).toBeNull()
  })
  test("proves it again after its keeper was killed anywhere on the way", () => {
    for (const { machine: left } of settle(machine, away).points) {
      const again = settle(left, away)
      expect(again.plan.memory.detached as string | null).toBe("e1")
      expect(kinds(again).at(-1)).toBe("detach")
    }
  })
  test("follows again when the view says otherwise, and has taken its word back before", () => {
    const gone = settle(machine, away)
    for (const data of [following, revoked]) {
      const made = plan(
        { view: data, local: observe(gone.machine), settings },
        gone.plan.memory,
        at(1_000),
      )
      expect(made.memory.detached).toBeNull()
      const [step] = made.steps
      const conf = step?.kind === "write-config" ? parseConf(step.files.conf) : new Map()
      expect(conf.has("primary_conninfo")).toBe(true)
    }
  })
  test("does nothing of it without W1, for another primary, or before PostgreSQL 13", () => {
    const old = { ...machine, binary: 12, major: 12 }
    for (const [one, data] of [
      [machine, withStatus(following, { detach: true })],
      [machine, withStatus(away, { master: dbUID("db9") })],
      [settle(old, following).machine, away],
    ] as const)
      expect(kinds(settle(one, data))).not.toContain("detach")
  })
})

describe("S1 a switchover's checkpoint", () => {
  const wish = (keeper: string, phase: "asked" | "checkpoint" = "checkpoint") => ({
    switchover: {
      nonce: "n1" as Nonce,
      keeper: keeperUID(keeper),
      drain: duration(5_000),
      phase,
    },
  })
  const { machine } = settle(stoppedPrimary, primary)
  test("is made once by the primary's keeper, and then noted", () => {
    const run = settle(machine, withStatus(primary, wish("k2")))
    expect(kinds(run)).toEqual(["checkpoint", "save-handled", "check-roles"])
    expect(run.machine.handled.map(String)).toEqual(["n1"])
    const again = settle(run.machine, withStatus(primary, wish("k2")))
    expect(kinds(again)).not.toContain("checkpoint")
  })
  test("is made by the target's keeper, and by no other standby's", () => {
    const following = view({ dbs: [db("db1", followsOther), other()], master: "db2", epoch: "e1" })
    const { machine: second } = settle(standby, following)
    expect(kinds(settle(second, withStatus(following, wish("k1"))))).toContain("checkpoint")
    expect(kinds(settle(second, withStatus(following, wish("k3"))))).not.toContain("checkpoint")
  })
  test("waits for its phase", () => {
    const early = settle(machine, withStatus(primary, wish("k2", "asked")))
    expect(kinds(early)).not.toContain("checkpoint")
  })
})

test("a primary that crashed is up again after one look, under the lease that it has", () => {
  const { machine } = settle(stoppedPrimary, primary)
  expect(next(stopped(machine, false), primary, lease(2_000))).toBe("start")
})
