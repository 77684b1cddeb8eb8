/**
 * Every flow of the keeper from its beginning to its end, and again after a crash at every point:
 * the prefix property. A crash may cost a repeated copy; it may not change where the flow ends, nor
 * destroy what nobody else has.
 */
import { describe, expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { guardOf } from "#keeper/hba.ts"
import { emptyMemory } from "#keeper/memory.ts"
import type { ClusterData } from "#model/cluster.ts"
import { dbUID, generation } from "#model/ids.ts"
import type { DBState } from "#model/local.ts"
import { steps } from "#model/step.ts"
import { plan } from "#keeper/plan.ts"
import { millis } from "#base/brand.ts"
import { boot, db, followsOther, other, settings, view } from "./build.ts"
import { type Machine, clientsMayEnter, dir, emptyMachine, observe } from "./model.ts"
import { type Run, crashes, endOf, kinds, settle } from "./run.ts"

const state = (uid: string, gen = 1, initializing = false): DBState => ({
  uid: dbUID(uid),
  generation: generation(gen),
  initializing,
  initPGParameters: null,
})

/** A machine on which `uid` has been running well, stopped now. */
function settled(uid: string, change: Partial<Machine> = {}, data = dir("old")): Machine {
  return { ...emptyMachine, db: state(uid), data, ...change }
}

/** Already running as the view says. */
const running = (machine: Machine, seen: ClusterData): Machine => settle(machine, seen).machine

interface Flow {
  readonly name: string
  readonly start: Machine
  readonly view: ClusterData
  /** The steps, when nothing goes wrong. */
  readonly steps: readonly string[]
  /** Data that must never be destroyed before the flow has ended. */
  readonly precious?: string
}

const sync = {
  synchronousReplication: true,
  synchronousStandbys: [dbUID("db2")],
  followers: [dbUID("db2")],
}
const inSync = [dbUID("db2")]
const asPrimary = (change = {}): ClusterData => view({ dbs: [db("db1", change), other()] })
const resync = (change = {}): ClusterData =>
  view({
    master: "db2",
    dbs: [
      db("db3", { initMode: "resync", ...followsOther, ...change }),
      other({ followers: [dbUID("db3")] }),
    ],
  })
const standbyView = view({ master: "db2", dbs: [db("db1", followsOther), other()] })
const promoted = (change = {}): ClusterData => view({ dbs: [db("db1", change)] })
const onBranch = dir("old", {
  timeline: 2,
  end: lsn(1500n),
  history: emptyMachine.source.history,
  state: "shut down in recovery",
  files: { conf: "", hba: "", signal: "standby" },
})
const divergedData = dir("old", { timeline: 1, end: lsn(1400n) })

const setup = [
  "prepare",
  "mark",
  "start",
  "wait-ready",
  "create-roles",
  "capture-parameters",
  "stop",
  "save-db",
  "unmark",
]
const run = ["write-config", "start", "wait-ready", "save-db"]
const clone = ["save-db", "clone", "mark", "set-aside", "swap-in", "save-db", "unmark"]
const asStandby = ["write-config", "start", "wait-ready", "save-db"]

const flows: readonly Flow[] = [
  {
    name: "new on an empty machine",
    start: emptyMachine,
    view: view({ dbs: [db("db1", { initMode: "new", includePreviousConfig: true })] }),
    steps: ["save-db", "initdb", "mark", "swap-in", ...setup, ...run],
  },
  {
    name: "new over the data of another cluster",
    start: running(settled("db0"), view({ dbs: [db("db0")], master: "db0" })),
    view: view({ dbs: [db("db1", { initMode: "new", includePreviousConfig: true })] }),
    steps: [
      "save-db",
      "stop",
      "initdb",
      "mark",
      "set-aside",
      "swap-in",
      ...setup,
      ...run,
      "remove-asides",
    ],
  },
  {
    name: "pitr",
    start: emptyMachine,
    view: view({
      dbs: [
        db("db1", {
          initMode: "pitr",
          includePreviousConfig: true,
          pitrConfig: {
            dataRestoreCommand: "restore %d",
            archiveRecoverySettings: { restoreCommand: "cp" },
          },
        }),
      ],
    }),
    steps: [
      "save-db",
      "restore",
      "mark",
      "swap-in",
      "prepare",
      "mark",
      "start",
      "wait-recovered",
      "create-roles",
      "capture-parameters",
      "stop",
      "save-db",
      "unmark",
      ...run,
    ],
  },
  {
    name: "existing",
    start: { ...emptyMachine, data: dir("old") },
    view: view({ dbs: [db("db1", { initMode: "existing", includePreviousConfig: true })] }),
    steps: ["prepare", "start", "wait-ready", "create-roles", "capture-parameters", "stop", ...run],
    precious: "old",
  },
  {
    name: "resync by following",
    start: running(
      settled("db0", {}, dir("old", { end: lsn(990n) })),
      view({ dbs: [db("db0")], master: "db0" }),
    ),
    view: resync(),
    steps: ["stop", "save-db", ...asStandby],
    precious: "old",
  },
  {
    name: "resync by rewind",
    start: settled("db0", {}, divergedData),
    view: resync({ usePgrewind: true }),
    steps: ["save-divergent-wal", "save-db", "mark", "rewind", "save-db", "unmark", ...asStandby],
  },
  {
    name: "resync by copy",
    start: settled("db0", {}, divergedData),
    view: resync(),
    steps: [...clone, ...asStandby, "remove-asides"],
    precious: "old",
  },
  {
    name: "resync on an empty machine",
    start: emptyMachine,
    view: resync(),
    steps: [...clone.filter((kind) => kind !== "set-aside"), ...asStandby],
  },
  {
    name: "start of a primary",
    start: settled("db1"),
    view: asPrimary({ followers: [dbUID("db2")] }),
    steps: ["write-config", "start", "wait-ready", "create-slot", "check-roles"],
    precious: "old",
  },
  {
    name: "start of a synchronous primary, with its guard",
    start: settled("db1", { inSync }),
    view: asPrimary(sync),
    steps: [
      "write-config",
      "start",
      "wait-ready",
      "write-config",
      "reload",
      "create-slot",
      "prove-sync",
      "check-roles",
    ],
    precious: "old",
  },
  {
    name: "promotion, asynchronous",
    start: running(settled("db1", {}, onBranch), standbyView),
    view: { ...promoted({ followers: [dbUID("db2")] }) },
    steps: [
      "write-config",
      "reload",
      "promote",
      "end-sessions",
      "write-config",
      "reload",
      "create-slot",
      "check-roles",
    ],
    precious: "old",
  },
  {
    name: "promotion, synchronous",
    start: running(settled("db1", { inSync }, onBranch), standbyView),
    view: promoted(sync),
    steps: [
      "write-config",
      "reload",
      "promote",
      "end-sessions",
      "create-slot",
      "prove-sync",
      "write-config",
      "reload",
      "check-roles",
    ],
    precious: "old",
  },
  {
    name: "revocation",
    start: running(settled("db1"), asPrimary()),
    view: view({ dbs: [db("db1")], epoch: "e1", revoked: true }),
    steps: ["stop", "certify"],
    precious: "old",
  },
  {
    name: "change of configuration",
    start: running(settled("db1"), asPrimary()),
    view: view({
      dbs: [
        {
          ...db("db1", { pgParameters: new Map([["work_mem", "8MB"]]) }),
          generation: generation(2),
        },
      ],
    }),
    steps: ["write-config", "reload", "save-db", "check-roles"],
    precious: "old",
  },
  {
    name: "change that needs a restart",
    start: running(settled("db1"), asPrimary()),
    view: view({
      spec: { automaticPgRestart: true },
      dbs: [
        {
          ...db("db1", { pgParameters: new Map([["max_connections", "50"]]) }),
          generation: generation(2),
        },
      ],
    }),
    steps: ["write-config", "reload", "stop", "start", "wait-ready", "save-db", "check-roles"],
    precious: "old",
  },
  {
    name: "change of the DB followed",
    start: running(settled("db1", {}, onBranch), standbyView),
    view: view({
      master: "db2",
      dbs: [
        { ...db("db1", followsOther), generation: generation(2) },
        other({}, { listenAddress: "10.0.0.99" }),
      ],
    }),
    steps: ["write-config", "reload", "save-db"],
    precious: "old",
  },
]

describe("plan()", () => {
  for (const flow of flows) {
    const whole = (): Run => settle(flow.start, flow.view)
    test(`carries out: ${flow.name}`, () => {
      const done = whole()
      expect(kinds(done)).toEqual([...flow.steps])
      expect(done.plan.blocked).toBeNull()
      if (flow.precious !== undefined)
        expect(
          kinds(done).includes("remove-asides") || !done.machine.destroyed.includes(flow.precious),
        ).toBeTrue()
    })
    test(`would begin every long step again while it runs: ${flow.name}`, () => {
      for (const { machine, step, memory, now } of whole().points) {
        if (!steps[step.kind].long) continue
        const input = { view: flow.view, local: observe(machine), settings, others: [] }
        const again = plan(input, { ...memory, working: step.kind }, millis(now + 3_600_000))
        expect(again.steps[0]).toEqual(step)
      }
    })
    test(`ends the same after a crash anywhere in: ${flow.name}`, () => {
      const wanted = endOf(whole())
      for (const { name, machine } of crashes(whole())) {
        const after = settle(machine, flow.view)
        const end = endOf(after)
        // only an orderly stop tells where the log ends
        if (name.endsWith("killed") && end.certificate !== null)
          end.certificate = wanted.certificate
        expect({ name, ...end }).toEqual({ name, ...wanted })
        const early = after.machine.destroyed.slice(0, -1)
        if (flow.precious !== undefined)
          expect({ name, early: early.includes(flow.precious) }).toEqual({ name, early: false })
      }
    })
  }
})

describe("the guard of a synchronous primary", () => {
  const fake = {
    synchronousReplication: true,
    synchronousStandbys: [],
    externalSynchronousStandbys: ["stolonfakestandby"],
  }
  const hba = (machine: Machine): string => machine.server?.hba ?? ""

  test("keeps clients out after a start until the standbys are in sync", () => {
    const waiting = settle(settled("db1"), asPrimary(sync))
    expect(clientsMayEnter(waiting.machine)).toBeFalse()
    expect(guardOf(hba(waiting.machine))).toBe("restarted")
    expect(waiting.machine.db.generation).toBe(generation(1))
    const done = settle({ ...waiting.machine, inSync }, asPrimary(sync))
    expect(clientsMayEnter(done.machine)).toBeTrue()
  })
  test("D-07 stays while only the standby that never exists is listed", () => {
    const waiting = settle(settled("db1"), asPrimary(fake))
    expect(clientsMayEnter(waiting.machine)).toBeFalse()
    expect(
      clientsMayEnter(settle(waiting.machine, asPrimary({ synchronousReplication: true })).machine),
    ).toBeTrue()
  })
  test("survives a new keeper that finds PostgreSQL running", () => {
    const waiting = settle(settled("db1"), asPrimary(sync)).machine
    expect(clientsMayEnter(settle(waiting, asPrimary(sync)).machine)).toBeFalse()
  })
  test("is not needed where nothing was ever applied", () => {
    const fresh = settle(settled("db1", { db: state("db1", 0) }), asPrimary(fake))
    expect(clientsMayEnter(fresh.machine)).toBeTrue()
  })
  test("never lets clients in during a promotion before the proof", () => {
    const start = running(settled("db1", {}, onBranch), standbyView)
    for (const { machine, step } of settle(start, promoted(sync)).points) {
      const proved = machine.trace.includes("prove-sync")
      if (machine.trace.includes("reload") && !proved && step.kind !== "write-config")
        expect({ step: step.kind, open: clientsMayEnter(machine) }).toEqual({
          step: step.kind,
          open: false,
        })
    }
  })
  test("D-06 a restart for a parameter arms it again, and PostgreSQL does not restart by itself", () => {
    const start = { ...running(settled("db1", { inSync }), asPrimary(sync)) }
    expect(start.server?.conf.get("restart_after_crash")).toBe("off")
    const change = { ...sync, pgParameters: new Map([["max_connections", "50"]]) }
    const asked = view({ spec: { automaticPgRestart: true }, dbs: [db("db1", change), other()] })
    const done = settle({ ...start, inSync: [] }, asked)
    expect(kinds(done)).toContain("stop")
    expect(clientsMayEnter(done.machine)).toBeFalse()
  })
})

describe("a resync", () => {
  test("falls back to a copy when pg_rewind fails, and sets the damaged directory aside", () => {
    const done = settle(settled("db0", {}, divergedData), resync({ usePgrewind: true }), {
      failing: (step) => step.kind === "rewind",
    })
    expect(kinds(done)).toContain("clone")
    expect(done.machine.data?.origin).toBe("copy")
    expect(done.machine.db).toEqual(state("db3"))
  })
  test("D-09 notices that what it follows without a copy does not stream, and copies", () => {
    // the control data agree, the received WAL does not
    const start = settled(
      "db0",
      {},
      dir("old", { end: lsn(1400n), state: "shut down in recovery" }),
    )
    const known = view({
      master: "db2",
      dbs: [
        db("db3", { initMode: "resync", ...followsOther }),
        other({}, { timelineID: 1, timelinesHistory: [], xLogPos: lsn(1450n) }),
      ],
    })
    const done = settle(start, known)
    expect(kinds(done).slice(0, 1)).toEqual(["save-db"])
    expect(done.machine.data?.origin).toBe("copy")
  })
  test("throws a copy of its own that never streamed away, but never what it set aside first", () => {
    const again: Machine = {
      ...settled("db3", { db: state("db3", 0, true), mark: { kind: "copied", db: dbUID("db3") } }),
      data: dir("copy"),
      side: dir("second copy"),
      asides: [dir("old")],
    }
    const memory = { ...emptyMemory, db: dbUID("db3"), path: "clone", copies: 1 } as const
    expect(settle(again, resync(), { memory }).machine.destroyed).toEqual(["copy", "old"])
    // a new keeper does not know whose it is, and keeps both until the replacement has done well
    expect(kinds(settle(again, resync()))).toContain("set-aside")
  })
  test("waits, and says so, while the DB to copy from is not healthy", () => {
    const sick = view({
      master: "db2",
      dbs: [db("db3", { initMode: "resync", ...followsOther }), other({}, { healthy: false })],
    })
    const done = settle(settled("db0", {}, divergedData), sick)
    expect(done.plan.blocked?.why).toContain("not healthy")
    expect(kinds(done)).toEqual([])
  })
  test("waits for a report of the promotion before it judges", () => {
    const early = view({
      master: "db2",
      dbs: [
        db("db3", { initMode: "resync", ...followsOther }),
        other({}, { timelineID: 1, timelinesHistory: [], xLogPos: lsn(800n) }),
      ],
    })
    const first = settle(settled("db0", {}, dir("old", { end: lsn(990n) })), early)
    expect(first.points.length).toBeGreaterThan(0) // patience has an end
    expect(first.events).toContain("plan.blocked")
  })
  test("never starts a directory in which pg_rewind did not finish", () => {
    const half: Machine = {
      ...settled("db3", { db: state("db3", 0, true), mark: { kind: "rewind", db: dbUID("db3") } }),
      data: dir("half-rewound"),
    }
    const done = settle(half, resync({ usePgrewind: true }))
    expect(kinds(done)).not.toContain("rewind")
    expect(done.machine.data?.origin).toBe("copy")
  })
  test("does not trust a directory of which a Go keeper says that it was initializing", () => {
    const done = settle(
      settled("db3", { db: state("db3", 0, true) }),
      resync({ usePgrewind: true }),
    )
    expect(done.machine.data?.origin).toBe("copy")
  })
})

describe("plan() blocks", () => {
  test("a primary that is wanted as a standby in place", () => {
    const done = settle(running(settled("db1"), asPrimary()), standbyView)
    expect(done.points).toEqual([])
    expect(done.plan.blocked?.why).toContain("cannot become a standby in place")
  })
  test("a keeper whose data is lost, and leaves PostgreSQL alone", () => {
    const done = settle(
      running(settled("db0"), view({ dbs: [db("db0")], master: "db0" })),
      view({ dbs: [db("db1")] }),
    )
    expect(done.points).toEqual([])
    expect(done.plan.blocked?.why).toContain("its data is lost")
  })
  test("a primary whose data is lost, with a way out that its keeper's DB allows", () => {
    const done = settle(emptyMachine, view({ dbs: [db("db1")], master: "db1" }))
    expect(done.points).toEqual([])
    expect(done.plan.blocked?.why).toContain("its data is lost")
    expect(done.plan.blocked?.resolve).toContain("failkeeper")
    expect(done.plan.blocked?.resolve).not.toContain("removekeeper") // refused for a primary's
  })
  test("data of another major version", () => {
    const done = settle({ ...settled("db1"), binary: 16 }, asPrimary())
    expect(done.plan.blocked?.why).toContain("of PostgreSQL 15, the programs are of 16")
  })
})

describe("slots", () => {
  test("D-05 one that cannot be created holds nothing up", () => {
    const done = settle(
      settled("db1"),
      asPrimary({ followers: [dbUID("db2")], additionalReplicationSlots: ["audit"] }),
      {
        failing: (step) =>
          step.kind === "create-slot" &&
          step.name === "stolon_audit" &&
          step.name.length > 0 &&
          failures++ < 3,
      },
    )
    expect(done.machine.db.generation).toBe(generation(1))
    expect(done.machine.data?.slots.toSorted()).toEqual(["stolon_audit", "stolon_db2"])
  })
  let failures = 0
  test("of strangers stay, those of the keepers that nobody wants go", () => {
    const start = settled("db1", {}, dir("old", { slots: ["stolon_gone", "theirs"] }))
    expect(settle(start, asPrimary()).machine.data?.slots).toEqual(["theirs"])
  })
})

describe("parameters on a standby", () => {
  test("D-46 never shrink below what its file already has", () => {
    const start = running(
      settled("db1", {}, onBranch),
      view({
        master: "db2",
        dbs: [
          db("db1", { ...followsOther, pgParameters: new Map([["max_connections", "200"]]) }),
          other(),
        ],
      }),
    )
    const lower = view({
      master: "db2",
      spec: { automaticPgRestart: true },
      dbs: [
        db("db1", { ...followsOther, pgParameters: new Map([["max_connections", "50"]]) }),
        other(),
      ],
    })
    const done = settle(start, lower)
    expect(done.machine.server?.conf.get("max_connections")).toBe("200")
    expect(kinds(done)).not.toContain("stop")
  })
})

test("a certificate of this epoch keeps its DB from running as primary until the epoch changes", () => {
  const certificate = {
    epoch: "e1",
    bootUUID: boot,
    dbuid: dbUID("db1"),
    finalLSN: lsn(0n),
    reason: "",
  } as Machine["certificate"]
  const ended = settled("db1", { certificate })
  expect(settle(ended, view({ dbs: [db("db1")], epoch: "e1" })).machine.server).toBeNull()
  expect(settle(ended, view({ dbs: [db("db1")], epoch: "e2" })).machine.server).not.toBeNull()
  expect(settle(ended, view({ dbs: [db("db1")] })).machine.server).not.toBeNull()
})
test("the final LSN of a certificate is that of a shutdown in good order", () => {
  const done = settle(
    running(settled("db1"), asPrimary()),
    view({ dbs: [db("db1")], epoch: "e1", revoked: true }),
  )
  expect(done.machine.certificate).toMatchObject({
    epoch: "e1",
    bootUUID: boot,
    dbuid: "db1",
    finalLSN: 899n,
  })
})
